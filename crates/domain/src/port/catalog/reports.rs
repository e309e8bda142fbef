//! Drafts, working copies, signed versions.

use async_trait::async_trait;

use super::{ChangeError, Known};
use crate::{
    Timestamp,
    digest::ImageSetDigest,
    id::PersonId,
    object::ObjectKey,
    report::{Draft, InvalidContent, KeyImage, ReportContent, ReportVersion, WorkingCopy},
    study::StudyKey,
};

/// Drafts, working copies, signed versions.
#[async_trait]
pub trait Reports {
    /// Keeps a draft, unless there is one of the same or a later image generation. A working copy is never touched.
    async fn put_draft(&self, draft: &Draft) -> Known<DraftOutcome>;

    /// The latest draft of a study.
    async fn draft(&self, study: &StudyKey) -> Known<Option<Draft>>;

    /// Saves a working copy on top of `based_on` (0 for the first). Only who holds the claim may.
    ///
    /// # Errors
    /// See [`EditRefusal`].
    async fn save_working_copy(
        &self,
        study: &StudyKey,
        based_on: u64,
        by: PersonId,
        content: &ReportContent,
        at: Timestamp,
    ) -> Result<WorkingCopy, ChangeError<EditRefusal>>;

    /// The working copy of a study, if somebody began one since the last signature.
    async fn working_copy(&self, study: &StudyKey) -> Known<Option<WorkingCopy>>;

    /// Signs: a compare-and-set on claim holder, version number and image set. Writes version, reading, audit and the outbox row for the
    /// notifier in one transaction, and ends working copy and claim. The same request again (same signer, same
    /// content, same images, and the
    /// version it would have made is the latest) gives the version that is there.
    ///
    /// # Errors
    /// See [`SignRefusal`].
    async fn sign(
        &self,
        request: &SignRequest,
        at: Timestamp,
    ) -> Result<ReportVersion, ChangeError<SignRefusal>>;

    /// Signed versions of a study, the first one first.
    async fn versions(&self, study: &StudyKey) -> Known<Vec<ReportVersion>>;

    /// Notes where the PDF of a signed version rests. The first one noted counts and never changes; gives that one. `None` when there is no
    /// such version.
    async fn put_pdf(&self, study: &StudyKey, version: u32, object: &ObjectKey) -> Known<Option<ObjectKey>>;

    /// Where the PDF of a signed version rests, once it was made.
    async fn pdf(&self, study: &StudyKey, version: u32) -> Known<Option<ObjectKey>>;
}

/// What became of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftOutcome {
    /// It is now the latest.
    Kept,
    /// There was one of the same or a later image generation.
    AlreadyThere,
}

/// What a reader wants to sign.
#[derive(Debug, Clone, PartialEq)]
pub struct SignRequest {
    /// Which study.
    pub study: StudyKey,
    /// Who.
    pub signer: PersonId,
    /// The text.
    pub content: ReportContent,
    /// Its pictures.
    pub key_images: Vec<KeyImage>,
    /// The version before this one, as it was on screen; 0 for none. With one, this becomes an addendum.
    pub after_version: u32,
    /// The images that were on screen.
    pub image_set: ImageSetDigest,
}

/// Why a signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignRefusal {
    /// No such study.
    #[error("there is no such study")]
    Unknown,
    /// Somebody else holds the claim, or nobody.
    #[error("you do not hold this reading any more")]
    NotYours,
    /// Images came since.
    #[error("new images have come since you opened the study: look again before you sign")]
    ImagesChanged,
    /// Somebody signed since.
    #[error("another version was signed since you opened the report")]
    VersionChanged,
    /// The text cannot be kept.
    #[error(transparent)]
    Content(InvalidContent),
    /// A report without an impression tells nobody anything.
    #[error("the impression is empty")]
    NoImpression,
}

/// Why a working copy was not saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditRefusal {
    /// Somebody else holds the claim, or nobody.
    #[error("you do not hold this reading any more")]
    NotYours,
    /// It was saved elsewhere since, for example in another window.
    #[error("the text was changed in another window")]
    Changed {
        /// The revision that is there.
        revision: u64,
    },
    /// The text cannot be kept.
    #[error(transparent)]
    Content(InvalidContent),
}
