//! Storage commitment (PS3.4 annex J, PS3.18 section 13): requests come in over associations and the web, are kept before they are
//! answered, and are worked on from the queue, so that a process may die at any moment.
//!
//! An object is committed only after it was read again and found to be what was stored. Who asked over an association is told by
//! N-EVENT-REPORT; who asked over the web asks for the result.

mod check;
mod open;
mod tell;
pub mod web;
pub mod worker;

use dimse::{CommitmentReport, FailedSop, SopReference};
use domain::{
    commitment::{Commitment, Reference},
    uid::{SopClassUid, SopInstanceUid},
};

pub use open::OpenAssociations;
pub(crate) use open::{Told, next};
pub use worker::Committer;

/// References as they stand on the wire; `None` when an identifier is no UID.
pub(crate) fn references(wire: &[SopReference]) -> Option<Vec<Reference>> {
    let read = |one: &SopReference| {
        Some(Reference {
            sop_class: SopClassUid::parse(&one.sop_class_uid).ok()?,
            sop_instance: SopInstanceUid::parse(&one.sop_instance_uid).ok()?,
        })
    };
    wire.iter().map(read).collect()
}

fn wire(reference: &Reference) -> SopReference {
    SopReference {
        sop_class_uid: reference.sop_class.to_string(),
        sop_instance_uid: reference.sop_instance.to_string(),
    }
}

/// What a sender is told about a commitment that was checked.
fn report(commitment: &Commitment) -> CommitmentReport {
    let failures = commitment.failures.as_deref().unwrap_or_default();
    let failed = failures
        .iter()
        .map(|failure| FailedSop { reference: wire(&failure.reference), reason: failure.reason.code() });
    CommitmentReport {
        transaction_uid: commitment.transaction.to_string(),
        committed: commitment.committed().into_iter().map(wire).collect(),
        failed: failed.collect(),
    }
}
