//! Places for queries and retrieves: so many in all, so many of one AE title.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::text::AeTitle;

use super::Settings;

/// All places. Clones are the same places.
#[derive(Debug, Clone)]
pub struct Places {
    settings: Settings,
    taken: Arc<Mutex<Taken>>,
    refused: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Taken {
    queries: HashMap<AeTitle, usize>,
    retrieves: HashMap<AeTitle, usize>,
}

/// A place; given back when dropped.
pub(super) struct Place {
    places: Places,
    ae: AeTitle,
    is_query: bool,
}

impl Places {
    /// As many as settings say.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), taken: Arc::default(), refused: Arc::default() }
    }

    /// Queries and retrieves that are being answered.
    #[must_use]
    pub fn in_use(&self) -> (u64, u64) {
        let taken = self.taken();
        let sum = |places: &HashMap<AeTitle, usize>| places.values().sum::<usize>() as u64;
        (sum(&taken.queries), sum(&taken.retrieves))
    }

    /// How many found no place.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A place for a query, or for a retrieve.
    pub(super) fn take(&self, ae: &AeTitle, is_query: bool) -> Option<Place> {
        let Settings {
            queries_at_once, queries_per_ae_title, retrieves_at_once, retrieves_per_ae_title, ..
        } = self.settings;
        let (all, per_ae_title) = match is_query {
            true => (queries_at_once, queries_per_ae_title),
            false => (retrieves_at_once, retrieves_per_ae_title),
        };
        let mut taken = self.taken();
        let places = taken.of(is_query);
        let own = places.get(ae).copied().unwrap_or_default();
        if places.values().sum::<usize>() >= all || own >= per_ae_title {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        places.insert(ae.clone(), own + 1);
        Some(Place { places: self.clone(), ae: ae.clone(), is_query })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn of(&mut self, is_query: bool) -> &mut HashMap<AeTitle, usize> {
        if is_query { &mut self.queries } else { &mut self.retrieves }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let places = taken.of(self.is_query);
        if let Some(own) = places.get_mut(&self.ae) {
            *own -= 1;
            if *own == 0 {
                places.remove(&self.ae);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_title() {
        let settings = Settings {
            queries_at_once: 3,
            queries_per_ae_title: 2,
            retrieves_at_once: 1,
            ..Settings::default()
        };
        let places = Places::new(&settings);
        let [a, b] = ["A", "B"].map(|title| AeTitle::parse(title).unwrap());
        let held: Vec<_> = (0..3).filter_map(|_| places.take(&a, true)).collect();
        assert_eq!(held.len(), 2, "one title has two");
        let last = places.take(&b, true).unwrap();
        assert!(places.take(&b, true).is_none(), "all are taken");
        assert!(places.take(&a, false).is_some(), "retrieves are counted apart");
        assert_eq!((places.in_use(), places.refused()), ((3, 0), 2));
        drop((held, last));
        assert_eq!(places.in_use(), (0, 0));
        assert!(places.taken().queries.is_empty());
    }
}
