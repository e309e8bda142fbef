//! The `Accept` header (RFC 9110 section 12.5.1) and its query parameter (PS3.18 section 8.3.3.1), and the
//! media types that they agree to. Not what the answer then is made of.

use axum::http::{HeaderMap, StatusCode, Uri};
use domain::{image::Instance, uid::TransferSyntaxUid};
use gate::{MediaRange, Problem};
use imaging::codec::Target;

use crate::transcode;

/// The media type of a DICOM file.
pub(crate) const DICOM: &str = "application/dicom";
/// The media type of DICOM JSON.
pub(crate) const DICOM_JSON: &str = "application/dicom+json";
/// The media type of the Native DICOM Model (PS3.19 section A.1).
pub(crate) const DICOM_XML: &str = "application/dicom+xml";
/// The media type of bytes.
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";
const JSON: &str = "application/json";
const MULTIPART: &str = "multipart/related";

/// What a client takes, the most wanted first. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted(Vec<MediaRange>);

/// How one or more payloads are put in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packaging {
    /// As parts of `multipart/related`.
    Multipart,
    /// One alone.
    Single,
}

/// In which form data sets are described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Described {
    /// As one array in DICOM JSON, under this name.
    Json(&'static str),
    /// As parts, each a Native DICOM Model (PS3.18 section 8.7.3.2.1).
    Xml,
}

/// What a media range asks for, seen through `multipart/related`.
pub(crate) struct Wanted<'a> {
    /// How it is to be put in the answer.
    pub(crate) packaging: Packaging,
    /// The media type of the payload, may hold `*`.
    pub(crate) payload: &'a str,
    /// The transfer syntax; `None` when the client did not say.
    pub(crate) transfer_syntax: Option<&'a str>,
}

impl Accepted {
    /// What a request takes: the `accept` of the query where it is there, else the header, else anything.
    /// What cannot be read is not counted.
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri) -> Result<Self, Problem> {
        Ok(Self::read(&gate::accepted(headers, uri)?))
    }

    fn read(text: &str) -> Self {
        Self(if text.trim().is_empty() { vec![MediaRange::any()] } else { MediaRange::list(text) })
    }

    /// The first wanted thing that `offer` has.
    pub(crate) fn choose<T>(&self, mut offer: impl FnMut(&Wanted<'_>) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|range| {
            let transfer_syntax = range.parameter("transfer-syntax");
            let packagings: &[Packaging] = match range.media_type.as_str() {
                MULTIPART | "multipart/*" => &[Packaging::Multipart],
                "*/*" => &[Packaging::Multipart, Packaging::Single],
                _ => &[Packaging::Single],
            };
            packagings.iter().find_map(|&packaging| {
                let payload = match (packaging, range.media_type.as_str()) {
                    (Packaging::Multipart, _) => range.parameter("type").unwrap_or("*/*"),
                    (Packaging::Single, media_type) => media_type,
                };
                offer(&Wanted { packaging, payload, transfer_syntax })
            })
        })
    }

    /// How data sets are described to a client. XML is for who names it.
    ///
    /// # Errors
    /// 406 when the client takes neither.
    pub(crate) fn described(&self) -> Result<Described, Problem> {
        let offer = |wanted: &Wanted<'_>| match wanted.packaging {
            Packaging::Multipart => wanted.payload.eq_ignore_ascii_case(DICOM_XML).then_some(Described::Xml),
            Packaging::Single => {
                let names = [DICOM_JSON, JSON];
                names.into_iter().find(|name| matches(wanted.payload, name)).map(Described::Json)
            }
        };
        let offers = || [DICOM_JSON.to_owned(), format!("{MULTIPART}; type=\"{DICOM_XML}\"")];
        self.choose(offer).ok_or_else(|| not_acceptable(&offers()))
    }

    /// How DICOM files go out: as they are stored, or in a transfer syntax that all of them can be written in.
    ///
    /// # Errors
    /// 406 when the client takes no DICOM files, or only such of another transfer syntax.
    pub(crate) fn objects<'a>(
        &self,
        stored: impl Iterator<Item = &'a Instance> + Clone,
        is_one: bool,
    ) -> Result<(Packaging, Option<Target>), Problem> {
        let offer = |wanted: &Wanted<'_>| {
            let is_packaged = is_one || wanted.packaging == Packaging::Multipart;
            if !is_packaged || !matches(wanted.payload, DICOM) {
                return None;
            }
            if stored.clone().all(|instance| takes_stored(wanted, &instance.transfer_syntax)) {
                return Some((wanted.packaging, None));
            }
            let target = Target::of(wanted.transfer_syntax?)?;
            let reaches = |instance: &Instance| {
                takes_stored(wanted, &instance.transfer_syntax) || transcode::reaches(instance, target)
            };
            stored.clone().all(reaches).then_some((wanted.packaging, Some(target)))
        };
        self.choose(offer).ok_or_else(|| {
            let offer = |syntax: &str| {
                format!("multipart/related; type=\"application/dicom\"; transfer-syntax={syntax}")
            };
            let mut offers: Vec<String> =
                stored.clone().map(|instance| offer(instance.transfer_syntax.as_str())).collect();
            let made = Target::ALL
                .into_iter()
                .filter(|target| stored.clone().all(|instance| transcode::reaches(instance, *target)));
            offers.extend(made.map(|target| offer(target.uid())));
            offers.sort();
            offers.dedup();
            not_acceptable(&offers)
        })
    }
}

