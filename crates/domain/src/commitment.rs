//! Storage commitment (PS3.4 annex J, PS3.18 section 13): a sender asks whether its objects are safely stored, so that it may
//! delete its own. The answer is yes only for what was read again and found to be what was stored.

use crate::{
    Duration, Timestamp,
    id::{CentreId, CommitmentId},
    text::AeTitle,
    uid::{SopClassUid, SopInstanceUid, TransactionUid},
};

/// Most objects of one request; a study beyond it is asked for in several.
pub const REFERENCES_MAX: usize = 50_000;

/// Most unfinished requests of one centre: years of a department whose peer is off, and few enough that no peer fills the catalog.
pub const WAITING_MAX: u32 = 1_000;

/// How long a finished commitment can be asked for again.
pub const KEPT: Duration = Duration::from_hours(30 * 24);

/// Pauses before the next try to tell an asker, one after each failed try: quick ones for a peer that is just busy, then hours for one that
/// is switched off at night. After the last one a person is told.
const PAUSES: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(8),
    Duration::from_hours(8),
];

/// When to try again after so many failed tries; `None` when that was the last one.
#[must_use]
pub fn next_try(failed_tries: u32, now: Timestamp) -> Option<Timestamp> {
    let index = usize::try_from(failed_tries).ok()?.checked_sub(1)?;
    now.checked_add(*PAUSES.get(index)?).ok()
}

/// One object that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Referenced SOP Class UID (0008,1150).
    pub sop_class: SopClassUid,
    /// Referenced SOP Instance UID (0008,1155).
    pub sop_instance: SopInstanceUid,
}

/// Why an object is not committed: Failure Reason (0008,1197), PS3.3 section C.14.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// 0110H: it is known, and what rests in storage is not what was stored.
    ProcessingFailure,
    /// 0112H: the centre has no such object.
    NoSuchInstance,
    /// 0119H: it is of another class.
    ClassInstanceConflict,
    /// 0122H: the class is not one that is stored.
    ClassNotSupported,
    /// 0131H: the Transaction UID stands for another request.
    DuplicateTransaction,
    /// 0213H: the store could not be read often enough to know.
    ResourceLimitation,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::ProcessingFailure,
        Self::NoSuchInstance,
        Self::ClassInstanceConflict,
        Self::ClassNotSupported,
        Self::DuplicateTransaction,
        Self::ResourceLimitation,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::ProcessingFailure => 0x0110,
            Self::NoSuchInstance => 0x0112,
            Self::ClassInstanceConflict => 0x0119,
            Self::ClassNotSupported => 0x0122,
            Self::DuplicateTransaction => 0x0131,
            Self::ResourceLimitation => 0x0213,
        }
    }

    /// Reads the number.
    #[must_use]
    pub fn of_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// An object that is not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which one.
    pub reference: Reference,
    /// Why.
    pub reason: FailureReason,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// An AE title, which is told by N-EVENT-REPORT.
    Peer(AeTitle),
    /// A program over DICOMweb, which asks for the result itself.
    Web,
}

/// A request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// Identity.
    pub id: CommitmentId,
    /// Whose images.
    pub centre: CentreId,
    /// (0008,1195).
    pub transaction: TransactionUid,
    /// Who asked.
    pub by: Asker,
    /// For which objects.
    pub references: Vec<Reference>,
    /// When.
    pub asked: Timestamp,
    /// Its Transaction UID stands for another request.
    pub is_duplicate: bool,
    /// What was found, once it was looked for: the objects that are not committed.
    pub failures: Option<Vec<Failure>>,
    /// Failed tries to tell the asker.
    pub failed_tries: u32,
    /// When the asker was told.
    pub reported: Option<Timestamp>,
}

impl Commitment {
    /// The objects that are committed; empty as long as nobody looked.
    #[must_use]
    pub fn committed(&self) -> Vec<&Reference> {
        let Some(failures) = &self.failures else { return Vec::new() };
        let failed: std::collections::HashSet<_> =
            failures.iter().map(|failure| &failure.reference).collect();
        self.references.iter().filter(|reference| !failed.contains(reference)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_end() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(next_try(0, now), None, "no try failed");
        let mut last = now;
        let mut tries = 0;
        while let Some(next) = next_try(tries + 1, now) {
            assert!(next >= last, "pauses grow");
            last = next;
            tries += 1;
        }
        assert_eq!(tries, 10);
        let total: Duration = PAUSES.iter().fold(Duration::ZERO, |sum, pause| sum + *pause);
        assert!(total > Duration::from_hours(12), "a peer that is off for a night is reached");
    }

    #[test]
    fn reasons_read_back() {
        for reason in FailureReason::ALL {
            assert_eq!(FailureReason::of_code(reason.code()), Some(reason));
        }
        assert_eq!(FailureReason::of_code(0), None);
    }
}
