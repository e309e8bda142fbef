//! Drafts of real series, and the worker over a real catalog and a real store.

mod drafts;
mod support;
mod worker;
