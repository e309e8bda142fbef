//! A reading: the work item on the worklist. One per study, whatever arrives late.

use crate::{Duration, Timestamp, id::PersonId, study::StudyKey};

/// How long a claim holds without being renewed; the page renews it every minute while it is open.
pub const CLAIM_LEASE: Duration = Duration::from_mins(15);

/// The work item of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Which study.
    pub study: StudyKey,
    /// Where it stands.
    pub state: ReadingState,
}

/// Where a reading stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadingState {
    /// Nobody holds it.
    Unread,
    /// One reader holds it for a bounded time.
    Claimed(Claim),
    /// The latest report version is signed.
    Signed {
        /// Number of that version.
        version: u32,
        /// When it was signed.
        at: Timestamp,
        /// The image generation that was on screen; a higher one on the study means new images after sign-off.
        generation: u64,
        /// Who is writing an addendum now.
        addendum: Option<Claim>,
    },
}

/// Somebody's hold on a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub by: PersonId,
    /// Since when.
    pub since: Timestamp,
    /// Until when, unless renewed.
    pub until: Timestamp,
}

impl Claim {
    /// Whether it still holds.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// What somebody wants to do to a reading's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimChange {
    /// Take it; renews when the same person holds it already. On a signed reading it opens an addendum.
    Take,
    /// Give it back.
    Release,
    /// Take it from whoever holds it.
    TakeOver,
}

/// Why a claim could not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// Somebody else holds it.
    #[error("somebody else holds this reading")]
    HeldBy(Claim),
    /// There is nothing to give back.
    #[error("you do not hold this reading")]
    NotYours,
}

impl Reading {
    /// The claim that holds now, if any.
    #[must_use]
    pub fn claim(&self, now: Timestamp) -> Option<&Claim> {
        let claim = match &self.state {
            ReadingState::Unread => None,
            ReadingState::Claimed(claim) => Some(claim),
            ReadingState::Signed { addendum, .. } => addendum.as_ref(),
        };
        claim.filter(|claim| claim.holds(now))
    }

    /// Changes who holds the reading.
    ///
    /// # Errors
    /// When somebody else holds it, or nobody does and it should be given back.
    pub fn change_claim(
        mut self,
        change: ClaimChange,
        by: PersonId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Self, ClaimRefusal> {
        let held = self.claim(now).cloned();
        let claim = match (change, held) {
            (ClaimChange::Take, Some(held)) if held.by != by => return Err(ClaimRefusal::HeldBy(held)),
            (ClaimChange::Take | ClaimChange::TakeOver, Some(held)) if held.by == by => {
                Some(Claim { until: now + lease, ..held })
            }
            (ClaimChange::Take | ClaimChange::TakeOver, _) => {
                Some(Claim { by, since: now, until: now + lease })
            }
            (ClaimChange::Release, Some(held)) if held.by == by => None,
            (ClaimChange::Release, _) => return Err(ClaimRefusal::NotYours),
        };
        self.state = match (self.state, claim) {
            (ReadingState::Signed { version, at, generation, .. }, addendum) => {
                ReadingState::Signed { version, at, generation, addendum }
            }
            (ReadingState::Unread | ReadingState::Claimed(_), Some(claim)) => ReadingState::Claimed(claim),
            (ReadingState::Unread | ReadingState::Claimed(_), None) => ReadingState::Unread,
        };
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::CentreId, uid::StudyInstanceUid};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_claim_at_a_time() {
        let study =
            StudyKey { centre: CentreId::parse("c").unwrap(), uid: StudyInstanceUid::parse("1").unwrap() };
        let (ada, bo) = (PersonId::fresh(), PersonId::fresh());
        let lease = Duration::from_secs(100);
        let unread = Reading { study, state: ReadingState::Unread };
        let held = unread.change_claim(ClaimChange::Take, ada, at(0), lease).unwrap();
        for (change, by, now, outcome) in [
            (ClaimChange::Take, bo, 50, Err("held")),
            (ClaimChange::Take, bo, 100, Ok(Some(bo))),
            (ClaimChange::Take, ada, 50, Ok(Some(ada))),
            (ClaimChange::TakeOver, bo, 50, Ok(Some(bo))),
            (ClaimChange::Release, ada, 50, Ok(None)),
            (ClaimChange::Release, bo, 50, Err("not yours")),
            (ClaimChange::Release, ada, 100, Err("not yours")),
        ] {
            let got = held.clone().change_claim(change, by, at(now), lease);
            let got = got.map(|reading| reading.claim(at(now)).map(|claim| claim.by)).map_err(|refusal| {
                match refusal {
                    ClaimRefusal::HeldBy(_) => "held",
                    ClaimRefusal::NotYours => "not yours",
                }
            });
            assert_eq!(got, outcome, "{change:?} at {now}");
        }
        let renewed = held.change_claim(ClaimChange::Take, ada, at(50), lease).unwrap();
        assert_eq!(renewed.claim(at(149)).map(|claim| claim.since), Some(at(0)));
    }
}
