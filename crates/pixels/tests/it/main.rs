//! The pool with real children: one does as it should, the other what a test asks it to.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not the helpers beside them")]

mod confined;
mod pool;
mod support;
