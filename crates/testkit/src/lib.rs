//! Prove: a clock you turn, conformance suites, faults on demand, samples, and the services that tests talk to.

pub mod archives;
pub mod clock;
pub mod conformance;
pub mod corpus;
pub mod faults;
pub mod pixels;
pub mod samples;
pub mod services;
