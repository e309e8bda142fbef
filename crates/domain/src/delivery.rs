//! A delivery: one report version on its way to one recipient, and whether a person acknowledged it.

use crate::{
    Duration, Timestamp,
    digest::Sha256Digest,
    id::{DeliveryId, PhysicianId},
    study::StudyKey,
    text::EmailAddress,
};

/// First pause after a failed attempt.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_secs(15);
/// Longest pause between attempts.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_mins(10);
/// Most attempts kept in the ledger; the oldest in between are dropped from the list, never from the count.
pub const ATTEMPTS_KEPT_MAX: usize = 50;

/// One report version to one recipient by mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Identity; the Message-ID of every attempt is made from it.
    pub id: DeliveryId,
    /// Of which study.
    pub study: StudyKey,
    /// Which signed version.
    pub version: u32,
    /// To whom.
    pub recipient: Recipient,
    /// Where to.
    pub address: EmailAddress,
    /// Digest of the secret in the personal link `/r/…`.
    pub link: Sha256Digest,
    /// When it was opened.
    pub created: Timestamp,
    /// By when a mail server must have accepted it.
    pub accept_by: Timestamp,
    /// By when a person must have acknowledged it.
    pub acknowledge_by: Timestamp,
    /// How the transport stands.
    pub transport: Transport,
    /// Every attempt, oldest first.
    pub attempts: Vec<Attempt>,
    /// Who said that they have read it.
    pub acknowledgement: Option<Acknowledgement>,
    /// When the centre's contact was told that it reached nobody or was not acknowledged.
    pub escalated: Option<Timestamp>,
}

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// The ordering physician.
    Physician {
        /// Who.
        id: PhysicianId,
        /// Their name, as a person reads it.
        name: String,
    },
    /// The centre's contact, because another delivery failed or was not acknowledged in time.
    CentreContact {
        /// The delivery that this one escalates.
        escalates: DeliveryId,
        /// The centre's name.
        name: String,
    },
}

impl Recipient {
    /// Their name, as a person reads it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Physician { name, .. } | Self::CentreContact { name, .. } => name,
        }
    }
}

/// How the transport stands. It says nothing about whether a person has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// It waits for its next attempt.
    Waiting {
        /// When.
        next_attempt: Timestamp,
    },
    /// The next hop took responsibility, or it lies in the embedded mailbox.
    Accepted {
        /// When.
        at: Timestamp,
        /// The answer of the mail server, or that it lies in the local mailbox and was not sent.
        by: String,
    },
    /// It will not be tried again.
    Failed {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

/// One attempt to hand a mail over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: AttemptOutcome,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The next hop took responsibility.
    Accepted {
        /// Its answer.
        by: String,
    },
    /// It may work later.
    Deferred {
        /// Why.
        reason: String,
    },
    /// It will never work: no such mailbox, refused for good.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A named person said that they have read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The name they gave.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Delivery {
    /// Writes an attempt into the ledger and moves the transport on. An accepted or failed delivery stays what it is.
    #[must_use]
    pub fn attempted(mut self, outcome: AttemptOutcome, at: Timestamp) -> Self {
        if let Transport::Waiting { .. } = self.transport {
            self.transport = match &outcome {
                AttemptOutcome::Accepted { by } => Transport::Accepted { at, by: by.clone() },
                AttemptOutcome::Refused { reason } => Transport::Failed { at, reason: reason.clone() },
                AttemptOutcome::Deferred { .. } => Transport::Waiting { next_attempt: at + self.pause() },
            };
        }
        self.attempts.push(Attempt { at, outcome });
        if self.attempts.len() > ATTEMPTS_KEPT_MAX {
            self.attempts.remove(1);
        }
        self
    }

    /// The pause after the attempts made so far: doubling from [`RETRY_PAUSE_MIN`] to [`RETRY_PAUSE_MAX`].
    #[must_use]
    pub fn pause(&self) -> Duration {
        let doublings = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).min(16);
        RETRY_PAUSE_MIN.saturating_mul(2_i32.saturating_pow(doublings)).min(RETRY_PAUSE_MAX)
    }

    /// Notes an acknowledgement; the first one counts.
    #[must_use]
    pub fn acknowledged(mut self, by: &str, at: Timestamp) -> Self {
        self.acknowledgement.get_or_insert_with(|| Acknowledgement { by: by.to_owned(), at });
        self
    }

    /// Why the centre's contact must be told now, if they must and have not been.
    #[must_use]
    pub fn must_escalate(&self, now: Timestamp) -> Option<EscalationReason> {
        if self.escalated.is_some() || self.acknowledgement.is_some() {
            return None;
        }
        match &self.transport {
            Transport::Failed { reason, .. } => Some(EscalationReason::Refused(reason.clone())),
            Transport::Waiting { .. } if now >= self.accept_by => Some(EscalationReason::NotAccepted),
            Transport::Waiting { .. } | Transport::Accepted { .. } if now >= self.acknowledge_by => {
                Some(EscalationReason::NotAcknowledged)
            }
            Transport::Waiting { .. } | Transport::Accepted { .. } => None,
        }
    }

    /// The next moment at which [`Self::must_escalate`] may change its answer without anything else happening.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        if self.escalated.is_some() || self.acknowledgement.is_some() {
            return None;
        }
        [self.accept_by, self.acknowledge_by].into_iter().filter(|deadline| *deadline > now).min()
    }
}

