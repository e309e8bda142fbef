//! From what was signed to a [`ReportSheet`]: words and numbers chosen, nothing rendered, nothing decided about who may see it.
//!
//! What a signature binds is long-winded or crowded at times: texts are parted and fields shortened here so that the sheet stays
//! within what the renderer takes, and no signed word is left out.

use domain::{
    centre::Centre,
    order::Order,
    report::{self, ReportContent, ReportVersion},
    study::Study,
    text::PersonName,
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::{
    EarlierVersion, ExaminationBlock, KeyImage, Letterhead, MAX_ADDRESS_LINES, MAX_EARLIER_VERSIONS,
    MAX_FIELD_CHARACTERS, MAX_PARAGRAPH_CHARACTERS, MAX_PARAGRAPHS_PER_SECTION, PatientBlock, ReportSheet,
    Section, SectionKind, Signature, VersionBlock, VersionKind,
};

/// The language of the fixed words.
const LANGUAGE: &str = "en-GB";

/// A signed version and what surrounds it.
#[derive(Debug, Clone)]
pub struct SignedReport<'a> {
    /// The study.
    pub study: &'a Study,
    /// Whose it is.
    pub centre: &'a Centre,
    /// What was asked, if an order is known.
    pub order: Option<&'a Order>,
    /// Name of who asked, as a person reads it.
    pub physician: Option<&'a str>,
    /// The version to print.
    pub version: &'a ReportVersion,
    /// Versions signed before it, the first one first.
    pub earlier: &'a [ReportVersion],
    /// PNG files of the version's key images, in their order.
    pub key_images: Vec<Vec<u8>>,
}

/// The sheet of a signed version. The same facts give the same sheet.
#[must_use]
pub fn sheet(report: &SignedReport<'_>) -> ReportSheet {
    let pictures = report.version.key_images.iter().zip(&report.key_images);
    ReportSheet {
        letterhead: letterhead(report.centre),
        patient: patient(report.study),
        examination: examination(report),
        version: version_block(report.version),
        sections: sections(&report.version.content),
        earlier: earlier(report.earlier),
        key_images: pictures
            .map(|(image, png)| KeyImage { png: png.clone(), caption: field(&image.caption) })
            .collect(),
        signature: Some(signature(report.version)),
        language: LANGUAGE.to_owned(),
    }
}

/// A person's name for a report: the alphabetic form, and in brackets the ideographic one with the family name first, as it is
/// said (PS3.5 section 6.2.1).
#[must_use]
pub fn person_name(name: &PersonName) -> String {
    let mut groups = name.as_str().split('=');
    let alphabetic = groups.next().unwrap_or_default().trim_matches(['^', ' ']);
    let ideographic = groups.next().unwrap_or_default();
    let ideographic = ideographic.split('^').map(str::trim).filter(|part| !part.is_empty());
    let ideographic = ideographic.collect::<Vec<_>>().join(" ");
    match (alphabetic.is_empty(), ideographic.is_empty()) {
        (false, false) => format!("{} ({ideographic})", name.display()),
        (true, false) => ideographic,
        (_, true) => name.display(),
    }
}

/// Sex (0010,0040) as a word (PS3.3 section C.7.1.1).
#[must_use]
pub fn sex(code: &str) -> &str {
    match code.trim() {
        "M" => "Male",
        "F" => "Female",
        "O" => "Other",
        other => other,
    }
}

/// When a study was made: date, time to the minute and zone, as far as the images say.
#[must_use]
pub fn performed_at(study: &Study) -> String {
    let Some(date) = study.attributes.study_date else { return String::new() };
    let time = study.attributes.study_time.as_deref().filter(|time| {
        time.len() >= 4 && time.bytes().take(4).all(|b| b.is_ascii_digit()) && time.is_char_boundary(4)
    });
    let Some(time) = time else { return date.to_string() };
    let zone = study.attributes.timezone_offset.as_deref().filter(|zone| {
        zone.len() == 5 && zone.starts_with(['+', '-']) && zone.bytes().skip(1).all(|b| b.is_ascii_digit())
    });
    let zone = zone.map_or_else(String::new, |zone| format!(" {}:{}", &zone[..3], &zone[3..]));
    format!("{date} {}:{}{zone}", &time[..2], &time[2..4])
}

