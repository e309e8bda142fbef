//! The archive over HTTP, with a real catalog, real objects and real images.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed, and says why it is skipped"
)]

mod clients;
mod documents;
mod frames;
mod metadata;
mod query;
mod rendered;
mod retrieve;
mod support;
mod take_out;
mod transcode;
mod upkeep;
mod visibility;
mod web;
