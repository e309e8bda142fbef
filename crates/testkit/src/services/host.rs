//! Small questions to the machine: where is a program, who am I, run this and tell me what it said.

use std::env;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::processes::{Signal, Supervisor};
use super::{Error, START_LIMIT};

/// How often a starting service is asked whether it answers.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How much of a log an error message quotes, in bytes.
const LOG_TAIL: usize = 3_000;

/// The program on `PATH` or in the administrator's folders, which a plain user's `PATH` leaves out.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

/// Whether the file can be run.
pub(crate) fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Whether this process is the administrator's.
pub(crate) fn is_root() -> bool {
    id_of(None, "-u") == Some(0)
}

/// A user's numeric id (`-u`) or main group (`-g`) as `id` tells it.
pub(crate) fn id_of(user: Option<&str>, which: &str) -> Option<u32> {
    let output = Command::new("id").arg(which).args(user).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Runs a command to its end in a process group of its own, so that it ends with the run.
/// `log` takes what it writes.
///
/// # Errors
/// [`Error::Failed`] with what it wrote when it cannot be started or fails, [`Error::Stopped`] when the run ends.
pub(crate) fn run(
    supervisor: &Supervisor,
    step: &str,
    command: &mut Command,
    log: &Path,
) -> Result<String, Error> {
    run_ending(supervisor, step, command, log, Signal::Kill)
}

/// As [`run`], for a command that must not be killed halfway when it can end by itself.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_ending(
    supervisor: &Supervisor,
    step: &str,
    command: &mut Command,
    log: &Path,
    end: Signal,
) -> Result<String, Error> {
    let file = File::create(log).map_err(Error::io(step))?;
    let second = file.try_clone().map_err(Error::io(step))?;
    command.stdin(Stdio::null()).stdout(file).stderr(second);
    let (process, _) = supervisor.spawn_ending(step, command, end)?;
    let status = supervisor.wait(process)?;
    if status.success() {
        return std::fs::read_to_string(log).map_err(Error::io(step));
    }
    Err(Error::failed(step, format!("{status}\n{}", tail(log))))
}

/// Asks until the service answers, it ended, or [`START_LIMIT`] is over.
///
/// # Errors
/// [`Error::Silent`], [`Error::Ended`] or [`Error::Stopped`].
pub(crate) fn wait_until(
    supervisor: &Supervisor,
    service: &str,
    process: u32,
    log: &Path,
    mut answers: impl FnMut() -> bool,
) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        if supervisor.is_stopping() {
            return Err(Error::Stopped);
        }
        if let Some(status) = supervisor.status(process) {
            return Err(Error::Ended { service: service.into(), status: status.to_string(), log: tail(log) });
        }
        if answers() {
            return Ok(());
        }
        if began.elapsed() > START_LIMIT {
            let seconds = START_LIMIT.as_secs();
            return Err(Error::Silent { service: service.into(), seconds, log: tail(log) });
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// The end of a log file, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_TAIL)..]).trim().to_owned()
}

/// A word that nobody guesses, for accounts that live as long as the run.
pub(crate) fn secret() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_only_programs() {
        assert!(program("sh").is_some());
        assert!(program("no-such-program-anywhere").is_none());
        assert!(!is_program(Path::new("/etc/passwd")));
    }

    #[test]
    fn the_tail_is_the_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("begin{}end\n", "x".repeat(LOG_TAIL))).unwrap();
        let tail = tail(file.path());
        assert!(tail.ends_with("end") && !tail.contains("begin"));
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(secret(), secret());
    }
}
