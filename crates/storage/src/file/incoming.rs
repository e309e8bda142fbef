//! An object that arrives: gathered, written, flushed, named.

use std::{
    collections::VecDeque,
    fs,
    io::{self, IoSlice, Seek as _, Write as _},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{
    digest::Sha256Digest,
    object::{ObjectKey, ObjectRef},
    port::{Incoming, StorageError, storage::Found},
};
use tempfile::NamedTempFile;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Shared, WRITE_BYTES, away, buffers::Held, packs::BEFORE_BYTES, storage_error};

/// Pieces smaller than this are copied together, so that a small piece neither keeps a large network buffer alive nor costs
/// an entry in the gathering write.
const COPY_BYTES_MAX: usize = 8 * 1024;

/// Most buffers in one gathering write (`IOV_MAX` on Linux).
const WRITE_SLICES_MAX: usize = 1024;

/// How often the name is tried again when a folder vanishes in between, because its last object is being removed.
const NAME_TRIES_MAX: u32 = 5;

const WRITING: &str = "writing an object";
const FINISHING: &str = "making an object durable";

/// A file without a name that anybody looks for; it goes when the value goes.
pub(super) fn nameless(incoming: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix("in-").suffix(".part").tempfile_in(incoming)
}

/// Bytes on their way into a pack or a file.
pub(super) enum FileIncoming {
    /// Small so far: gathered for a pack.
    Small(Arc<Shared>, Held),
    /// Larger than packs take, or found by its key: a file of its own.
    Large(Large),
}

/// Bytes on their way into a file of their own. The file is made with the first write.
pub(super) struct Large {
    shared: Arc<Shared>,
    gathered: Gathered,
    writing: Writing,
    bytes: u64,
}

/// The file, and who has it.
enum Writing {
    /// Nobody is writing; `None` before the first write.
    Idle(Option<NamedTempFile>),
    /// A blocking thread writes a part and gives it back.
    Busy(JoinHandle<io::Result<NamedTempFile>>),
    /// A write failed; the file is gone.
    Failed,
}

impl FileIncoming {
    pub(super) fn new(shared: Arc<Shared>, found: Found) -> Self {
        match found {
            Found::ByReference if shared.packed_bytes_max > 0 => {
                let held = Held::new(shared.buffers.clone(), BEFORE_BYTES);
                Self::Small(shared, held)
            }
            Found::ByReference | Found::ByKey => Self::Large(Large::new(shared)),
        }
    }
}

#[async_trait]
impl Incoming for FileIncoming {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let large = match self {
            Self::Small(shared, held) => {
                let fits = held.len() + bytes.len() <= shared.packed_bytes_max;
                if fits && held.push(&bytes) {
                    return Ok(());
                }
                let mut large = Large::new(Arc::clone(shared));
                let held = std::mem::replace(held, Held::new(shared.buffers.clone(), BEFORE_BYTES));
                for piece in held.into_pieces() {
                    large.write(piece).await?;
                }
                *self = Self::Large(large);
                let Self::Large(large) = self else { unreachable!("it was made so in the line above") };
                large
            }
            Self::Large(large) => large,
        };
        large.write(bytes).await
    }

    fn space(&mut self) -> Option<&mut [u8]> {
        match self {
            Self::Small(shared, held) => held.space(shared.packed_bytes_max.saturating_sub(held.len())),
            Self::Large(_) => None,
        }
    }

    fn filled(&mut self, bytes: usize) -> &[u8] {
        match self {
            Self::Small(_, held) => held.filled(bytes),
            Self::Large(_) => &[],
        }
    }

    async fn finish(self: Box<Self>, key: &ObjectKey, _: Sha256Digest) -> Result<ObjectRef, StorageError> {
        match *self {
            Self::Small(shared, held) => shared
                .packs
                .put(held, key)
                .await
                .map_err(|error| away(FINISHING, error))?
                .map_err(|error| storage_error(FINISHING, error)),
            Self::Large(large) => large.finish(key).await.map(|()| key.clone().into()),
        }
    }
}

impl Large {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, gathered: Gathered::default(), writing: Writing::Idle(None), bytes: 0 }
    }

    /// Waits until nobody writes and gives the file. Cancelling leaves the writer in place.
    async fn settled(&mut self, operation: &'static str) -> Result<Option<NamedTempFile>, StorageError> {
        if let Writing::Busy(busy) = &mut self.writing {
            let outcome = busy.await.unwrap_or_else(|error| Err(io::Error::other(error)));
            self.writing = Writing::Failed;
            let file = outcome.map_err(|error| storage_error(operation, error))?;
            self.writing = Writing::Idle(Some(file));
        }
        match std::mem::replace(&mut self.writing, Writing::Failed) {
            Writing::Idle(file) => Ok(file),
            Writing::Busy(_) | Writing::Failed => {
                Err(away(operation, io::Error::other("an earlier write of this object failed")))
            }
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.bytes += bytes.len() as u64;
        self.gathered.push(bytes);
        if self.gathered.bytes < WRITE_BYTES {
            return Ok(());
        }
        let file = self.settled(WRITING).await?;
        let (shared, gathered) = (Arc::clone(&self.shared), std::mem::take(&mut self.gathered));
        self.writing = Writing::Busy(spawn_blocking(move || write_out(&shared, file, gathered)));
        Ok(())
    }

    async fn finish(mut self, key: &ObjectKey) -> Result<(), StorageError> {
        let file = self.settled(FINISHING).await?;
        let Self { shared, gathered, bytes, .. } = self;
        let key = key.clone();
        spawn_blocking(move || place(&shared, file, gathered, bytes, &key))
            .await
            .map_err(|error| away(FINISHING, error))?
    }
}

