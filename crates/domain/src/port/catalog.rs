//! The catalog: what we know. Each method is one transaction; what must follow from a change (audit, outbox, tasks) is written in it.
//!
//! The port is cut by subject, in the order of the journey. A method that changes something takes who does it and when.

mod commitments;
mod conflicts;
mod deliveries;
mod directory;
mod documents;
mod images;
mod orders;
mod peers;
mod quarantine;
mod readings;
mod reports;
mod taken_out;
mod trail;
mod upkeep;
mod uploads;
mod work;

pub use commitments::{CommitmentOutcome, Commitments, NewCommitment, ReportAttempt};
pub use conflicts::{ConflictFilter, Conflicts, Ruling, RulingRefusal};
pub use deliveries::{Deliveries, DeliveryFilter, Mail, NewDelivery};
pub use directory::{Directory, DirectoryRefusal};
pub use documents::{DocumentDue, Documents};
pub use images::{Images, StudyFilter, StudyOrder};
pub use orders::{OrderOutcome, Orders};
pub use peers::Peers;
pub use quarantine::{Quarantine, QuarantineFilter};
pub use readings::{Readings, WorklistEntry, WorklistFilter};
pub use reports::{DraftOutcome, EditRefusal, Reports, SignRefusal, SignRequest};
pub use taken_out::{BringBackRefusal, REASON_CHARS_MAX, TakeOut, TakeOutRefusal, TakenOut, TakenOutStudies};
pub use trail::{TaskFilter, Trail};
pub use upkeep::Upkeep;
pub use uploads::{BatchFilter, JourneyFilter, Uploads};
pub use work::{LeasedWork, WorkStore};

use super::Cause;

/// Everything that is known.
pub trait Catalog:
    Directory
    + Peers
    + Orders
    + Images
    + Documents
    + Conflicts
    + Commitments
    + WorkStore
    + Readings
    + Reports
    + Deliveries
    + Trail
    + Upkeep
    + Uploads
    + Quarantine
    + TakenOutStudies
    + Send
    + Sync
    + 'static
{
}

impl<T> Catalog for T where
    T: Directory
        + Peers
        + Orders
        + Images
        + Documents
        + Conflicts
        + Commitments
        + WorkStore
        + Readings
        + Reports
        + Deliveries
        + Trail
        + Upkeep
        + Uploads
        + Quarantine
        + TakenOutStudies
        + Send
        + Sync
        + 'static
{
}

/// What went wrong with the catalog itself.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It is away, busy or full; trying again may help.
    #[error("the catalog is unavailable while {operation}")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// It holds something that this version cannot read, or refused a statement.
    #[error("the catalog failed while {operation}")]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<R: std::error::Error + 'static> {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(R),
    /// The catalog could not.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What a plain question or change gives.
pub type Known<T> = Result<T, CatalogError>;
