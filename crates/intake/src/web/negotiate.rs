//! What a request of STOW-RS says it is, and in which form it wants its answer (PS3.18 sections 8.7 and 10.5).

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use gate::{MediaRange, Problem};
use serde_json::{Map, Value};

/// Most characters of a multipart boundary (RFC 2046 section 5.1.1).
pub const BOUNDARY_CHARS_MAX: usize = 70;
const DICOM_JSON: &str = "application/dicom+json";
const DICOM_XML: &str = "application/dicom+xml";

/// What the parts of a request are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// Files, one a part.
    Files,
    /// Metadata, followed by bulk data.
    Described(Form),
}

/// The form of metadata, and of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// DICOM JSON (PS3.18 annex F).
    Json,
    /// The Native DICOM Model (PS3.19 section A.1).
    Xml,
}

impl Form {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => DICOM_JSON,
            Self::Xml => DICOM_XML,
        }
    }
}

/// What a request is, and its boundary.
pub(super) fn request(headers: &HeaderMap) -> Result<(Payload, String), Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported("Compressed request bodies are not taken."));
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type =
        content_type.and_then(MediaRange::parse).filter(|it| it.media_type == "multipart/related");
    let Some(content_type) = content_type else {
        return Err(unsupported("The body is not multipart/related."));
    };
    let payload = match content_type.parameter("type").map(str::to_ascii_lowercase).as_deref() {
        None | Some("application/dicom") => Payload::Files,
        Some(DICOM_JSON) => Payload::Described(Form::Json),
        Some(DICOM_XML) => Payload::Described(Form::Xml),
        Some(_) => return Err(unsupported("The parts are of a type that is not taken.")),
    };
    match content_type.parameter("boundary") {
        Some(boundary) if (1..=BOUNDARY_CHARS_MAX).contains(&boundary.len()) => {
            Ok((payload, boundary.to_owned()))
        }
        Some(_) | None => Err(unsupported("The boundary is missing or longer than 70 characters.")),
    }
}

pub(super) fn unsupported(message: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message).next_step(
        "Send multipart/related with a boundary and one of the types \"application/dicom\", with one instance a part, \
         \"application/dicom+json\" or \"application/dicom+xml\", with metadata first and bulk data behind.",
    )
}

/// The form of the answer. It is asked before anything is stored: what cannot be answered is not done.
pub(super) fn answer(headers: &HeaderMap, uri: &Uri) -> Result<Form, Problem> {
    let accept = gate::accepted(headers, uri)?;
    if accept.trim().is_empty() {
        return Ok(Form::Json);
    }
    let form = |range: &MediaRange| match range {
        range if range.includes(DICOM_JSON) || range.media_type == "application/json" => Some(Form::Json),
        range if range.includes(DICOM_XML) => Some(Form::Xml),
        _ => None,
    };
    MediaRange::list(&accept).iter().find_map(form).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            "The answer is in no form that the client accepts.",
        )
        .next_step("Accept application/dicom+json or application/dicom+xml. Nothing was stored.")
        .with("offers", vec![DICOM_JSON, DICOM_XML])
    })
}

/// A data set as the answer.
pub(super) fn write(status: StatusCode, data_set: Map<String, Value>, form: Form) -> Response {
    let body = match form {
        Form::Json => Value::Object(data_set).to_string(),
        Form::Xml => imaging::xml::native(&data_set),
    };
    let content_type = HeaderValue::from_static(form.media_type());
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn requests_say_what_they_are() {
        let described = |form| Some((Payload::Described(form), "b".to_owned()));
        let files = Some((Payload::Files, "b".to_owned()));
        for (content_type, expected) in [
            (r#"multipart/related; type="application/dicom"; boundary=b"#, files.clone()),
            ("Multipart/Related; boundary=b; type=application/dicom", files.clone()),
            ("multipart/related; boundary=\"b\"", files),
            (r#"multipart/related; type="application/dicom+json"; boundary=b"#, described(Form::Json)),
            (r#"multipart/related; type="Application/DICOM+XML"; boundary=b"#, described(Form::Xml)),
            (r#"multipart/related; type="application/json"; boundary=b"#, None),
            (r#"multipart/form-data; type="application/dicom+json"; boundary=b"#, None),
            (r#"multipart/related; type="application/dicom+json""#, None),
            ("application/dicom+json", None),
        ] {
            assert_eq!(
                request(&headers(header::CONTENT_TYPE, content_type)).ok(),
                expected,
                "{content_type}"
            );
        }
    }

    #[test]
    fn answers_come_in_a_form_that_is_accepted() {
        let here = Uri::from_static("/studies");
        for (accept, expected) in [
            ("", Some(Form::Json)),
            ("*/*", Some(Form::Json)),
            ("application/*", Some(Form::Json)),
            ("application/json", Some(Form::Json)),
            ("application/dicom+xml", Some(Form::Xml)),
            ("application/dicom+json;q=0.5, application/dicom+xml", Some(Form::Xml)),
            ("text/html, application/dicom+xml;q=0.1", Some(Form::Xml)),
            ("application/dicom+json;q=0, application/dicom+xml;q=0", None),
            (r#"multipart/related; type="application/dicom+xml""#, None),
            ("text/html", None),
        ] {
            assert_eq!(answer(&headers(header::ACCEPT, accept), &here).ok(), expected, "{accept}");
        }
        assert_eq!(answer(&HeaderMap::new(), &here).ok(), Some(Form::Json));
        let asks = Uri::from_static("/studies?accept=application%2Fdicom%2Bxml");
        assert_eq!(answer(&headers(header::ACCEPT, DICOM_JSON), &asks).ok(), Some(Form::Xml));
    }
}
