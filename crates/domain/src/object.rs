//! Names of stored objects. The key alone says whose they are, so that the catalog can be rebuilt from storage.

use std::fmt;

use uuid::Uuid;

use crate::{
    digest::Sha256Digest,
    id::CentreId,
    uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
};

/// The name of an object: parts of `[0-9a-z.-]`, joined by `/`. Only this module makes one from parts, so no outside text
/// can become a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

/// What an [`ObjectKey`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    /// A received DICOM file: `CENTRE/STUDY/SERIES/INSTANCE/SHA256.dcm`.
    Instance {
        /// Whose it is.
        centre: CentreId,
        /// Its study.
        study: StudyInstanceUid,
        /// Its series.
        series: SeriesInstanceUid,
        /// The instance.
        instance: SopInstanceUid,
        /// Digest of the file's bytes.
        sha256: Sha256Digest,
    },
    /// A key image made for a draft: `CENTRE/STUDY/key-images/SHA256.png`.
    KeyImage {
        /// Whose it is.
        centre: CentreId,
        /// Its study.
        study: StudyInstanceUid,
        /// Digest of the file's bytes.
        sha256: Sha256Digest,
    },
    /// The PDF of a signed version: `CENTRE/STUDY/reports/VERSION-SHA256.pdf`.
    ReportPdf {
        /// Whose it is.
        centre: CentreId,
        /// Its study.
        study: StudyInstanceUid,
        /// The version's number.
        version: u32,
        /// Digest of the file's bytes.
        sha256: Sha256Digest,
    },
    /// The metadata of a series, made of its images and made again when it is lost: `CENTRE/STUDY/metadata/SERIES-SHA256.sheet`.
    SeriesDocument {
        /// Whose it is.
        centre: CentreId,
        /// Its study.
        study: StudyInstanceUid,
        /// Its series.
        series: SeriesInstanceUid,
        /// Digest of the file's bytes.
        sha256: Sha256Digest,
    },
    /// An object that could not be read, kept for a person to look at: `CENTRE/quarantine/SHA256.dcm`.
    Quarantined {
        /// Whose it is.
        centre: CentreId,
        /// Digest of the file's bytes.
        sha256: Sha256Digest,
    },
    /// How far the history of a catalog was when it was written, of no patient: `catalog-marks/CATALOG/NUMBER-SHA256.mark`. An older
    /// copy of that catalog is recognised by it.
    Mark {
        /// Which catalog.
        catalog: Uuid,
        /// Goes up.
        number: u64,
        /// Digest of the file's bytes.
        sha256: Sha256Digest,
    },
}

/// The first part of the keys of marks.
const MARKS: &str = "catalog-marks";

impl ObjectName {
    /// The name of a mark, and its bytes.
    #[must_use]
    pub fn mark(catalog: Uuid, number: u64) -> (Self, Vec<u8>) {
        let bytes = format!("telerad catalog {} mark {number}\n", catalog.simple()).into_bytes();
        (Self::Mark { catalog, number, sha256: Sha256Digest::of(&bytes) }, bytes)
    }

    /// The object's key.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey(match self {
            Self::Instance { centre, study, series, instance, sha256 } => {
                format!("{centre}/{study}/{series}/{instance}/{sha256}.dcm")
            }
            Self::KeyImage { centre, study, sha256 } => format!("{centre}/{study}/key-images/{sha256}.png"),
            Self::ReportPdf { centre, study, version, sha256 } => {
                format!("{centre}/{study}/reports/{version}-{sha256}.pdf")
            }
            Self::SeriesDocument { centre, study, series, sha256 } => {
                format!("{centre}/{study}/metadata/{series}-{sha256}.sheet")
            }
            Self::Quarantined { centre, sha256 } => format!("{centre}/quarantine/{sha256}.dcm"),
            Self::Mark { catalog, number, sha256 } => {
                format!("{MARKS}/{}/{number}-{sha256}.mark", catalog.simple())
            }
        })
    }

    /// The digest that the key promises.
    #[must_use]
    pub const fn sha256(&self) -> Sha256Digest {
        match self {
            Self::Instance { sha256, .. }
            | Self::KeyImage { sha256, .. }
            | Self::ReportPdf { sha256, .. }
            | Self::SeriesDocument { sha256, .. }
            | Self::Quarantined { sha256, .. }
            | Self::Mark { sha256, .. } => *sha256,
        }
    }
}

