//! Names of stored objects. The key alone says whose they are, so that the catalog can be rebuilt from storage.

use std::fmt;

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
}

impl ObjectName {
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
        })
    }

    /// The digest that the key promises.
    #[must_use]
    pub const fn sha256(&self) -> Sha256Digest {
        match self {
            Self::Instance { sha256, .. }
            | Self::KeyImage { sha256, .. }
            | Self::ReportPdf { sha256, .. } => *sha256,
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

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for name in [name, pdf] {
            let key = name.key();
            assert_eq!(ObjectKey::parse(key.as_str()).unwrap().name(), Some(name));
        }
        for bad in ["", "c1", "../1.2/1.2/1.2/x.dcm", "c1/1.2/../1.2/00.dcm", "/etc/passwd"] {
            assert_eq!(ObjectKey::parse(bad), None, "{bad}");
        }
    }
}
