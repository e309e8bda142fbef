//! Threads with a runtime each, for what every image passes through.
//!
//! A runtime of several threads wakes another thread whenever a task becomes ready, in case it can help; for work that waits as often
//! as receiving does, that costs more than it gives (measured: a fifth of the processor time at one association). Here a task stays
//! on its thread.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads of one lane that wait for the disk. One object at a time and association does.
const BLOCKING_THREADS_MAX: usize = 64;

/// Threads; they end when this is dropped, and their tasks with them.
#[derive(Debug)]
pub(crate) struct Lanes {
    handles: Vec<Handle>,
    next: AtomicUsize,
    _stop: DropGuard,
}

impl Lanes {
    /// Starts threads of this name; at least one.
    pub(crate) fn start(name: &str, count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut handles = Vec::with_capacity(count);
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .thread_name(format!("{name}-disk"))
                .build()?;
            handles.push(runtime.handle().clone());
            let stop = stop.clone();
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                runtime.block_on(stop.cancelled());
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { handles, next: AtomicUsize::new(0), _stop: stop.drop_guard() })
    }

    /// The threads in turn.
    pub(crate) fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn tasks_take_turns_and_end_with_the_lanes() {
        let lanes = Lanes::start("lane", 2).unwrap();
        let name = || thread::current().name().map(str::to_owned);
        let mut names = Vec::new();
        for _ in 0..4 {
            names.push(lanes.next().spawn(async move { name() }).await.unwrap().unwrap());
        }
        assert_eq!(names, ["lane-0", "lane-1", "lane-0", "lane-1"]);
        let endless = lanes.next().spawn(tokio::time::sleep(Duration::MAX));
        drop(lanes);
        assert!(endless.await.unwrap_err().is_cancelled());
    }
}
