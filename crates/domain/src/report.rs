//! Reports: the draft a machine wrote, the working copy a radiologist edits, and the versions that were signed.

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    digest::{ImageSetDigest, Sha256Digest},
    id::PersonId,
    object::ObjectKey,
    study::{ImageSet, StudyKey},
    uid::{SeriesInstanceUid, SopInstanceUid},
};

/// Most bytes of one section's text.
pub const SECTION_BYTES_MAX: usize = 64 * 1024;
/// Most key images of a report.
pub const KEY_IMAGES_MAX: usize = 24;

/// The parts of a report, in the order in which they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// What was examined.
    Examination,
    /// Why.
    Indication,
    /// How.
    Technique,
    /// With what dose.
    Dose,
    /// Compared with what.
    Comparison,
    /// What is seen.
    Findings,
    /// What it means.
    Impression,
}

impl SectionKind {
    /// Every part, in order.
    pub const ALL: [Self; 7] = [
        Self::Examination,
        Self::Indication,
        Self::Technique,
        Self::Dose,
        Self::Comparison,
        Self::Findings,
        Self::Impression,
    ];

    /// The heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Examination => "Examination",
            Self::Indication => "Indication",
            Self::Technique => "Technique",
            Self::Dose => "Dose",
            Self::Comparison => "Comparison",
            Self::Findings => "Findings",
            Self::Impression => "Impression",
        }
    }
}

/// Where a sentence of a draft comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Origin {
    /// Values in the headers of the images.
    Header {
        /// Keywords of the attributes, as PS3.6 has them.
        attributes: Vec<String>,
        /// The series they stand in, by number or description, for a person.
        series: Option<String>,
    },
    /// The order.
    Order,
    /// A radiation dose structured report of the study.
    DoseReport,
    /// A signed report of an earlier study.
    PriorReport {
        /// The earlier study.
        study: String,
        /// The version quoted.
        version: u32,
    },
    /// Something computed over the images, named.
    Computed {
        /// What was computed.
        how: String,
    },
    /// A template, named; it says nothing about this patient.
    Template {
        /// Which.
        name: String,
    },
}

/// One sentence of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// What it says.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// One part of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftSection {
    /// Which part.
    pub kind: SectionKind,
    /// Its sentences.
    pub sentences: Vec<Sentence>,
}

/// Something a reader should know about the images before trusting them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityNote {
    /// What kind.
    pub kind: QualityKind,
    /// In a sentence.
    pub text: String,
}

/// Kinds of quality notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityKind {
    /// A slice is missing between two others.
    MissingSlices,
    /// Slices do not stand at equal distances.
    UnevenSpacing,
    /// One series has slices in several directions.
    MixedOrientations,
    /// Something could not be read or shown.
    Unreadable,
}

/// A picture chosen and rendered for a draft.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyImage {
    /// The PNG.
    pub object: ObjectKey,
    /// What it shows: region, window and place, for example `Brain window, slice 14 of 28`.
    pub caption: String,
    /// Of which series.
    pub series: SeriesInstanceUid,
    /// Of which instance.
    pub instance: SopInstanceUid,
    /// Of which frame, from 1.
    pub frame: u32,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

/// What the report-generation worker wrote for one set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Of which study.
    pub study: StudyKey,
    /// Of which images. A draft of an older generation than the study's is stale.
    pub images: ImageSet,
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub content: DraftContent,
}

/// What a draft says.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftContent {
    /// Who wrote it: name and version of the drafter.
    pub author: String,
    /// Its parts, in the order of [`SectionKind::ALL`].
    pub sections: Vec<DraftSection>,
    /// What to know about the images.
    pub quality: Vec<QualityNote>,
    /// Chosen pictures, at most [`KEY_IMAGES_MAX`].
    pub key_images: Vec<KeyImage>,
}

/// The text of one part, as a person left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionText {
    /// Which part.
    pub kind: SectionKind,
    /// Paragraphs parted by line feeds.
    pub text: String,
}

/// The text of a report, as a person edits and signs it. Its JSON form is what a signature binds, so it is versioned and pinned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportContent {
    /// The parts, in order.
    pub sections: Vec<SectionText>,
}

impl ReportContent {
    /// The text of one part; empty when the part is absent.
    #[must_use]
    pub fn text(&self, kind: SectionKind) -> &str {
        self.sections.iter().find(|section| section.kind == kind).map_or("", |section| &section.text)
    }

