//! Objects below a folder: small ones many to a pack (`packs`), large ones and those that are found by their key as files of their own.
//!
//! A file is written to a nameless place first, flushed, moved to its name without overwriting, and the folders that hold the name
//! are flushed: success means that a power cut does not take it back. Not here: checking contents (`telerad verify` does), and any
//! knowledge of what is stored.
//!
//! How the bytes go: a small object is copied once, into aligned memory that is used again and again, and written from there by one
//! system call on a blocking thread. A large one is kept as it comes, without copying, up to [`WRITE_BYTES`], and written by one
//! gathering call while the next bytes arrive. The asynchronous threads never wait for the disk.

mod buffers;
mod directories;
mod incoming;
mod listing;
mod packs;
mod reading;
mod sums;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Timestamp,
    object::{ObjectKey, ObjectRef},
    port::{Incoming, Listed, ObjectReader, Storage, StorageError, storage::Found},
};
use tokio::task::spawn_blocking;

use self::{
    buffers::Buffers,
    directories::Directories,
    incoming::FileIncoming,
    packs::{Packs, Spot},
    reading::{FilePieces, Opened, Patience},
};

/// Largest object in bytes that shares a file with others, unless the settings say otherwise.
pub const PACKED_BYTES_MAX: usize = packs::OBJECT_BYTES_MAX;

/// Bytes of a large object that are gathered before they are written; twice as much is held at most while one part is being written.
const WRITE_BYTES: usize = 1024 * 1024;

const OPENING: &str = "opening an object";

/// The folder, below the root, of objects that have no name yet. Its name can be no centre's id.
const INCOMING: &str = ".incoming";

/// How old a nameless file must be before opening the store removes it: longer than any transfer stands still.
const STALE_AFTER: Duration = Duration::from_secs(60 * 60);

/// Objects as files below a folder. Clones share everything.
///
/// Files are readable by the owner only. A removed object may come back after a power cut; whoever removes sweeps again.
#[derive(Debug, Clone)]
pub struct FileStorage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    incoming: PathBuf,
    directories: Directories,
    /// Memory for what arrives.
    buffers: Buffers,
    /// Memory for what is read, so that many readers do not leave senders without.
    reading: Buffers,
    packs: Packs,
    /// Larger objects get a file of their own; 0 when all do.
    packed_bytes_max: usize,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenFileError {
    /// It could not be made.
    #[error("cannot make the folder {folder}")]
    Create {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be written or flushed.
    #[error("cannot write in the folder {folder}")]
    Write {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FileStorage {
    /// Opens the store below a folder as [`Self::open_with`] does, with packs for all objects that packs take.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, OpenFileError> {
        Self::open_with(root, PACKED_BYTES_MAX).await
    }

    /// Opens the store below a folder, makes the folder where it is missing, removes nameless files that were left behind longer than an
    /// hour ago, by the clock of the filesystem, and closes packs that no process writes any more. Objects of up to `packed_bytes_max`
    /// bytes, but never more than [`PACKED_BYTES_MAX`], share files with others; 0 gives each a file.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub async fn open_with(root: impl Into<PathBuf>, packed_bytes_max: usize) -> Result<Self, OpenFileError> {
        let root = root.into();
        let folder = root.clone();
        blocking(move || Self::open_now(root, packed_bytes_max.min(PACKED_BYTES_MAX)))
            .await
            .unwrap_or_else(|source| Err(OpenFileError::Write { folder, source: io::Error::other(source) }))
    }

    fn open_now(root: PathBuf, packed_bytes_max: usize) -> Result<Self, OpenFileError> {
        let incoming = root.join(INCOMING);
        let create = |source| OpenFileError::Create { folder: incoming.clone(), source };
        let write = |source| OpenFileError::Write { folder: incoming.clone(), source };
        let missing: Vec<PathBuf> =
            incoming.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        fs::create_dir_all(&incoming).map_err(create)?;
        let root = root.canonicalize().map_err(create)?;
        for above in missing.iter().filter_map(|folder| folder.parent()) {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            File::open(above).and_then(|folder| folder.sync_all()).map_err(write)?;
        }
        sweep(&incoming).map_err(write)?;
        let directories = Directories::new(root.clone());
        let incoming = root.join(INCOMING);
        let buffers = Buffers::default();
        let packs = Packs::open(&root, buffers.clone()).map_err(write)?;
        let reading = Buffers::default();
        let shared = Shared { root, incoming, directories, buffers, reading, packs, packed_bytes_max };
        Ok(Self { shared: Arc::new(shared) })
    }
}

/// Removes nameless files that nobody writes any more and counts them. "Now" is the time that the filesystem gives a fresh file.
fn sweep(incoming: &Path) -> io::Result<u64> {
    let mut removed = 0;
    let probe = incoming::nameless(incoming)?;
    let now = probe.as_file().metadata()?.modified()?;
    for entry in fs::read_dir(incoming)? {
        let entry = entry?;
        let Ok(data) = entry.metadata() else { continue };
        let age = now.duration_since(data.modified()?).unwrap_or_default();
        if data.is_file() && age > STALE_AFTER {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {
                    removed += 1;
                    tracing::info!("removed an object that never got a name");
                }
            }
        }
    }
    Ok(removed)
}

