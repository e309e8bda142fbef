//! Work that waits: lanes by urgency, queues by worker, and the outbox row that becomes it.

use crate::{
    Timestamp,
    event::Event,
    id::{CentreId, EventId},
};

/// How soon. Lanes are separate queues, so that a STAT study never stands behind routine ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// At once.
    Stat,
    /// Within the hour.
    Urgent,
    /// In its turn.
    Routine,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Stat, Self::Urgent, Self::Routine];

    /// The word in queue names, the catalog and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Urgent => "urgent",
            Self::Routine => "routine",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == text)
    }
}

/// Which worker a piece of work is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// The report-generation worker.
    Draft,
    /// The notifier.
    Notify,
    /// Intake's worker for storage commitments.
    Commit,
}

impl Queue {
    /// Every queue.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Notify, Self::Commit];

    /// The word in queue names and the catalog.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Notify => "notify",
            Self::Commit => "commit",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.as_str() == text)
    }
}

/// Most deliveries of one piece of work to a worker; after that it needs attention.
pub const DELIVERIES_MAX: u32 = 4;

/// A piece of work, as the broker carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The id of the outbox row it came from: a repeat of the same row has the same id and revision.
    pub id: EventId,
    /// The revision of the outbox row.
    pub revision: u64,
    /// Whose.
    pub centre: CentreId,
    /// How soon.
    pub lane: Lane,
    /// What happened.
    pub event: Event,
}

/// A row of the outbox that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// What to publish.
    pub work: Work,
    /// When it became due.
    pub due: Timestamp,
}

/// How many pieces of work wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// To be handed out.
    pub ready: u64,
    /// With a worker now.
    pub in_hand: u64,
    /// Given up.
    pub dead: u64,
}
