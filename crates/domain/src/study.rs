//! A study at a centre, and what we believe about whether all of its images are here.

use crate::{
    Duration, Timestamp,
    digest::ImageSetDigest,
    id::{CentreId, OrderId},
    image::{SeriesAttributes, StudyAttributes},
    order::OrderMatch,
    uid::{SeriesInstanceUid, StudyInstanceUid},
    work::Lane,
};

/// Names a study: the same Study Instance UID at two centres is two studies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StudyKey {
    /// Whose.
    pub centre: CentreId,
    /// Which.
    pub uid: StudyInstanceUid,
}

/// A study.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Its name.
    pub key: StudyKey,
    /// What the first image said.
    pub attributes: StudyAttributes,
    /// Modalities of its series, sorted.
    pub modalities: Vec<String>,
    /// How many series are here.
    pub series_count: u32,
    /// How many instances are here.
    pub instance_count: u32,
    /// Bytes of its current instances.
    pub bytes: u64,
    /// Goes up with every new instance; two equal generations have the same images.
    pub generation: u64,
    /// When the first image was stored.
    pub first_received: Timestamp,
    /// When the latest image was stored.
    pub last_received: Timestamp,
    /// What we believe about whether all images are here.
    pub completeness: Completeness,
    /// The order it answers, and why we think so.
    pub order: Option<(OrderId, OrderMatch)>,
    /// How soon it must be read; from the order, else routine.
    pub priority: Lane,
    /// Unresolved conflicts of its instances.
    pub conflict_count: u32,
}

/// A series of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Whose study.
    pub study: StudyKey,
    /// Which series.
    pub uid: SeriesInstanceUid,
    /// What its first image said.
    pub attributes: SeriesAttributes,
    /// How many instances are here.
    pub instance_count: u32,
}

/// The images of a study at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSet {
    /// Goes up with every new instance.
    pub generation: u64,
    /// What a signature binds.
    pub digest: ImageSetDigest,
    /// How many images.
    pub count: u32,
}

/// A revisable statement on whether all images are here; never a one-way door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// What we believe now.
    pub belief: Belief,
    /// Why, in the order in which we learnt it; at most [`EVIDENCE_MAX`] are kept, the latest.
    pub evidence: Vec<Evidence>,
}

/// Most pieces of evidence kept for a study.
pub const EVIDENCE_MAX: usize = 20;

/// What we believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// Images are still coming; we will decide at this moment unless more come.
    Arriving {
        /// When we stop waiting.
        decide_at: Timestamp,
    },
    /// All images that we expect are here.
    Complete {
        /// Since when we believe it.
        since: Timestamp,
    },
    /// Nothing has come for the quiet period, yet the sender said that there are more.
    Short {
        /// Since when we believe it.
        since: Timestamp,
        /// How many the sender said.
        expected: u32,
    },
}

/// One reason for a belief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The sender said how many instances the study has.
    SenderCount {
        /// How many.
        expected: u32,
        /// When it was said.
        at: Timestamp,
    },
    /// One request (a STOW-RS transaction) ended.
    RequestBoundary {
        /// How many instances of the study the request held.
        instances: u32,
        /// When it ended.
        at: Timestamp,
    },
    /// Nothing came for a while.
    QuietPeriod {
        /// For how long.
        quiet: Duration,
        /// When the while was over.
        at: Timestamp,
    },
    /// An image came after the study was taken to be complete.
    LateImages {
        /// When the latest of them came.
        at: Timestamp,
    },
}

impl Evidence {
    /// When this was learnt.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::SenderCount { at, .. }
            | Self::RequestBoundary { at, .. }
            | Self::QuietPeriod { at, .. }
            | Self::LateImages { at } => *at,
        }
    }
}

/// How long after the end of a request the next one of the same study may begin: clients send large studies in several requests, one
/// behind the other, and a draft for each would be thrown away.
pub const BETWEEN_REQUESTS_MAX: Duration = Duration::from_secs(2);

impl Completeness {
    /// A study whose first image has just come.
    #[must_use]
    pub fn arriving(at: Timestamp, quiet_period: Duration) -> Self {
        Self { belief: Belief::Arriving { decide_at: at + quiet_period }, evidence: Vec::new() }
    }

    /// An image came: wait once more. When the study was taken to be complete, that is kept as evidence.
    #[must_use]
    pub fn image_came(mut self, at: Timestamp, quiet_period: Duration) -> Self {
        match self.belief {
            Belief::Arriving { .. } => {}
            Belief::Complete { .. } | Belief::Short { .. } => self.learn(Evidence::LateImages { at }),
        }
        self.belief = Belief::Arriving { decide_at: at + quiet_period };
        self
    }

