//! What stands on a report, in plain words. Not the report itself: nothing here decides, formats dates or
//! translates.

use jiff::Zoned;

/// One version of a report, ready to be set on paper. Every text may be empty unless its description says
/// otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportSheet {
    /// Who speaks.
    pub letterhead: Letterhead,
    /// About whom.
    pub patient: PatientBlock,
    /// About which images.
    pub examination: ExaminationBlock,
    /// Which version this is.
    pub version: VersionBlock,
    /// What it says, in reading order.
    pub sections: Vec<Section>,
    /// Versions to print after this one, in the order to print them; an addendum brings the report that it
    /// amends.
    pub earlier: Vec<EarlierVersion>,
    /// Pictures to print after the sections.
    pub key_images: Vec<KeyImage>,
    /// `None` prints a draft: marked on every page, never mistakable for a signed report.
    pub signature: Option<Signature>,
    /// BCP 47 tag of the language of the report, such as `en-GB` or `zh-Hans`. It chooses the fixed words,
    /// the shapes of Han characters and the language that a screen reader speaks.
    pub language: String,
}

/// The imaging centre as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letterhead {
    /// Its name.
    pub centre: String,
    /// Its address, line by line.
    pub address: Vec<String>,
    /// Telephone for questions.
    pub phone: String,
    /// Electronic mail for questions.
    pub email: String,
}

/// The patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientBlock {
    /// Name as it is to be read.
    pub name: String,
    /// Identifier at the centre.
    pub id: String,
    /// Date of birth, formatted.
    pub birth_date: String,
    /// Sex, as a word or letter.
    pub sex: String,
}

/// The examination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExaminationBlock {
    /// What was done, such as `CT chest with contrast`.
    pub description: String,
    /// When, formatted.
    pub performed_at: String,
    /// Accession number.
    pub accession_number: String,
    /// Modality, such as `CT`.
    pub modality: String,
    /// Who ordered it.
    pub ordering_physician: String,
    /// Number of series that were read.
    pub series_count: u32,
    /// Number of images that were read.
    pub image_count: u32,
}

/// Which version of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionBlock {
    /// Counts from 1.
    pub number: u32,
    /// What kind.
    pub kind: VersionKind,
    /// The version that this one amends or replaces.
    pub supersedes: Option<u32>,
    /// Why, for an addendum or a correction.
    pub reason: String,
}

/// What a version is to the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKind {
    /// Read, not final.
    Preliminary,
    /// The report.
    Final,
    /// Adds to an earlier version, which stays valid.
    Addendum,
    /// Takes the place of an earlier version.
    Correction,
}

/// A titled part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// How it is set.
    pub kind: SectionKind,
    /// Its title, in the language of the report.
    pub title: String,
    /// Its paragraphs; a line feed inside one starts a new line.
    pub paragraphs: Vec<String>,
}

/// How a section is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionKind {
    /// Running text.
    Plain,
    /// The conclusion, which a physician reads first: set off in a tinted box.
    Impression,
}

/// A version that is printed after the one that this document is about.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierVersion {
    /// Which one.
    pub version: VersionBlock,
    /// What it said.
    pub sections: Vec<Section>,
    /// Who signed it.
    pub signature: Option<Signature>,
}

/// A picture with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyImage {
    /// A PNG file.
    pub png: Vec<u8>,
    /// What it shows; also read aloud in place of the picture.
    pub caption: String,
}

/// An electronic signature (21 CFR 11.50: name, time and meaning are shown).
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// Who signed.
    pub signer: String,
    /// Such as `MD, FRCR`.
    pub credentials: String,
    /// What the signature means, such as `I read the images and approve this report`.
    pub meaning: String,
    /// When, with the offset of the signer's zone.
    pub signed_at: Zoned,
    /// Digest of the set of images that was on screen.
    pub image_set_digest: String,
    /// Hash of the signed report version. The identity of the PDF comes from it.
    pub report_hash: String,
}

impl ReportSheet {
    /// An unsigned sheet that uses every part of the page, for trying a template or a set of fonts at start.
    /// It holds no person's data.
    #[must_use]
    pub fn specimen() -> Self {
        let section = |kind, title: &str, text: &str| Section {
            kind,
            title: title.to_owned(),
            paragraphs: vec![text.to_owned()],
        };
        let version = |number, kind, supersedes| VersionBlock {
            number,
            kind,
            supersedes,
            reason: "Specimen".to_owned(),
        };
        Self {
            letterhead: Letterhead {
                centre: "Specimen centre".to_owned(),
                address: vec!["1 Example Street".to_owned()],
                phone: "0".to_owned(),
                email: "nobody@example.org".to_owned(),
            },
            patient: PatientBlock {
                name: "Specimen".to_owned(),
                id: "0".to_owned(),
                birth_date: "1900-01-01".to_owned(),
                sex: "O".to_owned(),
            },
            examination: ExaminationBlock {
                description: "Specimen examination".to_owned(),
                performed_at: "1900-01-01 00:00".to_owned(),
                accession_number: "0".to_owned(),
                modality: "OT".to_owned(),
                ordering_physician: "Nobody".to_owned(),
                series_count: 1,
                image_count: 1,
            },
            version: version(2, VersionKind::Addendum, Some(1)),
            sections: vec![
                section(SectionKind::Plain, "Findings", "Specimen text."),
                section(SectionKind::Impression, "Impression", "Specimen text."),
            ],
            earlier: vec![EarlierVersion {
                version: version(1, VersionKind::Final, None),
                sections: vec![section(SectionKind::Plain, "Findings", "Specimen text.")],
                signature: Some(Signature {
                    signer: "Nobody".to_owned(),
                    credentials: "MD".to_owned(),
                    meaning: "Specimen".to_owned(),
                    signed_at: Zoned::new(jiff::Timestamp::UNIX_EPOCH, jiff::tz::TimeZone::UTC),
                    image_set_digest: "0".repeat(64),
                    report_hash: "0".repeat(64),
                }),
            }],
            key_images: Vec::new(),
            signature: None,
            language: "en".to_owned(),
        }
    }
}