#[async_trait]
impl Storage for FileStorage {
    async fn receive(&self, found: Found) -> Result<Box<dyn Incoming>, StorageError> {
        Ok(Box::new(FileIncoming::new(Arc::clone(&self.shared), found)))
    }

    async fn read(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        match self.shared.read(object, range.clone(), Patience::OnlyCached) {
            Err(error) if reading::is_waiting(&error) => {}
            read => return read,
        }
        let (shared, object) = (Arc::clone(&self.shared), object.clone());
        blocking(move || shared.read(&object, range, Patience::Wait))
            .await
            .map_err(|error| away(OPENING, error))?
    }

    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError> {
        const OPERATION: &str = "asking for an object's size";
        let (shared, object) = (Arc::clone(&self.shared), object.clone());
        blocking(move || shared.open(&object, Patience::Wait).map(|opened| opened.map(|opened| opened.bytes)))
            .await
            .map_err(|error| away(OPERATION, error))?
            .map_err(|error| storage_error(OPERATION, error))
    }

    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError> {
        const OPERATION: &str = "removing an object";
        let (shared, object) = (Arc::clone(&self.shared), object.clone());
        blocking(move || match Spot::of(&object) {
            Some(spot) => shared.packs.remove(spot?, &object.key),
            None => shared.remove_file(&object.key),
        })
        .await
        .map_err(|error| away(OPERATION, error))?
        .map_err(|error| storage_error(OPERATION, error))
    }

    /// Packs first, in the order in which they were begun; then files, by their names.
    async fn list(&self, after: Option<&ObjectRef>, limit: usize) -> Result<Vec<Listed>, StorageError> {
        const OPERATION: &str = "listing objects";
        let (shared, after) = (Arc::clone(&self.shared), after.cloned());
        blocking(move || shared.list(after.as_ref(), limit).map(|found| shared.dated(found)))
            .await
            .map_err(|error| away(OPERATION, error))?
            .map_err(|error| storage_error(OPERATION, error))
    }

    async fn tidy(&self) -> Result<u64, StorageError> {
        const OPERATION: &str = "removing what was left half done";
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared.packs.close_abandoned()?;
            sweep(&shared.incoming)
        })
        .await
        .map_err(|error| away(OPERATION, error))?
        .map_err(|error| storage_error(OPERATION, error))
    }

    async fn check(&self) -> Result<(), StorageError> {
        const OPERATION: &str = "checking the object store";
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared.directories.check()?;
            let mut probe = incoming::nameless(&shared.incoming)?;
            probe.write_all(b"probe")?;
            probe.as_file().sync_data()
        })
        .await
        .map_err(|error| away(OPERATION, error))?
        .map_err(|error| storage_error(OPERATION, error))
    }
}

