//! The notifier against the real catalog (SQLite), the real object store (a folder) and a clock that is turned by hand.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "clippy knows test functions, not the helpers beside them"
)]

mod climbing;
mod letters;
mod pages;
mod pdf;
mod smtp;
mod world;
