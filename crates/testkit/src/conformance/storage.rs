//! What every adapter of the `storage` port must do.
//!
//! Each function is one promise and uses keys of a centre of its own, so that they may run in any order against one store, but for
//! [`all`], which wants a store that was empty. Most hold however an object is to be found, and are run for both.

use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    id::CentreId,
    object::{ObjectKey, ObjectName, ObjectRef},
    port::{
        Storage, StorageError,
        storage::{Found, PIECE_BYTES_MAX, store_bytes},
    },
    uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
};
use futures::future::join_all;
use sha2::{Digest as _, Sha256};

/// How many finish the same key at once.
const RACERS: usize = 16;

/// Bytes of the large object.
const LARGE_BYTES: usize = 20 * 1024 * 1024;

/// Everything below, against a store that was empty.
///
/// # Panics
/// When a promise is not kept.
pub async fn all(storage: &dyn Storage) {
    lists_by_pages(storage).await;
    says_when_it_wrote(storage).await;
    keeps_marks(storage).await;
    checks(storage).await;
    misses_what_is_not_there(storage).await;
    refuses_more_than_the_reader_takes(storage).await;
    for found in [Found::ByKey, Found::ByReference] {
        gives_back_what_it_took(storage, found).await;
        keeps_an_empty_object(storage, found).await;
        gives_ranges(storage, found).await;
        takes_the_same_key_twice(storage, found).await;
        lets_finishes_race(storage, found).await;
        lets_many_finish_at_once(storage, found).await;
        shows_nothing_of_what_was_dropped(storage, found).await;
        tells_sizes_and_removes(storage, found).await;
        streams_a_large_object(storage, found).await;
    }
}

async fn put(storage: &dyn Storage, key: &ObjectKey, bytes: &[u8], found: Found) -> ObjectRef {
    let mut incoming = storage.receive(found).await.expect("receives");
    incoming.write(Bytes::copy_from_slice(bytes)).await.expect("written");
    let object = incoming.finish(key, Sha256Digest::of(bytes)).await.expect("finished");
    assert_eq!(object.key, *key);
    assert!(found == Found::ByReference || object.place.is_none(), "a key alone must find it");
    object
}

/// A key for some bytes, in a centre.
///
/// # Panics
/// When the centre is no centre's id.
#[must_use]
pub fn key(centre: &str, instance: u32, bytes: &[u8]) -> ObjectKey {
    key_of(centre, "1.2", "1.2.3", &format!("1.2.3.{instance}"), Sha256Digest::of(bytes))
}

fn key_of(centre: &str, study: &str, series: &str, instance: &str, sha256: Sha256Digest) -> ObjectKey {
    ObjectName::Instance {
        centre: CentreId::parse(centre).expect("a centre id"),
        study: StudyInstanceUid::parse(study).expect("a UID"),
        series: SeriesInstanceUid::parse(series).expect("a UID"),
        instance: SopInstanceUid::parse(instance).expect("a UID"),
        sha256,
    }
    .key()
}

/// Bytes that differ from place to place, so that a swapped piece is seen.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

async fn read_all(storage: &dyn Storage, object: &ObjectRef) -> Vec<u8> {
    storage.read(object, None).await.expect("readable").collect(LARGE_BYTES).await.expect("readable")
}

async fn objects(storage: &dyn Storage, after: Option<&ObjectRef>, limit: usize) -> Vec<ObjectRef> {
    storage.list(after, limit).await.expect("listed").into_iter().map(|listed| listed.object).collect()
}

/// Stores three objects and gives them.
///
/// # Panics
/// When it cannot.
pub async fn store_some(storage: &dyn Storage) -> Vec<(ObjectRef, Vec<u8>)> {
    let mut stored = Vec::new();
    for (instance, length, found) in [
        (1, 0, Found::ByReference),
        (2, 100, Found::ByReference),
        (3, 2_000_000, Found::ByReference),
        (4, 10, Found::ByKey),
        (5, 10_000_000, Found::ByReference),
    ] {
        let bytes = pattern(length);
        let key = key("kept", instance, &bytes);
        stored.push((put(storage, &key, &bytes, found).await, bytes));
    }
    stored
}

/// The store has these objects and no others.
///
/// # Panics
/// When it has others.
pub async fn has_exactly(storage: &dyn Storage, stored: &[(ObjectRef, Vec<u8>)]) {
    let mut listed = objects(storage, None, stored.len() + 1).await;
    let mut expected: Vec<ObjectRef> = stored.iter().map(|(object, _)| object.clone()).collect();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    for (key, bytes) in stored {
        assert!(read_all(storage, key).await == *bytes, "{key} changed");
    }
}

