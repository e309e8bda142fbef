//! An object that arrives: gathered in memory while it is small, in a file when it is not, because S3 wants to know the length and the
//! digest before the first byte.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use aws_sdk_s3::primitives::{ByteStream, Length};
use bytes::{Bytes, BytesMut};
use domain::{
    digest::Sha256Digest,
    object::{ObjectKey, ObjectRef},
    port::{Incoming, StorageError},
};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::{OBJECT_BYTES_MAX, Shared};

/// Bytes that are kept in memory, and that a part of a spooled object has. A CT slice (half a MB) needs no file.
const MEMORY_BYTES: usize = 1024 * 1024;

/// Bytes of one read of a spool file.
const READ_BYTES: usize = 256 * 1024;

/// What spool files are called: their folder may be one that others use, too.
const SPOOL_PREFIX: &str = "telerad-put-";

/// How old a spool file must be before it is removed: longer than the slowest put of the largest object takes.
const STALE_AFTER: std::time::Duration = std::time::Duration::from_hours(24);

const SPOOLING: &str = "spooling an object";

/// Bytes on their way into a put.
pub(super) struct S3Incoming {
    shared: Arc<Shared>,
    memory: BytesMut,
    file: Option<NamedTempFile>,
    bytes: u64,
    failed: bool,
}

/// Everything that arrived; can be sent more than once.
pub(super) enum Spooled {
    /// All in memory.
    Memory(Bytes),
    /// In a file, which goes with the value.
    File {
        /// The file.
        file: NamedTempFile,
        /// Its size.
        bytes: u64,
    },
}

impl S3Incoming {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, memory: BytesMut::new(), file: None, bytes: 0, failed: false }
    }

    /// Moves what is in memory to the file. Failing or cancelling leaves the object unusable.
    async fn spill(&mut self) -> Result<(), StorageError> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(spool_error(io::Error::other("an earlier write of this object failed")));
        }
        let (file, part) = (self.file.take(), self.memory.split().freeze());
        let shared = Arc::clone(&self.shared);
        let outcome = spawn_blocking(move || append(&shared.spool, file, &part)).await;
        self.file = Some(outcome.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(spool_error)?);
        self.failed = false;
        Ok(())
    }
}

fn append(folder: &Path, file: Option<NamedTempFile>, part: &[u8]) -> io::Result<NamedTempFile> {
    let new = || tempfile::Builder::new().prefix(SPOOL_PREFIX).tempfile_in(folder);
    let mut file = file.map_or_else(new, Ok)?;
    file.write_all(part)?;
    Ok(file)
}

/// Removes spool files that no process sends any more, and counts them.
pub(super) async fn tidy(shared: Arc<Shared>) -> Result<u64, StorageError> {
    let tidied = spawn_blocking(move || {
        let mut removed = 0;
        for entry in std::fs::read_dir(&shared.spool)? {
            let entry = entry?;
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(SPOOL_PREFIX));
            let Ok(data) = entry.metadata() else { continue };
            let age = data.modified()?.elapsed().unwrap_or_default();
            if is_ours && data.is_file() && age > STALE_AFTER && std::fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    });
    tidied.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(spool_error)
}

fn spool_error(error: io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full(error.into()),
        _ => StorageError::Unavailable { operation: SPOOLING, source: error.into() },
    }
}

#[async_trait]
impl Incoming for S3Incoming {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > OBJECT_BYTES_MAX {
            return Err(StorageError::TooLarge {
                bytes_max: usize::try_from(OBJECT_BYTES_MAX).unwrap_or(usize::MAX),
            });
        }
        self.memory.extend_from_slice(&bytes);
        if self.memory.len() > MEMORY_BYTES {
            self.spill().await?;
        }
        Ok(())
    }

    async fn finish(
        mut self: Box<Self>,
        key: &ObjectKey,
        sha256: Sha256Digest,
    ) -> Result<ObjectRef, StorageError> {
        if self.file.is_some() || self.failed {
            self.spill().await?;
        }
        let Self { shared, memory, file, bytes, .. } = *self;
        let spooled = match file {
            Some(file) => Spooled::File { file, bytes },
            None => Spooled::Memory(memory.freeze()),
        };
        shared.put(key, sha256, &spooled).await.map(|()| key.clone().into())
    }
}

impl Spooled {
    /// How many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }

    /// The bytes for one try.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) async fn body(&self) -> Result<ByteStream, StorageError> {
        match self {
            Self::Memory(memory) => Ok(ByteStream::from(memory.clone())),
            Self::File { file, bytes } => ByteStream::read_from()
                .path(file.path())
                .length(Length::Exact(*bytes))
                .buffer_size(READ_BYTES)
                .build()
                .await
                .map_err(|error| StorageError::Unavailable { operation: SPOOLING, source: error.into() }),
        }
    }
}
