//! The words of the API, and how domain types become them. Times are RFC 3339 in UTC, dates `YYYY-MM-DD`.

use domain::{
    Timestamp,
    delivery::{Attempt, AttemptOutcome, Delivery, Recipient, Transport},
    id::PersonId,
    order::OrderMatch,
    port::catalog::WorklistEntry,
    reading::{Claim, ReadingState},
    report::{
        DraftSection, KeyImage, Origin, QualityKind, QualityNote, ReportContent, ReportVersion, SectionKind,
        SectionText,
    },
    study::{Belief, Completeness, Evidence, ImageSet, Study, StudyKey},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A line of the worklist.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryView {
    pub centre: String,
    pub centre_name: String,
    pub study_uid: String,
    pub patient: PatientView,
    pub accession_number: Option<String>,
    pub description: Option<String>,
    pub study_date: Option<String>,
    /// `HH:MM:SS`, at the place of the scanner.
    pub study_time: Option<String>,
    pub modalities: Vec<String>,
    /// `stat`, `urgent` or `routine`.
    pub priority: &'static str,
    pub first_received: String,
    pub last_received: String,
    pub series_count: u32,
    pub instance_count: u32,
    pub completeness: CompletenessView,
    /// `unread`, `claimed` or `signed`.
    pub state: &'static str,
    pub reader: Option<ReaderView>,
    /// `none`, `current` or `stale`.
    pub draft: &'static str,
    pub signed_at: Option<String>,
    pub signed_version: Option<u32>,
    pub new_images_after_signature: bool,
    pub open_tasks: u32,
    pub conflicts: u32,
    pub deliveries: DeliveryCountView,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PatientView {
    pub name: Option<String>,
    pub id: Option<String>,
    pub birth_date: Option<String>,
    pub sex: Option<String>,
}

/// What we believe about whether all images are here, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompletenessView {
    /// `arriving`, `complete` or `short`.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decide_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<u32>,
    pub evidence: Vec<EvidenceView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EvidenceView {
    pub kind: &'static str,
    pub at: String,
    pub text: String,
}

/// Who holds the reading, or signed last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReaderView {
    pub name: String,
    pub until: Option<String>,
    pub mine: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryCountView {
    pub total: u32,
    pub acknowledged: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageSetView {
    pub digest: String,
    pub count: u32,
    pub generation: u64,
}

/// A part of a report.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SectionView {
    #[schema(value_type = String)]
    pub kind: SectionKind,
    pub title: &'static str,
    pub text: String,
}

/// A part of a report, as it is sent to us.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SectionInput {
    #[schema(value_type = String)]
    pub kind: SectionKind,
    pub text: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DraftSectionView {
    #[schema(value_type = String)]
    pub kind: SectionKind,
    pub title: &'static str,
    pub sentences: Vec<SentenceView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SentenceView {
    pub text: String,
    pub origin: OriginView,
}

/// Where a sentence comes from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OriginView {
    pub label: &'static str,
    pub detail: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QualityView {
    #[schema(value_type = String)]
    pub kind: QualityKind,
    pub text: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyImageView {
    /// Names the picture; of a draft it holds until the draft is renewed.
    pub index: u64,
    /// SHA-256 of the picture.
    pub digest: String,
    pub caption: String,
    pub url: String,
    pub width: u32,
    pub height: u32,
}

/// A signed version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionView {
    pub number: u32,
    /// `final` or `addendum`.
    pub kind: &'static str,
    pub signed_at: String,
    pub signer_name: String,
    pub credentials: Option<String>,
    pub meaning: &'static str,
    pub sections: Vec<SectionView>,
    pub key_images: Vec<KeyImageView>,
    pub image_set: String,
    pub hash: String,
    /// The stored text still is what was signed.
    pub intact: bool,
    pub pdf_url: String,
}

/// Somebody's hold on a reading.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClaimView {
    pub by_name: String,
    pub mine: bool,
    pub since: String,
    pub until: String,
}

/// One version on its way to one recipient.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    pub id: String,
    pub centre: String,
    pub study_uid: String,
    pub patient_name: Option<String>,
    pub version: u32,
    pub recipient: RecipientView,
    pub address: String,
    pub created: String,
    pub accept_by: String,
    pub acknowledge_by: String,
    pub transport: TransportView,
    pub attempts: Vec<AttemptView>,
    pub acknowledged: Option<AcknowledgementView>,
    pub escalated: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecipientView {
    /// `physician` or `centre_contact`.
    pub kind: &'static str,
    pub name: String,
}

/// How the transport stands; it says nothing about whether a person has read it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TransportView {
    /// `waiting`, `accepted` or `failed`.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    pub at: String,
    /// `accepted`, `deferred` or `refused`.
    pub outcome: &'static str,
    pub detail: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcknowledgementView {
    pub by: String,
    pub at: String,
}

/// The path of a study in the API.
pub(crate) fn study_path(study: &StudyKey) -> String {
    format!("/api/v1/studies/{}/{}", study.centre, study.uid)
}

pub(crate) const fn order_match(found: OrderMatch) -> &'static str {
    match found {
        OrderMatch::AccessionNumber => "accession_number",
        OrderMatch::PatientAndDate => "patient_and_date",
    }
}

impl EntryView {
    /// A line of the worklist as `me` sees it now.
    pub(crate) fn new(entry: &WorklistEntry, me: PersonId, now: Timestamp) -> Self {
        let WorklistEntry { study, reading, .. } = entry;
        let claim = reading.claim(now);
        let reader_name = entry.reader_name.clone();
        let reader = match (&reading.state, claim) {
            (_, Some(claim)) => reader_name.map(|name| ReaderView {
                name,
                until: Some(claim.until.to_string()),
                mine: claim.by == me,
            }),
            (ReadingState::Signed { .. }, None) => {
                reader_name.map(|name| ReaderView { name, until: None, mine: false })
            }
            (ReadingState::Unread | ReadingState::Claimed(_), None) => None,
        };
        let (signed_version, signed_at, signed_generation) = match &reading.state {
            ReadingState::Signed { version, at, generation, .. } => {
                (Some(*version), Some(at.to_string()), Some(*generation))
            }
            ReadingState::Unread | ReadingState::Claimed(_) => (None, None, None),
        };
        let state = match (&reading.state, claim) {
            (ReadingState::Signed { .. }, _) => "signed",
            (ReadingState::Claimed(_), Some(_)) => "claimed",
            (ReadingState::Unread | ReadingState::Claimed(_), _) => "unread",
        };
        let draft = match entry.draft_generation {
            None => "none",
            Some(generation) if generation == study.generation => "current",
            Some(_) => "stale",
        };
        let attributes = &study.attributes;
        Self {
            centre: study.key.centre.to_string(),
            centre_name: entry.centre_name.clone(),
            study_uid: study.key.uid.to_string(),
            patient: PatientView::new(study),
            accession_number: attributes.accession_number.as_ref().map(|text| text.as_str().to_owned()),
            description: attributes.description.clone(),
            study_date: attributes.study_date.map(|day| day.to_string()),
            study_time: attributes.study_time.as_deref().and_then(time_of_day),
            modalities: study.modalities.clone(),
            priority: study.priority.as_str(),
            first_received: study.first_received.to_string(),
            last_received: study.last_received.to_string(),
            series_count: study.series_count,
            instance_count: study.instance_count,
            completeness: CompletenessView::from(&study.completeness),
            state,
            reader,
            draft,
            signed_at,
            signed_version,
            new_images_after_signature: signed_generation.is_some_and(|signed| study.generation > signed),
            open_tasks: entry.open_tasks,
            conflicts: study.conflict_count,
            deliveries: DeliveryCountView { total: entry.deliveries.0, acknowledged: entry.deliveries.1 },
        }
    }
}

impl PatientView {
    pub(crate) fn new(study: &Study) -> Self {
        let attributes = &study.attributes;
        Self {
            name: attributes.patient_name.as_ref().map(domain::text::PersonName::display),
            id: attributes.patient_id.as_ref().map(|id| id.as_str().to_owned()),
            birth_date: attributes.patient_birth_date.map(|day| day.to_string()),
            sex: attributes.patient_sex.clone(),
        }
    }
}

/// DICOM TM `HHMMSS.FFFFFF`, or a shorter form of it (PS3.5 section 6.2), as `HH:MM:SS`.
pub(crate) fn time_of_day(dicom: &str) -> Option<String> {
    let digits: String = dicom.split('.').next()?.chars().filter(char::is_ascii_digit).collect();
    let part = |n: usize, most: u8| match digits.get(2 * n..2 * n + 2) {
        None => Some("00"),
        Some(part) => part.parse::<u8>().ok().filter(|value| *value <= most).map(|_| part),
    };
    digits.get(..2)?;
    Some(format!("{}:{}:{}", part(0, 23)?, part(1, 59)?, part(2, 60)?))
}

impl From<&Completeness> for CompletenessView {
    fn from(completeness: &Completeness) -> Self {
        let (state, decide_at, since, expected) = match completeness.belief {
            Belief::Arriving { decide_at } => ("arriving", Some(decide_at), None, None),
            Belief::Complete { since } => ("complete", None, Some(since), None),
            Belief::Short { since, expected } => ("short", None, Some(since), Some(expected)),
        };
        Self {
            state,
            decide_at: decide_at.map(|at| at.to_string()),
            since: since.map(|at| at.to_string()),
            expected,
            evidence: completeness.evidence.iter().map(EvidenceView::from).collect(),
        }
    }
}

impl From<&Evidence> for EvidenceView {
    fn from(evidence: &Evidence) -> Self {
        let (kind, text) = match evidence {
            Evidence::SenderCount { expected, .. } => {
                ("sender_count", format!("The sender said that the study has {expected} images."))
            }
            Evidence::RequestBoundary { instances, .. } => (
                "request_boundary",
                format!("The sender's request ended; it held {instances} images of the study."),
            ),
            Evidence::QuietPeriod { quiet, .. } => {
                ("quiet_period", format!("Nothing came for {} s.", quiet.as_secs()))
            }
            Evidence::LateImages { .. } => {
                ("late_images", "Images came after the study was taken to be complete.".to_owned())
            }
        };
        Self { kind, at: evidence.at().to_string(), text }
    }
}

impl From<&ImageSet> for ImageSetView {
    fn from(images: &ImageSet) -> Self {
        Self { digest: images.digest.to_string(), count: images.count, generation: images.generation }
    }
}

/// All seven parts, also the empty ones.
pub(crate) fn all_sections(content: &ReportContent) -> Vec<SectionView> {
    let section =
        |kind: SectionKind| SectionView { kind, title: kind.title(), text: content.text(kind).to_owned() };
    SectionKind::ALL.map(section).into()
}

/// The parts that were signed, as they were.
fn signed_sections(content: &ReportContent) -> Vec<SectionView> {
    let section = |section: &SectionText| SectionView {
        kind: section.kind,
        title: section.kind.title(),
        text: section.text.clone(),
    };
    content.sections.iter().map(section).collect()
}

/// What was sent to us, as content.
pub(crate) fn content(sections: Vec<SectionInput>) -> ReportContent {
    let text = |section: SectionInput| SectionText { kind: section.kind, text: section.text };
    ReportContent { sections: sections.into_iter().map(text).collect() }
}

impl From<&DraftSection> for DraftSectionView {
    fn from(section: &DraftSection) -> Self {
        let sentences = section.sentences.iter().map(|sentence| SentenceView {
            text: sentence.text.clone(),
            origin: OriginView::from(&sentence.origin),
        });
        Self { kind: section.kind, title: section.kind.title(), sentences: sentences.collect() }
    }
}

impl From<&Origin> for OriginView {
    fn from(origin: &Origin) -> Self {
        let (label, detail) = match origin {
            Origin::Header { attributes, series } => {
                let names = attributes.join(", ");
                let detail = match series {
                    Some(series) => format!("{names} of series {series}"),
                    None => names,
                };
                ("Image headers", Some(detail))
            }
            Origin::Order => ("Order", None),
            Origin::DoseReport => ("Dose report", None),
            Origin::PriorReport { study, version } => {
                ("Earlier report", Some(format!("version {version} of study {study}")))
            }
            Origin::Computed { how } => ("Computed", Some(how.clone())),
            Origin::Template { name } => ("Template", Some(name.clone())),
        };
        Self { label, detail: detail.filter(|detail| !detail.is_empty()) }
    }
}

impl From<&QualityNote> for QualityView {
    fn from(note: &QualityNote) -> Self {
        Self { kind: note.kind, text: note.text.clone() }
    }
}

impl KeyImageView {
    /// A picture under `base`, which is the path of its draft or version.
    pub(crate) fn new(base: &str, index: u64, image: &KeyImage) -> Self {
        let (width, height) = image.size;
        Self {
            index,
            digest: image.object.name().map(|name| name.sha256().to_string()).unwrap_or_default(),
            caption: image.caption.clone(),
            url: format!("{base}/key-images/{index}"),
            width,
            height,
        }
    }
}

impl VersionView {
    /// A version and the one before it.
    pub(crate) fn new(version: &ReportVersion, before: Option<&ReportVersion>) -> Self {
        let base = format!("{}/versions/{}", study_path(&version.study), version.number);
        let signature = &version.signature;
        let pictures = (0..).zip(&version.key_images);
        Self {
            number: version.number,
            kind: version.kind.as_str(),
            signed_at: signature.at.to_string(),
            signer_name: signature.signer_name.clone(),
            credentials: signature.signer_credentials.clone(),
            meaning: version.kind.meaning(),
            sections: signed_sections(&version.content),
            key_images: pictures.map(|(index, image)| KeyImageView::new(&base, index, image)).collect(),
            image_set: signature.images.digest.to_string(),
            hash: signature.hash.to_string(),
            intact: version.is_intact(before.map(|before| before.signature.hash)),
            pdf_url: format!("{base}/report.pdf"),
        }
    }

    /// All versions, each checked against the one before it.
    pub(crate) fn all(versions: &[ReportVersion]) -> Vec<Self> {
        let before = std::iter::once(None).chain(versions.iter().map(Some));
        versions.iter().zip(before).map(|(version, before)| Self::new(version, before)).collect()
    }
}

impl ClaimView {
    pub(crate) fn new(claim: &Claim, by_name: String, me: PersonId) -> Self {
        Self { by_name, mine: claim.by == me, since: claim.since.to_string(), until: claim.until.to_string() }
    }
}

impl DeliveryView {
    /// A delivery and the name of its patient.
    pub(crate) fn new(delivery: &Delivery, patient_name: Option<String>) -> Self {
        Self {
            id: delivery.id.to_string(),
            centre: delivery.study.centre.to_string(),
            study_uid: delivery.study.uid.to_string(),
            patient_name,
            version: delivery.version,
            recipient: RecipientView {
                kind: match delivery.recipient {
                    Recipient::Physician { .. } => "physician",
                    Recipient::CentreContact { .. } => "centre_contact",
                },
                name: delivery.recipient.name().to_owned(),
            },
            address: delivery.address.as_str().to_owned(),
            created: delivery.created.to_string(),
            accept_by: delivery.accept_by.to_string(),
            acknowledge_by: delivery.acknowledge_by.to_string(),
            transport: TransportView::from(&delivery.transport),
            attempts: delivery.attempts.iter().map(AttemptView::from).collect(),
            acknowledged: delivery.acknowledgement.as_ref().map(|acknowledgement| AcknowledgementView {
                by: acknowledgement.by.clone(),
                at: acknowledgement.at.to_string(),
            }),
            escalated: delivery.escalated.map(|at| at.to_string()),
        }
    }
}

impl From<&Transport> for TransportView {
    fn from(transport: &Transport) -> Self {
        let none = Self { state: "waiting", next_attempt: None, at: None, detail: None };
        match transport {
            Transport::Waiting { next_attempt } => {
                Self { next_attempt: Some(next_attempt.to_string()), ..none }
            }
            Transport::Accepted { at, by } => {
                Self { state: "accepted", at: Some(at.to_string()), detail: Some(by.clone()), ..none }
            }
            Transport::Failed { at, reason } => {
                Self { state: "failed", at: Some(at.to_string()), detail: Some(reason.clone()), ..none }
            }
        }
    }
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        let (outcome, detail) = match &attempt.outcome {
            AttemptOutcome::Accepted { by } => ("accepted", by),
            AttemptOutcome::Deferred { reason } => ("deferred", reason),
            AttemptOutcome::Refused { reason } => ("refused", reason),
        };
        Self { at: attempt.at.to_string(), outcome, detail: detail.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read() {
        for (dicom, expected) in [
            ("134501.250000", Some("13:45:01")),
            ("1345", Some("13:45:00")),
            ("13:45:01", Some("13:45:01")),
            ("13", Some("13:00:00")),
            ("", None),
            ("2500", None),
        ] {
            assert_eq!(time_of_day(dicom).as_deref(), expected, "{dicom}");
        }
    }
}
