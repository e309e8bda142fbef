//! A task: something that waits for a person, on a page that people look at.

use crate::{
    Timestamp,
    conflict::ConflictId,
    id::{CentreId, DeliveryId, PersonId, TaskId},
    uid::StudyInstanceUid,
};

/// Something that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Identity.
    pub id: TaskId,
    /// Whose.
    pub centre: CentreId,
    /// About which study, if about one.
    pub study: Option<StudyInstanceUid>,
    /// What happened.
    pub kind: TaskKind,
    /// The reason, in a sentence.
    pub reason: String,
    /// What to do next, in a sentence.
    pub next_step: String,
    /// Since when it waits.
    pub opened: Timestamp,
    /// Who closed it, if it is closed.
    pub closed: Option<Closure>,
}

/// Kinds of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// A worker gave up on a piece of work.
    WorkFailed,
    /// A signed report has no recipient that we know.
    NoRecipient,
    /// A delivery failed or was not acknowledged in time.
    Undelivered,
    /// Two contents for one SOP Instance UID, or another patient in one study ([`crate::conflict`]).
    Conflict,
    /// The sender said that more images exist than came.
    MissingImages,
    /// Images came after sign-off.
    ImagesAfterSignature,
    /// A stored object is missing or is not what was stored.
    ObjectDamaged,
    /// A sender could not be told whether its images are safely stored.
    CommitmentUnreported,
    /// Objects that cannot be read wait in quarantine, or found no room there.
    Quarantine,
    /// Upkeep of the store stopped, because what it found is not plausible.
    UpkeepHalted,
}

impl TaskKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::WorkFailed,
        Self::NoRecipient,
        Self::Undelivered,
        Self::Conflict,
        Self::MissingImages,
        Self::ImagesAfterSignature,
        Self::ObjectDamaged,
        Self::CommitmentUnreported,
        Self::Quarantine,
        Self::UpkeepHalted,
    ];

    /// The word in the catalog and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorkFailed => "work_failed",
            Self::NoRecipient => "no_recipient",
            Self::Undelivered => "undelivered",
            Self::Conflict => "conflict",
            Self::MissingImages => "missing_images",
            Self::ImagesAfterSignature => "images_after_signature",
            Self::ObjectDamaged => "object_damaged",
            Self::CommitmentUnreported => "commitment_unreported",
            Self::Quarantine => "quarantine",
            Self::UpkeepHalted => "upkeep_halted",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What the subject of a task about another patient in one study begins with.
pub const PATIENT_CONFLICT: &str = "patient conflict ";

/// A task to be opened. Two with the same centre, kind and subject are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Whose.
    pub centre: CentreId,
    /// About which study.
    pub study: Option<StudyInstanceUid>,
    /// What happened.
    pub kind: TaskKind,
    /// What tells it from others of its kind: a delivery, a work id, a SOP Instance UID, a study.
    pub subject: String,
    /// The reason, in a sentence without patient data.
    pub reason: String,
    /// What to do next, in a sentence.
    pub next_step: String,
}

impl NewTask {
    /// The subject for a conflict. All contents of one SOP Instance UID are one task.
    #[must_use]
    pub fn conflict_subject(id: &ConflictId) -> String {
        match id {
            ConflictId::Contents { sop_instance, .. } => sop_instance.to_string(),
            ConflictId::Patient(id) => format!("{PATIENT_CONFLICT}{id}"),
        }
    }

    /// The subject for a delivery.
    #[must_use]
    pub fn delivery_subject(id: DeliveryId) -> String {
        format!("delivery {id}")
    }
}

/// How a task was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// By whom; by nobody when what it spoke of was over by itself.
    pub by: Option<PersonId>,
    /// When.
    pub at: Timestamp,
    /// What they did, in their words.
    pub note: String,
}
