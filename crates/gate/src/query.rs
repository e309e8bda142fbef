//! The query of an address, and what of it stands in for a header. Not here: what the parameters mean to whoever is asked.

use axum::{
    extract::Query,
    http::{HeaderMap, Uri, header},
};

use crate::Problem;

/// Most parameters of a query.
pub const PARAMETERS_MAX: usize = 64;
/// Most bytes of a query; a list of a hundred UIDs has 6 500.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Longest `Accept`, in bytes, of all lines together.
pub const ACCEPT_BYTES_MAX: usize = 8 * 1024;

/// The parameters of a query, decoded.
///
/// # Errors
/// 400 when they are none, or too many.
pub fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let malformed = || Problem::bad_request("The query cannot be read.");
    if uri.query().is_some_and(|query| query.len() > QUERY_BYTES_MAX) {
        return Err(Problem::bad_request("The query is too long."));
    }
    let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| malformed())?;
    // The decoder puts this character where bytes are no UTF-8.
    if parameters.iter().any(|(name, value)| name.contains('\u{FFFD}') || value.contains('\u{FFFD}')) {
        return Err(malformed());
    }
    if parameters.len() > PARAMETERS_MAX {
        return Err(Problem::bad_request(format!("The query has more than {PARAMETERS_MAX} parameters.")));
    }
    Ok(parameters)
}

/// What a client takes, as media ranges: the `accept` of the query where it is there (PS3.18 section 8.3.3.1), else the header. Empty
/// when it did not say.
///
/// # Errors
/// 400 when that is too long, or the query cannot be read.
pub fn accepted(headers: &HeaderMap, uri: &Uri) -> Result<String, Problem> {
    let query = parameters(uri)?.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    let mut texts: Vec<String> = query.map(|(_, value)| value).collect();
    if texts.is_empty() {
        let lines = headers.get_all(header::ACCEPT).iter();
        texts = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect();
    }
    let text = texts.join(",");
    if text.len() > ACCEPT_BYTES_MAX {
        return Err(Problem::bad_request("What the client accepts is too long a list."));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str, lines: &[&'static str]) -> Result<String, Problem> {
        let values = lines.iter().map(|line| (header::ACCEPT, axum::http::HeaderValue::from_static(line)));
        let uri = format!("/x{query}").parse().unwrap();
        accepted(&values.collect(), &uri)
    }

    #[test]
    fn the_query_goes_before_the_header() {
        let json = "application/dicom+json";
        assert_eq!(of("", &[]).unwrap(), "");
        assert_eq!(of("", &[json, "text/*"]).unwrap(), "application/dicom+json,text/*");
        assert_eq!(of("?Accept=application%2Fdicom%2Bxml", &[json]).unwrap(), "application/dicom+xml");
        assert_eq!(of("?accept=", &[json]).unwrap(), "");
        assert_eq!(of("?limit=2", &[json]).unwrap(), json);
    }

    #[test]
    fn what_is_too_long_or_cannot_be_read_is_refused() {
        assert!(of(&format!("?accept={}", "a".repeat(ACCEPT_BYTES_MAX)), &[]).is_ok());
        for query in [
            format!("?accept={}", "a".repeat(ACCEPT_BYTES_MAX + 1)),
            format!("?a={}", "a".repeat(QUERY_BYTES_MAX)),
            format!("?{}", "a=b&".repeat(PARAMETERS_MAX + 1)),
            "?a=%FF".to_owned(),
        ] {
            assert!(of(&query, &[]).is_err(), "{}", query.len());
        }
    }
}
