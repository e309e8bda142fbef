//! What the page says about files that were not stored: the reason and the next step, in plain words.

use domain::upload::{FileOutcome, UploadEnding};

use super::archive::{ArchiveFlaw, EntryFlaw};
use crate::receive::Refusal;

const GIB: u64 = 1 << 30;

fn not_stored(reason: impl Into<String>, next_step: &str) -> FileOutcome {
    FileOutcome::NotStored { study: None, reason: reason.into(), next_step: next_step.to_owned() }
}

/// What became of an object that intake refused; `None` when it should be tried again later.
pub(super) fn of_refusal(refusal: &Refusal) -> Option<FileOutcome> {
    Some(match refusal {
        Refusal::NotUnderstood(flaw) | Refusal::BulkData(flaw) => not_stored(
            format!("It cannot be read as an image: {flaw}."),
            "Export the image from the scanner again and send that.",
        ),
        Refusal::Unreadable(flaw) => not_stored(
            format!("It cannot be read as an image: {flaw}."),
            "Export the image from the scanner again and send that.",
        ),
        Refusal::Quarantined(flaw) => not_stored(
            format!("It cannot be read as an image: {flaw}. It is kept in quarantine."),
            "Export the image from the scanner again and send that. What is in quarantine stands on the page of that name.",
        ),
        Refusal::TransferSyntax(flaw) => not_stored(
            format!("Its pixels cannot be taken: {flaw}."),
            "Export the image from the scanner again and send that.",
        ),
        Refusal::Mismatch(what) => not_stored(
            format!("What its head says of the {what} is not what it holds."),
            "Export the image from the scanner again and send that.",
        ),
        Refusal::TooLarge(bytes) => not_stored(
            format!("It is larger than {} allowed for one image.", size(*bytes)),
            "Ask the operator of this service to raise the limit.",
        ),
        Refusal::Conflict => not_stored(
            "Another image with the same identity (SOP Instance UID) is here already. Both are kept, and the first one stays in use.",
            "Do not send it again. A person compares the two; tell them which one is right.",
        ),
        Refusal::TakenOut => not_stored(
            "An administrator took this study out, and it can still be brought back.",
            "Ask an administrator to bring the study back, then send this again.",
        ),
        Refusal::Full | Refusal::Unavailable(_) => return None,
    })
}

/// What became of an entry that cannot be read. A flaw of the archive as a whole is told by [`of_archive`].
pub(super) fn of_entry(flaw: &EntryFlaw) -> FileOutcome {
    match flaw {
        EntryFlaw::Encrypted => not_stored(
            "It is protected by a password.",
            "Unpack it on your computer with the password, then drop the folder here.",
        ),
        EntryFlaw::Method(_) => not_stored(
            "It is packed in a way that is not read here.",
            "Unpack the ZIP on your computer, then drop the folder here.",
        ),
        EntryFlaw::Damaged => not_stored(
            "It is damaged inside the ZIP.",
            "Make the ZIP again, or copy the disc to a folder and drop the folder here.",
        ),
        EntryFlaw::Archive(flaw) => not_stored(flaw.to_string(), "Make the ZIP again."),
    }
}

/// How an upload ends whose archive cannot be read; `None` when it should be tried again later.
pub(super) fn of_archive(flaw: &ArchiveFlaw) -> Option<UploadEnding> {
    let (reason, next_step) = match flaw {
        ArchiveFlaw::NoDirectory => (
            "It is not a whole ZIP: its table of contents is missing or damaged.".to_owned(),
            "Make the ZIP again, or unpack it and drop the folder here.",
        ),
        ArchiveFlaw::Split => (
            "It is one part of a split ZIP.".to_owned(),
            "Join the parts on your computer, or drop the folder itself here.",
        ),
        ArchiveFlaw::TooManyEntries(most) => (
            format!("It holds more than {most} files."),
            "Send it in smaller parts, or drop the folder itself here.",
        ),
        ArchiveFlaw::LargeDirectory(bytes) => (
            format!("Its table of contents is larger than {}.", size(*bytes)),
            "Send it in smaller parts, or drop the folder itself here.",
        ),
        ArchiveFlaw::Overlap => (
            "Files inside it overlap, as only a harmful or damaged ZIP has it.".to_owned(),
            "Make the ZIP again from the original folder.",
        ),
        ArchiveFlaw::TooLarge(bytes) => (
            format!("It unpacks to more than {}.", size(*bytes)),
            "Send it in smaller parts, or drop the folder itself here.",
        ),
        ArchiveFlaw::Bomb(ratio) => (
            format!("It unpacks to more than {ratio} times its size, as only a harmful ZIP does."),
            "Make the ZIP again from the original folder, or drop the folder itself here.",
        ),
        ArchiveFlaw::Unreadable(_) => return None,
    };
    Some(UploadEnding::Refused { reason, next_step: next_step.to_owned() })
}

pub(super) fn nested_archive() -> FileOutcome {
    not_stored(
        "It is an archive inside a ZIP; those are not opened.",
        "Unpack it on your computer, then drop the folder here.",
    )
}

pub(super) fn foreign_archive() -> FileOutcome {
    not_stored(
        "It is an archive of a kind that is not opened here.",
        "Unpack it on your computer and drop the folder here, or make a ZIP of it.",
    )
}

pub(super) fn unknown(reason: &str) -> FileOutcome {
    not_stored(
        format!("It is not a DICOM image: {reason}."),
        "If it should be one, export it from the scanner again and send that.",
    )
}

pub(super) fn given_up() -> UploadEnding {
    UploadEnding::Refused {
        reason: "It was here, but could not be stored in time: the archive was away.".to_owned(),
        next_step: "Send it again; what was stored before is recognised.".to_owned(),
    }
}

pub(super) fn lost() -> UploadEnding {
    UploadEnding::Refused {
        reason: "Its bytes are not on the server any more.".to_owned(),
        next_step: "Send it again; what was stored before is recognised.".to_owned(),
    }
}

/// A number of bytes in words.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KB", bytes >> 10),
        1_048_576..GIB => format!("{} MB", bytes >> 20),
        GIB.. => format!("{} GB", bytes / GIB),
    }
}
