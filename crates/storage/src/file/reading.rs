//! Reading objects: out of the page cache at once where they are there, else on a blocking thread; each run of bytes is compared with its
//! sum where the object has sums.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    object::ObjectKey,
    port::{
        StorageError,
        storage::{PIECE_BYTES_MAX, Pieces},
    },
};
use rustix::io::{Errno, ReadWriteFlags};

use super::{
    away, blocking,
    buffers::Buffers,
    storage_error,
    sums::{SUM_BYTES, Sums},
};

const READING: &str = "reading an object";

// A piece holds whole runs, so that widening a range to what sums cover never makes more than one piece of it.
const _: () = assert!(PIECE_BYTES_MAX.is_multiple_of(SUM_BYTES));

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It may not: [`io::ErrorKind::WouldBlock`] says that the bytes are not in memory, or that nobody can tell.
    OnlyCached,
    /// It may.
    Wait,
}

/// Fills a buffer from a place in a file.
pub(super) fn read_exact(file: &File, buffer: &mut [u8], at: u64, patience: Patience) -> io::Result<()> {
    if patience == Patience::Wait {
        return file.read_exact_at(buffer, at);
    }
    let mut done = 0;
    while done < buffer.len() {
        let mut rest = [IoSliceMut::new(&mut buffer[done..])];
        match rustix::io::preadv2(file, &mut rest, at + done as u64, ReadWriteFlags::NOWAIT) {
            // The end of the file, which the patient way says in its own words.
            Ok(0) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Err(io::ErrorKind::WouldBlock.into()),
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Where an object lies in a file.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) file: Arc<File>,
    /// Where its first byte is.
    pub(super) first: u64,
    /// How many bytes it has.
    pub(super) bytes: u64,
    /// How many bytes before its first one count for its sums.
    pub(super) head_bytes: u64,
    /// Its sums.
    pub(super) sums: Option<Arc<Sums>>,
}

/// A range of an object that is left to be read.
#[derive(Clone)]
pub(super) struct FilePieces {
    object: Opened,
    key: ObjectKey,
    buffers: Buffers,
    left: Range<u64>,
    /// Read together with opening, which saves a hop.
    ahead: Option<Bytes>,
}

impl FilePieces {
    /// Opens a range, cut to what there is, and reads its first piece.
    ///
    /// # Errors
    /// As [`Self::read_piece`].
    pub(super) fn open(
        object: Opened,
        key: ObjectKey,
        buffers: Buffers,
        range: Option<Range<u64>>,
        patience: Patience,
    ) -> Result<Self, StorageError> {
        let range = range.unwrap_or(0..object.bytes);
        let end = range.end.min(object.bytes);
        let mut pieces = Self { left: range.start.min(end)..end, object, key, buffers, ahead: None };
        pieces.ahead = pieces.read_piece(patience)?;
        Ok(pieces)
    }

    /// Reads the next piece.
    ///
    /// # Errors
    /// When it cannot be read, with [`io::ErrorKind::WouldBlock`] inside when it would have to wait; when its sums say otherwise.
    fn read_piece(&mut self, patience: Patience) -> Result<Option<Bytes>, StorageError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let Opened { file, first, bytes, head_bytes, sums } = &self.object;
        let start = self.left.start;
        let stop = match sums {
            Some(_) => {
                let run = (start + head_bytes) / SUM_BYTES as u64;
                (run * SUM_BYTES as u64 + PIECE_BYTES_MAX as u64).saturating_sub(*head_bytes)
            }
            None => start + PIECE_BYTES_MAX as u64,
        };
        let wanted = start..stop.min(self.left.end);
        let read = match sums {
            Some(_) => Sums::covering(wanted.clone(), *head_bytes, *bytes),
            None => wanted.clone(),
        };
        let fill = |memory: &mut [u8]| {
            read_exact(file, memory, first + read.start, patience)
                .map_err(|error| storage_error(READING, error))?;
            let is_whole = sums.as_ref().is_none_or(|sums| sums.hold(read.start, *head_bytes, memory));
            if is_whole { Ok(()) } else { Err(StorageError::Corrupt(self.key.clone())) }
        };
        let count = |range: &Range<u64>| usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let piece = match self.buffers.filled(count(&read), fill) {
            Some(filled) => filled?,
            None => {
                let mut memory = vec![0; count(&read)];
                fill(&mut memory)?;
                memory.into()
            }
        };
        self.left.start = wanted.end;
        let from = count(&(read.start..wanted.start));
        let piece = piece.slice(from..from + count(&wanted));
        // A small part would hold a whole piece of memory for as long as somebody keeps it.
        let is_small = piece.len() < PIECE_BYTES_MAX / 2;
        Ok(Some(if is_small { Bytes::copy_from_slice(&piece) } else { piece }))
    }
}

/// Whether an error only says that the disk has to be waited for.
pub(super) fn is_waiting(error: &StorageError) -> bool {
    let StorageError::Unavailable { source, .. } = error else { return false };
    source.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[async_trait]
impl Pieces for FilePieces {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        if let Some(piece) = self.ahead.take() {
            return Ok(Some(piece));
        }
        match self.read_piece(Patience::OnlyCached) {
            Err(error) if is_waiting(&error) => {}
            read => return read,
        }
        let mut rest = self.clone();
        let (rest, piece) = blocking(move || {
            let piece = rest.read_piece(Patience::Wait);
            (rest, piece)
        })
        .await
        .map_err(|error| away(READING, error))?;
        *self = rest;
        piece
    }
}