/// What is stored in pieces of many sizes comes back, in pieces that are not too large.
///
/// # Panics
/// When it does not.
pub async fn gives_back_what_it_took(storage: &dyn Storage, found: Found) {
    let bytes = pattern(3_333_333);
    let key = key("roundtrip", 1, &bytes);
    let mut incoming = storage.receive(found).await.expect("receives");
    let mut rest = Bytes::from(bytes.clone());
    for length in [0, 1, 7, 8 * 1024, 100_000, 16_384, 3, 1_048_576, 2, 700_000].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        incoming.write(rest.split_to(length.min(rest.len()))).await.expect("written");
    }
    let object = incoming.finish(&key, Sha256Digest::of(&bytes)).await.expect("finished");

    let mut reader = storage.read(&object, None).await.expect("readable");
    assert_eq!(reader.object_bytes, bytes.len() as u64);
    let mut back = Vec::new();
    while let Some(piece) = reader.pieces.next().await.expect("a piece") {
        assert!((1..=PIECE_BYTES_MAX).contains(&piece.len()), "a piece of {} bytes", piece.len());
        back.extend_from_slice(&piece);
    }
    assert!(reader.pieces.next().await.expect("still the end").is_none());
    assert!(back == bytes, "the bytes changed");
}

/// An object may be empty.
///
/// # Panics
/// When it may not.
pub async fn keeps_an_empty_object(storage: &dyn Storage, found: Found) {
    let key = key("empty", 1, b"");
    let incoming = storage.receive(found).await.expect("receives");
    let object = incoming.finish(&key, Sha256Digest::of(b"")).await.expect("finished");
    assert_eq!(storage.size(&object).await.expect("asked"), Some(0));
    for range in [None, Some(0..0), Some(0..10), Some(5..10)] {
        let reader = storage.read(&object, range).await.expect("readable");
        assert_eq!(reader.object_bytes, 0);
        assert!(reader.collect(0).await.expect("readable").is_empty());
    }
}

/// Ranges are clamped to the object.
///
/// # Panics
/// When they are not.
pub async fn gives_ranges(storage: &dyn Storage, found: Found) {
    let bytes = pattern(600_000);
    let object = put(storage, &key("ranges", 1, &bytes), &bytes, found).await;
    let size = bytes.len() as u64;
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "a range that ends before it starts is one of the cases"
    )]
    let ranges = [
        0..size,
        0..1,
        size - 1..size,
        0..0,
        10..10,
        20..10,
        262_143..262_145,
        100..599_999,
        size - 1..size + 100,
        0..u64::MAX,
        size..size + 1,
        size + 5..size + 10,
    ];
    for range in ranges {
        let start = usize::try_from(range.start.min(size)).expect("small");
        let end = usize::try_from(range.end.min(size)).expect("small").max(start);
        let reader = storage.read(&object, Some(range.clone())).await.expect("readable");
        assert_eq!(reader.object_bytes, size, "{range:?}");
        let back = reader.collect(bytes.len()).await.expect("readable");
        assert!(back == bytes[start..end], "{range:?} gave {} bytes", back.len());
    }
}

/// What was never stored is not found, and removing it is no error.
///
/// # Panics
/// When it is otherwise.
pub async fn misses_what_is_not_there(storage: &dyn Storage) {
    let key = key("missing", 1, b"never stored");
    let object = ObjectRef::from(key.clone());
    for range in [None, Some(0..10), Some(0..0)] {
        let outcome = storage.read(&object, range).await.err();
        assert!(matches!(&outcome, Some(StorageError::NotFound(which)) if *which == key), "{outcome:?}");
    }
    assert_eq!(storage.size(&object).await.expect("asked"), None);
    storage.remove(&object).await.expect("removing nothing is no error");
}

/// The same content under the same key again is success.
///
/// # Panics
/// When it is not.
pub async fn takes_the_same_key_twice(storage: &dyn Storage, found: Found) {
    let bytes = pattern(1_500_000);
    let key = key("twice", 1, &bytes);
    for _ in 0..2 {
        let object = put(storage, &key, &bytes, found).await;
        assert!(read_all(storage, &object).await == bytes);
    }
}

