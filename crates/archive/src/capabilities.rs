//! Retrieve Capabilities (PS3.18 section 8.9): what can be asked of this service, as WADL or as the same in JSON. `docs/dicomweb.md` is
//! the conformance statement for people.

use axum::{
    extract::State as Here,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse as _, Response},
};
use gate::Problem;
use serde_json::{Value, json};

use crate::{
    State,
    accept::{Accepted, DICOM, DICOM_JSON, DICOM_XML, OCTET_STREAM, Packaging, matches, not_acceptable},
    address::Target,
};

const WADL: &str = "application/vnd.sun.wadl+xml";
const JSON: &str = "application/json";
/// The namespace of WADL (W3C member submission of 31 August 2009).
const NAMESPACE: &str = "http://wadl.dev.java.net/2009/02";

/// Media types of what is described, of files, of pictures, and of frames and bulk data.
const DESCRIBED: &[&str] = &[DICOM_JSON, "multipart/related; type=\"application/dicom+xml\""];
const FILES: &[&str] = &["multipart/related; type=\"application/dicom\"", DICOM];
const PICTURES: &[&str] = &["image/jpeg", "image/png"];
const VALUES: &[&str] = &["multipart/related; type=\"application/octet-stream\"", OCTET_STREAM];
const SENT: &[&str] = &[
    "multipart/related; type=\"application/dicom\"",
    "multipart/related; type=\"application/dicom+json\"",
    "multipart/related; type=\"application/dicom+xml\"",
];
const SEARCHED: &[&str] = &["{attributeID}", "includefield", "fuzzymatching", "limit", "offset"];
const NAMED: &[&str] = &[
    "requestType",
    "studyUID",
    "seriesUID",
    "objectUID",
    "contentType",
    "transferSyntax",
    "frameNumber",
    "rows",
    "columns",
    "region",
    "windowCenter",
    "windowWidth",
    "imageQuality",
    "annotation",
];
const DRAWN: &[&str] = &["window", "viewport", "quality", "annotation"];

/// One thing that can be done.
struct Method {
    /// Below the address of the service.
    path: &'static str,
    verb: &'static str,
    /// The transaction's name in the standard.
    name: &'static str,
    query: &'static [&'static str],
    /// Media types of the request.
    takes: &'static [&'static str],
    /// Media types of the answer.
    gives: &'static [&'static str],
}

macro_rules! methods {
    ($($verb:ident $name:ident $path:literal $query:expr, $takes:expr => $gives:expr;)*) => {
        &[$(Method {
            path: $path, verb: stringify!($verb), name: stringify!($name), query: $query, takes: $takes, gives: $gives,
        },)*]
    };
}