    /// What is wrong with it, if it should be kept or signed.
    ///
    /// # Errors
    /// When a part appears twice, is out of order, or is longer than [`SECTION_BYTES_MAX`].
    pub fn check(&self) -> Result<(), InvalidContent> {
        if self.sections.windows(2).any(|pair| pair[0].kind >= pair[1].kind) {
            return Err(InvalidContent::Order);
        }
        match self.sections.iter().find(|section| section.text.len() > SECTION_BYTES_MAX) {
            Some(section) => Err(InvalidContent::TooLong(section.kind.title())),
            None => Ok(()),
        }
    }
}

/// Why a text cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContent {
    /// A part twice or out of order.
    #[error("the parts of the report are not in order")]
    Order,
    /// A part too long.
    #[error("{0} is longer than 64 KiB")]
    TooLong(&'static str),
}

impl DraftContent {
    /// The draft as a text to edit: the sentences of each part joined by line feeds, each part there even when empty.
    #[must_use]
    pub fn to_content(&self) -> ReportContent {
        let text = |kind| {
            let sentences = self
                .sections
                .iter()
                .filter(|section| section.kind == kind)
                .flat_map(|section| &section.sentences);
            sentences.map(|sentence| sentence.text.as_str()).collect::<Vec<_>>().join("\n")
        };
        ReportContent { sections: SectionKind::ALL.map(|kind| SectionText { kind, text: text(kind) }).into() }
    }
}

/// The text that a radiologist is editing; saved as they type, theirs until signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingCopy {
    /// Of which study.
    pub study: StudyKey,
    /// Goes up with every save; a save names the one it was based on.
    pub revision: u64,
    /// Who saved it last.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
    /// The text.
    pub content: ReportContent,
}

/// What a signed version is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKind {
    /// The first signed report.
    Final,
    /// Text added later; what it adds to stays valid.
    Addendum,
}

impl VersionKind {
    /// The word in the catalog and in the signed bytes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Addendum => "addendum",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Final, Self::Addendum].into_iter().find(|kind| kind.as_str() == text)
    }

    /// What the signature says.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Final => "I have read the images and this is my report",
            Self::Addendum => "I have read the images and add this to the report",
        }
    }
}

/// A signed version of a report. It never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportVersion {
    /// Of which study.
    pub study: StudyKey,
    /// From 1.
    pub number: u32,
    /// What it is to those before it.
    pub kind: VersionKind,
    /// What it says.
    pub content: ReportContent,
    /// Its pictures.
    pub key_images: Vec<KeyImage>,
    /// Who signed what, when.
    pub signature: Signature,
}

/// A signature: it binds signer, time, meaning, text and the images that were on screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who.
    pub signer: PersonId,
    /// Their name, as it was shown.
    pub signer_name: String,
    /// What stood behind the name.
    pub signer_credentials: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The images that were on screen.
    pub images: ImageSet,
    /// SHA-256 over [`signed_bytes`].
    pub hash: Sha256Digest,
}

/// What goes into the hash of a signature beside what [`ReportVersion`] names.
#[derive(Debug, Clone)]
pub struct SignedFacts<'a> {
    /// Of which study.
    pub study: &'a StudyKey,
    /// From 1.
    pub number: u32,
    /// What it is to those before it.
    pub kind: VersionKind,
    /// What it says.
    pub content: &'a ReportContent,
    /// Keys of its pictures, in order; a key holds the picture's digest.
    pub key_images: &'a [KeyImage],
    /// Who.
    pub signer: PersonId,
    /// Their name.
    pub signer_name: &'a str,
    /// When, in microseconds since 1970.
    pub at: Timestamp,
    /// The images on screen.
    pub image_set: ImageSetDigest,
    /// Hash of the version before.
    pub previous: Option<Sha256Digest>,
}

