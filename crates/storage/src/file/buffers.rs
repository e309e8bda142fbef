//! Memory for objects that arrive: aligned pieces of one size, used again and again, bounded for all objects together.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use memmap2::MmapMut;

use super::sums::{Summing, Sums};

/// Bytes of one piece; a multiple of every alignment that direct writes ask for.
pub(super) const PIECE_BYTES: usize = 256 * 1024;

/// Most pieces that are out at one time: 64 MiB. An object that finds none left goes into a file of its own, without waiting.
const PIECES_MAX: usize = 256;

/// Most pieces that are kept for the next object: 16 MiB. What is not kept costs a page fault for every 4 KiB when it is needed again.
const PIECES_KEPT_MAX: usize = 64;

/// The pieces. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    free: Mutex<Vec<MmapMut>>,
    out: AtomicUsize,
}

/// A piece of memory; goes back when dropped.
#[derive(Debug)]
struct Piece {
    memory: Option<MmapMut>,
    shared: Arc<Shared>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.shared.out.fetch_sub(1, Ordering::AcqRel);
        let mut free = self.shared.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < PIECES_KEPT_MAX {
            free.extend(self.memory.take());
        }
    }
}

impl Buffers {
    /// Memory for reading so many bytes, at most [`PIECE_BYTES`]; what `fill` puts there is given on. `None` when no piece is left.
    pub(super) fn filled<E>(
        &self,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Option<Result<Bytes, E>> {
        let mut piece = self.piece()?;
        let filled = fill(piece.bytes_mut().get_mut(..bytes)?);
        Some(filled.map(|()| Bytes::from_owner(Part(piece)).slice(..bytes)))
    }

    fn piece(&self) -> Option<Piece> {
        if self.shared.out.fetch_add(1, Ordering::AcqRel) >= PIECES_MAX {
            self.shared.out.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let kept = self.shared.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // From here on dropping the piece counts it back.
        let mut piece = Piece { memory: kept, shared: Arc::clone(&self.shared) };
        if piece.memory.is_none() {
            piece.memory = MmapMut::map_anon(PIECE_BYTES).ok();
        }
        piece.memory.is_some().then_some(piece)
    }
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }
}

/// An object in memory, behind some bytes that are left free for what will stand before it.
#[derive(Debug)]
pub(super) struct Held {
    buffers: Buffers,
    pieces: Vec<Piece>,
    /// Where the next byte goes, counted from the start of the first piece.
    end: usize,
    before: usize,
    /// Beside, since what it holds is larger than all the rest.
    summing: Box<Summing>,
}

impl Held {
    /// Nothing yet, `before` bytes from the start, which must be fewer than [`PIECE_BYTES`].
    pub(super) fn new(buffers: Buffers, before: usize) -> Self {
        Self { buffers, pieces: Vec::new(), end: before, before, summing: Box::new(Summing::new(before)) }
    }

    /// Bytes of the object.
    pub(super) const fn len(&self) -> usize {
        self.end - self.before
    }

    /// Appends bytes; `false`, with nothing taken, when there is no memory for them.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> bool {
        let wanted = (self.end + bytes.len()).div_ceil(PIECE_BYTES);
        let had = self.pieces.len();
        while self.pieces.len() < wanted {
            let Some(piece) = self.buffers.piece() else {
                self.pieces.truncate(had);
                return false;
            };
            self.pieces.push(piece);
        }
        while !bytes.is_empty() {
            let at = self.end % PIECE_BYTES;
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - at));
            self.pieces[self.end / PIECE_BYTES].bytes_mut()[at..at + now.len()].copy_from_slice(now);
            self.summing.push(now);
            self.end += now.len();
            bytes = later;
        }
        true
    }

    /// Memory for the next bytes, at most `limit` and at most to the end of a piece; `None` when there is none.
    pub(super) fn space(&mut self, limit: usize) -> Option<&mut [u8]> {
        let (number, at) = (self.end / PIECE_BYTES, self.end % PIECE_BYTES);
        if limit == 0 {
            return None;
        }
        if number == self.pieces.len() {
            self.pieces.push(self.buffers.piece()?);
        }
        let stop = PIECE_BYTES.min(at.saturating_add(limit));
        Some(&mut self.pieces[number].bytes_mut()[at..stop])
    }

    /// The next bytes were written where [`Self::space`] said.
    pub(super) fn filled(&mut self, bytes: usize) -> &[u8] {
        let (number, at) = (self.end / PIECE_BYTES, self.end % PIECE_BYTES);
        self.end += bytes;
        let Some(piece) = self.pieces.get(number) else { return &[] };
        let filled = &piece.bytes()[at..at + bytes];
        self.summing.push(filled);
        filled
    }

    /// The sums of what came so far, counted from the start of the first piece; what comes later is not summed.
    pub(super) fn sums(&mut self) -> Sums {
        std::mem::replace(&mut *self.summing, Summing::new(self.end)).finish()
    }

    /// Writes what stands before the object, and fills up with zeros to a multiple of `block`, which divides [`PIECE_BYTES`].
    ///
    /// # Errors
    /// When there is no memory even for that.
    pub(super) fn close(mut self, before: &[u8], block: usize) -> io::Result<Closed> {
        debug_assert_eq!(before.len(), self.before, "the space was left for it");
        if self.pieces.is_empty() {
            self.pieces.push(self.buffers.piece().ok_or(io::ErrorKind::OutOfMemory)?);
        }
        self.pieces[0].bytes_mut()[..self.before].copy_from_slice(before);
        let total = self.end.next_multiple_of(block);
        let at = self.end % PIECE_BYTES;
        if total > self.end {
            self.pieces[self.end / PIECE_BYTES].bytes_mut()[at..at + total - self.end].fill(0);
        }
        Ok(Closed { pieces: self.pieces, total })
    }

    /// The object's bytes, for writing them elsewhere; the memory goes back as they are dropped.
    pub(super) fn into_pieces(self) -> VecDeque<Bytes> {
        let (before, end) = (self.before, self.end);
        let part = |(number, piece): (usize, Piece)| {
            let start = if number == 0 { before } else { 0 };
            let stop = (end - number * PIECE_BYTES).min(PIECE_BYTES);
            Bytes::from_owner(Part(piece)).slice(start..stop)
        };
        self.pieces.into_iter().enumerate().map(part).collect()
    }
}

