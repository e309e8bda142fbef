//! The words of teleradiology as this product speaks them, their states, and the ports through which roles reach the
//! world. No I/O, no clock, no SQL, no HTTP.
//!
//! A study travels: [`image`] arrives → [`study`] becomes complete, with evidence → [`work`] is queued → [`report`] is
//! drafted → [`reading`] is claimed and signed → [`delivery`] tells the ordering physician, who acknowledges.
//! Everything that must happen later or elsewhere is an [`event`] in the outbox, written with the state it follows from.
//!
//! Types here are not serializable, but for [`event`] and [`report::ReportContent`], which are published languages:
//! events travel between processes, and the text of a report is what a signature binds. A [`secret`] is read from settings.

pub mod audit;
pub mod centre;
pub mod commitment;
pub mod conflict;
pub mod delivery;
pub mod digest;
pub mod document;
pub mod event;
pub mod id;
pub mod image;
pub mod journey;
pub mod limit;
pub mod object;
pub mod order;
pub mod peer;
pub mod person;
pub mod pixel;
pub mod port;
pub mod quarantine;
pub mod reading;
pub mod report;
pub mod secret;
pub mod study;
pub mod task;
pub mod text;
pub mod uid;
pub mod upkeep;
pub mod upload;
pub mod work;

/// An amount of time without a calendar.
pub use jiff::SignedDuration as Duration;
/// A moment on the time line, in UTC. Stored with microseconds.
pub use jiff::Timestamp;
