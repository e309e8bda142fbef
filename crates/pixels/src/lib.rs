//! Keep away: pixel work in processes of their own ([`domain::port::Pixels`]). What decoders do with hostile bytes (crash, hang, eat
//! memory)
//! happens in a child that holds nothing, can reach nothing and is replaced; one request fails.
//!
//! [`Pool`] is the side that asks: a bounded number of children, each used again and again, killed when it takes too long. [`worker`]
//! is the
//! child: this executable, run under its hidden command, which gives up every right that it does not need before it reads the first byte
//! ([`confine`]). What they say to each other, and the work, is [`imaging::work`]. Decision 17 says why.

mod config;
mod confine;
mod pool;
pub mod worker;

pub use config::{Config, PROGRAM};
pub use confine::Confinement;
pub use pool::Pool;
