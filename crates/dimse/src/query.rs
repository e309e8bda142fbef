//! Query and retrieve (PS3.4 annex C): what a peer asks by C-FIND, C-MOVE and C-GET, and what it is answered, step by step. Not who may
//! ask, and not what is found.

use bytes::Bytes;
use dicom_dictionary_std::uids;

use crate::{availability::NoticeSyntax, command::Priority, requestor::StoreCommand, status::Status};

/// Information model: what stands at the top of its tree (PS3.4 section C.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    /// Patient Root (PS3.4 section C.6.1).
    Patient,
    /// Study Root (PS3.4 section C.6.2).
    Study,
}

impl Root {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Patient, Self::Study];

    /// SOP class UID of its C-FIND.
    #[must_use]
    pub const fn find_uid(self) -> &'static str {
        match self {
            Self::Patient => uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
            Self::Study => uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
        }
    }

    /// SOP class UID of its C-MOVE.
    #[must_use]
    pub const fn move_uid(self) -> &'static str {
        match self {
            Self::Patient => uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
            Self::Study => uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
        }
    }

    /// SOP class UID of its C-GET.
    #[must_use]
    pub const fn get_uid(self) -> &'static str {
        match self {
            Self::Patient => uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
            Self::Study => uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// C-FIND: what there is.
    Find,
    /// C-MOVE: objects, sent to another application entity.
    Move {
        /// Move Destination (0000,0600); none when it is missing or no title.
        destination: Option<String>,
    },
    /// C-GET: objects, sent on the same association.
    Get,
}

/// C-FIND-RQ, C-MOVE-RQ or C-GET-RQ (PS3.7 sections 9.1.2 to 9.1.4), with its whole identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Presentation context.
    pub context_id: u8,
    /// Message id to answer.
    pub message_id: u16,
    /// Information model.
    pub root: Root,
    /// What is asked for.
    pub wish: Wish,
    /// Priority.
    pub priority: Priority,
    /// The identifier as received.
    pub identifier: Bytes,
    /// How the identifier is written, and those of answers must be.
    pub syntax: NoticeSyntax,
}

/// How far the sub-operations of a C-MOVE or C-GET are (PS3.7 table 9.1-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Not begun yet.
    pub remaining: u16,
    /// Done with success.
    pub completed: u16,
    /// Not done.
    pub failed: u16,
    /// Done with a warning.
    pub warning: u16,
}

/// One response to an [`Asked`]. With a pending status further ones follow; any other is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status.
    pub status: Status,
    /// Identifier: a match, or the list of failed instances.
    pub identifier: Option<Vec<u8>>,
    /// Counts of sub-operations. What remains is told only while it may go on (PS3.4 section C.4.2.1.6).
    pub counts: Option<Counts>,
    /// Error Comment (0000,0902), without patient data; cut at 64 characters.
    pub comment: Option<String>,
    /// Offending Element (0000,0901), group and element.
    pub offending: Option<(u16, u16)>,
}

impl Reply {
    /// A response that says nothing but its status.
    #[must_use]
    pub const fn of(status: Status) -> Self {
        Self { status, identifier: None, counts: None, comment: None, offending: None }
    }

    /// With a comment.
    #[must_use]
    pub fn saying(self, comment: impl Into<String>) -> Self {
        Self { comment: Some(comment.into()), ..self }
    }
}

/// What the side that answers does next: replies, and between them the sub-operations of a C-GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Answers.
    Reply(Reply),
    /// Begins a C-STORE sub-operation; data and their end follow, nothing else between them.
    Begin(StoreCommand),
    /// Bytes of the object.
    Data(Bytes),
    /// The object is complete; the peer's status is awaited.
    End,
    /// An object that has begun cannot be completed: only the end of the association takes it back.
    Abort,
}
