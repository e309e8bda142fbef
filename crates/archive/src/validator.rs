//! Validators and caching (RFC 9110 section 8.8.3, RFC 9111): an object never changes, so a client that has
//! it need not fetch it again.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

/// How long a client may use an object without asking: no longer than a session may be idle, since who asks
/// is asked for a session.
const OBJECTS_KEPT: HeaderValue = HeaderValue::from_static("private, max-age=900");
/// A series may grow at any time: ask each time.
const LISTS_KEPT: HeaderValue = HeaderValue::from_static("private, no-cache");
/// What else an answer hangs on. With the cookie among it, the next person at the same browser gets nothing
/// out of its cache.
const VARY: HeaderValue = HeaderValue::from_static("accept, authorization, cookie");

/// How long an answer may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is made of objects, which never change.
    Object,
    /// It is made of what is here now.
    List,
}

/// Names one state of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validator {
    opaque: String,
    kept: Kept,
}

impl Validator {
    /// A validator of hexadecimal digits, UIDs and the like. It is a weak one: packaging and compression
    /// differ between answers.
    pub(crate) fn new(opaque: impl Into<String>, kept: Kept) -> Self {
        Self { opaque: opaque.into(), kept }
    }

    /// The answer to a client that has this state already.
    pub(crate) fn not_modified(&self, headers: &HeaderMap) -> Option<Response> {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let known = known.flat_map(|value| value.split(','));
        let mut known = known.map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
        known
            .any(|tag| tag == self.opaque || tag == "*")
            .then(|| self.put_on((StatusCode::NOT_MODIFIED, Body::empty()).into_response()))
    }

    /// Puts the headers on an answer.
    pub(crate) fn put_on(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::try_from(format!("W/\"{}\"", self.opaque)) {
            headers.insert(header::ETAG, tag);
        }
        let kept = match self.kept {
            Kept::Object => OBJECTS_KEPT,
            Kept::List => LISTS_KEPT,
        };
        headers.insert(header::CACHE_CONTROL, kept);
        headers.append(header::VARY, VARY);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_compare_weakly() {
        let validator = Validator::new("abc", Kept::Object);
        for (value, is_known) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("\"x\", W/\"abc\"", true),
            ("*", true),
            ("\"abcd\"", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]);
            let answer = validator.not_modified(&headers);
            assert_eq!(answer.is_some(), is_known, "{value}");
        }
    }
}
