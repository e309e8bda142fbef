//! Objects that cannot be read and are kept for a person.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    audit::{Action, Actor},
    id::{CentreId, PersonId, QuarantineId},
    person::Scope,
    quarantine::{KeepOutcome, QuarantineChange, QuarantineLimits, QuarantineUse, Quarantined},
};

/// Objects in quarantine. A row whose state has bytes names its object: nothing may remove that from storage as long as the row is there.
#[async_trait]
pub trait Quarantine {
    /// What the quarantine of a centre holds; `None` when the centre keeps nothing there.
    async fn quarantine_use(&self, centre: &CentreId) -> Known<Option<QuarantineUse>>;

    /// Keeps an object whose bytes are durable, with its audit and a task [`crate::task::TaskKind::Quarantine`] for its sender's objects,
    /// as far as the centre wants it and `limits` have room. The same bytes again only count up. Where there is no room, a task says so.
    async fn quarantine(
        &self,
        object: &Quarantined,
        limits: QuarantineLimits,
        actor: &Actor,
    ) -> Known<KeepOutcome>;

    /// The quarantine has no room for an object of a centre: opens the task that says so, unless it is open.
    async fn quarantine_full(&self, centre: &CentreId, at: Timestamp) -> Known<()>;

    /// Objects in quarantine, the latest first.
    async fn quarantined_objects(&self, filter: &QuarantineFilter) -> Known<Vec<Quarantined>>;

    /// One of them; `None` when there is none in the scope.
    async fn quarantined_object(&self, id: QuarantineId, scope: &Scope) -> Known<Option<Quarantined>>;

    /// Makes what a person decided so, with its audit. What does not follow from the state that it is in (a restored object that is not
    /// discarded) changes nothing. Once nothing of a sender waits, the task about that is closed in the person's name; it is opened again
    /// when something waits again. Gives the object as it then stands; `None` when there is none in the scope.
    async fn decide_quarantined(
        &self,
        id: QuarantineId,
        scope: &Scope,
        change: &QuarantineChange,
        by: PersonId,
        at: Timestamp,
    ) -> Known<Option<Quarantined>>;

    /// Writes into the audit that somebody did something with an object that leaves it as it is.
    async fn note_quarantined(
        &self,
        object: &Quarantined,
        by: &Actor,
        action: Action,
        at: Timestamp,
    ) -> Known<()>;

    /// Forgets objects that were decided before a moment, at most `limit`; says how many there were. What no row names is swept from
    /// storage.
    async fn forget_quarantined(&self, before: Timestamp, limit: u32) -> Known<u64>;
}

/// Which objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Whose.
    pub scope: Scope,
    /// Also those that were decided.
    pub decided: bool,
    /// At most so many.
    pub limit: u32,
}
