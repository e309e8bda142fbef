//! Faults on demand: a disk that loses what was not flushed, a network that breaks, an object store that misbehaves.
//!
//! Each stands between the product and the real thing, so that the product is tested as it ships. Everything that is random comes from
//! a seed. Not here: the tests, which start the product and judge what it does (`crates/telerad/tests/it/faults`), and what every
//! fault must show (`docs/faults.md`).

#[cfg(target_os = "linux")]
pub mod disk;
pub mod s3;
pub mod tcp;