/// The bytes that a signature binds: one JSON object with the keys in this order, without white space.
///
/// # Panics
/// Never: the structure holds nothing that JSON cannot say.
#[must_use]
pub fn signed_bytes(facts: &SignedFacts<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Signed<'a> {
        format: &'static str,
        centre: &'a str,
        study: &'a str,
        number: u32,
        kind: &'static str,
        meaning: &'static str,
        content: &'a ReportContent,
        key_images: Vec<&'a str>,
        signer: String,
        signer_name: &'a str,
        at: i64,
        image_set: String,
        previous: Option<String>,
    }
    let signed = Signed {
        format: "telerad report 1",
        centre: facts.study.centre.as_str(),
        study: facts.study.uid.as_str(),
        number: facts.number,
        kind: facts.kind.as_str(),
        meaning: facts.kind.meaning(),
        content: facts.content,
        key_images: facts.key_images.iter().map(|image| image.object.as_str()).collect(),
        signer: facts.signer.to_string(),
        signer_name: facts.signer_name,
        at: facts.at.as_microsecond(),
        image_set: facts.image_set.to_string(),
        previous: facts.previous.map(|hash| hash.to_string()),
    };
    serde_json::to_vec(&signed).expect("plain strings and numbers are JSON")
}

impl ReportVersion {
    /// Whether text, signer, time, meaning, images and the version before are still what was signed.
    #[must_use]
    pub fn is_intact(&self, previous: Option<Sha256Digest>) -> bool {
        let facts = SignedFacts {
            study: &self.study,
            number: self.number,
            kind: self.kind,
            content: &self.content,
            key_images: &self.key_images,
            signer: self.signature.signer,
            signer_name: &self.signature.signer_name,
            at: self.signature.at,
            image_set: self.signature.images.digest,
            previous,
        };
        Sha256Digest::of(&signed_bytes(&facts)) == self.signature.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::CentreId, uid::StudyInstanceUid};

    fn content(texts: &[(SectionKind, &str)]) -> ReportContent {
        let sections = texts.iter().map(|(kind, text)| SectionText { kind: *kind, text: (*text).to_owned() });
        ReportContent { sections: sections.collect() }
    }

    #[test]
    fn content_is_ordered_and_bounded() {
        use SectionKind::{Findings, Impression};
        assert_eq!(content(&[(Findings, "a"), (Impression, "b")]).check(), Ok(()));
        assert_eq!(content(&[(Impression, "a"), (Findings, "b")]).check(), Err(InvalidContent::Order));
        assert_eq!(content(&[(Findings, "a"), (Findings, "b")]).check(), Err(InvalidContent::Order));
        let long = "x".repeat(SECTION_BYTES_MAX + 1);
        assert_eq!(content(&[(Findings, &long)]).check(), Err(InvalidContent::TooLong("Findings")));
    }

    #[test]
    fn a_signature_binds_every_fact() {
        let study =
            StudyKey { centre: CentreId::parse("c1").unwrap(), uid: StudyInstanceUid::parse("1.2").unwrap() };
        let text = content(&[(SectionKind::Impression, "No haemorrhage.")]);
        let facts = SignedFacts {
            study: &study,
            number: 1,
            kind: VersionKind::Final,
            content: &text,
            key_images: &[],
            signer: PersonId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
            signer_name: "Dr Ada Moreau",
            at: Timestamp::from_second(1).unwrap(),
            image_set: ImageSetDigest::of([]),
            previous: None,
        };
        let expected = concat!(
            r#"{"format":"telerad report 1","centre":"c1","study":"1.2","number":1,"kind":"final","#,
            r#""meaning":"I have read the images and this is my report","#,
            r#""content":{"sections":[{"kind":"impression","text":"No haemorrhage."}]},"key_images":[],"#,
            r#""signer":"01890a5d-ac96-774b-bcce-b302099a8057","signer_name":"Dr Ada Moreau","at":1000000,"#,
            r#""image_set":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","previous":null}"#
        );
        assert_eq!(String::from_utf8(signed_bytes(&facts)).unwrap(), expected);

        let images = ImageSet { generation: 1, digest: facts.image_set, count: 0 };
        let hash = Sha256Digest::of(&signed_bytes(&facts));
        let version = ReportVersion {
            study: study.clone(),
            number: 1,
            kind: VersionKind::Final,
            content: text.clone(),
            key_images: Vec::new(),
            signature: Signature {
                signer: facts.signer,
                signer_name: "Dr Ada Moreau".into(),
                signer_credentials: None,
                at: facts.at,
                images,
                hash,
            },
        };
        assert!(version.is_intact(None));
        assert!(!version.is_intact(Some(hash)));
        let mut forged = version.clone();
        forged.content.sections[0].text.push('!');
        assert!(!forged.is_intact(None));
        let mut moved = version;
        moved.number = 2;
        assert!(!moved.is_intact(None));
    }
}
