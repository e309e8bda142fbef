//! The archive's limits, as the status page tells them.

use domain::limit::{Limit, Section, TellsLimits, Unit};
use imaging::{
    layout::{FRAGMENTS_NOTED_MAX, LAYOUT_BYTES_MAX},
    picture::{FRAME_BYTES_MAX, INFLATED_BYTES_MAX},
    tree::{ITEMS_MAX, VALUES_MAX},
};

use crate::{Config, document::DOCUMENT_BYTES_MAX, documents::TRIES_MAX};

/// What the archive tells about itself.
#[derive(Debug, Clone)]
pub struct Told {
    /// The settings in force.
    pub config: Config,
}

impl TellsLimits for Told {
    fn section(&self) -> Section {
        let config = &self.config;
        let count = |number: usize| number as u64;
        let limits = vec![
            Limit::new("Pictures made at one time", count(config.pictures_at_once), Unit::Count)
                .set_by("archive.pictures_at_once"),
            Limit::new("Pictures that wait for their turn", count(config.pictures_waiting_max), Unit::Count)
                .set_by("archive.pictures_waiting_max"),
            Limit::new("Time for a picture", config.picture_seconds_max, Unit::Seconds)
                .set_by("archive.picture_seconds_max"),
            Limit::new("Frame that is made a picture", FRAME_BYTES_MAX, Unit::Bytes),
            Limit::new("Deflated object that is made a picture", count(INFLATED_BYTES_MAX), Unit::Bytes),
            Limit::new("Items of a header as DICOM JSON", count(ITEMS_MAX), Unit::Count),
            Limit::new("Values of a header as DICOM JSON", count(VALUES_MAX), Unit::Count),
            Limit::new("Metadata document of a series", count(DOCUMENT_BYTES_MAX), Unit::Bytes),
            Limit::new("Tries to make the documents of a study", u64::from(TRIES_MAX), Unit::Count),
            Limit::new("Note of where the frames of an image are", count(LAYOUT_BYTES_MAX), Unit::Bytes),
            Limit::new(
                "Fragments of an image that are noted as it comes",
                count(FRAGMENTS_NOTED_MAX),
                Unit::Count,
            ),
            Limit::new(
                "Memory for metadata asked for before",
                count(config.metadata_cache_bytes),
                Unit::Bytes,
            )
            .set_by("archive.metadata_cache_bytes"),
        ];
        Section { title: "Images out", limits, refused: Vec::new() }
    }
}
