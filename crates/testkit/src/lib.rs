//! Prove: a clock you turn, fakes, conformance suites, synthetic studies, services.
