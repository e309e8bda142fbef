//! The worklist and who holds what.

use async_trait::async_trait;

use super::{ChangeError, Known};
use crate::{
    Timestamp,
    id::PersonId,
    person::Scope,
    reading::{ClaimChange, ClaimRefusal, Reading},
    study::{Study, StudyKey},
};

/// The worklist and who holds what.
#[async_trait]
pub trait Readings {
    /// The worklist: by priority, then by arrival; signed ones, which stand behind all others, by signing time, the latest first.
    async fn worklist(&self, filter: &WorklistFilter, now: Timestamp) -> Known<Vec<WorklistEntry>>;

    /// A reading.
    async fn reading(&self, study: &StudyKey) -> Known<Option<Reading>>;

    /// Changes who holds a reading, by [`Reading::change_claim`], with its audit.
    ///
    /// # Errors
    /// When the rules refuse it. A study that is not there is refused as [`ClaimRefusal::NotYours`].
    async fn change_claim(
        &self,
        study: &StudyKey,
        change: ClaimChange,
        by: PersonId,
        now: Timestamp,
    ) -> Result<Reading, ChangeError<ClaimRefusal>>;
}

/// Which part of the worklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorklistFilter {
    /// Whose studies.
    pub scope: Scope,
    /// Also signed ones.
    pub signed: bool,
    /// Part of patient name, patient id or accession number, without regard to case.
    pub text: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// A line of the worklist.
#[derive(Debug, Clone, PartialEq)]
pub struct WorklistEntry {
    /// The study.
    pub study: Study,
    /// The centre's name.
    pub centre_name: String,
    /// The work item.
    pub reading: Reading,
    /// Name of who holds it (the claim holds now) or signed it last.
    pub reader_name: Option<String>,
    /// The image generation of the latest draft.
    pub draft_generation: Option<u64>,
    /// Open tasks of the study.
    pub open_tasks: u32,
    /// Deliveries of the latest signed version: how many there are, and how many were acknowledged.
    pub deliveries: (u32, u32),
}
