//! The conformance suite of the broker port against both adapters, and what only one of them can show.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of a test may end it, and say why it is skipped"
)]

mod embedded;
mod rabbit;
mod restart;
