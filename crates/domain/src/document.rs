//! The metadata document of a series: what a viewer wants to know of all its images, made once and kept as an object.
//!
//! It belongs to one generation of its study; when that moves on, it is looked whether the series is still what the document was made of.
//! It is made of images alone and can be made again, so it is no part of what must not be lost.

use crate::{
    digest::Sha256Digest, object::ObjectKey, study::StudyKey, text::CharacterSetRule, uid::SeriesInstanceUid,
};

/// A document that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesDocument {
    /// The study.
    pub study: StudyKey,
    /// The series.
    pub series: SeriesInstanceUid,
    /// The generation of the study at which it was made, or found to be still right.
    pub generation: u64,
    /// The way in which it is written; a newer version of this product may have another one.
    pub form: String,
    /// Digest over all that it was made of: the images, in their order, and the form.
    pub contents: Sha256Digest,
    /// Where it rests.
    pub object: ObjectKey,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The documents of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyDocuments {
    /// The generation of the study now.
    pub generation: u64,
    /// Its series that have images, by UID.
    pub series: Vec<DocumentOf>,
}

/// The document of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentOf {
    /// The series.
    pub series: SeriesInstanceUid,
    /// How its texts are read, where a rule says so.
    pub character_set: Option<CharacterSetRule>,
    /// Its document, if it has one, of whatever generation.
    pub document: Option<SeriesDocument>,
}
