//! The side that asks: children that are started when they are needed, used again, and killed when they take too long or break off.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    limit::{Limit, Section, Tally, TellsLimits, Unit},
    pixel::{PixelSource, Recoded, Showing, Shown},
    port::{Pixels, PixelsError},
    uid::TransferSyntaxUid,
};
use imaging::{
    codec::Target,
    picture::{FRAME_BYTES_MAX, INFLATED_BYTES_MAX},
    work::{Done, Failure, FailureKind, Hello, Job, Lengths, Message, PREFIX_BYTES, VERSION},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{Config, PROGRAM};

/// Longest that a child may take until it says that it is there.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest that is waited for a child that was killed.
const END_TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes that a pipe holds, where the system lets us say so: a frame goes through in few turns.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// Has glibc keep so much of what a piece of work gives back, since the next one wants as much: without, the system clears every page of
/// every frame anew, which is a tenth of a picture's cost.
const KEPT_MEMORY: [(&str, &str); 2] =
    [("MALLOC_TRIM_THRESHOLD_", "16777216"), ("MALLOC_MMAP_THRESHOLD_", "8388608")];

/// Works on pixels in children. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    idle: Mutex<Vec<Worker>>,
    /// Children at one time.
    places: Arc<Semaphore>,
    /// Work at one time, with what waits.
    waiting: Arc<Semaphore>,
    was_told: AtomicBool,
    tallies: Tallies,
}

#[derive(Debug, Default)]
struct Tallies {
    started: AtomicU64,
    busy: AtomicU64,
    broke_down: AtomicU64,
    too_slow: AtomicU64,
    not_decoded: AtomicU64,
}

impl Tallies {
    fn count(tally: &AtomicU64, name: &'static str) {
        tally.fetch_add(1, Relaxed);
        metrics::counter!("telerad_pixel_work_total", "outcome" => name).increment(1);
    }
}

/// A child that waits for work, or does it. Killed when dropped.
#[derive(Debug)]
struct Worker {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    jobs: u32,
    busy: Duration,
}

/// Why a child gave no answer.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error("its pipe broke off")]
    Pipe(#[from] std::io::Error),
    #[error("it said what is no answer")]
    Protocol(#[from] imaging::work::ProtocolError),
    #[error("it is of another version than this process: restart the service")]
    Version,
    #[error("it took longer than {0:?} to start")]
    Start(Duration),
}

impl Pool {
    /// A pool without children yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let (workers, waiting) = (config.workers, config.workers.saturating_add(config.waiting_max));
        Self(Arc::new(Shared {
            places: Arc::new(Semaphore::new(workers)),
            waiting: Arc::new(Semaphore::new(waiting)),
            idle: Mutex::default(),
            was_told: AtomicBool::new(false),
            tallies: Tallies::default(),
            config,
        }))
    }

    /// Starts a child and lets it go again: whether there can be some, and what they could not be forbidden.
    ///
    /// # Errors
    /// When none can be started.
    pub async fn check(&self) -> Result<Vec<String>, PixelsError> {
        let (worker, hello) = self.0.start().await.map_err(|error| PixelsError::Away(Box::new(error)))?;
        self.0.keep(worker);
        Ok(hello.unconfined)
    }

    async fn perform(&self, job: Job) -> Result<Done, PixelsError> {
        let shared = &self.0;
        let message = job.message().map_err(|error| PixelsError::Unsupported(error.to_string()))?;
        let _places = shared.place().await?;
        let mut worker = match shared.idle() {
            Some(worker) => worker,
            None => {
                let started = shared.start().await;
                started.map_err(|error| PixelsError::Away(Box::new(error)))?.0
            }
        };
        let (seconds, begun) = (shared.config.seconds_max, Instant::now());
        match timeout(Duration::from_secs(seconds), worker.exchange(&message)).await {
            Ok(Ok(done)) => {
                worker.jobs += 1;
                worker.busy += begun.elapsed();
                let broke_down = matches!(&done, Done::Failed(Failure { kind: FailureKind::BrokeDown, .. }));
                if !broke_down {
                    shared.keep(worker);
                }
                Ok(done)
            }
            Ok(Err(error)) => {
                let why = worker.end().await.map_or_else(|| error.to_string(), how_it_ended);
                Tallies::count(&shared.tallies.broke_down, "broke_down");
                tracing::warn!(why, "a pixel worker broke down; another takes its place");
                Err(PixelsError::BrokeDown(why))
            }
            Err(_) => {
                worker.end().await;
                Tallies::count(&shared.tallies.too_slow, "too_slow");
                tracing::warn!(
                    seconds,
                    "a pixel worker took too long and was killed; another takes its place"
                );
                Err(PixelsError::TooSlow { seconds })
            }
        }
    }

    fn failed(&self, Failure { kind, why }: Failure) -> PixelsError {
        match kind {
            FailureKind::BrokeDown => {
                Tallies::count(&self.0.tallies.broke_down, "broke_down");
                PixelsError::BrokeDown(why)
            }
            FailureKind::Unsupported => {
                Tallies::count(&self.0.tallies.not_decoded, "not_decoded");
                PixelsError::Unsupported(why)
            }
            FailureKind::Broken => {
                Tallies::count(&self.0.tallies.not_decoded, "not_decoded");
                PixelsError::Broken(why)
            }
        }
    }
}

