//! Answers that a page asks for again and again: an entity tag over what counts, and 304 while nothing changed.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::digest::Sha256Digest;
use gate::Problem;
use serde::Serialize;

/// Answers with a body, or with 304 when the caller has it already (RFC 9110 section 13.1.2). `counts` is what the tag is made
/// of: a body without the fields that always change.
pub(crate) fn tagged<T: Serialize>(
    headers: &HeaderMap,
    body: &T,
    counts: &impl Serialize,
) -> Result<Response, Problem> {
    let counts = serde_json::to_vec(counts).map_err(|error| Problem::internal(&error))?;
    let tag = format!("\"{}\"", Sha256Digest::of(&counts).short());
    let value = HeaderValue::try_from(&tag).map_err(|error| Problem::internal(&error))?;
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let same = known
        .flat_map(|line| line.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*");
    if same {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, value)]).into_response());
    }
    Ok(([(header::ETAG, value)], Json(body)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_answer_is_not_sent_twice() {
        let fresh = tagged(&HeaderMap::new(), &(1, 2), &1).unwrap();
        assert_eq!(fresh.status(), StatusCode::OK);
        let tag = fresh.headers()[header::ETAG].clone();
        for (known, status) in [
            (tag.to_str().unwrap().to_owned(), StatusCode::NOT_MODIFIED),
            (format!("\"x\", W/{}", tag.to_str().unwrap()), StatusCode::NOT_MODIFIED),
            ("\"x\"".to_owned(), StatusCode::OK),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::try_from(known).unwrap());
            assert_eq!(tagged(&headers, &(3, 4), &1).unwrap().status(), status);
        }
    }
}
