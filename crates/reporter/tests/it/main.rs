//! Drafts of real series, and the worker over a real catalog and a real store.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking, and say loudly what they skip"
)]

mod drafts;
mod support;
mod worker;
