//! A cache on a disk of this machine before a store that is far away: whole objects, compared with their digest when they come and with
//! their sums at each read, within a number of bytes; what was not used for longest goes first.
//!
//! Whoever reads a part of an object brings all of it near, by one request however many wait for it; so who makes the metadata of a study
//! brings its slices near, before a reader wants them. Larger objects are read from the store, each read by one request. Keys name contents
//! that never change, so nothing kept is ever stale. Whatever goes wrong with the disk costs a request to the store and nothing else. Not
//! for who has to know what the store has (commitment, scrub, verification): those have [`Cached::store`].

mod files;
mod index;

use std::{
    collections::{HashMap, HashSet},
    io,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    limit::{Limit, Section, Tally, TellsLimits, Unit},
    object::{ObjectKey, ObjectRef},
    port::{
        Incoming, Listed, ObjectReader, Storage, StorageError,
        storage::{Found, PIECE_BYTES_MAX, Pieces},
    },
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
};

use self::{
    files::{Files, Name},
    index::Index,
};

/// Largest object that is kept, in bytes: a slice of a CT has half a MiB to two.
pub const NEAR_BYTES_MAX: u64 = 4 << 20;
/// Most objects that are fetched at one time, each of which is in memory until it rests on the disk.
const FETCHES_MAX: usize = 16;
/// Fetches that are remembered so that others wait for them; when there are more, those that are over are forgotten.
const WAITED_FOR_MAX: usize = 1_024;
/// Larger objects that are remembered, so that only the first read at their beginning brings more than it asks for; when there are more,
/// all are forgotten.
const LARGE_MAX: usize = 4_096;

/// A store behind its cache.
pub struct Cached {
    store: Arc<dyn Storage>,
    shared: Arc<Shared>,
}

struct Shared {
    files: Files,
    bytes_max: u64,
    index: Mutex<Index>,
    fetching: Mutex<HashMap<Name, Weak<tokio::sync::Mutex<()>>>>,
    large: Mutex<HashSet<Name>>,
    places: Semaphore,
    was_told: AtomicBool,
    near: AtomicU64,
    far: AtomicU64,
    damaged: AtomicU64,
    disk_faults: AtomicU64,
}

impl Cached {
    /// Puts a cache before a store. What an earlier process left in the folder is found while this one is at work already. No other process
    /// may have the folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn before(store: Arc<dyn Storage>, folder: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let files = spawn_blocking(move || Files::open(folder)).await.map_err(io::Error::other)??;
        let shared = Arc::new(Shared {
            files,
            bytes_max,
            index: Mutex::default(),
            fetching: Mutex::default(),
            large: Mutex::default(),
            places: Semaphore::new(FETCHES_MAX),
            was_told: AtomicBool::new(false),
            near: AtomicU64::new(0),
            far: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            disk_faults: AtomicU64::new(0),
        });
        let finding = Arc::clone(&shared);
        drop(spawn_blocking(move || finding.find_what_is_there()));
        Ok(Self { store, shared })
    }

    /// The store itself, for who has to know what it has. What is removed from it is not kept near either.
    #[must_use]
    pub fn store(self: &Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(Behind(Arc::clone(self)))
    }

    /// An object out of the cache, or out of the store and then kept. A larger one is given as the store gives it: `range`, which lies
    /// within [`NEAR_BYTES_MAX`], or the whole.
    async fn near(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        let name = Name::of(&object.key);
        if let Some(bytes) = self.shared.kept(name).await {
            return Ok(reader(&bytes, range));
        }
        if self.shared.large().contains(&name) {
            return self.store.read(object, range).await;
        }
        let fetching = self.shared.fetching(name);
        let _fetching = fetching.lock().await;
        // Whoever was before has brought it.
        if let Some(bytes) = self.shared.kept(name).await {
            return Ok(reader(&bytes, range));
        }
        let place = self.place().await?;
        let all = range.as_ref().map(|_| 0..NEAR_BYTES_MAX);
        let got = self.store.read(object, all).await?;
        self.shared.far.fetch_add(1, Relaxed);
        let object_bytes = got.object_bytes;
        if object_bytes > NEAR_BYTES_MAX {
            self.shared.note_large(name);
            let Some(range) = range else { return Ok(got) };
            let beginning = received(got).await?;
            let pieces = near_pieces(&beginning, range);
            return Ok(ObjectReader { object_bytes, is_checked: false, pieces });
        }
        let bytes = received(got).await?;
        if bytes.len() as u64 != object_bytes || !is_named(&object.key, &bytes) {
            return Err(StorageError::Corrupt(object.key.clone()));
        }
        self.shared.keep(name, bytes.clone()).await;
        drop(place);
        Ok(reader(&bytes, range))
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, StorageError> {
        self.shared.places.acquire().await.map_err(|error| StorageError::Unavailable {
            operation: "fetching an object",
            source: error.into(),
        })
    }
}

