//! The cache before a store: it conforms, it saves requests, and nothing that goes wrong with it is told to a reader.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    id::CentreId,
    limit::TellsLimits as _,
    object::{ObjectKey, ObjectName, ObjectRef},
    port::{
        Incoming, Listed, ObjectReader, Storage, StorageError,
        storage::{Found, Pieces, store_bytes},
    },
    uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
};
use storage::{Cached, FileStorage, NEAR_BYTES_MAX};
use testkit::conformance::storage as suite;

/// A store that counts reads, and may give one wrong bit.
struct Far {
    store: FileStorage,
    reads: Mutex<Vec<Option<Range<u64>>>>,
    lies: Mutex<bool>,
}

struct Lying(Box<dyn Pieces>);

#[async_trait]
impl Pieces for Lying {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let piece = self.0.next().await?;
        Ok(piece.map(|piece| {
            let mut piece = piece.to_vec();
            piece[0] ^= 1;
            piece.into()
        }))
    }
}

#[async_trait]
impl Storage for Far {
    async fn receive(&self, _: Found) -> Result<Box<dyn Incoming>, StorageError> {
        self.store.receive(Found::ByKey).await
    }

    async fn read(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        self.reads.lock().unwrap().push(range.clone());
        let mut reader = self.store.read(object, range).await?;
        if *self.lies.lock().unwrap() {
            reader.pieces = Box::new(Lying(reader.pieces));
        }
        Ok(reader)
    }

    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError> {
        self.store.size(object).await
    }

    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError> {
        self.store.remove(object).await
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

struct Bench {
    folder: tempfile::TempDir,
    far: Arc<Far>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStorage::open(folder.path().join("far")).await.unwrap();
        Self { folder, far: Arc::new(Far { store, reads: Mutex::default(), lies: Mutex::new(false) }) }
    }

    fn cache_folder(&self) -> PathBuf {
        self.folder.path().join("near")
    }

    async fn cached(&self, bytes_max: u64) -> Cached {
        Cached::before(Arc::clone(&self.far) as _, self.cache_folder(), bytes_max).await.unwrap()
    }

    fn reads(&self) -> usize {
        std::mem::take(&mut *self.far.reads.lock().unwrap()).len()
    }

    async fn store(&self, number: usize, length: usize) -> (ObjectRef, Bytes) {
        let bytes: Bytes =
            (0..length).map(|at| (at * 7 + at / 253 + number) as u8).collect::<Vec<_>>().into();
        let key = key(&bytes);
        store_bytes(&*self.far, &key, bytes.clone()).await.unwrap();
        (key.into(), bytes)
    }
}

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

async fn read(
    storage: &Cached,
    object: &ObjectRef,
    range: Option<Range<u64>>,
) -> Result<Vec<u8>, StorageError> {
    storage.read(object, range).await?.collect(64 << 20).await
}

/// Every file of the cache.
fn files(folder: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(folder).unwrap();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let bench = Bench::new().await;
    suite::all(&bench.cached(1 << 30).await).await;
}

#[tokio::test]
async fn a_slice_is_one_request_and_none_the_second_time_even_of_another_process() {
    let bench = Bench::new().await;
    let (object, bytes) = bench.store(1, 526_000).await;
    let cached = bench.cached(64 << 20).await;
    assert_eq!(read(&cached, &object, Some(0..2_000)).await.unwrap(), bytes[..2_000]);
    assert_eq!(read(&cached, &object, Some(1_700..526_000)).await.unwrap(), bytes[1_700..]);
    let reader = cached.read(&object, None).await.unwrap();
    assert!(reader.is_checked && reader.object_bytes == 526_000);
    assert_eq!(reader.collect(1 << 20).await.unwrap(), bytes);
    assert_eq!(bench.reads(), 1);

    let again = bench.cached(64 << 20).await;
    while again.section().limits[0].in_use != Some(526_056) {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&again, &object, Some(5..9)).await.unwrap(), bytes[5..9]);
    assert_eq!(bench.reads(), 0);
    // Whoever removes it from the store itself.
    let again = Arc::new(again);
    again.store().remove(&object).await.unwrap();
    assert!(files(&bench.cache_folder()).is_empty());
    assert!(matches!(read(&again, &object, Some(0..1)).await, Err(StorageError::NotFound(_))));
}

