//! The filesystem.

use storage::FileStorage;
use testkit::conformance::storage as suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(folder.path()).await.unwrap();
    suite::all(&storage).await;
    let left = std::fs::read_dir(folder.path().join(".incoming")).unwrap().count();
    assert_eq!(left, 0, "nothing stays nameless");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let stored = suite::store_some(&FileStorage::open(folder.path()).await.unwrap()).await;
    suite::has_exactly(&FileStorage::open(folder.path()).await.unwrap(), &stored).await;
}
