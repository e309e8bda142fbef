//! Do: a draft is written.
