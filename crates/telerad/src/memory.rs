//! How glibc keeps memory: by default in up to eight arenas a processor, each of which gives little back. Hostile peers, whose objects are
//! large for a moment, could so grow a long-running process to twice what is ever in use. glibc takes the number from the environment
//! before `main`, so the process starts itself once more, with the same process id. Other C libraries do not need this.

use std::process::Command;

/// What says how many arenas there are; who sets it is left alone.
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// Fewest arenas: one would make threads wait for each other.
const ARENAS_MIN: usize = 2;

/// Starts this process once more, with an arena a processor, unless that is said already. Returns when there is nothing to do.
pub fn keep_little() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) || std::env::var_os(ARENAS).is_some() {
        return;
    }
    let processors = std::thread::available_parallelism().map_or(ARENAS_MIN, std::num::NonZero::get);
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = Command::new(program);
    again.args(std::env::args_os().skip(1)).env(ARENAS, processors.max(ARENAS_MIN).to_string());
    // It only returns when it failed; then this process goes on as it is.
    #[cfg(unix)]
    drop(std::os::unix::process::CommandExt::exec(&mut again));
}
