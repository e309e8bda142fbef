//! Audit: who did or saw what, of which study, when. Written in the transaction of the change it speaks of.

use crate::{
    Timestamp,
    id::{CentreId, DeliveryId, PersonId, TokenId},
    text::AeTitle,
    uid::StudyInstanceUid,
};

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person who is signed in.
    Person(PersonId),
    /// A program with a token.
    Token(TokenId),
    /// A DICOM peer.
    Peer(AeTitle),
    /// The holder of a personal link.
    Link(DeliveryId),
    /// Somebody at the command line of the server.
    Operator,
    /// One of our own roles, by name.
    Role(&'static str),
}

impl Actor {
    /// The actor as one text, for the audit table: kind, colon, identity.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Person(id) => format!("person:{id}"),
            Self::Token(id) => format!("token:{id}"),
            Self::Peer(ae) => format!("peer:{ae}"),
            Self::Link(id) => format!("link:{id}"),
            Self::Operator => "operator".to_owned(),
            Self::Role(name) => format!("role:{name}"),
        }
    }

    /// Reads what [`Self::text`] writes of those who send; `None` for others.
    #[must_use]
    pub fn parse_sender(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("person", id) => PersonId::parse(id).ok().map(Self::Person),
            ("token", id) => TokenId::parse(id).ok().map(Self::Token),
            ("peer", ae) => AeTitle::parse(ae).map(Self::Peer),
            _ => None,
        }
    }
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// Who, as [`Actor::text`] has it.
    pub actor: String,
    /// What, a word of [`Action::as_str`].
    pub action: String,
    /// Whose data.
    pub centre: Option<CentreId>,
    /// Which study.
    pub study: Option<StudyInstanceUid>,
    /// What else there is to say, without patient data.
    pub detail: String,
}

/// What can be done or seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Somebody began to send files over the upload page.
    UploadBegun,
    /// Instances were stored.
    ImagesStored,
    /// An instance with other bytes than the known one was held.
    ConflictHeld,
    /// Images of a study named another patient.
    PatientConflictFound,
    /// A person decided a conflict.
    ConflictDecided,
    /// A person took a decision on a conflict back.
    ConflictReopened,
    /// A study was taken to be complete.
    StudyCompleted,
    /// An order came or changed.
    OrderReceived,
    /// A draft was written.
    Drafted,
    /// A claim changed.
    ClaimChanged,
    /// A working copy was saved.
    Edited,
    /// A version was signed.
    Signed,
    /// A study was opened by a person.
    StudyViewed,
    /// A list with patient data was queried.
    ListViewed,
    /// Images were retrieved.
    ImagesRetrieved,
    /// A signed report was opened.
    ReportViewed,
    /// A delivery was opened.
    DeliveryOpened,
    /// A delivery was attempted.
    DeliveryAttempted,
    /// A delivery was escalated.
    DeliveryEscalated,
    /// A report was acknowledged.
    Acknowledged,
    /// A task was opened.
    TaskOpened,
    /// A task was closed.
    TaskClosed,
    /// Somebody signed in.
    SignedIn,
    /// Somebody failed to sign in.
    SignInRefused,
    /// Somebody signed out.
    SignedOut,
    /// A centre, person, physician or token was made or changed.
    DirectoryChanged,
    /// A sender asked whether images are safely stored.
    CommitmentRequested,
    /// Images were read again for a commitment, with what came of it.
    CommitmentChecked,
    /// A sender was told the result of a commitment, or could not be.
    CommitmentReported,
    /// An object that cannot be read was kept in quarantine.
    Quarantined,
    /// A person decided about an object in quarantine, or tried it again.
    QuarantineDecided,
    /// An object of the quarantine was downloaded.
    QuarantineRetrieved,
    /// Objects that no row named were removed from the store.
    LeftoversRemoved,
    /// A stored object was found to be missing or not what was stored.
    ObjectDamaged,
    /// An object that was damaged is good again.
    ObjectRestored,
    /// A study was taken out.
    StudyTakenOut,
    /// A study that was taken out was brought back.
    StudyBroughtBack,
    /// The time of a study that was taken out is over: it is removed for good.
    StudyPurged,
}

impl Action {
    /// The word in the audit table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UploadBegun => "upload_begun",
            Self::ImagesStored => "images_stored",
            Self::ConflictHeld => "conflict_held",
            Self::PatientConflictFound => "patient_conflict_found",
            Self::ConflictDecided => "conflict_decided",
            Self::ConflictReopened => "conflict_reopened",
            Self::StudyCompleted => "study_completed",
            Self::OrderReceived => "order_received",
            Self::Drafted => "drafted",
            Self::ClaimChanged => "claim_changed",
            Self::Edited => "edited",
            Self::Signed => "signed",
            Self::StudyViewed => "study_viewed",
            Self::ListViewed => "list_viewed",
            Self::ImagesRetrieved => "images_retrieved",
            Self::ReportViewed => "report_viewed",
            Self::DeliveryOpened => "delivery_opened",
            Self::DeliveryAttempted => "delivery_attempted",
            Self::DeliveryEscalated => "delivery_escalated",
            Self::Acknowledged => "acknowledged",
            Self::TaskOpened => "task_opened",
            Self::TaskClosed => "task_closed",
            Self::SignedIn => "signed_in",
            Self::SignInRefused => "sign_in_refused",
            Self::SignedOut => "signed_out",
            Self::DirectoryChanged => "directory_changed",
            Self::CommitmentRequested => "commitment_requested",
            Self::CommitmentChecked => "commitment_checked",
            Self::CommitmentReported => "commitment_reported",
            Self::Quarantined => "quarantined",
            Self::QuarantineDecided => "quarantine_decided",
            Self::QuarantineRetrieved => "quarantine_retrieved",
            Self::LeftoversRemoved => "leftovers_removed",
            Self::ObjectDamaged => "object_damaged",
            Self::ObjectRestored => "object_restored",
            Self::StudyTakenOut => "study_taken_out",
            Self::StudyBroughtBack => "study_brought_back",
            Self::StudyPurged => "study_purged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_read_back() {
        let senders = [
            Actor::Person(PersonId::fresh()),
            Actor::Token(TokenId::fresh()),
            Actor::Peer(AeTitle::parse("CT:1").unwrap()),
        ];
        for sender in senders {
            assert_eq!(Actor::parse_sender(&sender.text()), Some(sender));
        }
        for other in [Actor::Operator, Actor::Role("intake")] {
            assert_eq!(Actor::parse_sender(&other.text()), None);
        }
    }
}
