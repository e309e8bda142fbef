//! The archive over HTTP, with a real catalog, real objects and real images.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clients;
mod frames;
mod metadata;
mod query;
mod rendered;
mod retrieve;
mod support;
mod visibility;
