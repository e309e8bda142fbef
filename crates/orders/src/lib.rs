//! Do: orders come in, over REST and CSV, and meet their studies.
//!
//! A caller sends an order as plain texts ([`NewOrder`]); here it is checked, its physician is found in the centre's directory or
//! added to it, and the catalog keeps it and links it to its study. Not here: how a study is chosen (`domain::order`).

mod api;
mod import;
mod names;
mod place;

pub use api::{Orders, openapi, router};
pub use import::{
    IMPORT_BYTES_MAX, IMPORT_ROWS_MAX, ImportError, ImportReport, ImportedRow, RowOutcome, import_csv,
};
pub use names::person_name;
pub use place::{InvalidOrder, NewOrder, NewPhysician, PlaceError, REASON_CHARS_MAX, place};
