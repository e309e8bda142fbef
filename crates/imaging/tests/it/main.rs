//! What needs whole files or hostile ones.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking, and say loudly what they skip"
)]

mod described;
mod dose;
mod guard;
mod json;
mod layout;
mod picture;
mod samples;
mod series;
mod support;
