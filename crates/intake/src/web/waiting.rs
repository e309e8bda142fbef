//! Bulk data that wait for the rest of their objects: in a file without a name, never in memory. Bounded for all requests together, and
//! gone with the request.

use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::{Bytes, BytesMut};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

use crate::receive::Refusal;

/// Most bulk data of all requests that wait at one time, in bytes.
pub const WAITING_BYTES_MAX: u64 = 8 << 30;
/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Where bulk data may wait, for all requests together.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    folder: Arc<Path>,
    bytes: Arc<AtomicU64>,
}

impl Waiting {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into(), bytes: Arc::default() }
    }
}

/// Bytes that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// What waits of one request.
pub(super) struct Shelf {
    waiting: Waiting,
    file: Option<File>,
    end: u64,
    /// How much of [`WAITING_BYTES_MAX`] is ours.
    held: u64,
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.waiting.bytes.fetch_sub(self.held, Relaxed);
    }
}

fn refusal(error: &io::Error) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "bulk data could not be put down or read again");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::Full,
        _ => Refusal::Unavailable("the folder for bulk data cannot be used"),
    }
}

impl Shelf {
    pub(super) fn new(waiting: &Waiting) -> Self {
        Self { waiting: waiting.clone(), file: None, end: 0, held: 0 }
    }

    /// Where the next bytes will stand.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) async fn put(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let length = bytes.len() as u64;
        if self.waiting.bytes.fetch_add(length, Relaxed) + length > WAITING_BYTES_MAX {
            self.waiting.bytes.fetch_sub(length, Relaxed);
            return Err(Refusal::Unavailable("too much bulk data waits for its objects at one time"));
        }
        self.held += length;
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let folder = Arc::clone(&self.waiting.folder);
                let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(&*folder)).await;
                let made = made.unwrap_or_else(|error| Err(io::Error::other(error)));
                self.file.insert(File::from_std(made.map_err(|error| refusal(&error))?))
            }
        };
        file.write_all(bytes).await.map_err(|error| refusal(&error))?;
        self.end += length;
        Ok(())
    }

    /// Goes to the beginning of a range, to read it by [`Shelf::next`].
    pub(super) async fn seek(&mut self, range: Range) -> Result<(), Refusal> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let found = async {
            file.flush().await?;
            file.seek(SeekFrom::Start(range.start)).await
        };
        found.await.map(drop).map_err(|error| refusal(&error))
    }

    /// The next bytes, as many as there are up to `left`.
    pub(super) async fn next(&mut self, left: u64) -> Result<Bytes, Refusal> {
        let Some(file) = &mut self.file else { return Ok(Bytes::new()) };
        let size = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
        let mut bytes = BytesMut::zeroed(size);
        file.read_exact(&mut bytes).await.map_err(|error| refusal(&error))?;
        Ok(bytes.freeze())
    }

    /// Goes back to where the next bytes will stand.
    pub(super) async fn rewind(&mut self) -> Result<(), Refusal> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(self.end)).await.map(drop).map_err(|error| refusal(&error))
    }

    /// Nothing waits any more.
    pub(super) async fn clear(&mut self) -> Result<(), Refusal> {
        self.waiting.bytes.fetch_sub(std::mem::take(&mut self.held), Relaxed);
        self.end = 0;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.set_len(0).await.map_err(|error| refusal(&error))?;
        self.rewind().await
    }
}
