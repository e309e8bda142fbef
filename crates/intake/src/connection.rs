//! The two kinds of connection under an association: plain and TLS, as peers open them and as we do. Not here: what is said over them.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use domain::peer::{PeerAddress, PeerCertificate, PeerConnection};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsStream;

use crate::tls::{self, Tls};

/// How long a connection to a peer may take, with TLS.
pub(crate) const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);

/// Why a peer is not reached.
#[derive(Debug, thiserror::Error)]
pub enum CallPeerError {
    /// No connection.
    #[error("no connection to {address}")]
    Connection {
        /// Where.
        address: PeerAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The peer is to be called over TLS, and there are no certificates here.
    #[error("TLS is not set up here: [intake.tls] names the certificates")]
    NoTls,
    /// It took too long.
    #[error("no connection to {address} within {seconds} s")]
    Slow {
        /// Where.
        address: PeerAddress,
        /// The limit, in seconds.
        seconds: u64,
    },
}

/// Opens a connection to a peer, over TLS where its address says so.
///
/// # Errors
/// See [`CallPeerError`].
pub async fn call(
    address: &PeerAddress,
    tls: Option<&Tls>,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static + use<>, CallPeerError> {
    open(address, tls).await
}

pub(crate) async fn open(address: &PeerAddress, tls: Option<&Tls>) -> Result<Connection, CallPeerError> {
    let seconds = CONNECT_TIME_MAX.as_secs();
    let slow = |_| CallPeerError::Slow { address: address.clone(), seconds };
    timeout(CONNECT_TIME_MAX, connect(address, tls)).await.map_err(slow)?
}

async fn connect(address: &PeerAddress, tls: Option<&Tls>) -> Result<Connection, CallPeerError> {
    let refuse = |source| CallPeerError::Connection { address: address.clone(), source };
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(refuse)?;
    stream.set_nodelay(true).map_err(refuse)?;
    if !address.tls {
        return Ok(Connection::Plain(stream));
    }
    let tls = tls.ok_or(CallPeerError::NoTls)?;
    tls.connect(stream, address).await.map_err(refuse)
}

/// A connection to a peer.
pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// The socket underneath.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// How the peer came, with the certificate that it showed and that was checked.
    pub(crate) fn peer(&self, address: SocketAddr) -> PeerConnection {
        let (is_tls, certificate) = match self {
            Self::Plain(_) => (false, None),
            Self::Tls(stream) => (true, stream.get_ref().1.peer_certificates().and_then(<[_]>::first)),
        };
        let certificate = certificate.map(|der| PeerCertificate {
            fingerprint: domain::digest::Sha256Digest::of(der),
            subject: tls::Certificate::of(der).map(|read| read.subject).unwrap_or_default(),
        });
        PeerConnection { address: address.ip().to_canonical(), tls: is_tls, certificate }
    }
}

impl Connection {
    /// Receives into `space`, and what comes behind it into `ahead`, as far as both is possible at one time; gives how many bytes came
    /// in all, 0 at the end. Cancelling loses nothing.
    pub(crate) async fn receive(&mut self, space: &mut [u8], ahead: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.read(space).await,
            Self::Plain(stream) => loop {
                stream.readable().await?;
                let mut both = [IoSliceMut::new(space), IoSliceMut::new(ahead)];
                match stream.try_read_vectored(&mut both) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    received => return received,
                }
            },
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