impl Shared {
    /// Where an object lies. An [`ObjectKey`] is made of parts that are safe as names of files, and of no others.
    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// Where an object lies; `None` when it is not there.
    fn open(&self, object: &ObjectRef, patience: Patience) -> io::Result<Option<Opened>> {
        if let Some(spot) = Spot::of(object) {
            return self.packs.object(spot?, &object.key, patience);
        }
        // Nobody can tell whether opening by a name waits.
        if patience == Patience::OnlyCached {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match File::open(self.path(&object.key)) {
            Ok(file) => {
                let bytes = file.metadata()?.len();
                Ok(Some(Opened { file: Arc::new(file), first: 0, bytes, head_bytes: 0, sums: None }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
        patience: Patience,
    ) -> Result<ObjectReader, StorageError> {
        let opened = self.open(object, patience).map_err(|error| storage_error(OPENING, error))?;
        let opened = opened.ok_or_else(|| StorageError::NotFound(object.key.clone()))?;
        let (object_bytes, is_checked) = (opened.bytes, opened.sums.is_some());
        let pieces = FilePieces::open(opened, object.key.clone(), self.reading.clone(), range, patience)?;
        Ok(ObjectReader { object_bytes, is_checked, pieces: Box::new(pieces) })
    }

    fn remove_file(&self, key: &ObjectKey) -> io::Result<()> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        // An instance's own folder goes with its last object; one that still holds something stays, which is no error.
        let _ = path.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Objects with the time of the last write to what holds them: their file, or their pack.
    fn dated(&self, objects: Vec<ObjectRef>) -> Vec<Listed> {
        let mut pack: Option<(Spot, Option<Timestamp>)> = None;
        let date = |object: ObjectRef| {
            let written = match (Spot::of(&object), pack) {
                (None, _) => written(fs::metadata(self.path(&object.key))),
                (Some(Ok(spot)), Some((known, written))) if known.shares_pack(spot) => written,
                (Some(Ok(spot)), _) => {
                    let written = self.packs.metadata(spot).and_then(|data| written(Ok(data)));
                    pack = Some((spot, written));
                    written
                }
                (Some(Err(_)), _) => None,
            };
            Listed { object, written }
        };
        objects.into_iter().map(date).collect()
    }

    fn list(&self, after: Option<&ObjectRef>, limit: usize) -> io::Result<Vec<ObjectRef>> {
        let (mut found, file) = match after.map(|after| (after, Spot::of(after))) {
            None => (self.packs.list(None, limit)?, None),
            Some((_, Some(spot))) => (self.packs.list(Some(spot?), limit)?, None),
            Some((after, None)) => (Vec::new(), Some(&after.key)),
        };
        let left = limit - found.len();
        found.extend(listing::keys(&self.root, file, left)?.into_iter().map(ObjectRef::from));
        Ok(found)
    }
}

/// When a file was written last.
fn written(data: io::Result<fs::Metadata>) -> Option<Timestamp> {
    let modified = data.and_then(|data| data.modified()).ok()?;
    Timestamp::try_from(modified).ok()
}

/// Runs work that waits for the disk on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    spawn_blocking(work).await
}

/// What an operating system's error means.
fn storage_error(operation: &'static str, error: io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StorageError::Full(error.into())
        }
        _ => away(operation, error),
    }
}

fn away(operation: &'static str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::Unavailable { operation, source: error.into() }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::{
        digest::Sha256Digest,
        id::CentreId,
        object::ObjectName,
        port::storage::{PIECE_BYTES_MAX, store_bytes},
        uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
    };

    use super::*;

    fn key(bytes: &[u8]) -> ObjectKey {
        ObjectName::Instance {
            centre: CentreId::parse("c1").unwrap(),
            study: StudyInstanceUid::parse("1.2").unwrap(),
            series: SeriesInstanceUid::parse("1.2.3").unwrap(),
            instance: SopInstanceUid::parse("1.2.3.4").unwrap(),
            sha256: Sha256Digest::of(bytes),
        }
        .key()
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn an_object_lies_under_its_key_and_nothing_stays_nameless() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(folder.path().join("new/objects")).await.unwrap();
        store_bytes(&storage, &key(b"abc"), Bytes::from_static(b"abc")).await.unwrap();
        let root = folder.path().join("new/objects");
        assert_eq!(fs::read(root.join(key(b"abc").as_str())).unwrap(), b"abc");
        assert_eq!(names(&root.join(INCOMING)), 0);
        storage.remove(&key(b"abc").into()).await.unwrap();
        assert!(!root.join("c1/1.2/1.2.3/1.2.3.4").exists(), "the instance's folder goes with its object");
        store_bytes(&storage, &key(b"abc"), Bytes::from_static(b"abc")).await.unwrap();
    }

    #[tokio::test]
    async fn only_old_nameless_files_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = folder.path().join(INCOMING);
        fs::create_dir(&incoming).unwrap();
        let (old, fresh) = (incoming.join("old.part"), incoming.join("fresh.part"));
        File::create(&fresh).unwrap();
        let file = File::create(&old).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(now - STALE_AFTER - Duration::from_secs(60)).unwrap();
        FileStorage::open(folder.path()).await.unwrap();
        assert!(fresh.exists() && !old.exists());
        assert_eq!(names(&incoming), 1, "the probe is gone");
    }

