//! The conformance suite of the broker port against both adapters, and what only one of them can show.

mod embedded;
mod rabbit;
mod restart;
