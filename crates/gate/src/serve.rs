//! The HTTP/1.1 server under the routes: how many connections, and how long a peer may take for anything.
//!
//! A connection is bounded in the time of its request head, in the pace of its body, and in how long it leaves our answer unread. Not
//! here: what a request means, and how long its handler may take. A head that says both Content-Length and Transfer-Encoding is read by
//! the latter, and its connection closed behind the answer (RFC 9112 section 6.3).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request},
};
use domain::limit::{Limit, Section, Tally, TellsLimits, Unit};
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Pause after the system refuses a connection (no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// What a connection that we turn away is told.
const TURN_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What one peer may ask of the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// Connections at one time, in all.
    pub connections_max: usize,
    /// Connections at one time from one address that is no trusted proxy, so that one peer never takes the last.
    pub connections_per_address_max: usize,
    /// Time for the head of a request, its waiting on a kept connection included, in seconds, in all and not per byte.
    pub head_seconds_max: u64,
    /// Largest head of a request, in bytes.
    pub head_bytes_max: usize,
    /// Most lines of the head of a request.
    pub head_lines_max: usize,
    /// Time without a byte of a body that is being read, in seconds.
    pub body_idle_seconds_max: u64,
    /// Slowest body behind its grace, in bytes per second.
    pub body_bytes_per_second_min: u64,
    /// How long a body may be waited for before its pace counts, in seconds: a sender may first have to read its disk.
    pub body_grace_seconds: u64,
    /// Time in which a peer takes no byte of our answer, in seconds.
    pub write_idle_seconds_max: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_address_max: 256,
            head_seconds_max: 60,
            head_bytes_max: 64 * 1024,
            head_lines_max: 100,
            body_idle_seconds_max: 30,
            body_bytes_per_second_min: 1024,
            body_grace_seconds: 30,
            write_idle_seconds_max: 60,
        }
    }
}

/// The HTTP server, before it listens. Clones are the same server.
#[derive(Clone)]
pub struct HttpServer {
    limits: Arc<HttpLimits>,
    trusted_proxies: Arc<[IpAddr]>,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    count: Arc<AtomicUsize>,
    turned_away: Arc<AtomicU64>,
}

/// A place among the connections; given back when dropped.
struct Place {
    server: HttpServer,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.server.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = open.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                open.remove(&self.address);
            }
        }
        self.server.count.fetch_sub(1, Relaxed);
    }
}

impl HttpServer {
    /// A server with limits; connections of trusted proxies stand for many peers and are only counted in all.
    #[must_use]
    pub fn new(limits: HttpLimits, trusted_proxies: &[IpAddr]) -> Self {
        Self {
            limits: Arc::new(limits),
            trusted_proxies: trusted_proxies.into(),
            open: Arc::default(),
            count: Arc::default(),
            turned_away: Arc::default(),
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Connections that were turned away since the start, because there were too many.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Relaxed)
    }

    /// Answers connections with the routes until `stop`; what is under way then ends by itself or with `drop_now`.
    pub async fn run(
        self,
        listener: TcpListener,
        app: Router,
        stop: CancellationToken,
        drop_now: CancellationToken,
    ) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => match self.place(address.ip()) {
                    Some(place) => {
                        let (app, stop, drop_now) = (app.clone(), stop.clone(), drop_now.clone());
                        tasks.spawn(async move {
                            tokio::select! {
                                () = drop_now.cancelled() => {}
                                () = place.server.serve(stream, address, app, stop) => {}
                            }
                        });
                    }
                    // Into a fresh socket's buffer; whom that does not reach is told by the closing.
                    None => drop(stream.try_write(TURN_AWAY)),
                },
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "no web connection can be taken"
                    );
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr, app: Router, stop: CancellationToken) {
        // Without it a small answer may wait for the peer's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "Nagle's algorithm stays on");
        }
        let limits = Arc::clone(&self.limits);
        let io = Patient::new(stream, Duration::from_secs(limits.write_idle_seconds_max));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(limits.head_seconds_max))
            .max_buf_size(limits.head_bytes_max)
            .max_headers(limits.head_lines_max);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let limits = Arc::clone(&limits);
            let mut request: Request = request.map(|body| Body::new(Paced::new(body, &limits)));
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().oneshot(request)
        });
        let connection = builder.serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = &error as &dyn std::error::Error, "web connection broke");
        }
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = open.get(&address).copied().unwrap_or_default();
        let is_one_peer = !self.trusted_proxies.contains(&address);
        let is_full = self.count.load(Relaxed) >= self.limits.connections_max
            || (is_one_peer && here >= self.limits.connections_per_address_max);
        if is_full {
            self.turned_away.fetch_add(1, Relaxed);
            tracing::warn!(peer.address = %address, here, "web connection turned away: too many at one time");
            return None;
        }
        open.insert(address, here + 1);
        self.count.fetch_add(1, Relaxed);
        Some(Place { server: self.clone(), address })
    }
}

