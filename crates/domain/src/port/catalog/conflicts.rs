//! Conflicts and what people decide about them.

use async_trait::async_trait;

use super::{ChangeError, Known};
use crate::{
    Timestamp,
    conflict::{Choice, Conflict, ConflictId},
    digest::Sha256Digest,
    id::{CentreId, PersonId},
    person::Scope,
    study::StudyKey,
};

/// Conflicts. [`super::Images::record_arrivals`] finds them.
#[async_trait]
pub trait Conflicts {
    /// Conflicts: open ones, the latest found first, or decided ones, the latest decided first.
    async fn conflicts(&self, filter: &ConflictFilter) -> Known<Vec<Conflict>>;

    /// One conflict.
    async fn conflict(&self, centre: &CentreId, id: &ConflictId) -> Known<Option<Conflict>>;

    /// Decides a conflict, or takes a decision back, and gives it as it then stands. What was asked for and is so already changes nothing.
    ///
    /// When this changes which images a study shows, its generation goes up, so that its draft is stale and a signature of what was on
    /// screen is refused; a study that is signed gets a task [`crate::task::TaskKind::ImagesAfterSignature`]; a draft is asked for. The
    /// conflict's task is closed, or opened again.
    async fn decide_conflict(
        &self,
        ruling: &Ruling,
        at: Timestamp,
    ) -> Result<Conflict, ChangeError<RulingRefusal>>;
}

/// Which conflicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Whose.
    pub scope: Scope,
    /// Only those that touch this study.
    pub study: Option<StudyKey>,
    /// Decided ones instead of open ones.
    pub decided: bool,
    /// At most so many.
    pub limit: u32,
}

/// What a person wants done about a conflict, and what they saw when they wanted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// Whose.
    pub centre: CentreId,
    /// Which one.
    pub id: ConflictId,
    /// What to decide; `None` takes the decision back.
    pub choice: Option<Choice>,
    /// By whom.
    pub by: PersonId,
    /// Why, in their words.
    pub reason: String,
    /// The revision that they saw.
    pub revision: u64,
    /// Of two contents, the digest of the one that they saw as the current one.
    pub current_sha256: Option<Sha256Digest>,
}

/// Why a conflict was not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RulingRefusal {
    /// There is no such conflict.
    #[error("there is no such conflict")]
    Unknown,
    /// It does not stand as it was seen.
    #[error("the conflict has changed since it was looked at")]
    Changed,
    /// A conflict of this kind cannot be decided so.
    #[error("a conflict of this kind cannot be decided so")]
    Unfit,
    /// Another content has been chosen since, so that decision must be taken back first.
    #[error("another content has been chosen since")]
    Superseded,
    /// An older version of this program held the second content, and did not write down enough of its header to show it.
    #[error("the second content is not known well enough; it must be sent again")]
    SendAgain,
}
