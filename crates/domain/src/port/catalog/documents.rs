//! Metadata documents: which series has one, whether it is current, and which are to be made.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    document::{SeriesDocument, StudyDocuments},
    study::StudyKey,
    uid::SeriesInstanceUid,
};

/// A study whose documents are to be made, by whoever took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentDue {
    /// Which study.
    pub study: StudyKey,
    /// Until when nobody else takes it; names this taking.
    pub until: Timestamp,
    /// How often it was taken, this time included.
    pub tries: u32,
}

/// Metadata documents of series. They are made of images and made again when they are lost: nothing is lost with them.
#[async_trait]
pub trait Documents {
    /// The series of a study that have images, or one of them, by UID, each with its document, current or not; `None` without such a study.
    async fn documents(
        &self,
        study: &StudyKey,
        series: Option<&SeriesInstanceUid>,
    ) -> Known<Option<StudyDocuments>>;

    /// Keeps the document of a series in the place of an older one. `false`, with nothing kept, when the study is at another generation, or
    /// the object is being swept.
    async fn put_document(&self, document: &SeriesDocument, at: Timestamp) -> Known<bool>;

    /// Takes a study whose documents are to be made, the one that waits longest; nobody else gets it until a moment.
    async fn take_document_due(&self, now: Timestamp, until: Timestamp) -> Known<Option<DocumentDue>>;

    /// The documents of a study are made, or it is given up: it waits no more, unless it became due again meanwhile.
    async fn document_done(&self, due: &DocumentDue) -> Known<()>;

    /// How many studies wait for their documents.
    async fn documents_due(&self) -> Known<u64>;
}