async fn received(reader: ObjectReader) -> Result<Bytes, StorageError> {
    let bytes_max = usize::try_from(NEAR_BYTES_MAX).unwrap_or(usize::MAX);
    reader.collect(bytes_max).await.map(Bytes::from)
}

/// Whether bytes are those of an object whose key says their digest.
fn is_named(key: &ObjectKey, bytes: &[u8]) -> bool {
    key.name().is_some_and(|name| name.sha256() == Sha256Digest::of(bytes))
}

/// A range of a whole object in memory.
fn reader(bytes: &Bytes, range: Option<Range<u64>>) -> ObjectReader {
    let object_bytes = bytes.len() as u64;
    let pieces = near_pieces(bytes, range.unwrap_or(0..object_bytes));
    ObjectReader { object_bytes, is_checked: true, pieces }
}

/// A range of bytes, cut to what there is. A small part is copied: else it would hold the whole in memory for as long as somebody keeps it.
fn near_pieces(bytes: &Bytes, range: Range<u64>) -> Box<dyn Pieces> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    let (start, end) = (place(range.start), place(range.end));
    let part = bytes.slice(start.min(end)..end);
    let is_small = part.len() < bytes.len() / 2;
    Box::new(NearPieces(if is_small { Bytes::copy_from_slice(&part) } else { part }))
}

/// Bytes in memory that are left to be given.
struct NearPieces(Bytes);

#[async_trait]
impl Pieces for NearPieces {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let piece = self.0.split_to(self.0.len().min(PIECE_BYTES_MAX));
        Ok((!piece.is_empty()).then_some(piece))
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn large(&self) -> MutexGuard<'_, HashSet<Name>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_large(&self, name: Name) {
        let mut large = self.large();
        if large.len() >= LARGE_MAX {
            large.clear();
        }
        large.insert(name);
    }

    fn find_what_is_there(&self) {
        match self.files.list() {
            Ok(found) => {
                let gone = self.index().add_found(found, self.bytes_max);
                self.remove(&gone);
            }
            Err(error) => self.tell(&error),
        }
    }

    /// An object that is kept and is what it was.
    async fn kept(self: &Arc<Self>, name: Name) -> Option<Bytes> {
        if !self.index().touch(name) {
            return None;
        }
        let shared = Arc::clone(self);
        let read = spawn_blocking(move || shared.files.read(name)).await.ok()?;
        match read {
            Ok(Some(bytes)) => {
                self.near.fetch_add(1, Relaxed);
                return Some(bytes);
            }
            Ok(None) => {
                self.damaged.fetch_add(1, Relaxed);
                tracing::warn!("an object of the cache is not what it was and is fetched again");
            }
            Err(error) => self.tell(&error),
        }
        // What is not counted must not stay, even when the store cannot give it again now.
        self.forget(name).await;
        None
    }

    async fn keep(self: &Arc<Self>, name: Name, bytes: Bytes) {
        let shared = Arc::clone(self);
        let kept = spawn_blocking(move || {
            let written = shared.files.write(name, &bytes)?;
            let gone = shared.index().add(name, written, shared.bytes_max);
            shared.remove(&gone);
            Ok::<_, io::Error>(())
        });
        if let Ok(Err(error)) = kept.await {
            self.tell(&error);
        }
    }

    async fn forget(self: &Arc<Self>, name: Name) {
        self.index().forget(name);
        let shared = Arc::clone(self);
        drop(spawn_blocking(move || shared.remove(&[name])).await);
    }

    fn remove(&self, names: &[Name]) {
        for name in names {
            if let Err(error) = self.files.remove(*name) {
                self.tell(&error);
            }
        }
    }

    /// Who fetches an object, for those who want the same one.
    fn fetching(&self, name: Name) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fetching.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        if fetching.len() >= WAITED_FOR_MAX {
            fetching.retain(|_, known| known.strong_count() > 0);
        }
        let fresh = Arc::new(tokio::sync::Mutex::new(()));
        fetching.insert(name, Arc::downgrade(&fresh));
        fresh
    }

    /// Says once that the disk fails; the status page counts further times.
    fn tell(&self, error: &io::Error) {
        self.disk_faults.fetch_add(1, Relaxed);
        if !self.was_told.swap(true, Relaxed) {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the disk of the cache fails: objects are read from the store each time; look at its folder and free room"
            );
        }
    }
}

