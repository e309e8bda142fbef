//! Prove: the rules a compiler cannot check.
