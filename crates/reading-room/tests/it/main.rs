//! The reading room before a real catalog and a real store.

mod audit;
mod pages;
mod reading;
mod results;
mod signing;
mod tenancy;
mod world;