#[async_trait]
impl Pixels for Pool {
    async fn show(&self, source: PixelSource, how: Showing) -> Result<Shown, PixelsError> {
        match self.perform(Job::Show(source, how)).await? {
            Done::Shown(shown) => Ok(shown),
            Done::Failed(failure) => Err(self.failed(failure)),
            Done::Recoded(_) => Err(PixelsError::BrokeDown("it did other work".to_owned())),
        }
    }

    async fn recode(&self, source: PixelSource, to: TransferSyntaxUid) -> Result<Recoded, PixelsError> {
        let target = Target::of(to.as_str())
            .ok_or_else(|| PixelsError::Unsupported(format!("there is no encoder for {to}")))?;
        match self.perform(Job::Recode(source, target)).await? {
            Done::Recoded(recoded) => Ok(recoded),
            Done::Failed(failure) => Err(self.failed(failure)),
            Done::Shown(_) => Err(PixelsError::BrokeDown("it did other work".to_owned())),
        }
    }
}

impl Shared {
    /// A place among the children, after waiting for it. Whoever gives up waiting gives up the place.
    async fn place(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), PixelsError> {
        let full = |_| {
            Tallies::count(&self.tallies.busy, "busy");
            PixelsError::Busy
        };
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(full)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| PixelsError::Busy)?;
        Ok((waiting, place))
    }

    /// A child that waits for work and still lives.
    fn idle(&self) -> Option<Worker> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut worker) = idle.pop() {
            if matches!(worker.child.try_wait(), Ok(None)) {
                return Some(worker);
            }
        }
        None
    }

    /// Keeps a child for more work, unless it had its share.
    fn keep(&self, worker: Worker) {
        let config = &self.config;
        let left = Duration::from_secs(config.cpu_seconds()).saturating_sub(worker.busy);
        let is_spent =
            worker.jobs >= config.jobs_per_worker || left <= Duration::from_secs(config.seconds_max);
        if !is_spent {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        }
    }

    async fn start(&self) -> Result<(Worker, Hello), BrokenOff> {
        let mut child = self.command().spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
        };
        widen(&to, &from);
        let mut worker = Worker { child, to, from, jobs: 0, busy: Duration::ZERO };
        let (head, _) = timeout(START_TIME_MAX, worker.receive())
            .await
            .map_err(|_| BrokenOff::Start(START_TIME_MAX))??;
        let hello = Hello::read(&head)?;
        if hello.version != VERSION {
            return Err(BrokenOff::Version);
        }
        self.tallies.started.fetch_add(1, Relaxed);
        if !hello.unconfined.is_empty() && !self.was_told.swap(true, Relaxed) {
            let unconfined = hello.unconfined.join("; ");
            tracing::warn!(unconfined, "pixel workers are not as confined as they could be on this system");
        }
        Ok((worker, hello))
    }

    fn command(&self) -> Command {
        let config = &self.config;
        let mut command = Command::new(config.program.clone().unwrap_or_else(this_executable));
        command
            .arg(PROGRAM)
            .arg(format!("--memory-bytes={}", config.memory_bytes))
            .arg(format!("--cpu-seconds={}", config.cpu_seconds()))
            .env_clear()
            .envs(KEPT_MEMORY)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// The file that this process runs. On Linux that is the very one, even when another version has been put at its place meanwhile.
fn this_executable() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { running } else { std::env::current_exe().unwrap_or_default() }
}

