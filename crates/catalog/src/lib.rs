//! Keep: what we know, in SQLite or PostgreSQL.
//!
//! [`SqlCatalog`] answers every part of [`domain::port::Catalog`] with one set of queries for both databases; what differs between them
//! stands in `dialect` and in the two folders of migrations. A method is one transaction: what must follow from a change (audit, outbox,
//! tasks) is committed with it or not at all.
//!
//! Durability: when a method returns, its change survives kill -9 and a power cut. SQLite runs with a write-ahead log and
//! `synchronous = FULL`, PostgreSQL with `synchronous_commit = on`, whatever the server's default is. A process that dies between two
//! statements leaves nothing of the transaction behind; a process that dies after the commit and before its caller heard of it leaves a
//! change that every method recognises when it is asked for again.
//!
//! It is not the place for rules: what a claim, a signature or a delivery may become is decided by `domain`; here it is kept.

mod commitments;
mod config;
mod conflicts;
mod database;
mod deliveries;
mod dialect;
mod directory;
mod documents;
mod error;
mod glance;
mod identities;
mod images;
mod orders;
mod outbox;
mod peers;
mod quarantine;
mod readings;
mod reports;
mod scribe;
mod sql;
mod taken_out;
mod trail;
mod upkeep;
mod uploads;
mod wire;
mod work;

pub use config::{CatalogConfig, DatabaseUrl};
pub use database::SqlCatalog;
pub use error::OpenError;
