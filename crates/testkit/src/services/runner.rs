//! The course of one run: services up, child, services down, one closing line.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::options::{HELP, Options, Task};
use super::processes::{self, Pipes, Signal, Supervisor};
use super::session::Session;
use super::{
    Counts, Error, GUARD_VARIABLE, Service, VARIABLE_PREFIX, Variables, host, report, workspace_root,
};

/// How long the child may take to end after it was asked to.
const CHILD_PATIENCE: Duration = Duration::from_secs(20);

/// How often the wait for the end looks whether the child's patience is over.
const WAKE_INTERVAL: Duration = Duration::from_secs(1);

/// How long the last output may take to arrive once the child has ended.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(5);

/// The exit code when something is missing that a person must install, or the command line is wrong.
const CODE_MISSING: u8 = 2;

/// The exit code when a service could not be brought up.
const CODE_FAILED: u8 = 1;

/// The exit code of a program that could not be started, as in shells.
const CODE_NOT_STARTED: u8 = 127;

/// What a shell adds to the number of the signal that ended a program.
const CODE_SIGNAL: i32 = 128;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code: the child's, 128 + N after signal N, 2 when something must be installed by hand.
    pub code: u8,
    /// What the child's test runners announced; `None` when no child was asked for.
    pub counts: Option<Counts>,
}

impl Outcome {
    const fn code(code: u8) -> Self {
        Self { code, counts: None }
    }
}

enum Event {
    Signal(i32),
    Finished(Outcome),
}

/// Runs `with-services` with the arguments after the program's name. The caller prints the counts, last.
pub fn main(arguments: impl IntoIterator<Item = String>) -> Outcome {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(problem) => {
            report::line("services", &problem);
            return Outcome::code(CODE_MISSING);
        }
    };
    match options.task {
        Task::Help => {
            HELP.lines().for_each(|text| report::line("", text));
            Outcome::code(0)
        }
        Task::Guard => {
            processes::guard(io::stdin().lock());
            Outcome::code(0)
        }
        Task::Install | Task::Tests(_) | Task::Command(_) => match run(options) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::code(report_all(&[error])),
        },
    }
}

fn run(options: Options) -> Result<Outcome, Error> {
    let folder = tempfile::Builder::new().prefix("telerad-services-").tempdir();
    let folder = folder.map_err(Error::io("making a folder for the run"))?;
    let supervisor = Supervisor::guarded(&this_program()?, folder.path())?;
    let (sender, receiver) = mpsc::channel();
    listen_for_signals(sender.clone());
    let child = Arc::new(AtomicU32::new(0));
    let run = Run {
        session: Session::new(folder.path(), Arc::clone(&supervisor), &options.services)?,
        options,
        child: Arc::clone(&child),
    };
    thread::spawn(move || {
        let outcome = run.work();
        let _ = sender.send(Event::Finished(outcome));
    });
    let outcome = wait(&receiver, &supervisor, &child);
    supervisor.stop_all();
    if let Err(error) = folder.close() {
        report::line("services", &format!("the run's folder could not be removed: {error}"));
    }
    supervisor.dismiss_guard();
    Ok(outcome)
}

/// Waits for the work to finish. A first signal goes to the child, which may end in its own way; a second one,
/// or too long a wait, ends everything.
fn wait(receiver: &Receiver<Event>, supervisor: &Supervisor, child: &AtomicU32) -> Outcome {
    let mut signalled: Option<(i32, Instant)> = None;
    loop {
        let event = match receiver.recv_timeout(WAKE_INTERVAL) {
            Ok(event) => event,
            Err(RecvTimeoutError::Disconnected) => return Outcome::code(CODE_FAILED),
            Err(RecvTimeoutError::Timeout) => {
                if signalled.is_some_and(|(_, at)| at.elapsed() >= CHILD_PATIENCE) {
                    supervisor.stop_all();
                }
                continue;
            }
        };
        match event {
            Event::Finished(outcome) => {
                let code = signalled.map_or(outcome.code, |(number, _)| code_of(CODE_SIGNAL + number));
                return Outcome { code, ..outcome };
            }
            Event::Signal(number) => {
                let running = child.load(Ordering::SeqCst);
                report::line("services", "stopping");
                if signalled.is_none() && running != 0 {
                    let interrupt = number == tokio::signal::unix::SignalKind::interrupt().as_raw_value();
                    supervisor.signal(running, if interrupt { Signal::Interrupt } else { Signal::Terminate });
                } else {
                    supervisor.stop_all();
                }
                signalled.get_or_insert((number, Instant::now()));
            }
        }
    }
}

