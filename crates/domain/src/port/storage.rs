//! Objects: named bytes that are written once, survive a power cut, and are read whole or in part.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Cause;
use crate::{
    Timestamp,
    digest::Sha256Digest,
    object::{ObjectKey, ObjectRef},
};

/// Most bytes of one piece that a reader gives at a time.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;

/// How an object will be asked for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// By the reference that [`Incoming::finish`] gives and the caller keeps. The store may then put it where it is cheapest.
    ByReference,
    /// By its key alone.
    ByKey,
}

/// An object store.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Opens a place for bytes that have no name yet. Dropping it leaves nothing visible.
    ///
    /// # Errors
    /// When there is no room or no store.
    async fn receive(&self, found: Found) -> Result<Box<dyn Incoming>, StorageError>;

    /// Opens an object, or a range of its bytes (`start..end`, clamped to its size).
    ///
    /// # Errors
    /// [`StorageError::NotFound`], or when the store is away.
    async fn read(&self, object: &ObjectRef, range: Option<Range<u64>>)
    -> Result<ObjectReader, StorageError>;

    /// The size of an object in bytes; `None` when there is none.
    ///
    /// # Errors
    /// When the store is away.
    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError>;

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// When the store is away.
    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError>;

    /// Objects after `after`, at most `limit`, in an order of the store's own that does not change. Names that are not ours are left out.
    /// Under one key there may be more than one object, each in a place of its own, when senders raced or a process was killed
    /// before the catalog knew it. Takes memory for `limit` objects, and for the names in one folder or of one study.
    ///
    /// # Errors
    /// When the store is away.
    async fn list(&self, after: Option<&ObjectRef>, limit: usize) -> Result<Vec<Listed>, StorageError>;

    /// Removes what processes that are gone left half done: bytes that never got a name. Gives how many there were.
    ///
    /// # Errors
    /// When the store is away.
    async fn tidy(&self) -> Result<u64, StorageError>;

    /// Shows that the store answers and can be written; for `/readyz` and `telerad doctor`.
    ///
    /// # Errors
    /// When it does not.
    async fn check(&self) -> Result<(), StorageError>;
}

/// An object as a listing gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is and where.
    pub object: ObjectRef,
    /// Nothing of it was written after this moment, by the store's clock. `None` when the store does not know.
    pub written: Option<Timestamp>,
}

/// How a stored object is, compared with what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is what was stored.
    Good,
    /// It is not there.
    Missing,
    /// Its bytes are others.
    Altered,
    /// The store answers, but cannot give these bytes: why.
    Unreadable(String),
}

impl Condition {
    /// What is wrong, as a clause that follows "it"; `None` when nothing is.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        match self {
            Self::Good => None,
            Self::Missing => Some("is missing".to_owned()),
            Self::Altered => Some("is not what was stored".to_owned()),
            Self::Unreadable(reason) => Some(format!("cannot be read ({reason})")),
        }
    }
}

/// Slows a reader down.
#[async_trait]
pub trait Pace: Send + Sync {
    /// So many bytes were read; returns when the next ones may be.
    async fn took(&self, bytes: u64);
}

/// Reads as fast as it can.
pub struct Unhurried;

#[async_trait]
impl Pace for Unhurried {
    async fn took(&self, _: u64) {}
}

/// Reads an object again and says whether it is what was stored. An object that cannot be read twice in a row while the store says that it
/// is well is [`Condition::Unreadable`].
///
/// # Errors
/// When the store is away.
pub async fn read_again(
    storage: &dyn Storage,
    object: &ObjectRef,
    sha256: Sha256Digest,
    pace: &dyn Pace,
) -> Result<Condition, StorageError> {
    if let Ok(condition) = compare(storage, object, sha256, pace).await {
        return Ok(condition);
    }
    storage.check().await?;
    match compare(storage, object, sha256, pace).await {
        Ok(condition) => Ok(condition),
        Err(error) => {
            storage.check().await?;
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Ok(Condition::Unreadable(cause.chars().take(REASON_CHARS_MAX).collect()))
        }
    }
}

/// Most characters of the reason why an object cannot be read.
const REASON_CHARS_MAX: usize = 200;

