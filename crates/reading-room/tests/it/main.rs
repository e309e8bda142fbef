//! The reading room before a real catalog and a real store.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not the helpers beside them")]

mod audit;
mod conflicts;
mod marks;
mod memory;
mod pages;
mod reading;
mod results;
mod signing;
mod taken_out;
mod tenancy;
mod world;
