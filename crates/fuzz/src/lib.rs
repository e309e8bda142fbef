//! What libFuzzer calls. The targets need nothing of it.

pub mod targets;