/// Reads an object once and says whether it is what was stored.
///
/// # Errors
/// When it cannot be read, whatever the reason.
pub async fn compare(
    storage: &dyn Storage,
    object: &ObjectRef,
    sha256: Sha256Digest,
    pace: &dyn Pace,
) -> Result<Condition, StorageError> {
    let mut reader = match storage.read(object, None).await {
        Ok(reader) => reader,
        Err(StorageError::NotFound(_)) => return Ok(Condition::Missing),
        Err(StorageError::Corrupt(_)) => return Ok(Condition::Altered),
        Err(error) => return Err(error),
    };
    let mut digest = Sha256::new();
    loop {
        match reader.pieces.next().await {
            Ok(Some(piece)) => {
                digest.update(&piece);
                pace.took(piece.len() as u64).await;
            }
            Ok(None) => break,
            Err(StorageError::Corrupt(_)) => return Ok(Condition::Altered),
            Err(error) => return Err(error),
        }
    }
    let is_same = Sha256Digest::from_bytes(digest.finalize().into()) == sha256;
    Ok(if is_same { Condition::Good } else { Condition::Altered })
}

/// Bytes on their way into the store.
#[async_trait]
pub trait Incoming: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// When there is no room or the store is away.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError>;

    /// Memory for the next bytes where they will rest, for a caller that can receive them there, which saves a copy; then
    /// [`Self::filled`]. `None`: only [`Self::write`] will do now.
    fn space(&mut self) -> Option<&mut [u8]> {
        None
    }

    /// So many bytes at the start of [`Self::space`] are the next ones of the object; gives them back to look at.
    fn filled(&mut self, bytes: usize) -> &[u8] {
        debug_assert_eq!(bytes, 0, "there was no space");
        &[]
    }

    /// Gives the bytes their name and returns when they would survive a power cut. `sha256` is the digest of all bytes written; the
    /// store may check it. When an object of that name and size is already there, that is success (names are content-addressed). Gives
    /// what the object is found by.
    ///
    /// # Errors
    /// When it cannot be made durable; nothing is visible then.
    async fn finish(
        self: Box<Self>,
        key: &ObjectKey,
        sha256: Sha256Digest,
    ) -> Result<ObjectRef, StorageError>;
}

/// An open object.
pub struct ObjectReader {
    /// Size of the whole object in bytes, whatever range was asked for.
    pub object_bytes: u64,
    /// Each piece is compared with sums that were made when the object was stored, and is [`StorageError::Corrupt`] when it is not what
    /// it was. Without, a reader of the whole object compares its digest.
    pub is_checked: bool,
    /// Its bytes, or those of the range, in pieces of at most [`PIECE_BYTES_MAX`].
    pub pieces: Box<dyn Pieces>,
}

/// Pieces of an object, in order.
#[async_trait]
pub trait Pieces: Send {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the store breaks off.
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError>;
}

impl ObjectReader {
    /// Reads everything into memory.
    ///
    /// # Errors
    /// When the store breaks off, or there are more than `bytes_max`.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Vec<u8>, StorageError> {
        let mut all = Vec::new();
        while let Some(piece) = self.pieces.next().await? {
            if all.len() + piece.len() > bytes_max {
                return Err(StorageError::TooLarge { bytes_max });
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

/// Writes an object that is already in memory and found by its key, which has its digest.
///
/// # Errors
/// When it cannot be made durable.
pub async fn store_bytes(storage: &dyn Storage, key: &ObjectKey, bytes: Bytes) -> Result<(), StorageError> {
    let sha256 = Sha256Digest::of(&bytes);
    let mut incoming = storage.receive(Found::ByKey).await?;
    incoming.write(bytes).await?;
    incoming.finish(key, sha256).await.map(drop)
}

/// The same, unless it is there already.
///
/// # Errors
/// When that cannot be found out, or it cannot be made durable.
pub async fn keep_bytes(storage: &dyn Storage, key: &ObjectKey, bytes: Bytes) -> Result<(), StorageError> {
    if storage.size(&key.clone().into()).await? == Some(bytes.len() as u64) {
        return Ok(());
    }
    store_bytes(storage, key, bytes).await
}

/// What went wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such object.
    #[error("no object {0}")]
    NotFound(ObjectKey),
    /// More bytes than the caller would take.
    #[error("object is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The store has no room.
    #[error("the object store is full")]
    Full(#[source] Cause),
    /// The bytes do not have the digest that was promised.
    #[error("object {0} does not match its digest")]
    Corrupt(ObjectKey),
    /// The store is away or refuses for now; trying again may help.
    #[error("the object store is unavailable while {operation}")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
}
