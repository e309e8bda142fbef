//! The pool with real children: one does as it should, the other what a test asks it to.

mod confined;
mod pool;
mod support;
