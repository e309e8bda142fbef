//! The catalog's own JSON: what a column holds where one value is a structure. Domain types are not serializable, so that a
//! change of a word there cannot change what is kept here without the compiler noticing.

use domain::{
    Duration, Timestamp,
    conflict::Patient,
    delivery::{Attempt, AttemptOutcome, Transport},
    digest::Sha256Digest,
    id::CentreId,
    image::{Instance, InstanceAttributes, RequestAttributes, SeriesAttributes, Source, StudyAttributes},
    object::{ObjectKey, ObjectRef},
    report::{DraftContent, DraftSection, KeyImage, QualityNote},
    study::{Belief, Completeness, Evidence},
    text::{AccessionNumber, AeTitle, CharacterSetRule, PatientId, PersonName},
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::sql::time_of;

/// [`Completeness`]; times in microseconds since 1970.
#[derive(Serialize, Deserialize)]
pub(crate) struct WireCompleteness {
    belief: WireBelief,
    evidence: Vec<WireEvidence>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum WireBelief {
    Arriving { decide_at: i64 },
    Complete { since: i64 },
    Short { since: i64, expected: u32 },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum WireEvidence {
    SenderCount { expected: u32, at: i64 },
    RequestBoundary { instances: u32, at: i64 },
    QuietPeriod { quiet: i64, at: i64 },
    LateImages { at: i64 },
}

impl WireCompleteness {
    pub(crate) fn new(completeness: &Completeness) -> Self {
        let belief = match completeness.belief {
            Belief::Arriving { decide_at } => WireBelief::Arriving { decide_at: decide_at.as_microsecond() },
            Belief::Complete { since } => WireBelief::Complete { since: since.as_microsecond() },
            Belief::Short { since, expected } => {
                WireBelief::Short { since: since.as_microsecond(), expected }
            }
        };
        Self { belief, evidence: completeness.evidence.iter().map(WireEvidence::new).collect() }
    }

    /// `None` when a time is out of range.
    pub(crate) fn read(self) -> Option<Completeness> {
        let belief = match self.belief {
            WireBelief::Arriving { decide_at } => Belief::Arriving { decide_at: time_of(decide_at)? },
            WireBelief::Complete { since } => Belief::Complete { since: time_of(since)? },
            WireBelief::Short { since, expected } => Belief::Short { since: time_of(since)?, expected },
        };
        let evidence = self.evidence.into_iter().map(WireEvidence::read).collect::<Option<_>>()?;
        Some(Completeness { belief, evidence })
    }
}

impl WireEvidence {
    fn new(evidence: &Evidence) -> Self {
        let at = evidence.at().as_microsecond();
        match *evidence {
            Evidence::SenderCount { expected, .. } => Self::SenderCount { expected, at },
            Evidence::RequestBoundary { instances, .. } => Self::RequestBoundary { instances, at },
            Evidence::QuietPeriod { quiet, .. } => {
                Self::QuietPeriod { quiet: i64::try_from(quiet.as_micros()).unwrap_or(i64::MAX), at }
            }
            Evidence::LateImages { .. } => Self::LateImages { at },
        }
    }

    fn read(self) -> Option<Evidence> {
        Some(match self {
            Self::SenderCount { expected, at } => Evidence::SenderCount { expected, at: time_of(at)? },
            Self::RequestBoundary { instances, at } => {
                Evidence::RequestBoundary { instances, at: time_of(at)? }
            }
            Self::QuietPeriod { quiet, at } => {
                Evidence::QuietPeriod { quiet: Duration::from_micros(quiet), at: time_of(at)? }
            }
            Self::LateImages { at } => Evidence::LateImages { at: time_of(at)? },
        })
    }
}

/// [`KeyImage`].
#[derive(Serialize, Deserialize)]
pub(crate) struct WireKeyImage {
    object: String,
    caption: String,
    series: String,
    instance: String,
    frame: u32,
    width: u32,
    height: u32,
}

impl WireKeyImage {
    pub(crate) fn new(image: &KeyImage) -> Self {
        Self {
            object: image.object.to_string(),
            caption: image.caption.clone(),
            series: image.series.to_string(),
            instance: image.instance.to_string(),
            frame: image.frame,
            width: image.size.0,
            height: image.size.1,
        }
    }

    pub(crate) fn read(self) -> Option<KeyImage> {
        Some(KeyImage {
            object: ObjectKey::parse(&self.object)?,
            caption: self.caption,
            series: SeriesInstanceUid::parse(&self.series).ok()?,
            instance: SopInstanceUid::parse(&self.instance).ok()?,
            frame: self.frame,
            size: (self.width, self.height),
        })
    }
}

/// [`DraftContent`].
#[derive(Serialize, Deserialize)]
pub(crate) struct WireDraft {
    author: String,
    sections: Vec<DraftSection>,
    quality: Vec<QualityNote>,
    key_images: Vec<WireKeyImage>,
}

impl WireDraft {
    pub(crate) fn new(content: &DraftContent) -> Self {
        Self {
            author: content.author.clone(),
            sections: content.sections.clone(),
            quality: content.quality.clone(),
            key_images: content.key_images.iter().map(WireKeyImage::new).collect(),
        }
    }

    pub(crate) fn read(self) -> Option<DraftContent> {
        Some(DraftContent {
            author: self.author,
            sections: self.sections,
            quality: self.quality,
            key_images: self.key_images.into_iter().map(WireKeyImage::read).collect::<Option<_>>()?,
        })
    }
}

/// [`Transport`].
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum WireTransport {
    Waiting { next_attempt: i64 },
    Accepted { at: i64, by: String },
    Failed { at: i64, reason: String },
}

impl WireTransport {
    pub(crate) fn new(transport: &Transport) -> Self {
        match transport {
            Transport::Waiting { next_attempt } => {
                Self::Waiting { next_attempt: next_attempt.as_microsecond() }
            }
            Transport::Accepted { at, by } => Self::Accepted { at: at.as_microsecond(), by: by.clone() },
            Transport::Failed { at, reason } => {
                Self::Failed { at: at.as_microsecond(), reason: reason.clone() }
            }
        }
    }

    pub(crate) fn read(self) -> Option<Transport> {
        Some(match self {
            Self::Waiting { next_attempt } => Transport::Waiting { next_attempt: time_of(next_attempt)? },
            Self::Accepted { at, by } => Transport::Accepted { at: time_of(at)?, by },
            Self::Failed { at, reason } => Transport::Failed { at: time_of(at)?, reason },
        })
    }
}

/// [`Attempt`].
#[derive(Serialize, Deserialize)]
pub(crate) struct WireAttempt {
    at: i64,
    outcome: WireOutcome,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum WireOutcome {
    Accepted { by: String },
    Deferred { reason: String },
    Refused { reason: String },
}

impl WireAttempt {
    pub(crate) fn new(attempt: &Attempt) -> Self {
        let outcome = match &attempt.outcome {
            AttemptOutcome::Accepted { by } => WireOutcome::Accepted { by: by.clone() },
            AttemptOutcome::Deferred { reason } => WireOutcome::Deferred { reason: reason.clone() },
            AttemptOutcome::Refused { reason } => WireOutcome::Refused { reason: reason.clone() },
        };
        Self { at: attempt.at.as_microsecond(), outcome }
    }

    pub(crate) fn read(self) -> Option<Attempt> {
        let outcome = match self.outcome {
            WireOutcome::Accepted { by } => AttemptOutcome::Accepted { by },
            WireOutcome::Deferred { reason } => AttemptOutcome::Deferred { reason },
            WireOutcome::Refused { reason } => AttemptOutcome::Refused { reason },
        };
        Some(Attempt { at: time_of(self.at)?, outcome })
    }
}

/// [`Instance`], for a content that came second.
#[derive(Serialize, Deserialize)]
pub(crate) struct WireInstance {
    centre: String,
    study: String,
    series: String,
    sop_instance: String,
    sop_class: String,
    transfer_syntax: String,
    object: String,
    bytes: u64,
    file_sha256: String,
    /// The same again, where it once was another digest.
    data_set_sha256: String,
    number: Option<i64>,
    rows: Option<u32>,
    columns: Option<u32>,
    bits_allocated: Option<u16>,
    frames: Option<u32>,
    position: Option<String>,
    orientation: Option<String>,
    header_bytes: u64,
    received: i64,
}

impl WireInstance {
    pub(crate) fn new(instance: &Instance) -> Self {
        let attributes = &instance.attributes;
        Self {
            centre: instance.centre.to_string(),
            study: instance.study.to_string(),
            series: instance.series.to_string(),
            sop_instance: instance.sop_instance.to_string(),
            sop_class: instance.sop_class.to_string(),
            transfer_syntax: instance.transfer_syntax.to_string(),
            object: instance.object.to_string(),
            bytes: instance.bytes,
            file_sha256: instance.file_sha256.to_string(),
            data_set_sha256: instance.file_sha256.to_string(),
            number: attributes.number,
            rows: attributes.rows,
            columns: attributes.columns,
            bits_allocated: attributes.bits_allocated,
            frames: attributes.frames,
            position: attributes.position.map(|axes| decimals(&axes)),
            orientation: attributes.orientation.map(|cosines| decimals(&cosines)),
            header_bytes: attributes.header_bytes,
            received: instance.received.as_microsecond(),
        }
    }

    pub(crate) fn read(self) -> Option<Instance> {
        Some(Instance {
            centre: CentreId::parse(&self.centre).ok()?,
            study: StudyInstanceUid::parse(&self.study).ok()?,
            series: SeriesInstanceUid::parse(&self.series).ok()?,
            sop_instance: SopInstanceUid::parse(&self.sop_instance).ok()?,
            sop_class: SopClassUid::parse(&self.sop_class).ok()?,
            transfer_syntax: TransferSyntaxUid::parse(&self.transfer_syntax).ok()?,
            object: ObjectRef::parse(&self.object)?,
            bytes: self.bytes,
            file_sha256: Sha256Digest::parse(&self.file_sha256)?,
            attributes: InstanceAttributes {
                number: self.number,
                rows: self.rows,
                columns: self.columns,
                bits_allocated: self.bits_allocated,
                frames: self.frames,
                position: read_maybe(self.position.as_deref())?,
                orientation: read_maybe(self.orientation.as_deref())?,
                header_bytes: self.header_bytes,
                frame_index: None,
            },
            received: Timestamp::from_microsecond(self.received).ok()?,
        })
    }
}

/// What a header says about patient, study and series, for a content that came second: whoever chooses it needs them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WireHeader {
    patient: WirePatient,
    patient_sex: Option<String>,
    study_date: Option<Date>,
    study_time: Option<String>,
    accession_number: Option<String>,
    study_id: Option<String>,
    study_description: Option<String>,
    referring_physician: Option<String>,
    institution: Option<String>,
    timezone_offset: Option<String>,
    modality: Option<String>,
    series_number: Option<i64>,
    series_description: Option<String>,
    body_part: Option<String>,
    protocol_name: Option<String>,
    #[serde(default)]
    performed_start_date: Option<Date>,
    #[serde(default)]
    performed_start_time: Option<String>,
    #[serde(default)]
    requests: Vec<WireRequest>,
    device: Option<String>,
    character_set: Option<String>,
}

impl WireHeader {
    pub(crate) fn new(study: &StudyAttributes, series: &SeriesAttributes) -> Self {
        Self {
            patient: WirePatient::new(&Patient::of(study)),
            patient_sex: study.patient_sex.clone(),
            study_date: study.study_date,
            study_time: study.study_time.clone(),
            accession_number: study.accession_number.as_ref().map(|text| text.as_str().to_owned()),
            study_id: study.study_id.clone(),
            study_description: study.description.clone(),
            referring_physician: study.referring_physician.as_ref().map(|name| name.as_str().to_owned()),
            institution: study.institution.clone(),
            timezone_offset: study.timezone_offset.clone(),
            modality: series.modality.clone(),
            series_number: series.number,
            series_description: series.description.clone(),
            body_part: series.body_part.clone(),
            protocol_name: series.protocol_name.clone(),
            performed_start_date: series.performed_start_date,
            performed_start_time: series.performed_start_time.clone(),
            requests: series.requests.iter().map(WireRequest::new).collect(),
            device: series.device.clone(),
            character_set: series.character_set.as_ref().map(ToString::to_string),
        }
    }

    pub(crate) fn read(self) -> (StudyAttributes, SeriesAttributes) {
        let Patient { id, name, birth_date } = self.patient.read();
        let study = StudyAttributes {
            patient_id: id,
            patient_name: name,
            patient_birth_date: birth_date,
            patient_sex: self.patient_sex,
            study_date: self.study_date,
            study_time: self.study_time,
            accession_number: self.accession_number.as_deref().and_then(AccessionNumber::new),
            study_id: self.study_id,
            description: self.study_description,
            referring_physician: self.referring_physician.as_deref().and_then(PersonName::new),
            institution: self.institution,
            timezone_offset: self.timezone_offset,
        };
        let series = SeriesAttributes {
            modality: self.modality,
            number: self.series_number,
            description: self.series_description,
            body_part: self.body_part,
            protocol_name: self.protocol_name,
            performed_start_date: self.performed_start_date,
            performed_start_time: self.performed_start_time,
            requests: self.requests.into_iter().map(WireRequest::read).collect(),
            device: self.device,
            character_set: self.character_set.as_deref().and_then(CharacterSetRule::parse),
        };
        (study, series)
    }
}

/// [`RequestAttributes`].
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WireRequest {
    step: Option<String>,
    procedure: Option<String>,
}

impl WireRequest {
    pub(crate) fn new(request: &RequestAttributes) -> Self {
        Self { step: request.scheduled_step.clone(), procedure: request.requested_procedure.clone() }
    }

    pub(crate) fn read(self) -> RequestAttributes {
        RequestAttributes { scheduled_step: self.step, requested_procedure: self.procedure }
    }
}

/// [`Patient`].
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WirePatient {
    id: Option<String>,
    name: Option<String>,
    birth_date: Option<Date>,
}

impl WirePatient {
    pub(crate) fn new(patient: &Patient) -> Self {
        Self {
            id: patient.id.as_ref().map(|id| id.as_str().to_owned()),
            name: patient.name.as_ref().map(|name| name.as_str().to_owned()),
            birth_date: patient.birth_date,
        }
    }

    pub(crate) fn read(self) -> Patient {
        Patient {
            id: self.id.as_deref().and_then(PatientId::new),
            name: self.name.as_deref().and_then(PersonName::new),
            birth_date: self.birth_date,
        }
    }
}

/// [`Source`] as one text: `association:AE`, `web`, `rebuild`.
pub(crate) fn source_text(source: &Source) -> String {
    match source {
        Source::Association(ae) => format!("association:{ae}"),
        Source::Web => "web".to_owned(),
        Source::Rebuild => "rebuild".to_owned(),
    }
}

/// Reads what [`source_text`] wrote.
pub(crate) fn read_source(text: &str) -> Option<Source> {
    match text.split_once(':') {
        Some(("association", ae)) => AeTitle::parse(ae).map(Source::Association),
        Some(_) => None,
        None => match text {
            "web" => Some(Source::Web),
            "rebuild" => Some(Source::Rebuild),
            _ => None,
        },
    }
}

fn read_maybe<const N: usize>(text: Option<&str>) -> Option<Option<[f64; N]>> {
    text.map_or(Some(None), |text| read_decimals(text).map(Some))
}

/// Numbers as text with `\` between them, as DICOM writes them, each with as many digits as bring back the very same number.
pub(crate) fn decimals(numbers: &[f64]) -> String {
    numbers.iter().map(f64::to_string).collect::<Vec<_>>().join("\\")
}

/// Reads exactly `N` numbers that [`decimals`] wrote.
pub(crate) fn read_decimals<const N: usize>(text: &str) -> Option<[f64; N]> {
    let numbers: Vec<f64> = text.split('\\').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_come_back_as_they_were() {
        let numbers = [0.1 + 0.2, -1e-300, 1.0 / 3.0];
        assert_eq!(read_decimals::<3>(&decimals(&numbers)), Some(numbers));
        assert_eq!(read_decimals::<3>("1\\2"), None);
        assert_eq!(read_decimals::<1>("x"), None);
    }

    #[test]
    fn what_is_in_databases_already_stays_readable() {
        let kept = r#"{"belief":{"is":"short","since":10000000,"expected":30},"evidence":[{"is":"sender_count","expected":30,"at":5000000},{"is":"request_boundary","instances":3,"at":6000000},{"is":"quiet_period","quiet":5000000,"at":10000000},{"is":"late_images","at":11000000}]}"#;
        let completeness = serde_json::from_str::<WireCompleteness>(kept).unwrap().read().unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(completeness.belief, Belief::Short { since: at(10), expected: 30 });
        assert_eq!(
            completeness.evidence,
            [
                Evidence::SenderCount { expected: 30, at: at(5) },
                Evidence::RequestBoundary { instances: 3, at: at(6) },
                Evidence::QuietPeriod { quiet: Duration::from_secs(5), at: at(10) },
                Evidence::LateImages { at: at(11) },
            ]
        );
        assert_eq!(serde_json::to_string(&WireCompleteness::new(&completeness)).unwrap(), kept);
        for kept in [
            r#"{"is":"waiting","next_attempt":1}"#,
            r#"{"is":"accepted","at":1,"by":"250 ok"}"#,
            r#"{"is":"failed","at":1,"reason":"550 no"}"#,
        ] {
            let transport = serde_json::from_str::<WireTransport>(kept).unwrap().read().unwrap();
            assert_eq!(serde_json::to_string(&WireTransport::new(&transport)).unwrap(), kept);
        }
    }
}
