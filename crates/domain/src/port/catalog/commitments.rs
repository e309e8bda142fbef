//! Storage commitments: what was asked, what was found, and whether the asker knows.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    audit::Actor,
    commitment::{Asker, Commitment, Failure, Reference},
    id::{CentreId, CommitmentId},
    task::NewTask,
    text::AeTitle,
    uid::TransactionUid,
};

/// Storage commitments.
#[async_trait]
pub trait Commitments {
    /// Keeps a request, with audit and the outbox row that has it checked, and forgets finished ones of the centre that are older
    /// than [`crate::commitment::KEPT`]. A peer that asks the same again under the same Transaction UID is told again.
    async fn request_commitment(&self, new: &NewCommitment, at: Timestamp) -> Known<CommitmentOutcome>;

    /// A commitment.
    async fn commitment(&self, id: CommitmentId) -> Known<Option<Commitment>>;

    /// The commitment that holds a Transaction UID at a centre.
    async fn commitment_of_transaction(
        &self,
        centre: &CentreId,
        transaction: &TransactionUid,
    ) -> Known<Option<Commitment>>;

    /// Keeps what the check found, with its audit and the tasks for what is damaged. The first result counts.
    async fn conclude_commitment(
        &self,
        id: CommitmentId,
        failures: &[Failure],
        tasks: &[NewTask],
        at: Timestamp,
    ) -> Known<()>;

    /// Keeps that the asker was told, or that it could not be: then it writes the outbox row for the next try, by
    /// [`crate::commitment::next_try`], or after the last one opens the task. A commitment that is not known or was reported
    /// already stays as it is.
    async fn report_attempted(
        &self,
        id: CommitmentId,
        attempt: &ReportAttempt,
        at: Timestamp,
    ) -> Known<Option<Commitment>>;

    /// A peer is there: what waits to be told to it is due at once. Gives how many reports that are.
    async fn hurry_reports(&self, centre: &CentreId, ae: &AeTitle, at: Timestamp) -> Known<u32>;
}

/// A request for storage commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommitment {
    /// Its identity, if it turns out to be new.
    pub id: CommitmentId,
    /// Whose images.
    pub centre: CentreId,
    /// (0008,1195).
    pub transaction: TransactionUid,
    /// Who asks.
    pub by: Asker,
    /// The same, for the audit.
    pub actor: Actor,
    /// For which objects.
    pub references: Vec<Reference>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitmentOutcome {
    /// It is kept and will be checked.
    Accepted(CommitmentId),
    /// The same was asked before; a peer will be told again.
    Repeated(CommitmentId),
    /// The Transaction UID stands for another request. A peer's request is kept all the same and answered with 0131H for every object; one
    /// over the web is not.
    InUse,
    /// [`crate::commitment::WAITING_MAX`] of the centre are unfinished; it is not kept.
    TooMany,
}

/// How a try to tell the asker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportAttempt {
    /// It confirmed the report.
    Confirmed,
    /// It could not be told; why, without patient data.
    Failed {
        /// Why.
        reason: String,
        /// The task for when this was the last try.
        task: NewTask,
    },
}
