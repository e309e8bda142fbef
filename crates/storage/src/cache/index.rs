//! Which objects are kept, how many bytes they have, and which was not used for longest.

use std::collections::BTreeMap;

use super::files::{FoundFile, Name};

/// Turns of objects that an earlier process left are below this: older than everything that is used now.
const FIRST_TURN: u64 = 1 << 40;

/// What is kept.
#[derive(Debug)]
pub(super) struct Index {
    entries: BTreeMap<Name, Entry>,
    by_turn: BTreeMap<u64, Name>,
    bytes: u64,
    turn: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    turn: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), by_turn: BTreeMap::new(), bytes: 0, turn: FIRST_TURN }
    }
}

impl Index {
    /// Bytes of all that is kept, on the disk.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether an object is kept; then it was used just now.
    pub(super) fn touch(&mut self, name: Name) -> bool {
        let Some(entry) = self.entries.get_mut(&name) else { return false };
        self.by_turn.remove(&entry.turn);
        self.turn += 1;
        entry.turn = self.turn;
        self.by_turn.insert(self.turn, name);
        true
    }

    /// Keeps an object; gives those that go for it.
    pub(super) fn add(&mut self, name: Name, bytes: u64, bytes_max: u64) -> Vec<Name> {
        self.forget(name);
        self.turn += 1;
        self.insert(name, bytes, self.turn);
        self.shrink(bytes_max)
    }

    /// Keeps what an earlier process left, the oldest first; gives those for which there is no room.
    pub(super) fn add_found(&mut self, mut found: Vec<FoundFile>, bytes_max: u64) -> Vec<Name> {
        found.sort_by_key(|file| file.used);
        for (turn, file) in (0..FIRST_TURN).zip(found) {
            if !self.entries.contains_key(&file.name) {
                self.insert(file.name, file.bytes, turn);
            }
        }
        self.shrink(bytes_max)
    }

    /// Forgets an object.
    pub(super) fn forget(&mut self, name: Name) {
        if let Some(entry) = self.entries.remove(&name) {
            self.by_turn.remove(&entry.turn);
            self.bytes -= entry.bytes;
        }
    }

    fn insert(&mut self, name: Name, bytes: u64, turn: u64) {
        self.entries.insert(name, Entry { bytes, turn });
        self.by_turn.insert(turn, name);
        self.bytes += bytes;
    }

    fn shrink(&mut self, bytes_max: u64) -> Vec<Name> {
        let mut gone = Vec::new();
        while self.bytes > bytes_max
            && let Some((_, name)) = self.by_turn.first_key_value()
        {
            gone.push(*name);
            self.forget(gone[gone.len() - 1]);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn name(object: u8) -> Name {
        Name::new([object; 32])
    }

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let mut index = Index::default();
        for object in 1..=4 {
            assert!(index.add(name(object), 25, 100).is_empty());
        }
        assert!(index.touch(name(1)) && !index.touch(name(9)));
        assert_eq!(index.add(name(5), 30, 100), [name(2), name(3)]);
        assert_eq!((index.bytes(), index.touch(name(2))), (80, false));
        assert_eq!(index.add(name(5), 10, 100), []);
        assert_eq!(index.bytes(), 60);
        assert_eq!(index.add(name(6), 101, 100).last(), Some(&name(6)), "one that is too large is not kept");
    }

    #[test]
    fn what_was_found_is_older_than_what_was_used_since() {
        let mut index = Index::default();
        index.add(name(1), 10, 100);
        let found = |object, seconds| FoundFile {
            name: name(object),
            bytes: 40,
            used: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        };
        assert_eq!(index.add_found(vec![found(3, 9), found(2, 5), found(1, 7), found(4, 8)], 100), [name(2)]);
        assert_eq!(index.bytes(), 90);
    }
}
