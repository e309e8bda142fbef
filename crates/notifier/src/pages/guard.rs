//! Who may press the button, and how many wrong links one network may open.

use std::{collections::HashMap, net::IpAddr};

use axum::http::{HeaderMap, header, uri::Authority};
use domain::{Duration, Timestamp};
use gate::network;

/// Unknown links from one network within [`WINDOW`] before its links rest. Secrets are out of reach of guessing, so this bounds work,
/// not luck, and is far beyond what people in a hospital behind one address mistype.
const UNKNOWN_MAX: u32 = 60;
/// How long unknown links are remembered, counted from the first; short, since good links of the network rest meanwhile too.
const WINDOW: Duration = Duration::from_mins(1);
/// Most networks remembered, about 1 MiB; beyond it the one that began first is forgotten.
const NETWORKS_MAX: usize = 10_000;

/// Unknown links that were opened lately.
#[derive(Debug, Default)]
pub(super) struct UnknownLinks {
    counts: HashMap<IpAddr, (Timestamp, u32)>,
}

impl UnknownLinks {
    /// Whether a network must rest. Callers whose address nobody knows never rest: they are not one caller.
    pub(super) fn is_resting(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        let count = address.and_then(|address| self.counts.get(&network(address)));
        count.is_some_and(|(since, count)| is_current(*since, now) && *count >= UNKNOWN_MAX)
    }

    /// Counts an unknown link.
    pub(super) fn count(&mut self, address: Option<IpAddr>, now: Timestamp) {
        let Some(network) = address.map(network) else { return };
        if !self.counts.contains_key(&network) && self.counts.len() >= NETWORKS_MAX {
            self.counts.retain(|_, (since, _)| is_current(*since, now));
            if self.counts.len() >= NETWORKS_MAX
                && let Some(first) =
                    self.counts.iter().min_by_key(|(_, (since, _))| *since).map(|(key, _)| *key)
            {
                self.counts.remove(&first);
            }
        }
        let (since, count) = self.counts.entry(network).or_insert((now, 0));
        if !is_current(*since, now) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }
}

/// Whether another site's page sent a form (Fetch Metadata, RFC 6454). A client that says nothing, such as an old browser, is let
/// through: it knows the secret, which no other site does.
pub(super) fn is_foreign(headers: &HeaderMap, own: &Authority) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // A proxy may change Host; the address in our links is our own too.
    let is_own = |origin: &str| {
        [host, Some(own.as_str())].into_iter().flatten().any(|own| own.eq_ignore_ascii_case(origin))
    };
    !origin.is_some_and(is_own)
}

fn is_current(since: Timestamp, now: Timestamp) -> bool {
    since <= now && now < since + WINDOW
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_network_rests_for_a_minute() {
        let mut unknown = UnknownLinks::default();
        let own: Option<IpAddr> = Some("2001:db8::1".parse().unwrap());
        for _ in 0..UNKNOWN_MAX {
            assert!(!unknown.is_resting(own, at(0)));
            unknown.count(own, at(0));
        }
        assert!(unknown.is_resting(own, at(59)));
        assert!(unknown.is_resting(Some("2001:db8::2".parse().unwrap()), at(59)), "the same subscriber");
        assert!(!unknown.is_resting(Some("2001:db8:0:1::1".parse().unwrap()), at(59)));
        assert!(!unknown.is_resting(None, at(59)));
        assert!(!unknown.is_resting(own, at(60)));
        assert!(!unknown.is_resting(own, at(-5)), "a clock that steps back locks nobody out");
    }

    #[test]
    fn memory_is_bounded() {
        let mut unknown = UnknownLinks::default();
        for n in 0..u32::try_from(NETWORKS_MAX).unwrap() + 50 {
            unknown.count(Some(IpAddr::V4(n.into())), at(0));
        }
        assert_eq!(unknown.counts.len(), NETWORKS_MAX);
    }

    #[test]
    fn only_our_own_page_presses_the_button() {
        let own = Authority::from_static("reports.example.org");
        for (headers, foreign) in [
            (vec![], false),
            (vec![("sec-fetch-site", "same-origin")], false),
            (vec![("sec-fetch-site", "same-site")], true),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "https://reports.example.org")], true),
            (vec![("origin", "https://reports.example.org")], false),
            (vec![("origin", "http://inside:8080")], false),
            (vec![("origin", "https://evil.example")], true),
            (vec![("origin", "https://reports.example.org.evil.example")], true),
            (vec![("origin", "null")], true),
        ] {
            let mut map = HeaderMap::new();
            map.insert(header::HOST, HeaderValue::from_static("inside:8080"));
            for (name, value) in &headers {
                map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(is_foreign(&map, &own), foreign, "{headers:?}");
        }
    }
}
