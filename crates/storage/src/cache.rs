//! A cache on a disk of this machine before a store that is far away: blocks of objects, compared with their sums at each read, within a
//! number of bytes; what was not used for longest goes first.
//!
//! A read of a few blocks brings those that are missing, each by one request however many wait for it, and keeps them; so who makes the
//! metadata of a study brings its slices near, before a reader wants them. A read of more goes to the store as it is. Keys name contents
//! that never change, so nothing kept is ever stale. Whatever goes wrong with the disk costs a request to the store and nothing else.
//! Not for who has to know what the store has: commitment, scrub, verification.

mod blocks;
mod index;

use std::{
    collections::HashMap,
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
use tokio::{sync::Semaphore, task::spawn_blocking};

use self::{
    blocks::{Block, BlockId, Blocks},
    index::Index,
};

/// Bytes of a block: a slice of a CT is one.
pub const BLOCK_BYTES: u64 = 1 << 20;
/// Most blocks of a read that goes through the cache; more are not kept.
const READ_BLOCKS_MAX: u64 = 8;
/// Most blocks that are fetched at one time, each of which is in memory until it rests on the disk.
const FETCHES_MAX: usize = 32;
/// Fetches that are remembered so that others wait for them; when there are more, those that are over are forgotten.
const WAITED_FOR_MAX: usize = 1_024;

/// A store behind its cache.
pub struct Cached {
    store: Arc<dyn Storage>,
    shared: Arc<Shared>,
}

struct Shared {
    blocks: Blocks,
    bytes_max: u64,
    index: Mutex<Index>,
    fetching: Mutex<HashMap<BlockId, Weak<tokio::sync::Mutex<()>>>>,
    places: Semaphore,
    was_told: AtomicBool,
    near: AtomicU64,
    far: AtomicU64,
    damaged: AtomicU64,
    disk_faults: AtomicU64,
}

impl Cached {
    /// Puts a cache before a store. What an earlier process left in the folder is found while this one is at work already.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn before(store: Arc<dyn Storage>, folder: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let blocks = spawn_blocking(move || Blocks::open(folder)).await.map_err(io::Error::other)??;
        let shared = Arc::new(Shared {
            blocks,
            bytes_max,
            index: Mutex::default(),
            fetching: Mutex::default(),
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

    /// A block of an object, and how many bytes the object has. It is empty when the object ends before.
    async fn block(&self, object: &ObjectRef, number: u32) -> Result<Block, StorageError> {
        let id = BlockId::of(&object.key, number);
        if let Some(block) = self.shared.kept(id).await {
            return Ok(block);
        }
        let fetching = self.shared.fetching(id);
        let _fetching = fetching.lock().await;
        // Whoever was before has brought it.
        if let Some(block) = self.shared.kept(id).await {
            return Ok(block);
        }
        let block = self.fetch(object, number).await?;
        if !block.bytes.is_empty() {
            self.shared.keep(id, block.clone()).await;
        }
        Ok(block)
    }

    async fn fetch(&self, object: &ObjectRef, number: u32) -> Result<Block, StorageError> {
        let _place = self.shared.places.acquire().await.map_err(|error| StorageError::Unavailable {
            operation: "fetching a block",
            source: error.into(),
        })?;
        let start = u64::from(number) * BLOCK_BYTES;
        let reader = self.store.read(object, Some(start..start + BLOCK_BYTES)).await?;
        self.received(object, number, reader).await
    }

    /// A block as it comes from the store, which may lie.
    async fn received(
        &self,
        object: &ObjectRef,
        number: u32,
        reader: ObjectReader,
    ) -> Result<Block, StorageError> {
        self.shared.far.fetch_add(1, Relaxed);
        let (start, object_bytes) = (u64::from(number) * BLOCK_BYTES, reader.object_bytes);
        let bytes: Bytes = reader.collect(usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX)).await?.into();
        let expected = object_bytes.saturating_sub(start).min(BLOCK_BYTES);
        if bytes.len() as u64 != expected || (object_bytes <= BLOCK_BYTES && !is_named(&object.key, &bytes)) {
            return Err(StorageError::Corrupt(object.key.clone()));
        }
        Ok(Block { object_bytes, bytes })
    }

    /// The whole of an object, whose size nobody knows before it is asked for: out of the cache when its beginning is there and it is not
    /// too large, else as the store gives it. A small one is kept.
    async fn whole(&self, object: &ObjectRef) -> Result<ObjectReader, StorageError> {
        let id = BlockId::of(&object.key, 0);
        if let Some(block) = self.shared.kept(id).await {
            return match block.object_bytes <= READ_BLOCKS_MAX * BLOCK_BYTES {
                true => Ok(self.reader(object, 0..block.object_bytes, 0, block)),
                false => self.store.read(object, None).await,
            };
        }
        let fetching = self.shared.fetching(id);
        let _fetching = fetching.lock().await;
        if let Some(block) = self.shared.kept(id).await.filter(|block| block.object_bytes <= BLOCK_BYTES) {
            return Ok(self.reader(object, 0..block.object_bytes, 0, block));
        }
        let reader = self.store.read(object, None).await?;
        if reader.object_bytes > BLOCK_BYTES {
            return Ok(reader);
        }
        let block = self.received(object, 0, reader).await?;
        self.shared.keep(id, block.clone()).await;
        Ok(self.reader(object, 0..block.object_bytes, 0, block))
    }

    fn reader(&self, object: &ObjectRef, range: Range<u64>, number: u32, block: Block) -> ObjectReader {
        let object_bytes = block.object_bytes;
        let end = range.end.min(object_bytes);
        let pieces = CachedPieces {
            cached: Self { store: Arc::clone(&self.store), shared: Arc::clone(&self.shared) },
            object: object.clone(),
            left: range.start.min(end)..end,
            number,
            block,
        };
        // Of a larger object nobody has compared the whole with its digest.
        let is_checked = object_bytes <= BLOCK_BYTES;
        ObjectReader { object_bytes, is_checked, pieces: Box::new(pieces) }
    }

    /// The block that a range begins with, when it is one for the cache.
    async fn first(
        &self,
        object: &ObjectRef,
        range: &Range<u64>,
    ) -> Result<Option<(u32, Block)>, StorageError> {
        let blocks = (range.start / BLOCK_BYTES)..range.end.div_ceil(BLOCK_BYTES);
        if range.is_empty() || blocks.end - blocks.start > READ_BLOCKS_MAX {
            return Ok(None);
        }
        let Ok(number) = u32::try_from(blocks.start) else { return Ok(None) };
        Ok(Some((number, self.block(object, number).await?)))
    }
}

/// Whether bytes are those of an object whose key says their digest.
fn is_named(key: &ObjectKey, bytes: &[u8]) -> bool {
    key.name().is_some_and(|name| name.sha256() == Sha256Digest::of(bytes))
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_what_is_there(&self) {
        match self.blocks.list() {
            Ok(found) => {
                let gone = self.index().add_found(found, self.bytes_max);
                self.remove(&gone);
            }
            Err(error) => self.tell(&error),
        }
    }

    /// A block that is kept and is what it was.
    async fn kept(self: &Arc<Self>, id: BlockId) -> Option<Block> {
        if !self.index().touch(id) {
            return None;
        }
        let shared = Arc::clone(self);
        let read = spawn_blocking(move || shared.blocks.read(id)).await.ok()?;
        match read {
            Ok(Some(block)) => {
                self.near.fetch_add(1, Relaxed);
                Some(block)
            }
            Ok(None) => {
                self.damaged.fetch_add(1, Relaxed);
                tracing::warn!("a block of the cache is not what it was and is fetched again");
                self.index().forget(id);
                None
            }
            Err(error) => {
                self.tell(&error);
                self.index().forget(id);
                None
            }
        }
    }

    async fn keep(self: &Arc<Self>, id: BlockId, block: Block) {
        let shared = Arc::clone(self);
        let kept = spawn_blocking(move || {
            let written = shared.blocks.write(id, &block)?;
            let gone = shared.index().add(id, written, shared.bytes_max);
            shared.remove(&gone);
            Ok::<_, io::Error>(())
        });
        if let Ok(Err(error)) = kept.await {
            self.tell(&error);
        }
    }

    fn remove(&self, blocks: &[BlockId]) {
        for id in blocks {
            if let Err(error) = self.blocks.remove(*id) {
                self.tell(&error);
            }
        }
    }

    /// Who fetches a block, for those who want the same one.
    fn fetching(&self, id: BlockId) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fetching.get(&id).and_then(Weak::upgrade) {
            return known;
        }
        if fetching.len() >= WAITED_FOR_MAX {
            fetching.retain(|_, known| known.strong_count() > 0);
        }
        let fresh = Arc::new(tokio::sync::Mutex::new(()));
        fetching.insert(id, Arc::downgrade(&fresh));
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
        let Some(range) = range else { return self.whole(object).await };
        match self.first(object, &range).await? {
            Some((number, block)) => Ok(self.reader(object, range, number, block)),
            None => self.store.read(object, Some(range)).await,
        }
    }

    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError> {
        self.store.size(object).await
    }

    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError> {
        self.store.remove(object).await?;
        let gone = self.shared.index().forget_object(BlockId::of(&object.key, 0));
        let shared = Arc::clone(&self.shared);
        drop(spawn_blocking(move || shared.remove(&gone)).await);
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

/// A range of an object that is left to be read, out of blocks.
struct CachedPieces {
    cached: Cached,
    object: ObjectRef,
    left: Range<u64>,
    /// The block that is in memory.
    number: u32,
    block: Block,
}

#[async_trait]
impl Pieces for CachedPieces {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let number = u32::try_from(self.left.start / BLOCK_BYTES).unwrap_or(u32::MAX);
        if number != self.number {
            (self.block, self.number) = (self.cached.block(&self.object, number).await?, number);
        }
        let start = u64::from(number) * BLOCK_BYTES;
        let place = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
        let end = self.left.end.min(start + BLOCK_BYTES).min(self.left.start + PIECE_BYTES_MAX as u64);
        let piece = self.block.bytes.get(place(self.left.start)..place(end));
        let piece = piece.ok_or_else(|| StorageError::Corrupt(self.object.key.clone()))?;
        // A small part would hold the whole block in memory for as long as somebody keeps it.
        let piece = match piece.len() < PIECE_BYTES_MAX / 2 {
            true => Bytes::copy_from_slice(piece),
            false => self.block.bytes.slice_ref(piece),
        };
        self.left.start = end;
        Ok(Some(piece))
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
                Limit::new("Blocks that are fetched at one time", FETCHES_MAX as u64, Unit::Count)
                    .in_use((FETCHES_MAX - self.shared.places.available_permits()) as u64),
                Limit::new("Bytes of a block", BLOCK_BYTES, Unit::Bytes),
            ],
            refused: vec![
                tally("Blocks that were near", near),
                tally("Blocks that were fetched", far),
                tally("Blocks that were damaged, and were fetched again", damaged),
                tally("Failures of the disk, told once in the log", disk_faults),
            ],
        }
    }
}
