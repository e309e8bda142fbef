//! Quarantine: objects that guard or header reading refused, whose bytes a centre wants kept until a person has decided. They are no
//! instances: nothing finds them but the page that lists them, and their senders heard that they are not stored.

use crate::{
    Timestamp,
    digest::Sha256Digest,
    id::{CentreId, PersonId, QuarantineId},
    object::ObjectRef,
    uid::{SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};

/// Most characters of a reason that is kept.
pub const REASON_CHARS_MAX: usize = 500;

/// An object in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Identity.
    pub id: QuarantineId,
    /// Whose.
    pub centre: CentreId,
    /// Which way it came.
    pub way: Way,
    /// Who sent it, as [`crate::audit::Actor::text`] has it.
    pub by: String,
    /// What it claims to be.
    pub claim: Claim,
    /// What is wrong, with the element and the byte where that can be said. Without patient data.
    pub reason: String,
    /// What to do, in a sentence.
    pub next_step: String,
    /// Where the bytes rest: a file with a file meta of ours and the data set as it came.
    pub object: ObjectRef,
    /// Bytes of that file.
    pub bytes: u64,
    /// Bytes of the data set.
    pub data_set_bytes: u64,
    /// Digest of the file.
    pub sha256: Sha256Digest,
    /// When it was made durable.
    pub received: Timestamp,
    /// How often it came.
    pub times: u64,
    /// When it came last.
    pub last_received: Timestamp,
    /// Where it stands.
    pub state: QuarantineState,
}

/// What an object claims to be, outside of its data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// SOP class, by the request or the file meta.
    pub sop_class: Option<SopClassUid>,
    /// SOP instance, by the request or the file meta.
    pub sop_instance: Option<SopInstanceUid>,
    /// How the data set is encoded.
    pub transfer_syntax: TransferSyntaxUid,
}

/// Which way an object came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// C-STORE.
    Association,
    /// STOW-RS.
    Web,
    /// The upload page.
    Upload,
    /// Found in storage when the catalog was made again: which way it had come is forgotten.
    Rebuild,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Association, Self::Web, Self::Upload, Self::Rebuild];

    /// The word in the catalog and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Association => "association",
            Self::Web => "web",
            Self::Upload => "upload",
            Self::Rebuild => "rebuild",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.as_str() == text)
    }
}

/// Where an object in quarantine stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineState {
    /// It waits for a person.
    Waiting,
    /// A person does not want it. Its bytes stay until the retention time is over, and until then this can be undone.
    Discarded(Decision),
    /// It was tried again and is an instance now; the quarantine needs its bytes no more.
    Stored {
        /// By whom and when.
        decision: Decision,
        /// In which study.
        study: StudyInstanceUid,
    },
    /// It was tried again and has the identity of another image: both are kept, on the list of conflicts.
    Conflict(Decision),
}

/// Who decided, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// A named person.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
}

impl QuarantineState {
    /// The word in the catalog and in the API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Discarded(_) => "discarded",
            Self::Stored { .. } => "stored",
            Self::Conflict(_) => "conflict",
        }
    }

    /// The decision that led here, if a person made one.
    #[must_use]
    pub const fn decision(&self) -> Option<Decision> {
        match self {
            Self::Waiting => None,
            Self::Discarded(decision) | Self::Stored { decision, .. } | Self::Conflict(decision) => {
                Some(*decision)
            }
        }
    }

    /// Whether the quarantine still holds the bytes.
    #[must_use]
    pub const fn has_bytes(&self) -> bool {
        match self {
            Self::Waiting | Self::Discarded(_) => true,
            Self::Stored { .. } | Self::Conflict(_) => false,
        }
    }
}

/// What the quarantine of a centre may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineLimits {
    /// Objects.
    pub objects: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// What the quarantine of a centre holds: objects whose bytes are there, discarded ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuarantineUse {
    /// Objects.
    pub objects: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

impl QuarantineUse {
    /// Bytes that one more object may have; `None` when there is no room for any.
    #[must_use]
    pub const fn room(self, limits: QuarantineLimits) -> Option<u64> {
        if self.objects >= limits.objects || self.bytes >= limits.bytes {
            return None;
        }
        Some(limits.bytes - self.bytes)
    }
}

/// What became of an object that asks to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepOutcome {
    /// It is in quarantine.
    Kept,
    /// The same bytes are in quarantine; the object that was just written is not needed unless it rests there.
    AlreadyKept {
        /// Where the bytes that count rest.
        object: ObjectRef,
    },
    /// A person has discarded these very bytes; it is counted, and not kept again.
    Discarded {
        /// Where the bytes that count rest.
        object: ObjectRef,
    },
    /// The centre does not keep such objects.
    NotWanted,
    /// There is no room; a task says so.
    Full,
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineChange {
    /// It is not wanted.
    Discard,
    /// It is wanted after all.
    Restore,
    /// It was tried again and is an instance.
    Stored {
        /// In which study.
        study: StudyInstanceUid,
    },
    /// It was tried again and is held as a conflict.
    Conflict,
    /// It was tried again and refused again.
    Refused {
        /// What is wrong.
        reason: String,
        /// What to do.
        next_step: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_at_either_limit() {
        let limits = QuarantineLimits { objects: 2, bytes: 100 };
        for (objects, bytes, room) in
            [(0, 0, Some(100)), (1, 40, Some(60)), (2, 40, None), (1, 100, None), (9, 900, None)]
        {
            assert_eq!(QuarantineUse { objects, bytes }.room(limits), room, "{objects} {bytes}");
        }
    }
}
