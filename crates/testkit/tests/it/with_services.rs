//! The program as its users see it: exit codes, the closing line, and nothing left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long something may take to end that has been told to.
const END_LIMIT: Duration = Duration::from_secs(30);

const PROGRAM: &str = env!("CARGO_BIN_EXE_with-services");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().expect("with-services can be started")
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

fn is_running(process: &str) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn the_exit_code_is_the_command_s() {
    let output = run(&["--only", "", "--", "/bin/sh", "-c", "exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(last_line(&output), "telerad: 0 passed, 0 failed, 0 skipped");
}

#[test]
fn what_test_runners_announce_is_passed_on_and_added_up() {
    let script = "echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'; \
                  echo '     Summary [   0.1s] 2 tests run: 1 passed, 1 failed, 4 skipped' >&2";
    let output = run(&["--only", "", "--", "/bin/sh", "-c", script]);
    assert_eq!(last_line(&output), "telerad: 4 passed, 1 failed, 5 skipped");
    assert!(String::from_utf8_lossy(&output.stdout).contains("test result: ok. 3 passed"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Summary ["));
}

#[test]
fn a_program_that_does_not_exist_and_a_service_nobody_knows_are_errors() {
    assert_eq!(run(&["--only", "", "--", "no-such-program-anywhere"]).status.code(), Some(127));
    assert_eq!(run(&["--only", "mysql", "--", "true"]).status.code(), Some(2));
}

/// Starts a command that never ends by itself, ends with-services by `signal`, and sees that nothing is left.
fn ends_everything_on(signal: &str) -> Option<i32> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut program = Command::new(PROGRAM)
        .args(["--only", "", "--", "/bin/sh", "-c", "sleep 600 & echo $!; wait"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .expect("with-services can be started");
    let mut line = String::new();
    let stdout = program.stdout.take().expect("the output is a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("the command says its id");
    let sleeper = line.trim();
    assert!(is_running(sleeper));

    let id = program.id().to_string();
    let killed = Command::new("/bin/sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &id]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let status = program.wait().expect("with-services ends");

    let is_empty = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    let began = Instant::now();
    while (is_running(sleeper) || !is_empty(folder.path())) && began.elapsed() < END_LIMIT {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!is_running(sleeper), "the command's child outlived {signal}");
    assert!(is_empty(folder.path()), "data outlived {signal}");
    status.code()
}

#[test]
fn an_interrupt_ends_everything() {
    assert_eq!(ends_everything_on("INT"), Some(130));
}

#[test]
fn a_termination_ends_everything() {
    assert_eq!(ends_everything_on("TERM"), Some(143));
}

#[test]
fn even_a_sudden_death_leaves_nothing_running() {
    assert_eq!(ends_everything_on("KILL"), None);
}
