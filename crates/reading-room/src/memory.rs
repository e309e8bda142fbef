//! Who looked at what lately, so that a page that asks every two seconds leaves one line in the audit, not thousands.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use domain::{Duration, Timestamp, digest::Sha256Digest, study::StudyKey};

/// For so long one line in the audit speaks for all looks of a session at the same thing.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_mins(15);
/// Most looks remembered, about 2 MiB; beyond it all are forgotten, and the audit gets a few lines more.
const LOOKS_MAX: usize = 10_000;

/// A session, a study or none, and which list.
pub(crate) type Look = (Sha256Digest, Option<StudyKey>, &'static str);

/// Looks of the last quarter of an hour.
#[derive(Default)]
pub(crate) struct RecentlySeen {
    looks: Mutex<HashMap<Look, Timestamp>>,
}

impl RecentlySeen {
    /// Whether the audit has a line for this look.
    pub(crate) fn is_recent(&self, look: &Look, now: Timestamp) -> bool {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(look).is_some_and(|at| now < *at + LOOK_INTERVAL)
    }

    /// The audit has a line now.
    pub(crate) fn remember(&self, look: Look, now: Timestamp) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= LOOKS_MAX {
            looks.retain(|_, at| now < *at + LOOK_INTERVAL);
        }
        if looks.len() >= LOOKS_MAX {
            looks.clear();
        }
        looks.insert(look, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_counts_once_per_quarter_of_an_hour() {
        let seen = RecentlySeen::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let look: Look = (Sha256Digest::of(b"a"), None, "worklist");
        assert!(!seen.is_recent(&look, at(0)));
        seen.remember(look.clone(), at(0));
        assert!(seen.is_recent(&look, at(899)));
        assert!(!seen.is_recent(&look, at(900)));
        assert!(!seen.is_recent(&(Sha256Digest::of(b"b"), None, "worklist"), at(1)));
        for n in 0..LOOKS_MAX + 5 {
            seen.remember((Sha256Digest::of(n.to_string().as_bytes()), None, "worklist"), at(1));
        }
        assert!(seen.looks.lock().unwrap().len() <= LOOKS_MAX);
    }
}
