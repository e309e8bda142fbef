//! Whether a browser sends a request from our own pages (Fetch Metadata, RFC 6454 section 7). Programs send neither header.

use axum::http::{HeaderMap, Method, Uri, header};

/// Where a request comes from, as far as the browser says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// Our own page, or a person who typed the address.
    Own,
    /// Somebody else's page.
    Foreign,
    /// Nothing is said: an old browser or a program.
    Unsaid,
}

/// Whether a method may change something (RFC 9110 section 9.2.1).
pub(crate) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Where a request comes from.
pub(crate) fn provenance(headers: &HeaderMap, uri: &Uri) -> Provenance {
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Provenance::Own,
            _ => Provenance::Foreign,
        };
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Provenance::Unsaid };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    match (origin, host) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Provenance::Own,
        (Some(_) | None, Some(_) | None) => Provenance::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_our_own_pages_are_our_own() {
        use Provenance::{Foreign, Own, Unsaid};
        let host = "pacs.example:8080";
        for (headers, expected) in [
            (vec![], Unsaid),
            (vec![("sec-fetch-site", "same-origin")], Own),
            (vec![("sec-fetch-site", "none")], Own),
            (vec![("sec-fetch-site", "same-site")], Foreign),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "http://pacs.example:8080")], Foreign),
            (vec![("origin", "http://pacs.example:8080")], Own),
            (vec![("origin", "https://PACS.example:8080")], Own),
            (vec![("origin", "http://pacs.example")], Foreign),
            (vec![("origin", "http://evil.example")], Foreign),
            (vec![("origin", "http://pacs.example:8080.evil.example")], Foreign),
            (vec![("origin", "null")], Foreign),
        ] {
            let mut map = HeaderMap::new();
            map.insert(header::HOST, HeaderValue::from_static(host));
            for (name, value) in &headers {
                map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(provenance(&map, &Uri::from_static("/x")), expected, "{headers:?}");
        }
    }
}
