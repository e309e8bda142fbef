//! The lines that a person watching the run sees, on standard error. Standard output is the child's.

use std::time::Duration;

/// One line about one subject.
#[expect(
    clippy::print_stderr,
    reason = "progress for the person at the terminal; this is a test tool, not the product"
)]
pub(crate) fn line(subject: &str, text: &str) {
    eprintln!("{subject:>10}  {text}");
}

/// A duration as a person reads it, in seconds with one decimal.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