#[async_trait]
impl Storage for Cached {
    async fn receive(&self, found: Found) -> Result<Box<dyn Incoming>, StorageError> {
        self.store.receive(found).await
    }

    async fn read(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        match range {
            // What lies further behind is of an object that is not kept.
            Some(range) if range.is_empty() || range.end > NEAR_BYTES_MAX => {
                self.store.read(object, Some(range)).await
            }
            range => self.near(object, range).await,
        }
    }

    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError> {
        self.store.size(object).await
    }

    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError> {
        self.store.remove(object).await?;
        self.shared.forget(Name::of(&object.key)).await;
        Ok(())
    }

    async fn list(&self, after: Option<&ObjectRef>, limit: usize) -> Result<Vec<Listed>, StorageError> {
        self.store.list(after, limit).await
    }

    async fn tidy(&self) -> Result<u64, StorageError> {
        self.store.tidy().await
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.store.check().await
    }
}

/// The store behind a cache.
struct Behind(Arc<Cached>);

#[async_trait]
impl Storage for Behind {
    async fn receive(&self, found: Found) -> Result<Box<dyn Incoming>, StorageError> {
        self.0.store.receive(found).await
    }

    async fn read(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        self.0.store.read(object, range).await
    }

    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError> {
        self.0.store.size(object).await
    }

    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError> {
        self.0.remove(object).await
    }

    async fn list(&self, after: Option<&ObjectRef>, limit: usize) -> Result<Vec<Listed>, StorageError> {
        self.0.store.list(after, limit).await
    }

    async fn tidy(&self) -> Result<u64, StorageError> {
        self.0.store.tidy().await
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.0.store.check().await
    }
}

impl TellsLimits for Cached {
    fn section(&self) -> Section {
        let Shared { bytes_max, near, far, damaged, disk_faults, .. } = &*self.shared;
        let tally = |name, tally: &AtomicU64| Tally { name, count: tally.load(Relaxed) };
        Section {
            title: "Cache of the object store",
            limits: vec![
                Limit::new("Bytes on the disk", *bytes_max, Unit::Bytes)
                    .set_by("storage.cache_bytes_max")
                    .in_use(self.shared.index().bytes()),
                Limit::new("Objects that are fetched at one time", FETCHES_MAX as u64, Unit::Count)
                    .in_use((FETCHES_MAX - self.shared.places.available_permits()) as u64),
                Limit::new("Object that is kept", NEAR_BYTES_MAX, Unit::Bytes),
            ],
            refused: vec![
                tally("Objects that were near", near),
                tally("Objects that were fetched", far),
                tally("Objects that were damaged, and were fetched again", damaged),
                tally("Failures of the disk, told once in the log", disk_faults),
            ],
        }
    }
}
