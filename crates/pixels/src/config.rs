//! Settings of pixel work.

use std::path::PathBuf;

use serde::Deserialize;

/// The hidden command of the executable that makes it a worker.
pub const PROGRAM: &str = "pixel-worker";

/// Settings, each with its unit in its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Processes that work on pixels at one time: as many as there are processors to spare, since each keeps one busy.
    pub workers: usize,
    /// Pieces of work that wait for their turn; more are told to come back.
    pub waiting_max: usize,
    /// Longest that one piece of work may take, in seconds; then its process is killed.
    pub seconds_max: u64,
    /// Address space of one process, in bytes: what the executable itself takes is in it.
    pub memory_bytes: u64,
    /// Pieces of work after which a process is replaced, whatever state it is in.
    pub jobs_per_worker: u32,
    /// The executable that is run as a worker; this one when not set.
    pub program: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 2,
            waiting_max: 64,
            seconds_max: 20,
            memory_bytes: 1 << 30,
            jobs_per_worker: 1_000,
            program: None,
        }
    }
}

/// How many times the longest piece of work a process may compute in its life: a process whose parent is stopped ends by itself.
const LIVES: u64 = 30;

impl Config {
    /// Seconds of a processor that one process may use in its life.
    #[must_use]
    pub const fn cpu_seconds(&self) -> u64 {
        self.seconds_max.saturating_mul(LIVES)
    }
}
