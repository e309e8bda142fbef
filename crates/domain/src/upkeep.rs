//! Upkeep: the store kept honest while it runs. A sweep removes what no row names; a scrub reads everything again.
//!
//! What a job has done stands in the catalog, so that a restart goes on where it was and one process at a time does the work.

use uuid::Uuid;

use crate::{
    Duration, Timestamp, digest::Sha256Digest, id::CentreId, object::ObjectRef, study::StudyKey,
    uid::SopInstanceUid,
};

/// How long it is remembered that an object was removed. A process that was stopped with bytes in hand must not wake up later than this and
/// make them known (a machine that sleeps over a weekend may).
pub const REMOVALS_KEPT: Duration = Duration::from_hours(30 * 24);

/// A job that one process at a time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job {
    /// Removing what no row names.
    Sweep,
    /// Reading everything again.
    Scrub,
}

impl Job {
    /// The word in the catalog.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Scrub => "scrub",
        }
    }
}

/// How far the history of a catalog is. The store is told from time to time ([`crate::object::ObjectName::Mark`]): a catalog whose mark is
/// behind what its store has seen is an older copy, and does not name everything that it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which catalog; another one after it was made anew.
    pub catalog: Uuid,
    /// Goes up.
    pub number: u64,
    /// When it went up last.
    pub at: Option<Timestamp>,
}

/// Where a job stands. Of a job that was never done everything is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// When the round that is under way began; `None` between rounds.
    pub began: Option<Timestamp>,
    /// How far it is, in the job's own words: after which object it goes on.
    pub position: Option<String>,
    /// What this round has done so far.
    pub now: Tally,
    /// Bytes that a scrub has before it in all, as far as was known when the round began.
    pub bytes_in_all: u64,
    /// Rounds that ended.
    pub rounds: u64,
    /// When the last round that ended began, and when it ended.
    pub last: Option<(Timestamp, Timestamp)>,
    /// What the last round that ended did.
    pub before: Tally,
    /// Why it does not go on, in a sentence for a person.
    pub halted: Option<String>,
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects that were looked at.
    pub objects: u64,
    /// Their bytes, where they were read.
    pub bytes: u64,
    /// Objects that were found bad, or that were removed.
    pub found: u64,
}

/// An object that a row names, in the order of a scrub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedObject {
    /// Which row names it.
    pub by: NamedBy,
    /// The study it is of.
    pub study: StudyKey,
    /// What it is and where.
    pub object: ObjectRef,
    /// Its size, where the row says it.
    pub bytes: Option<u64>,
    /// The digest that was promised.
    pub sha256: Sha256Digest,
}

/// The row that names an object; also where a scrub stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedBy {
    /// A current image.
    Instance(CentreId, SopInstanceUid),
    /// A content that is held as a conflict, by the row's key: centre, SOP instance, study, digest.
    Held(CentreId, SopInstanceUid, String, String),
    /// A signed version: its PDF and its key images.
    Report(CentreId, String, u32),
}

impl NamedBy {
    /// As one text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Instance(centre, instance) => format!("instance {centre} {instance}"),
            Self::Held(centre, instance, study, sha256) => {
                format!("held {centre} {instance} {study} {sha256}")
            }
            Self::Report(centre, study, number) => format!("report {centre} {study} {number}"),
        }
    }

    /// Reads the text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(' ').collect();
        let centre = |text: &str| CentreId::parse(text).ok();
        let instance = |text: &str| SopInstanceUid::parse(text).ok();
        match parts.as_slice() {
            ["instance", c, i] => Some(Self::Instance(centre(c)?, instance(i)?)),
            ["held", c, i, study, sha256] => {
                Some(Self::Held(centre(c)?, instance(i)?, (*study).to_owned(), (*sha256).to_owned()))
            }
            ["report", c, study, number] => {
                Some(Self::Report(centre(c)?, (*study).to_owned(), number.parse().ok()?))
            }
            _ => None,
        }
    }
}

/// A stored object that is not what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Which.
    pub object: ObjectRef,
    /// The study it is of.
    pub study: StudyKey,
    /// What is wrong with it: a clause that follows "it".
    pub how: String,
    /// Since when it is known.
    pub found: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back() {
        let (centre, instance) = (CentreId::parse("c1").unwrap(), SopInstanceUid::parse("1.2").unwrap());
        for by in [
            NamedBy::Instance(centre.clone(), instance.clone()),
            NamedBy::Held(centre.clone(), instance, "1.3".into(), "ab".into()),
            NamedBy::Report(centre, "1.3".into(), 7),
        ] {
            assert_eq!(NamedBy::parse(&by.text()), Some(by));
        }
        for bad in ["", "instance", "instance c1", "report c1 1.2 x", "other c1 1.2"] {
            assert_eq!(NamedBy::parse(bad), None, "{bad}");
        }
    }
}
