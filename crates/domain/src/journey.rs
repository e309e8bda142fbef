//! Where a study stands on its journey, in one word, for the centre that sent it.

use crate::{
    Timestamp,
    reading::{Reading, ReadingState},
    study::{Belief, Study},
};

/// Where a study stands. In the order of the journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Images are still coming.
    Arriving,
    /// The images are here; the study is not queued yet.
    Stored,
    /// It waits for its draft.
    Queued,
    /// A draft is there, and a reader is awaited.
    Drafted,
    /// A reader holds it.
    BeingRead,
    /// It is signed; the report is on its way.
    Signed,
    /// A mail server took the report.
    Delivered,
    /// Everybody who received the report said that they have read it.
    Acknowledged,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 8] = [
        Self::Arriving,
        Self::Stored,
        Self::Queued,
        Self::Drafted,
        Self::BeingRead,
        Self::Signed,
        Self::Delivered,
        Self::Acknowledged,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arriving => "arriving",
            Self::Stored => "stored",
            Self::Queued => "queued",
            Self::Drafted => "drafted",
            Self::BeingRead => "being_read",
            Self::Signed => "signed",
            Self::Delivered => "delivered",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// A study of a centre, with what its stage follows from.
#[derive(Debug, Clone, PartialEq)]
pub struct Journey {
    /// The study.
    pub study: Study,
    /// The work item.
    pub reading: Reading,
    /// The latest draft: of which image generation, and when it was written.
    pub draft: Option<(u64, Timestamp)>,
    /// An event about the study waits to be published.
    pub outbox_waits: bool,
    /// Open tasks of the study.
    pub open_tasks: u32,
    /// Deliveries of the latest signed version: when a mail server took each, and when it was acknowledged.
    pub deliveries: Vec<(Option<Timestamp>, Option<Timestamp>)>,
}

impl Journey {
    /// Where the study stands, and since when.
    #[must_use]
    pub fn stage(&self, now: Timestamp) -> (Stage, Timestamp) {
        match &self.reading.state {
            ReadingState::Signed { at, .. } => self.after_signature(*at),
            ReadingState::Unread | ReadingState::Claimed(_) => self.before_signature(now),
        }
    }

    /// Whether a person must act: an open task, an unresolved conflict, or images that the sender spoke of and did not send.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        let is_short = match self.study.completeness.belief {
            Belief::Short { .. } => true,
            Belief::Arriving { .. } | Belief::Complete { .. } => false,
        };
        self.open_tasks > 0 || self.study.conflict_count > 0 || is_short
    }

    fn before_signature(&self, now: Timestamp) -> (Stage, Timestamp) {
        if let Some(claim) = self.reading.claim(now) {
            return (Stage::BeingRead, claim.since);
        }
        let since = match self.study.completeness.belief {
            Belief::Arriving { decide_at } if now < decide_at => {
                return (Stage::Arriving, self.study.last_received);
            }
            Belief::Arriving { decide_at } => decide_at,
            Belief::Complete { since } | Belief::Short { since, .. } => since,
        };
        match self.draft {
            Some((generation, at)) if generation == self.study.generation => (Stage::Drafted, at),
            Some(_) | None if self.outbox_waits => (Stage::Stored, since),
            Some(_) | None => (Stage::Queued, since),
        }
    }

    fn after_signature(&self, signed: Timestamp) -> (Stage, Timestamp) {
        let acknowledged: Option<Vec<Timestamp>> = self.deliveries.iter().map(|(_, at)| *at).collect();
        if let Some(last) = acknowledged.and_then(|all| all.into_iter().max()) {
            return (Stage::Acknowledged, last);
        }
        match self.deliveries.iter().filter_map(|(taken, _)| *taken).min() {
            Some(taken) => (Stage::Delivered, taken),
            None => (Stage::Signed, signed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Duration,
        id::{CentreId, PersonId},
        image::StudyAttributes,
        reading::Claim,
        study::{Completeness, StudyKey},
        uid::StudyInstanceUid,
        work::Lane,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn fresh() -> Journey {
        let key =
            StudyKey { centre: CentreId::parse("c").unwrap(), uid: StudyInstanceUid::parse("1").unwrap() };
        Journey {
            reading: Reading { study: key.clone(), state: ReadingState::Unread },
            study: Study {
                key,
                attributes: StudyAttributes::default(),
                modalities: vec!["CT".into()],
                series_count: 1,
                instance_count: 3,
                bytes: 100,
                generation: 3,
                first_received: at(0),
                last_received: at(10),
                completeness: Completeness::arriving(at(10), Duration::from_secs(10)),
                order: None,
                priority: Lane::Routine,
                conflict_count: 0,
            },
            draft: None,
            outbox_waits: true,
            open_tasks: 0,
            deliveries: Vec::new(),
        }
    }

    #[test]
    fn a_stage_follows_from_what_is_known() {
        let mut journey = fresh();
        assert_eq!(journey.stage(at(15)), (Stage::Arriving, at(10)));
        assert_eq!(journey.stage(at(25)), (Stage::Stored, at(20)));
        journey.study.completeness.belief = Belief::Complete { since: at(20) };
        journey.outbox_waits = false;
        assert_eq!(journey.stage(at(25)), (Stage::Queued, at(20)));
        journey.draft = Some((2, at(22)));
        assert_eq!(journey.stage(at(25)).0, Stage::Queued, "a draft of older images is none");
        journey.draft = Some((3, at(23)));
        assert_eq!(journey.stage(at(25)), (Stage::Drafted, at(23)));
        let claim = Claim { by: PersonId::fresh(), since: at(30), until: at(60) };
        journey.reading.state = ReadingState::Claimed(claim);
        assert_eq!(journey.stage(at(31)), (Stage::BeingRead, at(30)));
        assert_eq!(journey.stage(at(61)).0, Stage::Drafted, "a claim that ran out holds nothing");
        journey.reading.state =
            ReadingState::Signed { version: 1, at: at(70), generation: 3, addendum: None };
        assert_eq!(journey.stage(at(71)), (Stage::Signed, at(70)));
        journey.deliveries = vec![(Some(at(72)), None), (None, None)];
        assert_eq!(journey.stage(at(80)), (Stage::Delivered, at(72)));
        journey.deliveries = vec![(Some(at(72)), Some(at(75))), (Some(at(72)), Some(at(78)))];
        assert_eq!(journey.stage(at(80)), (Stage::Acknowledged, at(78)));
    }

    #[test]
    fn what_waits_for_a_person_needs_attention() {
        assert!(!fresh().needs_attention());
        assert!(Journey { open_tasks: 1, ..fresh() }.needs_attention());
        let mut short = fresh();
        short.study.completeness.belief = Belief::Short { since: at(20), expected: 5 };
        assert!(short.needs_attention());
        let mut conflict = fresh();
        conflict.study.conflict_count = 1;
        assert!(conflict.needs_attention());
    }
}
