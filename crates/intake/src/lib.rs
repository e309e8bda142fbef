//! Do: studies come in, over DICOM associations, STOW-RS and the upload page.
//!
//! All ways share one path ([`receive`]): bytes pass the guard while they stream into storage, the object is made durable, then the
//! catalog commits it ([`ledger`] gathers what several senders wait for into one transaction), and only then the sender hears of
//! success. Nothing here decodes pixels, and nothing parses and writes a data set again; one that comes as
//! metadata and bulk data is written once.

pub mod answering;
pub mod association;
pub mod commitment;
pub mod config;
mod connection;
mod lanes;
pub mod ledger;
pub mod multipart;
pub mod pulse;
pub mod quarantine;
pub mod receive;
pub mod room;
mod slots;
mod texts;
pub mod tls;
pub mod upload;
pub mod web;

pub use answering::Answering;
pub use commitment::{Committer, OpenAssociations};
pub use config::{ClientCertificates, Config, TlsConfig};
pub use connection::{CallPeerError, call};
pub use ledger::Ledger;
pub use receive::{Intake, Received, Receiving, Refusal};
pub use room::Room;
pub use tls::Tls;
