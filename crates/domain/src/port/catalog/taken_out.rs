//! Studies that were taken out: what may be, what was, until when it can come back, and its end.

use async_trait::async_trait;

use super::{ChangeError, Known};
use crate::{
    Timestamp,
    audit::Actor,
    digest::ImageSetDigest,
    object::ObjectRef,
    person::Scope,
    study::{ImageSet, Study, StudyKey},
    uid::SopInstanceUid,
};

/// Longest reason for taking a study out, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// What is asked of [`TakenOutStudies::take_out`].
#[derive(Debug, Clone)]
pub struct TakeOut {
    /// Which study.
    pub study: StudyKey,
    /// The images that were shown to who decides.
    pub image_set: ImageSetDigest,
    /// Who decides.
    pub by: Actor,
    /// Why, in their words; at most [`REASON_CHARS_MAX`] characters. It may name the patient, so it is shown to administrators alone.
    pub reason: String,
    /// Until when it can come back.
    pub until: Timestamp,
}

/// Why a study is not taken out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TakeOutRefusal {
    /// There is none of this name.
    #[error("there is no such study")]
    Unknown,
    /// A report was signed on it: the report stands on its images.
    #[error("a report is signed on it")]
    Signed,
    /// A reader holds it.
    #[error("a reader holds it")]
    Held {
        /// Until when, unless they go on.
        until: Timestamp,
    },
    /// A conflict is open, or was decided between this study and another one.
    #[error("a conflict touches it")]
    InConflict,
    /// It has other images than were shown.
    #[error("its images are not those that were shown")]
    Changed,
}

/// Why a study does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BringBackRefusal {
    /// None of this name was taken out.
    #[error("no such study was taken out")]
    Unknown,
    /// Its time is over, and its objects are being removed.
    #[error("its time is over")]
    Over,
    /// An image of it came again since, in another study.
    #[error("an image of it is in another study now")]
    ImageElsewhere,
}

/// A study that was taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenOut {
    /// The study as it was.
    pub study: Study,
    /// When it was taken out.
    pub at: Timestamp,
    /// Until when it can come back.
    pub until: Timestamp,
    /// Who took it out, as [`Actor::text`] has it.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// Its time is over, and its objects are being removed.
    pub is_over: bool,
    /// Images of it that came since and were refused.
    pub refused_count: u64,
    /// When the last of them came.
    pub last_refused: Option<Timestamp>,
}

/// Studies that were taken out. All that is known of one is moved aside in one transaction, so that no other question finds it, and moved
/// back in one. Its objects stay where they are until its time is over.
#[async_trait]
pub trait TakenOutStudies {
    /// What would go, if it may go now.
    async fn before_take_out(
        &self,
        study: &StudyKey,
        now: Timestamp,
    ) -> Result<(Study, ImageSet), ChangeError<TakeOutRefusal>>;

    /// Takes a study out, with a line of the audit. Orders that it answered wait for a study again.
    async fn take_out(
        &self,
        wanted: &TakeOut,
        now: Timestamp,
    ) -> Result<TakenOut, ChangeError<TakeOutRefusal>>;

    /// Brings a study back as it was, with a line of the audit and an outbox row as for images that came. It answers its order again if
    /// that still waits.
    async fn bring_back(
        &self,
        study: &StudyKey,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), ChangeError<BringBackRefusal>>;

    /// Those that were taken out, the latest first, at most `limit`.
    async fn taken_out(&self, scope: &Scope, limit: u32) -> Known<Vec<TakenOut>>;

    /// A study whose time is over, if there is one. From now on it cannot come back; it is given again until [`Self::end_purge`].
    async fn begin_purge(&self, now: Timestamp) -> Known<Option<StudyKey>>;

    /// Condemns objects of its images, as a sweep does with what no row names, in the order of the images' UIDs, after one of them, at most
    /// `limit`. Those that were condemned before are given again.
    async fn condemn_to_purge(
        &self,
        study: &StudyKey,
        after: Option<&SopInstanceUid>,
        limit: u32,
        at: Timestamp,
    ) -> Known<Vec<(SopInstanceUid, ObjectRef)>>;

    /// Its objects are gone: so is all that is known of it, but the audit.
    async fn end_purge(&self, study: &StudyKey, now: Timestamp) -> Known<()>;
}