fn listen_for_signals(sender: Sender<Event>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (ready, listening) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let (Ok(mut first), Ok(mut second), Ok(mut third)) =
                (signal(kinds[0]), signal(kinds[1]), signal(kinds[2]))
            else {
                return;
            };
            let _ = ready.send(());
            loop {
                let kind = tokio::select! {
                    _ = first.recv() => kinds[0],
                    _ = second.recv() => kinds[1],
                    _ = third.recv() => kinds[2],
                };
                if sender.send(Event::Signal(kind.as_raw_value())).is_err() {
                    return;
                }
            }
        });
    });
    // Without handlers a signal ends this process at once; the guard cleans up then.
    let _ = listening.recv();
}

struct Run {
    session: Session,
    options: Options,
    child: Arc<AtomicU32>,
}

impl Run {
    fn work(&self) -> Outcome {
        let began = Instant::now();
        let start = self.options.task != Task::Install;
        let build = TestRunner::find();
        let (services, built) = thread::scope(|scope| {
            let building = match &self.options.task {
                Task::Tests(arguments) => Some(scope.spawn(|| self.build(build.build_command(arguments)))),
                Task::Install | Task::Command(_) | Task::Help | Task::Guard => None,
            };
            let services = self.session.bring_up(&self.options.services, start);
            if services.is_err() {
                self.session.supervisor().stop_all();
            }
            let built = building.map_or(0, |thread| thread.join().unwrap_or(CODE_FAILED));
            (services, built)
        });
        let variables = match services {
            Ok(variables) => variables,
            Err(errors) => return Outcome { code: report_all(&errors), counts: self.no_counts() },
        };
        report::line("services", &format!("all there after {}", report::seconds(began.elapsed())));
        if built != 0 {
            return Outcome { code: built, counts: self.no_counts() };
        }
        let outcome = match &self.options.task {
            Task::Install | Task::Help | Task::Guard => Outcome::code(0),
            Task::Command(words) => {
                let mut command = Command::new(&words[0]);
                self.child(command.args(&words[1..]), &variables)
            }
            Task::Tests(arguments) => self.tests(build, arguments, &variables),
        };
        for (name, status) in self.session.supervisor().ended_by_themselves() {
            report::line(&name, &format!("ended by itself with {status}; end of its log:"));
            report::line(&name, &host::tail(&self.session.log(&name)));
        }
        outcome
    }

    fn no_counts(&self) -> Option<Counts> {
        (self.options.task != Task::Install).then(Counts::default)
    }

    fn build(&self, mut command: Command) -> u8 {
        let began = Instant::now();
        colour(&mut command);
        command.current_dir(workspace_root()).stdin(Stdio::null());
        let status = self
            .session
            .supervisor()
            .spawn("build", &mut command)
            .and_then(|id| self.session.supervisor().wait(id));
        match status {
            Ok(status) if status.success() => {
                report::line("tests", &format!("built in {}", report::seconds(began.elapsed())));
                0
            }
            Ok(status) => exit_code(status),
            Err(error) => report_all(&[error]),
        }
    }

