//! Which blocks are kept, how many bytes they have, and which was not used for longest.

use std::collections::BTreeMap;

use super::blocks::{BlockId, FoundBlock};

/// Turns of blocks that an earlier process left are below this: older than everything that is used now.
const FIRST_TURN: u64 = 1 << 40;

/// What is kept.
#[derive(Debug)]
pub(super) struct Index {
    entries: BTreeMap<BlockId, Entry>,
    by_turn: BTreeMap<u64, BlockId>,
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

    /// Whether a block is kept; then it was used just now.
    pub(super) fn touch(&mut self, id: BlockId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        self.by_turn.remove(&entry.turn);
        self.turn += 1;
        entry.turn = self.turn;
        self.by_turn.insert(self.turn, id);
        true
    }

    /// Keeps a block; gives those that go for it.
    pub(super) fn add(&mut self, id: BlockId, bytes: u64, bytes_max: u64) -> Vec<BlockId> {
        self.forget(id);
        self.turn += 1;
        self.insert(id, bytes, self.turn);
        self.shrink(bytes_max)
    }

    /// Keeps what an earlier process left, the oldest first; gives those for which there is no room.
    pub(super) fn add_found(&mut self, mut found: Vec<FoundBlock>, bytes_max: u64) -> Vec<BlockId> {
        found.sort_by_key(|block| block.used);
        for (turn, block) in (0..FIRST_TURN).zip(found) {
            if !self.entries.contains_key(&block.id) {
                self.insert(block.id, block.bytes, turn);
            }
        }
        self.shrink(bytes_max)
    }

    /// Forgets a block.
    pub(super) fn forget(&mut self, id: BlockId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.by_turn.remove(&entry.turn);
            self.bytes -= entry.bytes;
        }
    }

    /// Forgets the blocks of an object from one of them on, and gives them.
    pub(super) fn forget_object(&mut self, from: BlockId) -> Vec<BlockId> {
        let of_object = self.entries.range(from..=from.last()).map(|(id, _)| *id).collect::<Vec<_>>();
        of_object.iter().for_each(|id| self.forget(*id));
        of_object
    }

    fn insert(&mut self, id: BlockId, bytes: u64, turn: u64) {
        self.entries.insert(id, Entry { bytes, turn });
        self.by_turn.insert(turn, id);
        self.bytes += bytes;
    }

    fn shrink(&mut self, bytes_max: u64) -> Vec<BlockId> {
        let mut gone = Vec::new();
        while self.bytes > bytes_max
            && let Some((_, id)) = self.by_turn.first_key_value()
        {
            gone.push(*id);
            self.forget(gone[gone.len() - 1]);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn id(object: u8, number: u32) -> BlockId {
        BlockId::new([object; 32], number)
    }

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let mut index = Index::default();
        for object in 1..=4 {
            assert!(index.add(id(object, 0), 25, 100).is_empty());
        }
        assert!(index.touch(id(1, 0)) && !index.touch(id(9, 0)));
        assert_eq!(index.add(id(5, 0), 30, 100), [id(2, 0), id(3, 0)]);
        assert_eq!((index.bytes(), index.touch(id(2, 0))), (80, false));
        assert_eq!(index.add(id(5, 0), 10, 100), []);
        assert_eq!(index.bytes(), 60);
        assert_eq!(
            index.add(id(6, 0), 101, 100).last(),
            Some(&id(6, 0)),
            "one that is too large is not kept"
        );
    }

    #[test]
    fn what_was_found_is_older_than_what_was_used_since() {
        let mut index = Index::default();
        index.add(id(1, 0), 10, 100);
        let found = |object, seconds| FoundBlock {
            id: id(object, 0),
            bytes: 40,
            used: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        };
        assert_eq!(
            index.add_found(vec![found(3, 9), found(2, 5), found(1, 7), found(4, 8)], 100),
            [id(2, 0)]
        );
        assert_eq!(index.bytes(), 90);
    }

    #[test]
    fn an_object_is_forgotten_with_all_its_blocks() {
        let mut index = Index::default();
        for (object, number) in [(1, 0), (1, 7), (1, u32::MAX), (2, 0)] {
            index.add(id(object, number), 1, 100);
        }
        assert_eq!(index.forget_object(id(1, 0)).len(), 3);
        assert_eq!(index.bytes(), 1);
        assert!(index.touch(id(2, 0)));
    }
}
