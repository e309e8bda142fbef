//! The archive's limits, as the status page tells them.

use domain::limit::{Limit, Section, Tally, TellsLimits, Unit};
use imaging::{
    layout::{FRAGMENTS_NOTED_MAX, LAYOUT_BYTES_MAX},
    picture::INFLATED_BYTES_MAX,
    tree::{ITEMS_MAX, VALUES_MAX},
};

use crate::{
    Config,
    document::DOCUMENT_BYTES_MAX,
    documents::TRIES_MAX,
    peers::{self, Places, Settings},
    rendered,
    take_out::CONFIRMATION_MINUTES,
};

/// What the archive tells about itself.
#[derive(Debug, Clone)]
pub struct Told {
    /// The settings in force.
    pub config: Config,
    /// Places for queries and retrieves of DICOM peers, where this process answers them.
    pub places: Option<Places>,
}

impl TellsLimits for Told {
    fn section(&self) -> Section {
        let config = &self.config;
        let count = |number: usize| number as u64;
        let mut limits = vec![
            Limit::new("Time for a picture", config.picture_seconds_max, Unit::Seconds)
                .set_by("archive.picture_seconds_max"),
            Limit::new(
                "Days until a study that was taken out is removed for good",
                u64::from(config.taken_out_days),
                Unit::Count,
            )
            .set_by("archive.taken_out_days"),
            Limit::new(
                "Minutes to confirm that a study is taken out",
                CONFIRMATION_MINUTES.unsigned_abs(),
                Unit::Count,
            ),
            Limit::new("Pictures of one answer", count(rendered::PICTURES_MAX), Unit::Count),
            Limit::new(
                "Deflated object that is sent in another transfer syntax",
                count(INFLATED_BYTES_MAX),
                Unit::Bytes,
            ),
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
            Limit::new("Memory for pictures made before", count(config.picture_cache_bytes), Unit::Bytes)
                .set_by("archive.picture_cache_bytes"),
        ];
        let mut refused = Vec::new();
        if let Some(places) = &self.places {
            limits.extend(of_peers(&config.peers, places));
            let name = "Queries and retrieves of DICOM peers, too many at one time";
            refused.push(Tally { name, count: places.refused() });
        }
        Section { title: "Images out", limits, refused }
    }
}

fn of_peers(settings: &Settings, places: &Places) -> Vec<Limit> {
    let count = |number: usize| number as u64;
    let (queries, retrieves) = places.in_use();
    vec![
        Limit::new("DICOM queries at one time", count(settings.queries_at_once), Unit::Count)
            .set_by("archive.peers.queries_at_once")
            .in_use(queries),
        Limit::new("DICOM queries of one AE title", count(settings.queries_per_ae_title), Unit::Count)
            .set_by("archive.peers.queries_per_ae_title"),
        Limit::new("Matches of one DICOM query", settings.answers_max.into(), Unit::Count)
            .set_by("archive.peers.answers_max"),
        Limit::new("Studies looked at for one DICOM query", peers::SCANNED_STUDIES_MAX.into(), Unit::Count),
        Limit::new("DICOM retrieves at one time", count(settings.retrieves_at_once), Unit::Count)
            .set_by("archive.peers.retrieves_at_once")
            .in_use(retrieves),
        Limit::new("DICOM retrieves of one AE title", count(settings.retrieves_per_ae_title), Unit::Count)
            .set_by("archive.peers.retrieves_per_ae_title"),
        Limit::new("Objects of one DICOM retrieve", count(settings.objects()), Unit::Count)
            .set_by("archive.peers.objects_max"),
        Limit::new("Object that a DICOM retrieve holds in memory", peers::WHOLE_BYTES_MAX, Unit::Bytes),
        Limit::new(
            "Object that a DICOM retrieve writes anew",
            count(peers::REWRITTEN_BYTES_MAX),
            Unit::Bytes,
        ),
        Limit::new("Time for one answer of a DICOM peer", settings.answer_seconds_max, Unit::Seconds)
            .set_by("archive.peers.answer_seconds_max"),
    ]
}