    fn tests(&self, runner: TestRunner, arguments: &[String], variables: &Variables) -> Outcome {
        let root = workspace_root();
        let mut outcome = self.child(runner.run_command(arguments).current_dir(&root), variables);
        // Arguments choose among the Rust tests; a whole run has the other kinds too.
        let others = if arguments.is_empty() { other_tests(runner, &root) } else { Vec::new() };
        for mut command in others {
            if self.session.supervisor().is_stopping() {
                break;
            }
            let more = self.child(&mut command, variables);
            outcome.code = if outcome.code == 0 { more.code } else { outcome.code };
            if let (Some(all), Some(more)) = (&mut outcome.counts, more.counts) {
                *all += more;
            }
        }
        outcome
    }

    fn child(&self, command: &mut Command, variables: &Variables) -> Outcome {
        colour(command);
        for (name, value) in variables {
            command.env(format!("{VARIABLE_PREFIX}{name}"), value);
        }
        let names: Vec<&str> = self.options.services.iter().copied().map(Service::name).collect();
        command.env(format!("{VARIABLE_PREFIX}SERVICES"), names.join(","));
        if let Ok(guard) = this_program() {
            command.env(GUARD_VARIABLE, guard);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let supervisor = self.session.supervisor();
        let (id, Pipes { stdout, stderr }) =
            match supervisor.spawn_ending(&program, command, Signal::Terminate) {
                Ok(started) => started,
                Err(error) => {
                    report_all(&[error]);
                    return Outcome { code: CODE_NOT_STARTED, counts: Some(Counts::default()) };
                }
            };
        self.child.store(id, Ordering::SeqCst);
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (sender, finished) = mpsc::channel();
        pump(stdout, io::stdout(), Arc::clone(&counts), sender.clone());
        pump(stderr, io::stderr(), Arc::clone(&counts), sender);
        let status = supervisor.wait(id);
        self.child.store(0, Ordering::SeqCst);
        // Something that outlived its group may still hold the pipes: the two pumps are not waited for without end.
        for _ in 0..2 {
            let _ = finished.recv_timeout(OUTPUT_PATIENCE);
        }
        let counts = *counts.lock().unwrap_or_else(PoisonError::into_inner);
        let code = status.map_or(CODE_FAILED, exit_code);
        Outcome { code, counts: Some(counts) }
    }
}

/// Passes output through line by line and adds up what test runners announce in it.
fn pump(
    from: Option<impl Read + Send + 'static>,
    mut to: impl Write + Send + 'static,
    counts: Arc<Mutex<Counts>>,
    finished: Sender<()>,
) {
    thread::spawn(move || {
        let mut from = BufReader::new(
            from.into_iter().fold(Box::new(io::empty()) as Box<dyn Read>, |_, from| Box::new(from)),
        );
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let _ = to.write_all(&line).and_then(|()| to.flush());
            if let Some(found) = Counts::from_line(&String::from_utf8_lossy(&line)) {
                *counts.lock().unwrap_or_else(PoisonError::into_inner) += found;
            }
            line.clear();
        }
        let _ = finished.send(());
    });
}