/// What was examined, in the words of the order, else of the images.
#[must_use]
pub fn examination_name(study: &Study, order: Option<&Order>) -> String {
    let ordered = order.and_then(|order| order.request.examination.as_deref());
    let described = study.attributes.description.as_deref();
    let named = ordered.or(described).map(str::trim).filter(|name| !name.is_empty());
    named.map_or_else(|| study.modalities.join(", "), str::to_owned)
}

/// The accession number, from the order, else from the images.
#[must_use]
pub fn accession_number<'a>(study: &'a Study, order: Option<&'a Order>) -> Option<&'a str> {
    let ordered = order.map(|order| order.request.accession_number.as_str());
    ordered.or_else(|| study.attributes.accession_number.as_ref().map(|number| number.as_str()))
}

/// The paragraphs of a section's text: parted by empty lines, single line feeds kept.
#[must_use]
pub fn paragraphs(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut paragraphs = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        if !line.trim().is_empty() {
            lines.push(line.trim_end());
        } else if !lines.is_empty() {
            paragraphs.push(lines.join("\n"));
            lines.clear();
        }
    }
    paragraphs
}

fn letterhead(centre: &Centre) -> Letterhead {
    let (lines, rest) = centre.address.split_at(centre.address.len().min(MAX_ADDRESS_LINES - 1));
    let mut address: Vec<String> = lines.iter().map(|line| field(line)).collect();
    if !rest.is_empty() {
        address.push(field(&rest.join(", ")));
    }
    Letterhead {
        centre: field(&centre.name),
        address,
        phone: field(centre.phone.as_deref().unwrap_or_default()),
        email: String::new(),
    }
}

fn patient(study: &Study) -> PatientBlock {
    let attributes = &study.attributes;
    PatientBlock {
        name: attributes.patient_name.as_ref().map_or_else(String::new, |name| field(&person_name(name))),
        id: attributes.patient_id.as_ref().map_or_else(String::new, |id| field(id.as_str())),
        birth_date: attributes.patient_birth_date.map_or_else(String::new, |date| date.to_string()),
        sex: field(sex(attributes.patient_sex.as_deref().unwrap_or_default())),
    }
}

fn examination(report: &SignedReport<'_>) -> ExaminationBlock {
    let study = report.study;
    ExaminationBlock {
        description: field(&examination_name(study, report.order)),
        performed_at: field(&performed_at(study)),
        accession_number: field(accession_number(study, report.order).unwrap_or_default()),
        modality: field(&study.modalities.join(", ")),
        ordering_physician: field(report.physician.unwrap_or_default()),
        series_count: study.series_count,
        image_count: report.version.signature.images.count,
    }
}

fn version_block(version: &ReportVersion) -> VersionBlock {
    let (kind, supersedes) = match version.kind {
        report::VersionKind::Final => (VersionKind::Final, None),
        report::VersionKind::Addendum => (VersionKind::Addendum, version.number.checked_sub(1)),
    };
    VersionBlock { number: version.number, kind, supersedes, reason: String::new() }
}

fn earlier(versions: &[ReportVersion]) -> Vec<EarlierVersion> {
    let newest_first = versions.iter().rev();
    // Beyond the limit the ones in between give way: the report itself and what was added last are what a reader needs.
    let crowded = versions.len() > MAX_EARLIER_VERSIONS;
    let kept: Vec<&ReportVersion> = if crowded {
        newest_first.take(MAX_EARLIER_VERSIONS - 1).chain(versions.first()).collect()
    } else {
        newest_first.collect()
    };
    let block = |version: &ReportVersion| EarlierVersion {
        version: version_block(version),
        sections: sections(&version.content),
        signature: Some(signature(version)),
    };
    kept.into_iter().map(block).collect()
}

fn signature(version: &ReportVersion) -> Signature {
    let signed = &version.signature;
    Signature {
        signer: field(&signed.signer_name),
        credentials: field(signed.signer_credentials.as_deref().unwrap_or_default()),
        meaning: version.kind.meaning().to_owned(),
        signed_at: utc(signed.at),
        image_set_digest: signed.images.digest.to_string(),
        report_hash: signed.hash.to_string(),
    }
}

