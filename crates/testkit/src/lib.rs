//! Prove: a clock you turn, conformance suites, faults on demand, samples, and the services that tests talk to.

pub mod clock;
pub mod conformance;
pub mod faults;
pub mod corpus;
pub mod samples;
pub mod services;
