//! The archive's limits, as the status page tells them.

use domain::limit::{Limit, Section, TellsLimits, Unit};
use imaging::{
    picture::INFLATED_BYTES_MAX,
    tree::{ITEMS_MAX, VALUES_MAX},
};

use crate::{Config, rendered};

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
            Limit::new("Time for a picture", config.picture_seconds_max, Unit::Seconds)
                .set_by("archive.picture_seconds_max"),
            Limit::new("Pictures of one answer", count(rendered::PICTURES_MAX), Unit::Count),
            Limit::new(
                "Deflated object that is sent in another transfer syntax",
                count(INFLATED_BYTES_MAX),
                Unit::Bytes,
            ),
            Limit::new("Items of a header as DICOM JSON", count(ITEMS_MAX), Unit::Count),
            Limit::new("Values of a header as DICOM JSON", count(VALUES_MAX), Unit::Count),
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