/// Output goes through a pipe, so the child cannot see the terminal; it is told.
fn colour(command: &mut Command) {
    if io::stderr().is_terminal() && env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TestRunner {
    Nextest,
    Cargo,
}

impl TestRunner {
    fn find() -> Self {
        let mut command = Command::new(cargo());
        command.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
        let answers = command.status().is_ok_and(|status| status.success());
        if answers { Self::Nextest } else { Self::Cargo }
    }

    fn command(self, extra: &[&str], arguments: &[String]) -> Command {
        let words: &[&str] = match self {
            Self::Nextest => &["nextest", "run"],
            Self::Cargo => &["test"],
        };
        let mut command = Command::new(cargo());
        command.args(words).arg("--workspace").args(extra).args(arguments);
        command
    }

    fn build_command(self, arguments: &[String]) -> Command {
        let before_filters: Vec<String> =
            arguments.iter().take_while(|word| *word != "--").cloned().collect();
        self.command(&["--no-run"], &before_filters)
    }

    fn run_command(self, arguments: &[String]) -> Command {
        self.command(&["--no-fail-fast"], arguments)
    }
}

fn this_program() -> Result<PathBuf, Error> {
    env::current_exe().map_err(Error::io("finding this program"))
}

fn cargo() -> std::ffi::OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The examples in the documentation, which nextest leaves out, and the tests of the pages.
fn other_tests(runner: TestRunner, root: &Path) -> Vec<Command> {
    let mut commands = Vec::new();
    let examples = packages_with_examples(root);
    if runner == TestRunner::Nextest && !examples.is_empty() {
        let mut command = Command::new(cargo());
        command.args(["test", "--doc", "--no-fail-fast", "--quiet"]).current_dir(root);
        examples.iter().for_each(|package| {
            command.args(["-p", package]);
        });
        commands.push(command);
    }
    let pages = root.join("crates/reading-room/web");
    if pages.join("node_modules").is_dir() {
        let mut command = Command::new("npm");
        command.args(["test", "--silent"]).current_dir(pages);
        commands.push(command);
    }
    commands
}

/// Packages whose documentation holds examples to run. Asking rustdoc costs seconds for every package.
fn packages_with_examples(root: &Path) -> Vec<String> {
    let crates = fs::read_dir(root.join("crates")).into_iter().flatten().flatten();
    let mut names: Vec<String> = crates
        .filter(|entry| entry.path().join("src/lib.rs").exists() && has_examples(&entry.path().join("src")))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn has_examples(folder: &Path) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return has_examples(&path);
        }
        path.extension().is_some_and(|ending| ending == "rs")
            && fs::read_to_string(&path).is_ok_and(|text| is_example_in(&text))
    })
}

fn is_example_in(source: &str) -> bool {
    let mut inside = false;
    for line in source.lines() {
        let line = line.trim_start();
        let Some(words) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else { continue };
        let Some(kind) = words.trim_start().strip_prefix("```") else { continue };
        inside = !inside;
        if inside && !["text", "ignore", "json", "toml", "sql", "sh", "console"].contains(&kind.trim()) {
            return true;
        }
    }
    false
}

fn exit_code(status: ExitStatus) -> u8 {
    code_of(status.code().or_else(|| Some(CODE_SIGNAL + status.signal()?)).unwrap_or(i32::from(CODE_FAILED)))
}

fn code_of(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(CODE_FAILED)
}

/// Tells each error once and picks the exit code. What a person must install comes as one line, alone.
fn report_all(errors: &[Error]) -> u8 {
    let by_hand =
        errors.iter().find(|error| matches!(error, Error::NeedsAdministrator(_) | Error::Missing { .. }));
    if let Some(error) = by_hand {
        report::line("services", &error.to_string());
        return CODE_MISSING;
    }
    let mut told: Vec<String> = Vec::new();
    for text in errors.iter().map(ToString::to_string) {
        if !told.contains(&text) {
            report::line("services", &text);
            told.push(text);
        }
    }
    CODE_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_found_where_they_run() {
        assert!(is_example_in("/// ```\n/// let x = 1;\n/// ```\n"));
        assert!(is_example_in("    //! ```rust\n"));
        assert!(!is_example_in("/// ```text\n/// a picture\n/// ```\nfn f() {}\n"));
        assert!(!is_example_in("let fence = \"```\";\n"));
    }

    #[test]
    fn the_exit_code_is_the_child_s_or_the_signal_s() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn missing_packages_are_one_line_and_code_two() {
        let missing = Error::NeedsAdministrator("apt-get install x".into());
        assert_eq!(report_all(&[Error::Stopped, missing.clone(), missing]), CODE_MISSING);
        assert_eq!(report_all(&[Error::Stopped]), CODE_FAILED);
    }
}