impl ObjectKey {
    /// Reads a key; `None` when it names nothing that this product stores.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let key = Self(text.to_owned());
        key.name().filter(|name| name.key() == key)?;
        Some(key)
    }

    /// What the key names.
    #[must_use]
    pub fn name(&self) -> Option<ObjectName> {
        let parts: Vec<&str> = self.0.split('/').collect();
        match parts.as_slice() {
            [centre, "quarantine", file] => Some(ObjectName::Quarantined {
                centre: CentreId::parse(centre).ok()?,
                sha256: Sha256Digest::parse(file.strip_suffix(".dcm")?)?,
            }),
            [MARKS, catalog, file] => {
                let (number, sha256) = file.strip_suffix(".mark")?.split_once('-')?;
                Some(ObjectName::Mark {
                    catalog: Uuid::try_parse(catalog).ok()?,
                    number: number.parse().ok()?,
                    sha256: Sha256Digest::parse(sha256)?,
                })
            }
            [centre, study, "key-images", file] => Some(ObjectName::KeyImage {
                centre: CentreId::parse(centre).ok()?,
                study: StudyInstanceUid::parse(study).ok()?,
                sha256: Sha256Digest::parse(file.strip_suffix(".png")?)?,
            }),
            [centre, study, "reports", file] => {
                let (version, sha256) = file.strip_suffix(".pdf")?.split_once('-')?;
                Some(ObjectName::ReportPdf {
                    centre: CentreId::parse(centre).ok()?,
                    study: StudyInstanceUid::parse(study).ok()?,
                    version: version.parse().ok()?,
                    sha256: Sha256Digest::parse(sha256)?,
                })
            }
            [centre, study, "metadata", file] => {
                let (series, sha256) = file.strip_suffix(".sheet")?.split_once('-')?;
                Some(ObjectName::SeriesDocument {
                    centre: CentreId::parse(centre).ok()?,
                    study: StudyInstanceUid::parse(study).ok()?,
                    series: SeriesInstanceUid::parse(series).ok()?,
                    sha256: Sha256Digest::parse(sha256)?,
                })
            }
            [centre, study, series, instance, file] => Some(ObjectName::Instance {
                centre: CentreId::parse(centre).ok()?,
                study: StudyInstanceUid::parse(study).ok()?,
                series: SeriesInstanceUid::parse(series).ok()?,
                instance: SopInstanceUid::parse(instance).ok()?,
                sha256: Sha256Digest::parse(file.strip_suffix(".dcm")?)?,
            }),
            _ => None,
        }
    }

    /// The key as text: a relative path with `/`, safe on a filesystem and in S3.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an object rests, in the words of the store that keeps it; one to [`PLACE_CHARS_MAX`] of `[0-9a-z:]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(String);

/// Longest [`Place`] in characters.
pub const PLACE_CHARS_MAX: usize = 64;

impl Place {
    /// Reads a place; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = |c: u8| c.is_ascii_digit() || c.is_ascii_lowercase() || c == b':';
        let fits = (1..=PLACE_CHARS_MAX).contains(&text.len()) && text.bytes().all(good);
        fits.then(|| Self(text.to_owned()))
    }

    /// The place as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a store needs to find an object again: its key and, where the key alone does not say it, its place. As text `KEY` or
/// `KEY@PLACE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// What it is.
    pub key: ObjectKey,
    /// Where it rests, for a store that keeps objects elsewhere than under their key.
    pub place: Option<Place>,
}

impl ObjectRef {
    /// Reads a reference; `None` when it names nothing that this product stores.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('@') {
            Some((key, place)) => {
                Some(Self { key: ObjectKey::parse(key)?, place: Some(Place::parse(place)?) })
            }
            None => ObjectKey::parse(text).map(Self::from),
        }
    }
}

impl From<ObjectKey> for ObjectRef {
    fn from(key: ObjectKey) -> Self {
        Self { key, place: None }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{}@{}", self.key, place.as_str()),
            None => write!(f, "{}", self.key),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pdf_key() -> ObjectKey {
        let (centre, study) = (CentreId::parse("c1").unwrap(), StudyInstanceUid::parse("1.2").unwrap());
        ObjectName::ReportPdf { centre, study, version: 2, sha256: Sha256Digest::of(b"x") }.key()
    }

    #[test]
    fn keys_read_back_and_refuse_paths() {
        let name = ObjectName::Instance {
            centre: CentreId::parse("c1").unwrap(),
            study: StudyInstanceUid::parse("1.2").unwrap(),
            series: SeriesInstanceUid::parse("1.2.3").unwrap(),
            instance: SopInstanceUid::parse("1.2.3.4").unwrap(),
            sha256: Sha256Digest::of(b"x"),
        };
        let pdf = ObjectName::ReportPdf {
            centre: CentreId::parse("c1").unwrap(),
            study: StudyInstanceUid::parse("1.2").unwrap(),
            version: 2,
            sha256: Sha256Digest::of(b"x"),
        };
        let kept = ObjectName::Quarantined {
            centre: CentreId::parse("c1").unwrap(),
            sha256: Sha256Digest::of(b"x"),
        };
        let (mark, _) = ObjectName::mark(Uuid::from_u128(7), 12);
        let document = ObjectName::SeriesDocument {
            centre: CentreId::parse("c1").unwrap(),
            study: StudyInstanceUid::parse("1.2").unwrap(),
            series: SeriesInstanceUid::parse("1.2.3").unwrap(),
            sha256: Sha256Digest::of(b"x"),
        };
        for name in [name, pdf, kept, mark, document] {
            let key = name.key();
            assert_eq!(ObjectKey::parse(key.as_str()).unwrap().name(), Some(name));
        }
        let key = pdf_key();
        for text in [key.to_string(), format!("{key}@018f:4096")] {
            let read = ObjectRef::parse(&text).unwrap();
            assert_eq!((read.to_string(), &read.key), (text, &key));
        }
        for bad in ["@1", "@", "@../x", "@1@2", "@A"] {
            assert_eq!(ObjectRef::parse(&format!("{key}{bad}")).is_some(), bad == "@1", "{bad}");
        }
        for bad in
            ["", "c1", "../1.2/1.2/1.2/x.dcm", "c1/1.2/../1.2/00.dcm", "/etc/passwd", "c1/quarantine/x.dcm"]
        {
            assert_eq!(ObjectKey::parse(bad), None, "{bad}");
        }
    }
}