#[tokio::test]
async fn large_objects_cost_one_request_a_read_and_are_not_kept() {
    let bench = Bench::new().await;
    let near = NEAR_BYTES_MAX as usize;
    let (object, bytes) = bench.store(1, 3 * near + 77).await;
    let cached = bench.cached(1 << 30).await;
    for range in [0..2_000, near - 10..near, near - 10..near + 10, 2 * near..3 * near, 0..bytes.len(), 5..5] {
        let read = read(&cached, &object, Some(range.start as u64..range.end as u64)).await.unwrap();
        assert_eq!(read, bytes[range.clone()], "{range:?}");
        assert_eq!(bench.reads(), 1, "{range:?}");
    }
    // Once it is known to be large, no read brings more than it asks for.
    read(&cached, &object, Some(3..9)).await.unwrap();
    assert_eq!(std::mem::take(&mut *bench.far.reads.lock().unwrap()), [Some(3..9)]);
    let whole = cached.read(&object, None).await.unwrap();
    assert!(!whole.is_checked, "nobody compared the whole");
    assert_eq!(whole.collect(64 << 20).await.unwrap(), bytes);
    assert_eq!(bench.reads(), 1);
    *bench.far.lies.lock().unwrap() = true;
    assert_ne!(read(&cached, &object, Some(0..10)).await.unwrap(), bytes[..10]);
    *bench.far.lies.lock().unwrap() = false;
    assert_eq!(read(&cached, &object, Some(0..10)).await.unwrap(), bytes[..10], "a lie lasts for one read");
    assert!(files(&bench.cache_folder()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_want_one_object_wait_for_one_request() {
    let bench = Bench::new().await;
    let (object, bytes) = bench.store(1, 700_000).await;
    let cached = Arc::new(bench.cached(1 << 30).await);
    let readers: Vec<_> = (0..24_u64)
        .map(|number| {
            let (cached, object) = (Arc::clone(&cached), object.clone());
            tokio::spawn(async move { read(&cached, &object, Some(number..600_000 + number)).await.unwrap() })
        })
        .collect();
    for (number, reader) in readers.into_iter().enumerate() {
        assert_eq!(reader.await.unwrap(), bytes[number..600_000 + number]);
    }
    assert_eq!(bench.reads(), 1);
}

#[tokio::test]
async fn the_disk_is_bounded_and_what_was_not_used_goes() {
    let bench = Bench::new().await;
    let cached = bench.cached(1_000_000).await;
    let mut objects = Vec::new();
    for number in 0..4 {
        objects.push(bench.store(number, 300_000).await);
    }
    for (object, _) in objects.iter().take(3) {
        read(&cached, object, Some(0..10)).await.unwrap();
    }
    read(&cached, &objects[0].0, Some(0..10)).await.unwrap();
    read(&cached, &objects[3].0, Some(0..10)).await.unwrap();
    assert_eq!(bench.reads(), 4);
    assert_eq!(files(&bench.cache_folder()).len(), 3);
    for (number, reads) in [(0, 0), (2, 0), (3, 0), (1, 1)] {
        read(&cached, &objects[number].0, Some(0..10)).await.unwrap();
        assert_eq!(bench.reads(), reads, "object {number}");
    }
}

#[tokio::test]
async fn damage_costs_a_request_and_is_never_given() {
    let bench = Bench::new().await;
    let (object, bytes) = bench.store(1, 300_000).await;
    let cached = bench.cached(1 << 30).await;
    *bench.far.lies.lock().unwrap() = true;
    let lied = read(&cached, &object, Some(0..10)).await;
    assert!(matches!(lied, Err(StorageError::Corrupt(wrong)) if wrong == object.key));
    assert!(files(&bench.cache_folder()).is_empty(), "a lie is not kept");
    *bench.far.lies.lock().unwrap() = false;
    read(&cached, &object, Some(0..10)).await.unwrap();
    assert_eq!(bench.reads(), 2);

    let [file] = files(&bench.cache_folder()).try_into().unwrap();
    let mut kept = std::fs::read(&file).unwrap();
    kept[200_000] ^= 1;
    std::fs::write(&file, kept).unwrap();
    assert_eq!(read(&cached, &object, Some(0..300_000)).await.unwrap(), bytes);
    assert_eq!(bench.reads(), 1);
    assert_eq!(read(&cached, &object, Some(0..300_000)).await.unwrap(), bytes);
    assert_eq!(bench.reads(), 0);

    // The disk is gone: every read goes to the store.
    std::fs::remove_dir_all(bench.cache_folder()).unwrap();
    for _ in 0..2 {
        assert_eq!(read(&cached, &object, Some(0..300_000)).await.unwrap(), bytes);
        assert_eq!(bench.reads(), 1);
    }
    let told = cached.section();
    let count = |start| told.refused.iter().find(|tally| tally.name.starts_with(start)).unwrap().count;
    assert_eq!((count("Failures of the disk"), count("Objects that were damaged")), (3, 1));
}