/// Whether a wanted media type, which may hold `*`, includes one.
pub(crate) fn matches(wanted: &str, media_type: &str) -> bool {
    if wanted == "*/*" {
        return true;
    }
    match wanted.strip_suffix("/*") {
        Some(kind) => media_type.split('/').next().is_some_and(|of| of.eq_ignore_ascii_case(kind)),
        None => wanted.eq_ignore_ascii_case(media_type),
    }
}

/// Whether what is stored is what is wanted: the client said nothing, `*`, or this transfer syntax.
pub(crate) fn takes_stored(wanted: &Wanted<'_>, stored: &TransferSyntaxUid) -> bool {
    wanted.transfer_syntax.is_none_or(|syntax| syntax == "*" || syntax == stored.as_str())
}

/// 406, with what there is.
pub(crate) fn not_acceptable(offers: &[String]) -> Problem {
    Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "not_acceptable",
        "This is not held in a form that the client accepts.",
    )
    .next_step("Ask for one of the offered media types in the Accept header.")
    .with("offers", offers.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(transfer_syntax: &str) -> Instance {
        use domain::{
            Timestamp,
            digest::Sha256Digest,
            id::CentreId,
            image::InstanceAttributes,
            object::{ObjectName, ObjectRef},
            uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid},
        };
        let sha256 = Sha256Digest::of(b"an object");
        let centre = CentreId::parse("north").unwrap();
        let (study, series) =
            (StudyInstanceUid::parse("1.2").unwrap(), SeriesInstanceUid::parse("1.3").unwrap());
        let sop_instance = SopInstanceUid::parse("1.4").unwrap();
        let name = ObjectName::Instance {
            centre: centre.clone(),
            study: study.clone(),
            series: series.clone(),
            instance: sop_instance.clone(),
            sha256,
        };
        Instance {
            centre,
            study,
            series,
            sop_instance,
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            transfer_syntax: TransferSyntaxUid::parse(transfer_syntax).unwrap(),
            object: ObjectRef::from(name.key()),
            bytes: 1,
            file_sha256: sha256,
            attributes: InstanceAttributes {
                rows: Some(1),
                columns: Some(1),
                bits_allocated: Some(16),
                ..InstanceAttributes::default()
            },
            received: Timestamp::UNIX_EPOCH,
        }
    }

    fn objects(accept: &str, is_one: bool) -> Option<(Packaging, Option<Target>)> {
        let stored = [instance("1.2.840.10008.1.2.4.80")];
        Accepted::read(accept).objects(stored.iter(), is_one).ok()
    }

    #[test]
    fn quotes_hide_separators() {
        let accepted =
            Accepted::read(r#"Multipart/Related; TYPE="a/b;c,\"d\"" ;q=0.5, text/html ;, */* ; Q=0.123"#);
        let [html, multipart, any] = accepted.0.as_slice() else { panic!("{accepted:?}") };
        assert_eq!(html.media_type, "text/html");
        assert_eq!(multipart.parameter("type"), Some("a/b;c,\"d\""));
        assert_eq!((any.media_type.as_str(), any.quality), ("*/*", 123));
    }

    #[test]
    fn what_cannot_be_read_is_not_counted() {
        for text in ["nonsense", "a/b;q=2", "a/b;q=x", "/", "a/b;x", "a/b;q=0", "multipart/related; type"] {
            assert_eq!(Accepted::read(text).0, [], "{text}");
        }
        assert_eq!(Accepted::read(" ").0, [MediaRange::any()]);
    }

    #[test]
    fn files_go_out_as_they_are_stored_or_as_asked_for() {
        let multipart = Some((Packaging::Multipart, None));
        let single = Some((Packaging::Single, None));
        let made = |packaging, target| Some((packaging, Some(target)));
        for (accept, is_one, expected) in [
            ("", true, multipart),
            ("*/*", true, multipart),
            ("multipart/related", false, multipart),
            (r#"multipart/related; type="application/dicom""#, false, multipart),
            ("multipart/related; type=application/dicom; transfer-syntax=*", false, multipart),
            (
                "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80",
                false,
                multipart,
            ),
            (
                "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
                false,
                made(Packaging::Multipart, Target::Native),
            ),
            (
                "application/dicom; transfer-syntax=1.2.840.10008.1.2.5",
                true,
                made(Packaging::Single, Target::Rle),
            ),
            ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90", true, None),
            ("multipart/related; type=application/octet-stream", false, None),
            ("application/dicom", true, single),
            ("application/dicom", false, None),
            (
                "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90, application/dicom;q=0.5",
                true,
                single,
            ),
            ("application/zip", false, None),
        ] {
            assert_eq!(objects(accept, is_one), expected, "{accept}");
        }
        let film = [instance("1.2.840.10008.1.2.4.102")];
        let plain = Accepted::read("application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
        assert!(plain.objects(film.iter(), true).is_err());
    }

    #[test]
    fn data_sets_are_described_in_json_unless_xml_is_named() {
        let (dicom_json, json) = (Some(Described::Json(DICOM_JSON)), Some(Described::Json(JSON)));
        for (accept, expected) in [
            ("application/dicom+json", dicom_json),
            ("application/json", json),
            ("application/json, application/dicom+json;q=0.9", json),
            ("application/*", dicom_json),
            ("", dicom_json),
            ("*/*", dicom_json),
            ("multipart/related", None),
            (r#"multipart/related; type="application/dicom+xml""#, Some(Described::Xml)),
            ("multipart/related; type=application/dicom+xml;q=0.1, application/dicom+json", dicom_json),
            ("application/dicom+xml", None),
        ] {
            assert_eq!(Accepted::read(accept).described().ok(), expected, "{accept}");
        }
    }
}
