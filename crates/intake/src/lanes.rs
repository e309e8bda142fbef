//! Threads with a runtime each, for what every image passes through.
//!
//! A runtime of several threads wakes another thread whenever a task becomes ready, in case it can help; for work that waits as often
//! as receiving does, that costs more than it gives (measured: a fifth of the processor time at one association). Here a task stays
//! on its thread.
//!
//! They last as long as the process: a connection to the database that was opened here belongs to the runtime here, and others go on using
//! it after the last association.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use tokio::runtime::{Builder, Handle};

/// Threads of one lane that wait for the disk. One object at a time and association does.
const BLOCKING_THREADS_MAX: usize = 64;

/// Threads that take tasks in turn.
#[derive(Debug)]
pub(crate) struct Lanes {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Lanes {
    /// Starts threads of this name; at least one.
    pub(crate) fn start(name: &str, count: usize) -> io::Result<Self> {
        let mut handles = Vec::with_capacity(count);
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .thread_name(format!("{name}-disk"))
                .build()?;
            handles.push(runtime.handle().clone());
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                runtime.block_on(std::future::pending::<()>());
            })?;
        }
        Ok(Self { handles, next: AtomicUsize::new(0) })
    }

    /// The threads in turn.
    pub(crate) fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_take_turns() {
        let lanes = Lanes::start("lane", 2).unwrap();
        let name = || thread::current().name().map(str::to_owned);
        let mut names = Vec::new();
        for _ in 0..4 {
            names.push(lanes.next().spawn(async move { name() }).await.unwrap().unwrap());
        }
        assert_eq!(names, ["lane-0", "lane-1", "lane-0", "lane-1"]);
    }
}
