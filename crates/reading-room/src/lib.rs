//! Do: a person reads and signs. `src/` is the API, `web/` the TypeScript UI.
//!
//! [`router`] answers everything a browser of a reader asks for: the worklist, a study, claims, the working copy,
//! the signature, what became
//! of the result, and the pages themselves. What may happen to a report is decided in `domain` and in the catalog's transactions; here
//! it is only asked for, checked for who asks, and put into the words of the API. Not here: DICOMweb, the physician's page.

mod api;
mod bound;
mod conflicts;
mod deliveries;
mod mailbox;
mod marks;
mod memory;
mod pages;
mod pdf;
mod people;
mod pictures;
mod report;
mod room;
mod status;
mod study;
mod taken_out;
mod tasks;
mod trail;
mod viewer;
mod views;
mod worklist;

pub use api::{openapi, router};
pub use room::{Overview, ReadingRoom};
pub use viewer::{VIEWER_FILES_MAX, Viewer, ViewerError};
