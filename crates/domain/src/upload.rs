//! Uploads: files that a person or a program of a centre sends piece by piece over HTTP, and what became of each of them.
//!
//! An upload is one transfer: a DICOM file, or a ZIP with many. Uploads that were dropped onto the page together are a batch. It is not
//! the way in for images: what an upload holds goes through intake like everything else.

use crate::{
    Timestamp,
    id::{CentreId, UploadBatchId, UploadId, UploadSpoolId},
    image::StudyAttributes,
    uid::{SopInstanceUid, StudyInstanceUid},
};

/// Most characters of a name that is kept: a path in a folder or in an archive, as the sender has it.
pub const UPLOAD_NAME_CHARS_MAX: usize = 500;

/// One transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Identity; part of its address.
    pub id: UploadId,
    /// For which centre.
    pub centre: CentreId,
    /// With which others it was sent.
    pub batch: UploadBatchId,
    /// Where its bytes rest until they are taken in.
    pub spool: UploadSpoolId,
    /// What the sender calls it: the path of a file. It never becomes a path of ours.
    pub name: UploadName,
    /// How many bytes it has.
    pub bytes: u64,
    /// Who sends it, as [`crate::audit::Actor::text`] has it.
    pub by: String,
    /// When it was begun.
    pub created: Timestamp,
    /// After this moment it is removed if it did not end.
    pub expires: Timestamp,
    /// Where it stands.
    pub state: UploadState,
}

/// Where an upload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadState {
    /// Bytes are missing.
    Arriving,
    /// All bytes are here and wait to be taken in.
    Waiting,
    /// It is over.
    Ended {
        /// How.
        ending: UploadEnding,
        /// When.
        at: Timestamp,
    },
}

/// How an upload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadEnding {
    /// Everything in it was looked at; what became of each file stands beside it.
    TakenIn,
    /// It was refused as a whole, or from some place on.
    Refused {
        /// Why, for people.
        reason: String,
        /// What to do, for people.
        next_step: String,
    },
    /// Its sender did not go on in time.
    Expired,
    /// Its sender took it back.
    Withdrawn,
}

/// A name from outside, for people. It may hold a patient's name, so it hides in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadName(String);

impl UploadName {
    /// Keeps the first [`UPLOAD_NAME_CHARS_MAX`] characters, control characters as blanks.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Self(text.chars().take(UPLOAD_NAME_CHARS_MAX).map(plain).collect())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for UploadName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UploadName({} characters)", self.0.chars().count())
    }
}

/// What became of one file of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedFile {
    /// Its place in the upload, from 0: always 0 for a plain file.
    pub position: u32,
    /// Its path in the archive, or the upload's name.
    pub name: UploadName,
    /// What became of it.
    pub outcome: FileOutcome,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOutcome {
    /// It is durable and known.
    Stored {
        /// In which study.
        study: StudyInstanceUid,
    },
    /// The same bytes were here before.
    AlreadyStored {
        /// In which study.
        study: StudyInstanceUid,
    },
    /// It is what discs carry beside images, and was passed over.
    NotAnImage {
        /// What it is, for people: `a program of the disc's viewer`.
        what: String,
    },
    /// It was not stored.
    NotStored {
        /// The study, where it could be read.
        study: Option<StudyInstanceUid>,
        /// Why, for people.
        reason: String,
        /// What to do, for people.
        next_step: String,
    },
}

/// An image that a disc's directory (DICOMDIR, PS3.3 section F.3) names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromisedImage {
    /// Which.
    pub sop_instance: SopInstanceUid,
    /// The file on the disc.
    pub name: UploadName,
}

/// What became of everything that was sent together.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadBatch {
    /// Identity, chosen by the sender.
    pub id: UploadBatchId,
    /// Whose.
    pub centre: CentreId,
    /// When its first upload was begun.
    pub began: Timestamp,
    /// Who sent it, as [`crate::audit::Actor::text`] has it.
    pub by: String,
    /// Uploads whose bytes are not all here.
    pub arriving: u64,
    /// Uploads that wait to be taken in.
    pub waiting: u64,
    /// Uploads that are over.
    pub ended: u64,
    /// Bytes of all its uploads.
    pub bytes: u64,
    /// Its studies, by number of images.
    pub studies: Vec<BatchStudy>,
    /// Files that were passed over.
    pub not_images: u64,
    /// Files and whole uploads that were not stored.
    pub not_stored: u64,
    /// The first of those, with the reasons.
    pub refusals: Vec<BatchRefusal>,
    /// Images that its discs' directories name.
    pub promised: u64,
    /// How many of those the centre has not sent yet.
    pub missing: u64,
    /// The first of those, by file.
    pub missing_names: Vec<UploadName>,
}

/// Images of one study in a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStudy {
    /// Which.
    pub study: StudyInstanceUid,
    /// What its images say, if the study is known.
    pub attributes: Option<StudyAttributes>,
    /// Its modalities.
    pub modalities: Vec<String>,
    /// Images of the batch that were stored.
    pub stored: u64,
    /// Images of the batch that were here before.
    pub already_stored: u64,
    /// Images of the batch that were not stored.
    pub not_stored: u64,
}

/// Something that was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRefusal {
    /// The file, or the whole upload.
    pub name: UploadName,
    /// Why, for people.
    pub reason: String,
    /// What to do, for people.
    pub next_step: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_hidden() {
        let name = UploadName::new(&format!("Doe^Jane\n{}", "x".repeat(1000)));
        assert_eq!(name.as_str().chars().count(), UPLOAD_NAME_CHARS_MAX);
        assert!(name.as_str().starts_with("Doe^Jane x"));
        assert!(!format!("{name:?}").contains("Doe"));
    }
}