#[cfg(target_os = "linux")]
fn widen(to: &ChildStdin, from: &ChildStdout) {
    // A narrow pipe only takes more turns.
    let _ = rustix::pipe::fcntl_setpipe_size(to, PIPE_BYTES);
    let _ = rustix::pipe::fcntl_setpipe_size(from, PIPE_BYTES);
}

#[cfg(not(target_os = "linux"))]
fn widen(_: &ChildStdin, _: &ChildStdout) {}

impl Worker {
    /// Sends work and waits for what comes of it.
    async fn exchange(&mut self, message: &Message) -> Result<Done, BrokenOff> {
        self.to.write_all(&message.head).await?;
        for part in &message.body {
            self.to.write_all(part).await?;
        }
        self.to.flush().await?;
        let (head, body) = self.receive().await?;
        Ok(Done::read(&head, body)?)
    }

    async fn receive(&mut self) -> Result<(Vec<u8>, Bytes), BrokenOff> {
        let mut prefix = [0; PREFIX_BYTES];
        self.from.read_exact(&mut prefix).await?;
        let lengths = Lengths::read(&prefix)?;
        let mut head = vec![0; lengths.head];
        self.from.read_exact(&mut head).await?;
        // Bytes that have come, not bytes that were promised.
        let mut body = Vec::new();
        (&mut self.from).take(lengths.body as u64).read_to_end(&mut body).await?;
        if body.len() != lengths.body {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        Ok((head, body.into()))
    }

    /// Kills it, if it still lives; how it ended.
    async fn end(&mut self) -> Option<ExitStatus> {
        // One that broke off is about to end by itself, and how it does so tells more.
        if let Ok(Ok(status)) = timeout(Duration::from_millis(200), self.child.wait()).await {
            return Some(status);
        }
        let _ = self.child.start_kill();
        timeout(END_TIME_MAX, self.child.wait()).await.ok()?.ok()
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(6) => "it aborted: out of memory, or a fault in it".to_owned(),
        Some(9) => "it was killed".to_owned(),
        Some(11 | 7) => "it reached for memory that is not its own".to_owned(),
        Some(24) => "it used all its processor time".to_owned(),
        Some(31) => "it made a system call that it may not make".to_owned(),
        Some(signal) => format!("it ended by signal {signal}"),
        None => "it ended early".to_owned(),
    }
}

impl TellsLimits for Pool {
    fn section(&self) -> Section {
        let Shared { config, places, waiting, tallies, .. } = &*self.0;
        let count = |number: usize| number as u64;
        let at_work = config.workers.saturating_sub(places.available_permits());
        let all =
            config.workers.saturating_add(config.waiting_max).saturating_sub(waiting.available_permits());
        let limits = vec![
            Limit::new("Processes that work on pixels", count(config.workers), Unit::Count)
                .set_by("pixels.workers")
                .in_use(count(at_work)),
            Limit::new("Pixel work that waits for its turn", count(config.waiting_max), Unit::Count)
                .set_by("pixels.waiting_max")
                .in_use(count(all.saturating_sub(at_work))),
            Limit::new("Time for one piece of pixel work", config.seconds_max, Unit::Seconds)
                .set_by("pixels.seconds_max"),
            Limit::new("Address space of a process that works on pixels", config.memory_bytes, Unit::Bytes)
                .set_by("pixels.memory_bytes"),
            Limit::new("Processor time of such a process in its life", config.cpu_seconds(), Unit::Seconds),
            Limit::new("Pieces of work of such a process", config.jobs_per_worker.into(), Unit::Count)
                .set_by("pixels.jobs_per_worker"),
            Limit::new("Frame that is decoded", FRAME_BYTES_MAX, Unit::Bytes),
            Limit::new("Deflated object that is made a picture", count(INFLATED_BYTES_MAX), Unit::Bytes),
        ];
        let tally = |name, tally: &AtomicU64| Tally { name, count: tally.load(Relaxed) };
        let refused = vec![
            tally("Too much pixel work at one time", &tallies.busy),
            tally("Images that could not be decoded", &tallies.not_decoded),
            tally("Images that a decoder broke down on", &tallies.broke_down),
            tally("Images that took a decoder too long", &tallies.too_slow),
        ];
        Section { title: "Pixel work", limits, refused }
    }
}