/// Many finish one key at once: all succeed, and the object is whole.
///
/// # Panics
/// When one fails.
pub async fn lets_finishes_race(storage: &dyn Storage, found: Found) {
    let bytes = pattern(300_000);
    let key = key("race", 1, &bytes);
    let mut racers = Vec::new();
    for _ in 0..RACERS {
        let mut incoming = storage.receive(found).await.expect("receives");
        incoming.write(bytes.clone().into()).await.expect("written");
        racers.push(incoming.finish(&key, Sha256Digest::of(&bytes)));
    }
    for outcome in join_all(racers).await {
        let object = outcome.expect("each racer succeeds");
        assert!(read_all(storage, &object).await == bytes);
    }
}

/// Many objects of one series finish at once.
///
/// # Panics
/// When one is missing afterwards.
pub async fn lets_many_finish_at_once(storage: &dyn Storage, found: Found) {
    let objects: Vec<(ObjectKey, Vec<u8>)> = (1..=RACERS)
        .map(|number| {
            let bytes = pattern(10_000 * number);
            (key("crowd", u32::try_from(number).expect("small"), &bytes), bytes)
        })
        .collect();
    let stores = objects.iter().map(|(key, bytes)| put(storage, key, bytes, found));
    for (object, (key, bytes)) in join_all(stores).await.iter().zip(&objects) {
        assert!(read_all(storage, object).await == *bytes, "{key} changed");
    }
}

/// What was received but never finished shows nowhere.
///
/// # Panics
/// When it does.
pub async fn shows_nothing_of_what_was_dropped(storage: &dyn Storage, found: Found) {
    let before = objects(storage, None, 10_000).await;
    for length in [0, 10, 3_000_000] {
        let mut incoming = storage.receive(found).await.expect("receives");
        incoming.write(pattern(length).into()).await.expect("written");
        drop(incoming);
    }
    assert_eq!(objects(storage, None, 10_000).await, before);
}

/// Sizes are told, and what is removed is gone, and can come again.
///
/// # Panics
/// When it is otherwise.
pub async fn tells_sizes_and_removes(storage: &dyn Storage, found: Found) {
    let bytes = pattern(12_345);
    let (key, beside) = (key("remove", 1, &bytes), key("remove", 1, b"beside"));
    let before = put(storage, &beside, b"beside", found).await;
    for _ in 0..2 {
        let object = put(storage, &key, &bytes, found).await;
        assert_eq!(storage.size(&object).await.expect("asked"), Some(12_345));
        storage.remove(&object).await.expect("removed");
        assert_eq!(storage.size(&object).await.expect("asked"), None);
        assert!(matches!(storage.read(&object, None).await, Err(StorageError::NotFound(_))));
        storage.remove(&object).await.expect("removing again is no error");
    }
    assert_eq!(storage.size(&before).await.expect("asked"), Some(6), "its neighbour stays");
    let after = put(storage, &beside, b"beside", found).await;
    assert!(read_all(storage, &after).await == b"beside", "what comes after it is not disturbed");
}

/// Everything is listed once, whatever the order of arrival, and pages join without gap or overlap. Wants an empty store.
///
/// # Panics
/// When it is otherwise.
pub async fn lists_by_pages(storage: &dyn Storage) {
    let mut stored = Vec::new();
    // Names of which one begins with the other: `/` stands after `.` and `-` and before digits.
    for centre in ["list", "list-b", "list2"] {
        for study in ["1.2", "1.2.3", "1.20"] {
            for (series, found) in [("1.5.1", Found::ByReference), ("1.5", Found::ByKey)] {
                let key = key_of(centre, study, series, "1.7", Sha256Digest::of(b"a"));
                stored.push(put(storage, &key, b"a", found).await);
            }
        }
    }
    let (study, centre) =
        (StudyInstanceUid::parse("1.2").expect("a UID"), CentreId::parse("list").expect("an id"));
    let picture = ObjectName::KeyImage { centre, study, sha256: Sha256Digest::of(b"a") }.key();
    store_bytes(storage, &picture, Bytes::from_static(b"a")).await.expect("stored");
    stored.push(picture.into());
    stored.sort();
    let all = objects(storage, None, 1000).await;
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(sorted, stored);
    assert!(storage.list(None, 0).await.expect("listed").is_empty());
    for page_size in [1, 4] {
        let mut pages: Vec<ObjectRef> = Vec::new();
        loop {
            let page = objects(storage, pages.last(), page_size).await;
            assert!(page.len() <= page_size);
            if page.is_empty() {
                break;
            }
            pages.extend(page);
            assert!(pages.len() <= all.len(), "pages overlap");
        }
        assert_eq!(pages, all, "pages of {page_size}");
    }
    let gone = all.get(3).expect("there are more").clone();
    storage.remove(&gone).await.expect("removed");
    assert_eq!(objects(storage, Some(&gone), 1000).await, all[4..], "after one that is gone");
}

