//! The conformance suite of the storage port, against both adapters.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of a test may end it, and say why it is skipped"
)]

mod cache;
mod file;
mod s3;
