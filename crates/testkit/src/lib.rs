//! Prove: a clock you turn, conformance suites, samples, and the services that tests talk to.

pub mod clock;
pub mod conformance;
pub mod samples;
pub mod services;