fn write_out(shared: &Shared, file: Option<NamedTempFile>, gathered: Gathered) -> io::Result<NamedTempFile> {
    let mut file = file.map_or_else(|| nameless(&shared.incoming), Ok)?;
    let start = file.as_file().stream_position()?;
    let length = gathered.bytes as u64;
    gathered.write_to(file.as_file_mut())?;
    start_write_back(file.as_file(), start, length);
    Ok(file)
}

/// Has the disk begin while the next bytes arrive, so that the flush at the end finds little left. Only a hint: nothing relies on it.
fn start_write_back(file: &fs::File, start: u64, length: u64) {
    let advice = rustix::fs::Advice::DontNeed;
    let _ = rustix::fs::fadvise(file, start, std::num::NonZeroU64::new(length), advice);
}

/// Flushes the file, gives it its name and flushes the folders. The folder is made before the file is flushed: journalling
/// filesystems then commit both at once, and flushing the folder above finds nothing left to do.
fn place(
    shared: &Shared,
    file: Option<NamedTempFile>,
    gathered: Gathered,
    bytes: u64,
    key: &ObjectKey,
) -> Result<(), StorageError> {
    let fail = |error| storage_error(FINISHING, error);
    shared.directories.check().map_err(fail)?;
    let target = shared.path(key);
    let folder = target.parent().unwrap_or(&shared.root);
    shared.directories.make(folder).map_err(fail)?;
    let file = write_out(shared, file, gathered).map_err(fail)?;
    file.as_file().sync_data().map_err(fail)?;

    let mut path = file.into_temp_path();
    let mut tries = 1;
    loop {
        shared.directories.make_durable(folder).map_err(fail)?;
        match path.persist_noclobber(&target) {
            Ok(()) => break,
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::metadata(&target) {
                    Ok(there) if there.len() == bytes => break,
                    Ok(_) => return Err(StorageError::Corrupt(key.clone())),
                    // Removed in between.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && tries < NAME_TRIES_MAX => {
                        tries += 1;
                        path = refused.path;
                    }
                    Err(error) => return Err(fail(error)),
                }
            }
            Err(refused) if refused.error.kind() == io::ErrorKind::NotFound && tries < NAME_TRIES_MAX => {
                tries += 1;
                path = refused.path;
                shared.directories.make(folder).map_err(fail)?;
            }
            Err(refused) => return Err(fail(refused.error)),
        }
    }
    // Also when the name was there already: whoever gave it may not have flushed the folder yet.
    shared.directories.sync(folder).map_err(|error| {
        let _ = fs::remove_file(&target);
        fail(error)
    })
}

/// Pieces in the order in which they came.
#[derive(Default)]
struct Gathered {
    pieces: VecDeque<Bytes>,
    /// The small pieces at the end, copied together.
    small: BytesMut,
    bytes: usize,
}

impl Gathered {
    fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() <= COPY_BYTES_MAX {
            self.small.extend_from_slice(&piece);
            return;
        }
        self.close_small();
        self.pieces.push_back(piece);
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }

    fn write_to(mut self, file: &mut fs::File) -> io::Result<()> {
        self.close_small();
        let all: Vec<IoSlice<'_>> = self.pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut all = all;
        let mut rest = all.as_mut_slice();
        while !rest.is_empty() {
            let some = &rest[..rest.len().min(WRITE_SLICES_MAX)];
            match file.write_vectored(some) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathered_pieces_keep_their_order() {
        let mut gathered = Gathered::default();
        let mut expected = Vec::new();
        for (index, length) in
            [10, COPY_BYTES_MAX + 1, 0, 20, 30, 2 * COPY_BYTES_MAX, 5].into_iter().enumerate()
        {
            let piece = vec![u8::try_from(index).unwrap(); length];
            expected.extend_from_slice(&piece);
            gathered.push(piece.into());
        }
        assert_eq!(gathered.pieces.len(), 4, "small neighbours are one piece");
        assert_eq!(gathered.bytes, expected.len());
        let file = NamedTempFile::new().unwrap();
        gathered.write_to(&mut file.reopen().unwrap()).unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), expected);
    }

    #[test]
    fn more_pieces_than_one_call_takes_are_all_written() {
        let pieces: VecDeque<Bytes> = (0..WRITE_SLICES_MAX + 7).map(|_| Bytes::from_static(b"ab")).collect();
        let gathered = Gathered { bytes: 2 * pieces.len(), pieces, small: BytesMut::new() };
        let file = NamedTempFile::new().unwrap();
        gathered.write_to(&mut file.reopen().unwrap()).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().len(), 2 * (WRITE_SLICES_MAX as u64 + 7));
    }
}