fn utc(at: Timestamp) -> Zoned {
    at.to_zoned(TimeZone::UTC)
}

fn sections(content: &ReportContent) -> Vec<Section> {
    let spoken = content.sections.iter().filter(|section| !section.text.trim().is_empty());
    let section = |section: &report::SectionText| Section {
        kind: match section.kind {
            report::SectionKind::Impression => SectionKind::Impression,
            report::SectionKind::Examination
            | report::SectionKind::Indication
            | report::SectionKind::Technique
            | report::SectionKind::Dose
            | report::SectionKind::Comparison
            | report::SectionKind::Findings => SectionKind::Plain,
        },
        title: section.kind.title().to_owned(),
        paragraphs: within_limits(paragraphs(&section.text)),
    };
    spoken.map(section).collect()
}

/// The same words in paragraphs that are neither too many nor too long.
fn within_limits(paragraphs: Vec<String>) -> Vec<String> {
    let too_long = |text: &String| text.chars().count() > MAX_PARAGRAPH_CHARACTERS;
    if paragraphs.len() <= MAX_PARAGRAPHS_PER_SECTION && !paragraphs.iter().any(too_long) {
        return paragraphs;
    }
    let mut packed = vec![String::new()];
    let mut room = MAX_PARAGRAPH_CHARACTERS;
    for character in paragraphs.join("\n").chars() {
        if room == 0 {
            packed.push(String::new());
            room = MAX_PARAGRAPH_CHARACTERS;
        }
        packed.last_mut().expect("it starts with one and only grows").push(character);
        room -= 1;
    }
    packed
}