/// Every listed object has a time, and it is not before the object came and not in the future, give or take what clocks differ. What is
/// left half done now is too young to be tidied away.
///
/// # Panics
/// When it is otherwise.
#[allow(clippy::disallowed_methods, reason = "the store's own clock is what is compared")]
pub async fn says_when_it_wrote(storage: &dyn Storage) {
    let began = domain::Timestamp::now();
    for found in [Found::ByKey, Found::ByReference] {
        let key = key("dated", 1, format!("{found:?}").as_bytes());
        let object = put(storage, &key, format!("{found:?}").as_bytes(), found).await;
        let mut open = storage.receive(found).await.expect("receives");
        open.write(Bytes::from(pattern(6_000_000))).await.expect("written");
        assert_eq!(storage.tidy().await.expect("tidied"), 0, "what is being written is left alone");
        let listed = storage.list(None, 10_000).await.expect("listed");
        let written = listed.iter().find(|listed| listed.object == object).expect("listed").written;
        let written = written.expect("it has a time");
        let slack = domain::Duration::from_secs(5);
        assert!(began - slack <= written && written <= domain::Timestamp::now() + slack, "{began} {written}");
    }
}

/// Marks are kept, listed and removed as other objects.
///
/// # Panics
/// When they are not.
pub async fn keeps_marks(storage: &dyn Storage) {
    let (name, bytes) = ObjectName::mark(uuid::Uuid::now_v7(), 5);
    let key = name.key();
    store_bytes(storage, &key, bytes.clone().into()).await.expect("stored");
    assert!(read_all(storage, &key.clone().into()).await == bytes);
    assert!(objects(storage, None, 10_000).await.contains(&key.clone().into()));
    storage.remove(&key.clone().into()).await.expect("removed");
    assert!(!objects(storage, None, 10_000).await.contains(&key.into()));
}

/// Twenty megabytes go through in small pieces, and come back in small pieces.
///
/// # Panics
/// When they do not.
pub async fn streams_a_large_object(storage: &dyn Storage, found: Found) {
    let bytes = Bytes::from(pattern(LARGE_BYTES));
    let sha256 = Sha256Digest::of(&bytes);
    let key = key_of("large", "1.2", "1.2.3", "1.2.3.4", sha256);
    let mut incoming = storage.receive(found).await.expect("receives");
    for start in (0..bytes.len()).step_by(128 * 1024) {
        incoming.write(bytes.slice(start..(start + 128 * 1024).min(bytes.len()))).await.expect("written");
    }
    let object = incoming.finish(&key, sha256).await.expect("finished");
    let mut reader = storage.read(&object, None).await.expect("readable");
    let mut hasher = Sha256::new();
    while let Some(piece) = reader.pieces.next().await.expect("a piece") {
        assert!(piece.len() <= PIECE_BYTES_MAX);
        hasher.update(&piece);
    }
    assert_eq!(Sha256Digest::from_bytes(hasher.finalize().into()), sha256);
}

/// A reader that takes less than there is says so.
///
/// # Panics
/// When it does not.
pub async fn refuses_more_than_the_reader_takes(storage: &dyn Storage) {
    let bytes = pattern(1000);
    let key = key("limit", 1, &bytes);
    store_bytes(storage, &key, bytes.clone().into()).await.expect("stored");
    let object = ObjectRef::from(key);
    let reader = storage.read(&object, None).await.expect("readable");
    assert!(matches!(reader.collect(999).await, Err(StorageError::TooLarge { bytes_max: 999 })));
    assert_eq!(
        storage.read(&object, None).await.expect("readable").collect(1000).await.expect("readable"),
        bytes
    );
}

/// The store says that it is well.
///
/// # Panics
/// When it does not.
pub async fn checks(storage: &dyn Storage) {
    let before = objects(storage, None, 10_000).await;
    storage.check().await.expect("well");
    assert_eq!(objects(storage, None, 10_000).await, before, "checking leaves no object");
}