impl TellsLimits for HttpServer {
    fn section(&self) -> Section {
        let limits = &self.limits;
        let count = |number: usize| number as u64;
        let told = vec![
            Limit::new("Connections at one time", count(limits.connections_max), Unit::Count)
                .set_by("http.limits.connections_max")
                .in_use(count(self.open())),
            Limit::new(
                "Connections at one time from one address",
                count(limits.connections_per_address_max),
                Unit::Count,
            )
            .set_by("http.limits.connections_per_address_max"),
            Limit::new("Time for the head of a request", limits.head_seconds_max, Unit::Seconds)
                .set_by("http.limits.head_seconds_max"),
            Limit::new("Head of a request", count(limits.head_bytes_max), Unit::Bytes)
                .set_by("http.limits.head_bytes_max"),
            Limit::new("Lines in the head of a request", count(limits.head_lines_max), Unit::Count)
                .set_by("http.limits.head_lines_max"),
            Limit::new("Silence inside a request body", limits.body_idle_seconds_max, Unit::Seconds)
                .set_by("http.limits.body_idle_seconds_max"),
            Limit::new("Slowest request body", limits.body_bytes_per_second_min, Unit::BytesPerSecond)
                .set_by("http.limits.body_bytes_per_second_min"),
            Limit::new("Time that an answer may lie unread", limits.write_idle_seconds_max, Unit::Seconds)
                .set_by("http.limits.write_idle_seconds_max"),
            Limit::new("JSON request", crate::manners::JSON_BODY_BYTES_MAX as u64, Unit::Bytes),
            Limit::new("Time for a JSON request", crate::manners::JSON_TIME_MAX.as_secs(), Unit::Seconds),
        ];
        let refused = vec![Tally { name: "Connections: too many at one time", count: self.turned_away() }];
        Section { title: "Web server", limits: told, refused }
    }
}

/// A socket whose peer has to take what we write.
struct Patient {
    stream: TcpStream,
    idle_max: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    const fn new(stream: TcpStream, idle_max: Duration) -> Self {
        Self { stream, idle_max, waiting: None }
    }

    /// Passes on what a write came to, or ends a wait that is too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let idle_max = self.idle_max;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_max)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read our answer")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A request body that has to come at a pace. Time counts only while somebody waits for its next piece, so that our own
/// slowness is not held against the sender.
struct Paced {
    body: Incoming,
    idle_max: Duration,
    bytes_per_second_min: u64,
    grace: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    waited: Duration,
    bytes: u64,
}

impl Paced {
    const fn new(body: Incoming, limits: &HttpLimits) -> Self {
        Self {
            body,
            idle_max: Duration::from_secs(limits.body_idle_seconds_max),
            bytes_per_second_min: limits.body_bytes_per_second_min,
            grace: Duration::from_secs(limits.body_grace_seconds),
            waiting: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// How long the sender may still be waited for, by its bytes so far.
    fn patience(&self) -> Duration {
        let earned = Duration::from_secs(self.bytes / self.bytes_per_second_min.max(1));
        (self.grace + earned).saturating_sub(self.waited).min(self.idle_max)
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(frame) = polled {
            if let Some((since, _)) = self.waiting.take() {
                self.waited += since.elapsed();
            }
            if let Some(Ok(frame)) = &frame {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let patience = self.patience();
        let (_, sleep) =
            self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
        ready!(sleep.as_mut().poll(context));
        let slow = io::Error::new(io::ErrorKind::TimedOut, "the request body comes too slowly");
        Poll::Ready(Some(Err(slow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