fn field(text: &str) -> String {
    if text.chars().count() <= MAX_FIELD_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(MAX_FIELD_CHARACTERS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use domain::{
        Timestamp as At,
        digest::{ImageSetDigest, Sha256Digest},
        id::{CentreId, PersonId},
        image::StudyAttributes,
        report::{SECTION_BYTES_MAX, SectionText},
        study::{Completeness, ImageSet, StudyKey},
        text::{AccessionNumber, PatientId},
        uid::StudyInstanceUid,
        work::Lane,
    };

    use super::*;
    use crate::{FontSources, Renderer};

    fn at() -> At {
        "2026-03-02T08:12:31Z".parse().unwrap()
    }

    fn study() -> Study {
        Study {
            key: StudyKey {
                centre: CentreId::parse("north").unwrap(),
                uid: StudyInstanceUid::parse("1.2.3").unwrap(),
            },
            attributes: StudyAttributes {
                patient_id: PatientId::new("NG-1"),
                patient_name: PersonName::new("Yamada^Tarou=山田^太郎=やまだ^たろう"),
                patient_birth_date: Some("1957-03-09".parse().unwrap()),
                patient_sex: Some("M".into()),
                study_date: Some("2026-03-02".parse().unwrap()),
                study_time: Some("074205.250000".into()),
                accession_number: AccessionNumber::new("A1"),
                study_id: None,
                description: Some("CT head".into()),
                referring_physician: PersonName::new("Doe^Jane"),
                institution: None,
                timezone_offset: Some("+0100".into()),
            },
            modalities: vec!["CT".into(), "SR".into()],
            series_count: 2,
            instance_count: 28,
            bytes: 1,
            generation: 28,
            first_received: at(),
            last_received: at(),
            completeness: Completeness::arriving(at(), jiff::SignedDuration::from_secs(1)),
            order: None,
            priority: Lane::Routine,
            conflict_count: 0,
        }
    }

    fn centre() -> Centre {
        Centre {
            id: CentreId::parse("north").unwrap(),
            name: "Northgate Imaging".into(),
            address: vec!["14 Harbour Street".into(), "Aberdeen".into()],
            phone: Some("+44 1224 555 0140".into()),
            contact: None,
            policy: domain::centre::CentrePolicy::default(),
        }
    }

    fn version(number: u32, findings: &str) -> ReportVersion {
        let section = |kind, text: &str| SectionText { kind, text: text.to_owned() };
        ReportVersion {
            study: study().key,
            number,
            kind: if number == 1 { report::VersionKind::Final } else { report::VersionKind::Addendum },
            content: ReportContent {
                sections: vec![
                    section(report::SectionKind::Technique, " \n "),
                    section(report::SectionKind::Findings, findings),
                    section(report::SectionKind::Impression, "No haemorrhage."),
                ],
            },
            key_images: Vec::new(),
            signature: report::Signature {
                signer: PersonId::fresh(),
                signer_name: "Dr Ada Moreau".into(),
                signer_credentials: Some("Consultant Radiologist".into()),
                at: at(),
                images: ImageSet { generation: 28, digest: ImageSetDigest::of([]), count: 27 },
                hash: Sha256Digest::of(b"x"),
            },
        }
    }

    fn report<'a>(
        study: &'a Study,
        centre: &'a Centre,
        version: &'a ReportVersion,
        earlier: &'a [ReportVersion],
    ) -> SignedReport<'a> {
        let physician = Some("Dr Jane Doe");
        SignedReport { study, centre, order: None, physician, version, earlier, key_images: Vec::new() }
    }

    #[test]
    fn a_sheet_says_what_was_signed() {
        let (study, centre, version) = (study(), centre(), version(1, "Normal.\n\nNo mass.\nNo shift."));
        let sheet = sheet(&report(&study, &centre, &version, &[]));
        assert_eq!(sheet.patient.name, "Tarou Yamada (山田 太郎)");
        assert_eq!(sheet.patient.sex, "Male");
        assert_eq!(sheet.examination.performed_at, "2026-03-02 07:42 +01:00");
        assert_eq!((sheet.examination.image_count, sheet.examination.modality.as_str()), (27, "CT, SR"));
        let texts: Vec<_> = sheet.sections.iter().map(|s| (s.title.as_str(), s.paragraphs.clone())).collect();
        assert_eq!(
            texts,
            [
                ("Findings", vec!["Normal.".to_owned(), "No mass.\nNo shift.".to_owned()]),
                ("Impression", vec!["No haemorrhage.".to_owned()]),
            ]
        );
        assert_eq!(sheet.sections[1].kind, SectionKind::Impression);
        let signature = sheet.signature.unwrap();
        assert_eq!(signature.signed_at.to_string(), "2026-03-02T08:12:31+00:00[UTC]");
        assert_eq!(signature.report_hash, version.signature.hash.to_string());
    }

    #[test]
    fn an_addendum_brings_the_report_it_adds_to() {
        let (study, centre, addendum) = (study(), centre(), version(3, "More."));
        let before = [version(1, "First."), version(2, "Second.")];
        let sheet = sheet(&report(&study, &centre, &addendum, &before));
        assert_eq!((sheet.version.kind, sheet.version.supersedes), (VersionKind::Addendum, Some(2)));
        assert_eq!(sheet.earlier.iter().map(|e| e.version.number).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn what_may_be_signed_can_be_set() {
        let renderer = Renderer::new(&FontSources { directories: Vec::new(), text_family: None }).unwrap();
        let (mut study, mut centre) = (study(), centre());
        study.attributes.description = Some("d".repeat(domain::text::TEXT_BYTES_MAX));
        centre.address = (0..20).map(|n| format!("line {n}")).collect();
        let before: Vec<_> = (1..=MAX_EARLIER_VERSIONS as u32 + 3).map(|n| version(n, "Text.")).collect();
        for findings in ["word ".repeat(SECTION_BYTES_MAX / 5), "x\n\n".repeat(2_000)] {
            let version = version(40, &findings);
            let sheet = sheet(&report(&study, &centre, &version, &before));
            let set: usize = sheet.sections[0].paragraphs.iter().map(|p| p.matches(['x', 'w']).count()).sum();
            assert_eq!(set, findings.matches(['x', 'w']).count(), "no word is left out");
            assert_eq!(sheet.earlier.last().unwrap().version.number, 1);
            assert!(renderer.render(&sheet).unwrap().pages > 1);
        }
    }

    #[test]
    fn names_read_in_both_scripts() {
        for (dicom, shown) in [
            ("Doe^Jane^A^Dr", "Dr Jane A Doe"),
            ("=山田^太郎", "山田 太郎"),
            ("Wang^XiaoDong=王^小东", "XiaoDong Wang (王 小东)"),
            ("SMITH", "SMITH"),
        ] {
            assert_eq!(person_name(&PersonName::new(dicom).unwrap()), shown);
        }
    }
}
