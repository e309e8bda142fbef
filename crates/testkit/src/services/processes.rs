//! Process groups: everything started here ends here, however the run ends.
//!
//! Each process leads a group of its own, so that what it starts ends with it. A guard, a second process that
//! sees its input close when this one dies, even of SIGKILL, ends what was left and removes the data.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Error;

/// How long a process may take to end by itself once asked.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How long the guard waits between asking and killing.
const GUARD_PATIENCE: Duration = Duration::from_secs(2);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How a process group is ended. The data is thrown away, so most need no good-bye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ask (Ctrl-C).
    Interrupt,
    /// Ask.
    Terminate,
    /// End at once.
    Kill,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
        }
    }
}

struct Process {
    name: String,
    child: Child,
    end: Signal,
    status: Option<ExitStatus>,
}

/// Owns every process of a run.
pub(crate) struct Supervisor {
    processes: Mutex<BTreeMap<u32, Process>>,
    stopping: AtomicBool,
    guard: Mutex<Option<(Child, ChildStdin)>>,
}

impl Supervisor {
    /// A supervisor without a guard.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            processes: Mutex::default(),
            stopping: AtomicBool::new(false),
            guard: Mutex::new(None),
        })
    }

    /// A supervisor whose guard removes `directory` and ends what is left when this process dies. `program` is
    /// `with-services`, which knows how to be a guard.
    ///
    /// # Errors
    /// [`Error::Failed`] when the guard cannot be started.
    pub(crate) fn guarded(program: &Path, directory: &Path) -> Result<Arc<Self>, Error> {
        let step = "starting the guard";
        let mut command = Command::new(program);
        command
            .arg("--guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().map_err(Error::io(step))?;
        let mut input = child.stdin.take().expect("the input was asked to be a pipe");
        writeln!(input, "directory {}", directory.display()).map_err(Error::io(step))?;
        let supervisor = Self::new();
        *lock(&supervisor.guard) = Some((child, input));
        Ok(supervisor)
    }

    /// Starts a process that may be killed without a good-bye at the end.
    ///
    /// # Errors
    /// [`Error::Failed`] when it cannot be started, [`Error::Stopped`] when the run is ending.
    pub(crate) fn spawn(&self, name: &str, command: &mut Command) -> Result<u32, Error> {
        self.spawn_ending(name, command, Signal::Kill).map(|(id, _)| id)
    }

    /// Starts a process and says how it wants to be ended. The child comes back without its wait handle, with
    /// the pipes that were asked for.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub(crate) fn spawn_ending(
        &self,
        name: &str,
        command: &mut Command,
        end: Signal,
    ) -> Result<(u32, Pipes), Error> {
        let mut processes = lock(&self.processes);
        // Under the lock: either the stop sees this process, or this sees the stop.
        if self.is_stopping() {
            return Err(Error::Stopped);
        }
        let mut child = command.process_group(0).spawn().map_err(Error::io(name))?;
        let id = child.id();
        let pipes = Pipes { stdout: child.stdout.take(), stderr: child.stderr.take() };
        self.tell_guard(&format!("group {id}"));
        processes.insert(id, Process { name: name.to_owned(), child, end, status: None });
        Ok((id, pipes))
    }

    /// The exit status of a process that ended, `None` while it runs.
    pub(crate) fn status(&self, id: u32) -> Option<ExitStatus> {
        let mut processes = lock(&self.processes);
        let process = processes.get_mut(&id)?;
        if process.status.is_none() {
            process.status = process.child.try_wait().ok().flatten();
        }
        process.status
    }

    /// Waits for the end of a process and forgets it.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the run ends first.
    pub(crate) fn wait(&self, id: u32) -> Result<ExitStatus, Error> {
        loop {
            if let Some(status) = self.status(id) {
                signal_group(id, Signal::Kill);
                lock(&self.processes).remove(&id);
                self.tell_guard(&format!("gone {id}"));
                return Ok(status);
            }
            if self.is_stopping() && !lock(&self.processes).contains_key(&id) {
                return Err(Error::Stopped);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Sends a signal to the group that a process leads.
    pub(crate) fn signal(&self, id: u32, signal: Signal) {
        if lock(&self.processes).contains_key(&id) {
            signal_group(id, signal);
        }
    }

    /// Ends one process and its group.
    pub(crate) fn end(&self, id: u32, signal: Signal) {
        let Some(mut process) = lock(&self.processes).remove(&id) else { return };
        end_group(id, &mut process, signal);
        self.tell_guard(&format!("gone {id}"));
    }

    /// Names of the processes that ended without being asked.
    pub(crate) fn ended_by_themselves(&self) -> Vec<(String, ExitStatus)> {
        let mut processes = lock(&self.processes);
        processes
            .values_mut()
            .filter_map(|process| {
                let status = process.status.or_else(|| process.child.try_wait().ok().flatten())?;
                process.status = Some(status);
                Some((process.name.clone(), status))
            })
            .collect()
    }

    /// Whether the run is ending.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends everything, each in the way it asked for, all at the same time. Nothing can be started afterwards.
    pub(crate) fn stop_all(&self) {
        let processes = {
            let mut guard = lock(&self.processes);
            self.stopping.store(true, Ordering::SeqCst);
            std::mem::take(&mut *guard)
        };
        thread::scope(|scope| {
            for (id, mut process) in processes {
                scope.spawn(move || {
                    let signal = process.end;
                    end_group(id, &mut process, signal);
                    self.tell_guard(&format!("gone {id}"));
                });
            }
        });
    }

    /// Lets the guard go, once the data is removed.
    pub(crate) fn dismiss_guard(&self) {
        let Some((mut child, mut input)) = lock(&self.guard).take() else { return };
        let _ = writeln!(input, "done");
        drop(input);
        let _ = child.wait();
    }

    fn tell_guard(&self, line: &str) {
        if let Some((_, input)) = lock(&self.guard).as_mut() {
            let _ = writeln!(input, "{line}");
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop_all();
    }
}

/// The pipes of a started process, where they were asked for.
pub(crate) struct Pipes {
    pub(crate) stdout: Option<std::process::ChildStdout>,
    pub(crate) stderr: Option<std::process::ChildStderr>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_group(id: u32, process: &mut Process, signal: Signal) {
    signal_group(id, signal);
    let began = Instant::now();
    while process.status.is_none() && began.elapsed() < END_LIMIT {
        match process.child.try_wait() {
            Ok(None) => thread::sleep(POLL_INTERVAL),
            Ok(status) => process.status = status,
            Err(_) => break,
        }
    }
    signal_group(id, Signal::Kill);
    let _ = process.child.wait();
}

// The standard library can only kill single processes; the shell's built-in reaches a group without unsafe code.
fn signal_group(id: u32, signal: Signal) {
    let _ = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" -- \"-$1\"", signal.name(), &id.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The guard's whole life: reads what to watch until its input closes; unless told that all is done, ends the
/// groups that are left and removes the directory.
pub(crate) fn guard(input: impl BufRead) {
    let mut left = Left::default();
    for line in input.lines().map_while(io::Result::ok) {
        left.note(&line);
    }
    if left.done {
        return;
    }
    left.groups.iter().for_each(|id| signal_group(*id, Signal::Interrupt));
    if !left.groups.is_empty() {
        thread::sleep(GUARD_PATIENCE);
    }
    left.groups.iter().for_each(|id| signal_group(*id, Signal::Kill));
    for directory in &left.directories {
        let _ = fs::remove_dir_all(directory);
    }
}

#[derive(Debug, Default)]
struct Left {
    groups: Vec<u32>,
    directories: Vec<String>,
    done: bool,
}

impl Left {
    fn note(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("group", id)) => self.groups.extend(id.parse::<u32>()),
            Some(("gone", id)) => self.groups.retain(|group| group.to_string() != id),
            Some(("directory", path)) => self.directories.push(path.to_owned()),
            _ => self.done |= line == "done",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("/bin/sh");
        // The shell starts a process of its own: the group must end, not only its leader.
        command.args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped());
        command
    }

    fn is_running(id: &str) -> bool {
        fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn first_line(pipes: Pipes) -> String {
        let mut line = String::new();
        io::BufReader::new(pipes.stdout.unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn wait_for_end(id: &str) {
        let began = Instant::now();
        while is_running(id) && began.elapsed() < END_LIMIT {
            thread::sleep(POLL_INTERVAL);
        }
        assert!(!is_running(id), "{id} still runs");
    }

    #[test]
    fn stopping_ends_the_whole_group_and_lets_nothing_start() {
        let supervisor = Supervisor::new();
        let (_, pipes) = supervisor.spawn_ending("sleeper", &mut sleeper(), Signal::Terminate).unwrap();
        let grandchild = first_line(pipes);
        assert!(is_running(&grandchild));
        supervisor.stop_all();
        wait_for_end(&grandchild);
        assert!(matches!(supervisor.spawn("late", &mut sleeper()), Err(Error::Stopped)));
    }

    #[test]
    fn the_guard_cleans_up_after_a_sudden_death() {
        let supervisor = Supervisor::new();
        let (id, pipes) = supervisor.spawn_ending("sleeper", &mut sleeper(), Signal::Kill).unwrap();
        let grandchild = first_line(pipes);
        let directory = tempfile::tempdir().unwrap().keep();
        guard(format!("directory {}\ngroup {id}\n", directory.display()).as_bytes());
        wait_for_end(&grandchild);
        assert!(!directory.exists());
    }

    #[test]
    fn the_guard_leaves_alone_what_ended_in_good_order() {
        let directory = tempfile::tempdir().unwrap();
        guard(format!("directory {}\ngroup 1\ngone 1\ndone\n", directory.path().display()).as_bytes());
        assert!(directory.path().exists());
    }

    #[test]
    fn the_exit_status_is_the_child_s() {
        let supervisor = Supervisor::new();
        let mut command = Command::new("/bin/sh");
        let id = supervisor.spawn("seven", command.args(["-c", "exit 7"])).unwrap();
        assert_eq!(supervisor.wait(id).unwrap().code(), Some(7));
    }
}
