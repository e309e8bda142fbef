//! One suite per port, run against every adapter, so that the embedded and the real ones mean the same.

pub mod broker;
pub mod catalog;
pub mod storage;