/// Why the centre's contact is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EscalationReason {
    /// No mail server accepted it in time.
    NotAccepted,
    /// A mail server refused it for good.
    Refused(String),
    /// Nobody acknowledged it in time.
    NotAcknowledged,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::CentreId, uid::StudyInstanceUid};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn delivery() -> Delivery {
        Delivery {
            id: DeliveryId::fresh(),
            study: StudyKey {
                centre: CentreId::parse("c").unwrap(),
                uid: StudyInstanceUid::parse("1").unwrap(),
            },
            version: 1,
            recipient: Recipient::Physician { id: PhysicianId::fresh(), name: "Dr B".into() },
            address: EmailAddress::parse("b@practice.example").unwrap(),
            link: Sha256Digest::of(b"secret"),
            created: at(0),
            accept_by: at(100),
            acknowledge_by: at(1000),
            transport: Transport::Waiting { next_attempt: at(0) },
            attempts: Vec::new(),
            acknowledgement: None,
            escalated: None,
        }
    }

    #[test]
    fn attempts_move_the_transport() {
        let deferred = delivery().attempted(AttemptOutcome::Deferred { reason: "450".into() }, at(1));
        assert_eq!(deferred.transport, Transport::Waiting { next_attempt: at(16) });
        let again = deferred.attempted(AttemptOutcome::Deferred { reason: "450".into() }, at(16));
        assert_eq!(again.transport, Transport::Waiting { next_attempt: at(46) });
        let accepted = again.attempted(AttemptOutcome::Accepted { by: "250 ok".into() }, at(46));
        assert_eq!(accepted.transport, Transport::Accepted { at: at(46), by: "250 ok".into() });
        assert_eq!(accepted.attempts.len(), 3);
        let late = accepted.clone().attempted(AttemptOutcome::Refused { reason: "550".into() }, at(50));
        assert_eq!(late.transport, accepted.transport);
    }

    #[test]
    fn silence_escalates_once() {
        let waiting = delivery();
        let accepted = delivery().attempted(AttemptOutcome::Accepted { by: "250".into() }, at(1));
        let refused = delivery().attempted(AttemptOutcome::Refused { reason: "550".into() }, at(1));
        for (delivery, now, expected) in [
            (&waiting, 99, None),
            (&waiting, 100, Some(EscalationReason::NotAccepted)),
            (&accepted, 999, None),
            (&accepted, 1000, Some(EscalationReason::NotAcknowledged)),
            (&refused, 1, Some(EscalationReason::Refused("550".into()))),
            (&accepted.clone().acknowledged("Dr B", at(5)), 2000, None),
            (&Delivery { escalated: Some(at(1)), ..waiting.clone() }, 2000, None),
        ] {
            assert_eq!(delivery.must_escalate(at(now)), expected);
        }
        assert_eq!(waiting.next_deadline(at(0)), Some(at(100)));
        assert_eq!(waiting.next_deadline(at(100)), Some(at(1000)));
        assert_eq!(waiting.next_deadline(at(1000)), None);
    }

    #[test]
    fn the_first_acknowledgement_counts() {
        let read = delivery().acknowledged("Dr B", at(3)).acknowledged("Dr C", at(4));
        assert_eq!(read.acknowledgement, Some(Acknowledgement { by: "Dr B".into(), at: at(3) }));
    }
}
