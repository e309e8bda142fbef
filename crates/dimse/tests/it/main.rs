//! Conversations of an acceptor with a requestor, with hostile peers and with arbitrary bytes, all in memory.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not the helpers beside them")]

mod commitment;
mod conversation;
mod hostile;
mod negotiation;
mod retrieval;
mod support;
