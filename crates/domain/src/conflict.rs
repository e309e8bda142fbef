//! Conflicts: what arrived and cannot simply stand beside what is known, and what people decide about it. Not who may decide.
//!
//! There are two kinds. Two *contents* under one SOP Instance UID: the second one is refused and kept, and either may be the one that is
//! shown. Another *patient* in one study: legal, so stored and answered with success, yet somebody must look.

use std::fmt;

use jiff::civil::Date;

use crate::{
    Timestamp,
    digest::Sha256Digest,
    id::{CentreId, PatientConflictId, PersonId},
    image::{Instance, Source, StudyAttributes},
    text::{PatientId, PersonName},
    uid::{SopInstanceUid, StudyInstanceUid},
};

/// Most characters of a reason.
pub const REASON_CHARS_MAX: usize = 2000;

/// Whose images they are, as a header says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patient {
    /// (0010,0020).
    pub id: Option<PatientId>,
    /// (0010,0010).
    pub name: Option<PersonName>,
    /// (0010,0030).
    pub birth_date: Option<Date>,
}

impl Patient {
    /// The patient of a header.
    #[must_use]
    pub fn of(attributes: &StudyAttributes) -> Self {
        Self {
            id: attributes.patient_id.clone(),
            name: attributes.patient_name.clone(),
            birth_date: attributes.patient_birth_date,
        }
    }

    /// Equal for headers whose patient is written alike.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        let id = self.id.as_ref().map_or("", PatientId::as_str);
        let name = self.name.as_ref().map(words).unwrap_or_default().join(" ");
        let birth_date = self.birth_date.map(|date| date.to_string()).unwrap_or_default();
        Sha256Digest::of([id, &name, &birth_date].join("\n").as_bytes())
    }
}

/// Whether a header names another patient than a study does: another id, or another name or birth date. What one of them leaves out is no
/// difference, nor is how a name is written: case, order, empty parts, a prefix.
///
/// This runs for every image; where both say the same, nothing is allocated.
#[must_use]
pub fn is_another_patient(study: &StudyAttributes, image: &StudyAttributes) -> bool {
    fn differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
        matches!((one, other), (Some(one), Some(other)) if one != other)
    }
    let (name, other_name) = (study.patient_name.as_ref(), image.patient_name.as_ref());
    differ(study.patient_id.as_ref(), image.patient_id.as_ref())
        || differ(study.patient_birth_date.as_ref(), image.patient_birth_date.as_ref())
        || differ(name, other_name) && name.map(words) != other_name.map(words)
}

/// The words of a name's first group that is not empty, in lower case and in order of the alphabet, without prefix and suffix. Digits
/// count: names that somebody made up differ by them alone.
fn words(name: &PersonName) -> Vec<String> {
    let group = name.as_str().split('=').find(|group| !group.trim().is_empty()).unwrap_or_default();
    let mut words: Vec<String> = group
        .split('^')
        .take(3)
        .flat_map(|part| part.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.sort();
    words
}

/// Which conflict, within its centre.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConflictId {
    /// Two contents under one SOP Instance UID, by the one that came second.
    Contents {
        /// The study that it names.
        study: StudyInstanceUid,
        /// The instance.
        sop_instance: SopInstanceUid,
        /// Digest of its file.
        sha256: Sha256Digest,
    },
    /// Another patient in one study.
    Patient(PatientConflictId),
}

impl ConflictId {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((study, rest)) = text.split_once(':') else {
            return PatientConflictId::parse(text).ok().map(Self::Patient);
        };
        let (sop_instance, sha256) = rest.split_once(':')?;
        Some(Self::Contents {
            study: StudyInstanceUid::parse(study).ok()?,
            sop_instance: SopInstanceUid::parse(sop_instance).ok()?,
            sha256: Sha256Digest::parse(sha256)?,
        })
    }
}

/// `STUDY:INSTANCE:SHA256`, or a UUID; safe in a path.
impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contents { study, sop_instance, sha256 } => write!(f, "{study}:{sop_instance}:{sha256}"),
            Self::Patient(id) => id.fmt(f),
        }
    }
}

/// A conflict, open or decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// Whose.
    pub centre: CentreId,
    /// Which one.
    pub id: ConflictId,
    /// What it is about.
    pub matter: Matter,
    /// When it was found.
    pub opened: Timestamp,
    /// Which way the object came that brought it; `None` where that was not written down yet.
    pub source: Option<Source>,
    /// How many objects brought it: the same content again, or images of the other patient.
    pub seen_count: u32,
    /// When the latest of them came.
    pub last_seen: Timestamp,
    /// Goes up with every decision.
    pub revision: u64,
    /// What was decided.
    pub decision: Option<Decision>,
}

