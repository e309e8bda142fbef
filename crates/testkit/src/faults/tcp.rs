//! A way over TCP that is slow, breaks, or goes silent, connection by connection as a script says.
//!
//! It knows nothing of what it carries. Faults of S3 answers are in [`super::s3`].

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime::Runtime,
};

/// Bytes that are carried at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Course {
    /// How long each piece takes.
    pub latency: Duration,
    /// Bytes of a second at most; `None` for as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// After how many bytes it ends, and how; `None` when it ends with its sender.
    pub end: Option<(u64, End)>,
}

/// How a way ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both connections are closed.
    Close,
    /// Both connections are reset.
    Reset,
    /// Nothing is carried any more, and nobody is told.
    Stall,
    /// Further bytes are taken and thrown away: an answer that is lost.
    Swallow,
}

/// What happens to one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Script {
    /// From who connected.
    pub to_server: Course,
    /// Back to who connected.
    pub to_client: Course,
}

impl Script {
    /// Ends on the way to the server.
    #[must_use]
    pub fn ends_to_server(after_bytes: u64, end: End) -> Self {
        let to_server = Course { end: Some((after_bytes, end)), ..Course::default() };
        Self { to_server, ..Self::default() }
    }

    /// Ends on the way back.
    #[must_use]
    pub fn ends_to_client(after_bytes: u64, end: End) -> Self {
        let to_client = Course { end: Some((after_bytes, end)), ..Course::default() };
        Self { to_client, ..Self::default() }
    }

    /// One of the ways to go wrong, within the first bytes of each direction.
    pub fn drawn(luck: &mut impl rand::Rng, to_server_bytes: u64, to_client_bytes: u64) -> Self {
        let end = [End::Close, End::Reset, End::Stall, End::Swallow][luck.random_range(0..4)];
        let mut script = if luck.random_bool(0.5) {
            Self::ends_to_server(luck.random_range(0..to_server_bytes.max(1)), end)
        } else {
            Self::ends_to_client(luck.random_range(0..to_client_bytes.max(1)), end)
        };
        script.to_server.latency = Duration::from_millis(luck.random_range(0..5));
        script
    }
}

/// A way to a server. Dropping it closes every connection.
pub struct Proxy {
    door: Door,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<VecDeque<Script>>,
    otherwise: Mutex<Script>,
    to_server: AtomicU64,
    to_client: AtomicU64,
    connections: AtomicU64,
}

impl Proxy {
    /// Listens on a free port of this machine for connections to a server.
    ///
    /// # Panics
    /// When there is no port or thread to be had.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let working = Arc::clone(&shared);
        let door = Door::open(move |client| {
            working.connections.fetch_add(1, Ordering::SeqCst);
            let script = working.next_script();
            let shared = Arc::clone(&working);
            async move { carry(client, server, script, &shared).await }
        });
        Self { door, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.door.address
    }

    /// What happens to the connection after those that have a script already.
    pub fn next(&self, script: Script) {
        lock(&self.shared.scripts).push_back(script);
    }

    /// What happens to connections for which there is no script.
    pub fn otherwise(&self, script: Script) {
        *lock(&self.shared.otherwise) = script;
    }

    /// Bytes that reached the server so far.
    #[must_use]
    pub fn bytes_to_server(&self) -> u64 {
        self.shared.to_server.load(Ordering::SeqCst)
    }

    /// Bytes that reached clients so far.
    #[must_use]
    pub fn bytes_to_client(&self) -> u64 {
        self.shared.to_client.load(Ordering::SeqCst)
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

/// A port of this machine and the threads behind it. Dropping it closes every connection.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Door {
    /// Listens on a free port, and carries each connection in a task of its own. The closure is called in the order of the connections.
    pub(super) fn open<F>(carry: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("threads");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks is what this is for.
                tokio::spawn(carry(client));
            }
        });
        Self { address, runtime: Some(runtime) }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn next_script(&self) -> Script {
        lock(&self.scripts).pop_front().unwrap_or_else(|| *lock(&self.otherwise))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn carry(mut client: TcpStream, server: SocketAddr, script: Script, shared: &Shared) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            pump(from_client, to_server, script.to_server, &shared.to_server),
            pump(from_server, to_client, script.to_client, &shared.to_client),
        )
    };
    if let Err(Broken::Scripted(End::Reset)) = ended {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

enum Broken {
    Scripted(End),
    Connection,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Connection
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    course: Course,
    count: &AtomicU64,
) -> Result<(), Broken> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut carried = 0_u64;
    loop {
        let left = course.end.map_or(u64::MAX, |(after, _)| after.saturating_sub(carried));
        if let (0, Some((_, end))) = (left, course.end) {
            match end {
                End::Close | End::Reset => return Err(Broken::Scripted(end)),
                End::Stall => {}
                End::Swallow => while from.read(&mut piece).await? > 0 {},
            }
            std::future::pending::<()>().await;
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let length = from.read(&mut piece[..most]).await?;
        if length == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        if !course.latency.is_zero() {
            tokio::time::sleep(course.latency).await;
        }
        match course.bytes_per_second {
            Some(speed) => drip(&mut to, &piece[..length], speed).await?,
            None => to.write_all(&piece[..length]).await?,
        }
        carried += length as u64;
        count.fetch_add(length as u64, Ordering::SeqCst);
    }
}

/// Writes at a speed, in portions of at most a tenth of a second.
pub(super) async fn drip(
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
    bytes_per_second: u64,
) -> io::Result<()> {
    let portion = usize::try_from(bytes_per_second / 10).unwrap_or(1).max(1);
    for some in bytes.chunks(portion) {
        to.write_all(some).await?;
        tokio::time::sleep(Duration::from_micros(some.len() as u64 * 1_000_000 / bytes_per_second.max(1)))
            .await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read as _, Write as _},
        net::{Shutdown, TcpListener as Listener, TcpStream as Stream},
    };

    use super::*;

    /// A server that answers with what it got, once the client is done.
    fn echo() -> SocketAddr {
        let listener = Listener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut all = Vec::new();
                    if stream.read_to_end(&mut all).is_ok() {
                        let _ = stream.write_all(&all);
                    }
                });
            }
        });
        address
    }

    fn ask(proxy: &Proxy, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = Stream::connect(proxy.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(bytes)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn connections_go_wrong_as_their_scripts_say() {
        let proxy = Proxy::to(echo());
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        proxy.next(Script::default());
        proxy.next(Script::ends_to_client(1000, End::Close));
        proxy.next(Script::ends_to_client(1000, End::Reset));
        proxy.next(Script::ends_to_client(0, End::Swallow));
        proxy.next(Script::ends_to_server(50_000, End::Stall));
        assert!(ask(&proxy, &bytes).unwrap() == bytes);
        assert_eq!(ask(&proxy, &bytes).unwrap(), bytes[..1000]);
        assert_eq!(ask(&proxy, &bytes).unwrap_err().kind(), ErrorKind::ConnectionReset);
        for _ in 0..2 {
            assert_eq!(ask(&proxy, &bytes).unwrap_err().kind(), ErrorKind::WouldBlock, "silence");
        }
        assert!(ask(&proxy, &bytes).unwrap() == bytes, "without a script nothing happens");
        assert_eq!(proxy.bytes_to_server(), 550_000);
        assert_eq!(proxy.connections(), 6);
    }
}