    #[tokio::test]
    async fn another_size_under_the_same_name_is_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(folder.path()).await.unwrap();
        store_bytes(&storage, &key(b"abc"), Bytes::from_static(b"abc")).await.unwrap();
        let path = folder.path().join(key(b"abc").as_str());
        fs::write(&path, b"ab").unwrap();
        let outcome = store_bytes(&storage, &key(b"abc"), Bytes::from_static(b"abc")).await;
        assert!(matches!(outcome, Err(StorageError::Corrupt(_))), "{outcome:?}");
        assert_eq!(fs::read(path).unwrap(), b"ab", "nothing is overwritten");
    }

    #[tokio::test]
    async fn folders_that_an_administrator_removed_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(folder.path()).await.unwrap();
        store_bytes(&storage, &key(b"abc"), Bytes::from_static(b"abc")).await.unwrap();
        fs::remove_dir_all(folder.path().join("c1")).unwrap();
        store_bytes(&storage, &key(b"abcd"), Bytes::from_static(b"abcd")).await.unwrap();
        assert_eq!(storage.size(&key(b"abcd").into()).await.unwrap(), Some(4));
    }

    #[tokio::test]
    async fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(folder.path()).await.unwrap();
        let bytes = vec![7; 3 * PIECE_BYTES_MAX];
        store_bytes(&storage, &key(&bytes), bytes.clone().into()).await.unwrap();
        let reader = storage.read(&key(&bytes).into(), None).await.unwrap();
        File::options()
            .write(true)
            .open(folder.path().join(key(&bytes).as_str()))
            .unwrap()
            .set_len(10)
            .unwrap();
        let outcome = reader.collect(bytes.len()).await;
        assert!(matches!(outcome, Err(StorageError::Unavailable { .. })));
    }

    #[tokio::test]
    async fn a_changed_byte_is_found_by_every_read_that_touches_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Bytes = (0..700_000_u32).map(|at| (at * 7 + at / 253) as u8).collect::<Vec<_>>().into();
        let storage = FileStorage::open(folder.path()).await.unwrap();
        let mut incoming = storage.receive(Found::ByReference).await.unwrap();
        incoming.write(bytes.clone()).await.unwrap();
        let object = incoming.finish(&key(&bytes), Sha256Digest::of(&bytes)).await.unwrap();
        let read = |range: Range<u64>| {
            let (storage, object, most) = (storage.clone(), object.clone(), bytes.len());
            async move {
                let reader = storage.read(&object, Some(range)).await?;
                assert!(reader.is_checked && reader.object_bytes == 700_000);
                reader.collect(most).await
            }
        };
        for range in [0..700_000, 0..1, 699_999..700_000, 130_000..131_500, 300_000..699_000, 5..5] {
            let part = &bytes[range.start as usize..range.end as usize];
            assert_eq!(read(range.clone()).await.unwrap(), part, "{range:?}");
        }
        let opened = storage.shared.open(&object, Patience::Wait).unwrap().unwrap();
        let (open, at) = (folder.path().join(".packs/open"), opened.first + 400_000);
        let pack = fs::read_dir(open).unwrap().next().unwrap().unwrap().path();
        let pack = File::options().write(true).open(pack).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&pack, &[!bytes[400_000]], at).unwrap();
        for range in [0..700_000, 400_000..400_001, 420_000..420_010] {
            let outcome = read(range.clone()).await;
            assert!(matches!(outcome, Err(StorageError::Corrupt(wrong)) if wrong == object.key), "{range:?}");
        }
        assert_eq!(read(0..200_000).await.unwrap(), bytes[..200_000]);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = |kind: io::ErrorKind| matches!(storage_error("x", kind.into()), StorageError::Full(_));
        assert!(full(io::ErrorKind::StorageFull) && full(io::ErrorKind::QuotaExceeded));
        assert!(!full(io::ErrorKind::PermissionDenied));
    }
}