/// What a conflict is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Matter {
    /// Two contents under one SOP Instance UID.
    Contents(Box<Contents>),
    /// Another patient in one study.
    Patient(Box<OtherPatient>),
}

/// Two contents under one SOP Instance UID.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// The content that the second one stands against: the current one, or the one that was current until the second was chosen.
    pub first: Instance,
    /// The content that came second.
    pub second: Instance,
    /// Whom the second one names; `None` where that was not written down yet.
    pub second_patient: Option<Patient>,
    /// Digest of the content that is shown now.
    pub current_sha256: Sha256Digest,
}

/// Another patient in one study.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherPatient {
    /// The study.
    pub study: StudyInstanceUid,
    /// Whom the images name.
    pub patient: Patient,
    /// How many images name them.
    pub images: u32,
    /// One image of the study's own patient, and one of the other one.
    pub samples: (Option<Instance>, Option<Instance>),
}

impl Conflict {
    /// The study in which people look for it: that of the first content.
    #[must_use]
    pub fn study(&self) -> &StudyInstanceUid {
        match &self.matter {
            Matter::Contents(contents) => &contents.first.study,
            Matter::Patient(other) => &other.study,
        }
    }
}

/// What can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Of two contents the first one: it is shown, the second one is set aside.
    KeepFirst,
    /// Of two contents the second one: it is shown, the first one is set aside.
    UseSecond,
    /// The other patient is the study's patient, written otherwise: the images are shown.
    SamePatient,
    /// The other patient is somebody else: their images are set aside, also those that come later.
    OtherPatient,
}

impl Choice {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::KeepFirst, Self::UseSecond, Self::SamePatient, Self::OtherPatient];

    /// The word in the catalog and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeepFirst => "keep_first",
            Self::UseSecond => "use_second",
            Self::SamePatient => "same_patient",
            Self::OtherPatient => "other_patient",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == text)
    }

    /// Whether a conflict of this kind can be decided so.
    #[must_use]
    pub const fn fits(self, id: &ConflictId) -> bool {
        match self {
            Self::KeepFirst | Self::UseSecond => matches!(id, ConflictId::Contents { .. }),
            Self::SamePatient | Self::OtherPatient => matches!(id, ConflictId::Patient(_)),
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub choice: Choice,
    /// By whom; `None` where that was not written down yet.
    pub by: Option<PersonId>,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: &str, name: &str, born: &str) -> StudyAttributes {
        StudyAttributes {
            patient_id: PatientId::new(id),
            patient_name: PersonName::new(name),
            patient_birth_date: born.parse().ok(),
            ..StudyAttributes::default()
        }
    }

    #[test]
    fn another_patient_is_told_from_another_spelling() {
        let study = header("P1", "Müller^Jürgen", "1970-01-31");
        for (id, name, born, other) in [
            ("P1", "Müller^Jürgen", "1970-01-31", false),
            ("P1", "MÜLLER^JÜRGEN^^", "1970-01-31", false),
            ("P1", "Jürgen Müller", "1970-01-31", false),
            ("P1", "Müller^Jürgen^^Dr", "1970-01-31", false),
            ("P1", "Müller^Jürgen=ミュラー^ユルゲン", "", false),
            ("", "", "", false),
            ("P2", "Müller^Jürgen", "1970-01-31", true),
            ("p1", "Müller^Jürgen", "1970-01-31", true),
            ("P1", "Meier^Jürgen", "1970-01-31", true),
            ("P1", "Müller^Jürgen^2", "1970-01-31", true),
            ("P1", "Müller^Jürgen", "1970-01-30", true),
            ("", "Meier^Anna", "", true),
        ] {
            let image = header(id, name, born);
            assert_eq!(is_another_patient(&study, &image), other, "{id} {name} {born}");
            assert_eq!(is_another_patient(&image, &study), other, "{id} {name} {born}");
        }
        let spelt = Patient::of(&header("P1", "MÜLLER^JÜRGEN^^", "1970-01-31"));
        assert_eq!(spelt.digest(), Patient::of(&study).digest());
        assert_ne!(Patient::of(&header("P1", "", "1970-01-31")).digest(), Patient::of(&study).digest());
    }

    #[test]
    fn ids_come_back_as_they_were() {
        let contents = ConflictId::Contents {
            study: StudyInstanceUid::parse("1.2").unwrap(),
            sop_instance: SopInstanceUid::parse("1.2.3").unwrap(),
            sha256: Sha256Digest::of(b"x"),
        };
        for id in [contents, ConflictId::Patient(PatientConflictId::fresh())] {
            assert_eq!(ConflictId::parse(&id.to_string()), Some(id));
        }
        for text in ["", "1.2", "1.2:1.3", "1.2:1.3:zz", "../..:1:1"] {
            assert_eq!(ConflictId::parse(text), None, "{text}");
        }
    }
}
