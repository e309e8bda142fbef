//! The two kinds of connection under an association: plain and TLS. Not here: what is said over them.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use domain::peer::{PeerCertificate, PeerConnection};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

use crate::tls;

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
