//! Sheets set on paper and read back.

#![allow(clippy::print_stderr, reason = "a check that is skipped is said loudly")]

mod pages;
mod refusals;
mod samples;
mod template;