    /// The sender told something: decide when `here` reaches what was said (at once for a count, soon for the end of a request), else go
    /// on waiting for the quiet period.
    #[must_use]
    pub fn sender_said(mut self, evidence: Evidence, here: u32) -> Self {
        let at = evidence.at();
        let satisfied = match &evidence {
            Evidence::SenderCount { expected, .. } => here >= *expected,
            Evidence::RequestBoundary { .. } => self.expected().is_none_or(|expected| here >= expected),
            Evidence::QuietPeriod { .. } | Evidence::LateImages { .. } => false,
        };
        let pause = match &evidence {
            Evidence::RequestBoundary { .. } => BETWEEN_REQUESTS_MAX,
            Evidence::SenderCount { .. } | Evidence::QuietPeriod { .. } | Evidence::LateImages { .. } => {
                Duration::ZERO
            }
        };
        self.learn(evidence);
        match self.belief {
            Belief::Arriving { decide_at } if satisfied => {
                self.belief = Belief::Arriving { decide_at: decide_at.min(at + pause) };
            }
            Belief::Arriving { .. } | Belief::Complete { .. } => {}
            Belief::Short { .. } if satisfied => self.belief = Belief::Complete { since: at },
            Belief::Short { .. } => {}
        }
        self
    }

    /// The waiting time is over: decide. `None` when it is not over yet or there is nothing to decide.
    #[must_use]
    pub fn decide(mut self, now: Timestamp, here: u32, last_received: Timestamp) -> Option<Self> {
        let Belief::Arriving { decide_at } = self.belief else { return None };
        if now < decide_at {
            return None;
        }
        let boundary = self.evidence.last().is_some_and(|evidence| match evidence {
            Evidence::SenderCount { .. } | Evidence::RequestBoundary { .. } => evidence.at() >= last_received,
            Evidence::QuietPeriod { .. } | Evidence::LateImages { .. } => false,
        });
        if !boundary || self.expected().is_some_and(|expected| here < expected) {
            self.learn(Evidence::QuietPeriod { quiet: now.duration_since(last_received), at: now });
        }
        self.belief = match self.expected() {
            Some(expected) if here < expected => Belief::Short { since: now, expected },
            Some(_) | None => Belief::Complete { since: now },
        };
        Some(self)
    }

    /// How many instances the sender said last.
    #[must_use]
    pub fn expected(&self) -> Option<u32> {
        self.evidence.iter().rev().find_map(|evidence| match evidence {
            Evidence::SenderCount { expected, .. } => Some(*expected),
            Evidence::RequestBoundary { .. } | Evidence::QuietPeriod { .. } | Evidence::LateImages { .. } => {
                None
            }
        })
    }

    fn learn(&mut self, evidence: Evidence) {
        match (self.evidence.last_mut(), &evidence) {
            (Some(Evidence::LateImages { at: latest }), Evidence::LateImages { at }) => *latest = *at,
            (Some(_) | None, _) => self.evidence.push(evidence),
        }
        if self.evidence.len() > EVIDENCE_MAX {
            self.evidence.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const QUIET: Duration = Duration::from_secs(10);

    #[test]
    fn a_quiet_period_completes_a_study() {
        let study = Completeness::arriving(at(0), QUIET).image_came(at(4), QUIET);
        assert_eq!(study.belief, Belief::Arriving { decide_at: at(14) });
        assert_eq!(study.clone().decide(at(13), 2, at(4)), None);
        let study = study.decide(at(14), 2, at(4)).unwrap();
        assert_eq!(study.belief, Belief::Complete { since: at(14) });
        assert_eq!(study.evidence, [Evidence::QuietPeriod { quiet: QUIET, at: at(14) }]);
    }

    #[test]
    fn a_count_decides_at_once_and_a_request_boundary_soon() {
        let boundary = Evidence::RequestBoundary { instances: 28, at: at(5) };
        let study = Completeness::arriving(at(5), QUIET).sender_said(boundary.clone(), 28);
        assert_eq!(study.clone().decide(at(5), 28, at(5)), None, "the next request may follow");
        let study = study.decide(at(7), 28, at(5)).unwrap();
        assert_eq!((study.belief, study.evidence), (Belief::Complete { since: at(7) }, vec![boundary]));

        let counted = Evidence::SenderCount { expected: 28, at: at(5) };
        let study = Completeness::arriving(at(5), QUIET).sender_said(counted.clone(), 28);
        let study = study.decide(at(5), 28, at(5)).unwrap();
        assert_eq!((study.belief, study.evidence), (Belief::Complete { since: at(5) }, vec![counted]));

        let study = Completeness::arriving(at(5), QUIET)
            .sender_said(Evidence::SenderCount { expected: 30, at: at(5) }, 28);
        assert_eq!(study.belief, Belief::Arriving { decide_at: at(15) });
        let study = study.decide(at(15), 28, at(5)).unwrap();
        assert_eq!(study.belief, Belief::Short { since: at(15), expected: 30 });
        let corrected = study.clone().sender_said(Evidence::SenderCount { expected: 28, at: at(16) }, 28);
        assert_eq!(corrected.belief, Belief::Complete { since: at(16) }, "a sender may correct itself");
        let study =
            study.image_came(at(20), QUIET).image_came(at(21), QUIET).decide(at(31), 30, at(21)).unwrap();
        assert_eq!(study.belief, Belief::Complete { since: at(31) });
    }

    #[test]
    fn late_images_reopen_it() {
        let study =
            Completeness::arriving(at(0), QUIET).decide(at(10), 1, at(0)).unwrap().image_came(at(60), QUIET);
        assert_eq!(study.belief, Belief::Arriving { decide_at: at(70) });
        assert_eq!(study.evidence.last(), Some(&Evidence::LateImages { at: at(60) }));
        let study = study.image_came(at(61), QUIET);
        assert_eq!(study.evidence.len(), 2);
    }
}
