//! The archive over HTTP, with a real catalog, real objects and real images.

mod clients;
mod frames;
mod metadata;
mod query;
mod rendered;
mod retrieve;
mod support;
mod visibility;
