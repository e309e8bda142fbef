//! S3, where the environment names a server: `TELERAD_TEST_S3_ENDPOINT`, `_ACCESS_KEY`, `_SECRET_KEY`, `_REGION`.

use std::env;

use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    port::{Storage, StorageError, storage::Found},
};
use storage::{Checksums, S3Config, S3Storage, Secret};
use testkit::conformance::storage as suite;

fn config(bucket: &str) -> Option<S3Config> {
    let of = |name: &str| env::var(format!("TELERAD_TEST_S3_{name}"));
    let (Ok(endpoint), Ok(access), Ok(secret), Ok(region)) =
        (of("ENDPOINT"), of("ACCESS_KEY"), of("SECRET_KEY"), of("REGION"))
    else {
        eprintln!("SKIPPED: no S3 server (set TELERAD_TEST_S3_ENDPOINT, _ACCESS_KEY, _SECRET_KEY, _REGION)");
        return None;
    };
    Some(S3Config {
        bucket: format!("{bucket}-{}", uuid::Uuid::now_v7()),
        region,
        endpoint: Some(endpoint),
        path_style: true,
        access_key: Some(Secret::new(access)),
        secret_key: Some(Secret::new(secret)),
        checksums: Checksums::WhenRequired,
        prefix: "telerad/".into(),
        spool_dir: None,
        cache_dir: None,
        cache_bytes_max: 0,
        connect_timeout_seconds: 5,
        answer_timeout_seconds: 60,
    })
}

async fn fresh(bucket: &str) -> Option<S3Storage> {
    let storage = S3Storage::connect(config(bucket)?).await.unwrap();
    storage.ensure_bucket().await.unwrap();
    storage.ensure_bucket().await.unwrap();
    Some(storage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let Some(storage) = fresh("conforms").await else { return };
    suite::all(&storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_with_the_checksums_of_the_client() {
    let Some(mut config) = config("checksums") else { return };
    config.checksums = Checksums::WhenSupported;
    config.prefix = String::new();
    let storage = S3Storage::connect(config).await.unwrap();
    storage.ensure_bucket().await.unwrap();
    suite::all(&storage).await;
}

#[tokio::test]
async fn the_server_refuses_bytes_that_are_not_those_of_the_digest() {
    let Some(storage) = fresh("digest").await else { return };
    let key = suite::key("digest", 1, b"right");
    for bytes in [Bytes::from_static(b"wrong"), Bytes::from(vec![1; 3_000_000])] {
        let mut incoming = storage.receive(Found::ByReference).await.unwrap();
        incoming.write(bytes).await.unwrap();
        let outcome = incoming.finish(&key, Sha256Digest::of(b"right")).await;
        assert!(matches!(outcome, Err(StorageError::Corrupt(_))), "{outcome:?}");
        assert_eq!(storage.size(&key.clone().into()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn another_size_under_the_same_name_is_corrupt() {
    let Some(storage) = fresh("size").await else { return };
    let key = suite::key("size", 1, b"first");
    for (bytes, good) in [(&b"first"[..], true), (b"first", true), (b"other one", false)] {
        let mut incoming = storage.receive(Found::ByReference).await.unwrap();
        incoming.write(Bytes::from_static(bytes)).await.unwrap();
        let outcome = incoming.finish(&key, Sha256Digest::of(bytes)).await;
        assert_eq!(outcome.is_ok(), good, "{outcome:?}");
        assert!(good || matches!(outcome, Err(StorageError::Corrupt(_))));
    }
    assert_eq!(storage.size(&key.clone().into()).await.unwrap(), Some(5), "nothing is overwritten");
}

#[tokio::test]
async fn a_server_that_is_away_or_refuses_is_unavailable() {
    let Some(mut config) = config("away") else { return };
    let missing_bucket = S3Storage::connect(config.clone()).await.unwrap();
    assert!(matches!(missing_bucket.check().await, Err(StorageError::Unavailable { .. })));
    config.secret_key = Some(Secret::new("not the secret"));
    let refused = S3Storage::connect(config.clone()).await.unwrap();
    let error = refused.ensure_bucket().await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }));
    assert!(!format!("{error:?}").contains("not the secret"));
    // The discard port: nobody listens.
    config.endpoint = Some("http://127.0.0.1:9".into());
    let away = S3Storage::connect(config).await.unwrap();
    let key = suite::key("away", 1, b"x");
    assert!(matches!(away.size(&key.into()).await, Err(StorageError::Unavailable { .. })));
}
