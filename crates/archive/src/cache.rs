//! What was made for a request and may be asked for again, in memory, within a number of bytes. What was not used for longest goes first.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use bytes::Bytes;

/// One entry may take up this part of a whole cache.
pub(crate) const PART_MAX: usize = 4;

/// Bytes under names.
pub(crate) struct Cache<Name> {
    bytes_max: usize,
    bytes: usize,
    turn: u64,
    entries: HashMap<Arc<Name>, (Bytes, u64)>,
}

impl<Name: Eq + Hash> Cache<Name> {
    /// An empty one.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, turn: 0, entries: HashMap::new() }
    }

    pub(crate) fn get(&mut self, name: &Name) -> Option<Bytes> {
        self.turn += 1;
        let (bytes, turn) = self.entries.get_mut(name)?;
        *turn = self.turn;
        Some(bytes.clone())
    }

    /// Keeps bytes, unless they would take more than their part.
    pub(crate) fn put(&mut self, name: Name, bytes: Bytes) {
        if bytes.len() > self.bytes_max / PART_MAX {
            return;
        }
        self.turn += 1;
        self.bytes += bytes.len();
        if let Some((old, _)) = self.entries.insert(Arc::new(name), (bytes, self.turn)) {
            self.bytes -= old.len();
        }
        while self.bytes > self.bytes_max {
            let oldest = self.entries.iter().min_by_key(|(_, (_, turn))| *turn).map(|(name, _)| name.clone());
            let Some((old, _)) = oldest.and_then(|name| self.entries.remove(&name)) else { return };
            self.bytes -= old.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_within_its_bytes_and_drops_what_was_not_used() {
        let mut cache = Cache::new(100);
        for name in 0..4 {
            cache.put(name, Bytes::from(vec![0; 25]));
        }
        assert!(cache.get(&0).is_some());
        cache.put(4, Bytes::from(vec![0; 25]));
        let kept: Vec<bool> = (0..5).map(|name| cache.get(&name).is_some()).collect();
        assert_eq!(kept, [true, false, true, true, true]);
        assert_eq!(cache.bytes, 100);
        cache.put(0, Bytes::from(vec![0; 5]));
        assert_eq!(cache.bytes, 80);
        cache.put(9, Bytes::from(vec![0; 26]));
        assert!(cache.get(&9).is_none());
    }
}
