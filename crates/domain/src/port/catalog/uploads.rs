//! Uploads and what became of them, and where a centre's studies stand.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    audit::Actor,
    id::{CentreId, UploadBatchId, UploadId, UploadSpoolId},
    journey::Journey,
    upload::{PromisedImage, Upload, UploadBatch, UploadEnding, UploadedFile},
};

/// Uploads and what became of them.
#[async_trait]
pub trait Uploads {
    /// Keeps an upload that was begun, in state arriving or waiting. The first one of a batch writes a line into the audit. A batch that
    /// another centre has is not joined: the answer is `false`, and nothing is kept.
    async fn begin_upload(&self, upload: &Upload, by: &Actor) -> Known<bool>;

    /// An upload.
    async fn upload(&self, id: UploadId) -> Known<Option<Upload>>;

    /// All bytes of an upload are here: it waits from now on. `false` when it ended before.
    async fn upload_arrived(&self, id: UploadId) -> Known<bool>;

    /// Uploads of a spool that did not end, by identity (the order of their making), after `after`, at most `limit`.
    async fn open_uploads(
        &self,
        spool: UploadSpoolId,
        after: Option<UploadId>,
        limit: u32,
    ) -> Known<Vec<Upload>>;

    /// Keeps what became of files of an upload, and what its disc's directory names. The same position again changes nothing.
    async fn keep_uploaded(
        &self,
        upload: &Upload,
        files: &[UploadedFile],
        promised: &[PromisedImage],
    ) -> Known<()>;

    /// Positions of files of an upload whose outcome is kept, in order.
    async fn uploaded_positions(&self, upload: &Upload) -> Known<Vec<u32>>;

    /// Ends an upload, with what became of its last files. `false` when it ended before; then nothing is kept.
    async fn end_upload(
        &self,
        upload: &Upload,
        files: &[UploadedFile],
        ending: &UploadEnding,
        at: Timestamp,
    ) -> Known<bool>;

    /// The batches of a centre, the latest first.
    async fn upload_batches(&self, filter: &BatchFilter) -> Known<Vec<UploadBatch>>;

    /// Forgets batches that were begun before a moment and have no open upload, at most `limit`; gives how many.
    async fn forget_uploads(&self, before: Timestamp, limit: u32) -> Known<u64>;

    /// Studies of a centre with where they stand, the latest arrival first.
    async fn journeys(&self, filter: &JourneyFilter) -> Known<Vec<Journey>>;
}

/// Which batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFilter {
    /// Whose.
    pub centre: CentreId,
    /// Only this one.
    pub batch: Option<UploadBatchId>,
    /// At most so many.
    pub limit: u32,
    /// At most so many studies, refusals and missing files of each.
    pub lines_max: u32,
}

/// Which studies of a centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JourneyFilter {
    /// Whose.
    pub centre: CentreId,
    /// Part of patient name, patient id or accession number, without regard to case.
    pub text: Option<String>,
    /// How many to skip.
    pub offset: u32,
    /// At most so many.
    pub limit: u32,
}