struct Part(Piece);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Everything that is written in one go: aligned, a whole number of blocks.
#[derive(Debug)]
pub(super) struct Closed {
    pieces: Vec<Piece>,
    total: usize,
}

impl Closed {
    /// Bytes in all.
    pub(super) const fn len(&self) -> usize {
        self.total
    }

    /// The pieces in order.
    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        let cut = |(number, piece): (usize, &'_ Piece)| {
            (self.total - number * PIECE_BYTES).min(piece.bytes().len())
        };
        self.pieces
            .iter()
            .enumerate()
            .map(|(number, piece)| IoSlice::new(&piece.bytes()[..cut((number, piece))]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
    }

    #[test]
    fn what_is_pushed_stands_behind_the_head_and_is_filled_up() {
        for length in [0, 1, 3, PIECE_BYTES - 5, PIECE_BYTES - 4, PIECE_BYTES, 3 * PIECE_BYTES + 17] {
            let bytes = pattern(length);
            let buffers = Buffers::default();
            let mut held = Held::new(buffers.clone(), 5);
            for part in bytes.chunks(100_000) {
                assert!(held.push(part));
            }
            assert_eq!(held.len(), length);
            let closed = held.close(b"head!", 4096).unwrap();
            let all: Vec<u8> = closed.slices().iter().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!((all.len(), all.len() % 4096), (closed.len(), 0));
            assert!(all[..5] == *b"head!" && all[5..5 + length] == bytes, "{length}");
            assert!(all[5 + length..].iter().all(|byte| *byte == 0) && all.len() < 5 + length + 4096);
            drop(closed);
            assert_eq!(buffers.shared.out.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn what_is_written_in_place_is_as_if_it_was_pushed() {
        let (buffers, bytes) = (Buffers::default(), pattern(2 * PIECE_BYTES + 9));
        let mut held = Held::new(buffers.clone(), 5);
        assert!(held.push(&bytes[..3]));
        let mut at = 3;
        while at < bytes.len() {
            let space = held.space(100_000).unwrap();
            let now = space.len().min(bytes.len() - at);
            assert!((1..=100_000).contains(&now));
            space[..now].copy_from_slice(&bytes[at..at + now]);
            assert_eq!(held.filled(now), &bytes[at..at + now]);
            at += now;
        }
        assert!(held.space(0).is_none());
        assert_eq!(held.into_pieces().iter().flatten().copied().collect::<Vec<u8>>(), bytes);
    }

    #[test]
    fn what_was_pushed_can_go_elsewhere() {
        let (buffers, bytes) = (Buffers::default(), pattern(2 * PIECE_BYTES));
        let mut held = Held::new(buffers.clone(), 100);
        assert!(held.push(&bytes));
        let pieces = held.into_pieces();
        assert_eq!(pieces.iter().flatten().copied().collect::<Vec<u8>>(), bytes);
        drop(pieces);
        assert_eq!(buffers.shared.out.load(Ordering::SeqCst), 0);
        assert!(Held::new(buffers, 100).into_pieces().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let buffers = Buffers::default();
        let mut all: Vec<Held> = (0..PIECES_MAX).map(|_| Held::new(buffers.clone(), 0)).collect();
        assert!(all.iter_mut().all(|held| held.push(b"x")));
        let mut late = Held::new(buffers.clone(), 0);
        assert!(!late.push(b"x") && late.len() == 0);
        assert!(!all[0].push(&pattern(2 * PIECE_BYTES)), "an object that grows finds none either");
        assert_eq!(all[0].len(), 1, "and keeps what it has");
        drop(all);
        assert!(late.push(b"x"));
        assert_eq!(buffers.shared.free.lock().unwrap().len(), PIECES_KEPT_MAX - 1);
    }
}
