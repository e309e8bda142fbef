//! The commands, one module each.

pub mod demo;
pub mod directory;
pub mod doctor;
pub mod migrate;
pub mod order;
pub mod peer;
pub mod rebuild;
pub mod serve;
pub mod study;
pub mod sweep;
pub mod verify;

use std::{fmt::Display, io::Write as _, process::ExitCode};

/// A line for the person at the terminal.
pub fn say(line: impl Display) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Says what went wrong, with every cause, and gives the exit code for it.
pub fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("telerad: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because: {error}"));
        cause = error.source();
    }
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
    ExitCode::FAILURE
}