/// All of them. STOW-RS and storage commitment are served by intake, at the same addresses.
const METHODS: &[Method] = methods! {
    GET SearchForStudies "studies" SEARCHED, &[] => DESCRIBED;
    POST StoreInstances "studies" &[], SENT => &[DICOM_JSON, DICOM_XML];
    GET RetrieveStudy "studies/{study}" &[], &[] => FILES;
    DELETE TakeStudyOut "studies/{study}" &[], &[JSON] => &[JSON];
    POST StoreStudyInstances "studies/{study}" &[], SENT => &[DICOM_JSON, DICOM_XML];
    GET RetrieveStudyMetadata "studies/{study}/metadata" &[], &[] => DESCRIBED;
    GET RetrieveStudyThumbnail "studies/{study}/thumbnail" DRAWN, &[] => PICTURES;
    GET SearchForStudySeries "studies/{study}/series" SEARCHED, &[] => DESCRIBED;
    GET SearchForStudyInstances "studies/{study}/instances" SEARCHED, &[] => DESCRIBED;
    GET RetrieveSeries "studies/{study}/series/{series}" &[], &[] => FILES;
    GET RetrieveSeriesMetadata "studies/{study}/series/{series}/metadata" &[], &[] => DESCRIBED;
    GET RetrieveSeriesThumbnail "studies/{study}/series/{series}/thumbnail" DRAWN, &[] => PICTURES;
    GET SearchForStudySeriesInstances "studies/{study}/series/{series}/instances" SEARCHED, &[] => DESCRIBED;
    GET RetrieveInstance "studies/{study}/series/{series}/instances/{instance}" &[], &[] => FILES;
    GET RetrieveInstanceMetadata "studies/{study}/series/{series}/instances/{instance}/metadata" &[], &[] => DESCRIBED;
    GET RetrieveRenderedInstance "studies/{study}/series/{series}/instances/{instance}/rendered" DRAWN, &[] => PICTURES;
    GET RetrieveInstanceThumbnail "studies/{study}/series/{series}/instances/{instance}/thumbnail" DRAWN, &[] => PICTURES;
    GET RetrieveBulkdata "studies/{study}/series/{series}/instances/{instance}/bulkdata/{place}" &[], &[] => VALUES;
    GET RetrieveFrames "studies/{study}/series/{series}/instances/{instance}/frames/{frames}" &[], &[] => VALUES;
    GET RetrieveRenderedFrames "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered" DRAWN, &[] => PICTURES;
    GET RetrieveFrameThumbnail "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail" DRAWN, &[] => PICTURES;
    GET SearchForSeries "series" SEARCHED, &[] => DESCRIBED;
    GET SearchForInstances "instances" SEARCHED, &[] => DESCRIBED;
    GET RetrieveByURI "wado" NAMED, &[] => &[DICOM, "image/jpeg", "image/png"];
    GET ListStudiesTakenOut "taken-out" &[], &[] => &[JSON];
    POST BringStudyBack "taken-out/{study}/bring-back" &[], &[] => &[];
    POST RequestStorageCommitment "commitment-requests/{transaction}" &[], &[DICOM_JSON] => &[DICOM_JSON];
    GET GetStorageCommitmentResult "commitment-requests/{transaction}" &[], &[] => &[DICOM_JSON];
};

/// What the service can do.
pub(crate) async fn retrieve(
    Here(_): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let offer = Accepted::of(&headers, &uri)?.choose(|wanted| {
        let is_alone = wanted.packaging == Packaging::Single;
        is_alone.then(|| [WADL, JSON].into_iter().find(|offer| matches(wanted.payload, offer))).flatten()
    });
    let media_type = offer.ok_or_else(|| not_acceptable(&[WADL, JSON].map(str::to_owned)))?;
    let body = if media_type == WADL { wadl(&target.base) } else { listed(&target.base).to_string() };
    Ok(([(header::CONTENT_TYPE, media_type)], body).into_response())
}

fn wadl(base: &str) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<application xmlns=\"{NAMESPACE}\">\n<resources base=\"{}\">\n",
        escaped(base)
    );
    for method in METHODS {
        let Method { path, verb, name, query, takes, gives } = method;
        text.push_str(&format!("<resource path=\"{path}\">\n"));
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            text.push_str(&format!("<param name=\"{part}\" style=\"template\" required=\"true\"/>\n"));
        }
        text.push_str(&format!("<method name=\"{verb}\" id=\"{name}\">\n<request>\n"));
        for parameter in *query {
            text.push_str(&format!("<param name=\"{parameter}\" style=\"query\"/>\n"));
        }
        represented(&mut text, takes);
        text.push_str("</request>\n<response>\n");
        represented(&mut text, gives);
        text.push_str("</response>\n</method>\n</resource>\n");
    }
    text.push_str("</resources>\n</application>\n");
    text
}

fn represented(text: &mut String, media_types: &[&str]) {
    for media_type in media_types {
        text.push_str(&format!("<representation mediaType=\"{}\"/>\n", escaped(media_type)));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn listed(base: &str) -> Value {
    let methods = METHODS.iter().map(|method| {
        let Method { path, verb, name, query, takes, gives } = method;
        json!({"path": path, "method": verb, "id": name, "query": query, "request": takes, "response": gives})
    });
    json!({"base": base, "methods": methods.collect::<Vec<_>>()})
}
