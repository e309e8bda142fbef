//! The settings of the object store.

use std::{path::PathBuf, sync::Arc};

pub use domain::secret::Secret;

use domain::port::Storage;
use serde::Deserialize;

use crate::{
    cache::Cached,
    file::{FileStorage, OpenFileError, PACKED_BYTES_MAX},
    s3::{ConnectError, S3Config, S3Storage},
};

/// Which object store, chosen by the key `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StorageConfig {
    /// A folder.
    Filesystem(FileConfig),
    /// An S3 bucket.
    S3(S3Config),
}

/// Settings of [`FileStorage`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The folder; made when it is not there.
    pub dir: PathBuf,
    /// Objects of up to this many bytes share files with others, which is several times as fast; at most 4 MiB. 0 gives each object a
    /// file of its own, for who wants to find every image by name on the disk.
    #[serde(default = "packed_bytes_default")]
    pub packed_bytes_max: usize,
}

impl FileConfig {
    /// A folder, with everything else as it is by default.
    #[must_use]
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir, packed_bytes_max: PACKED_BYTES_MAX }
    }
}

const fn packed_bytes_default() -> usize {
    PACKED_BYTES_MAX
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("the folder of the object store cannot be used")]
    File(#[from] OpenFileError),
    /// The folder of the cache cannot be made.
    #[error("the folder of the cache {folder} cannot be made: check storage.cache_dir")]
    Cache {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The bucket's settings cannot be used.
    #[error("the settings of the bucket cannot be used")]
    S3(#[from] ConnectError),
}

/// A store that was opened.
pub struct Opened {
    /// The store.
    pub storage: Arc<dyn Storage>,
    /// The same behind its cache, where it has one.
    pub cached: Option<Arc<Cached>>,
}

/// Opens the store that the settings name. A bucket that does not answer is no error yet: see [`Storage::check`].
///
/// # Errors
/// When a folder cannot be used or settings contradict each other.
pub async fn open(config: &StorageConfig) -> Result<Opened, OpenError> {
    match config {
        StorageConfig::Filesystem(config) => {
            let storage = Arc::new(FileStorage::open_with(&config.dir, config.packed_bytes_max).await?);
            Ok(Opened { storage, cached: None })
        }
        StorageConfig::S3(config) => {
            let storage: Arc<dyn Storage> = Arc::new(S3Storage::connect(config.clone()).await?);
            let folder = config.cache_dir.clone().filter(|_| config.cache_bytes_max > 0);
            let cached = match folder {
                Some(folder) => {
                    let cached =
                        Cached::before(Arc::clone(&storage), folder.clone(), config.cache_bytes_max).await;
                    Some(Arc::new(cached.map_err(|source| OpenError::Cache { folder, source })?))
                }
                None => None,
            };
            // What is removed from the store by anybody here is not kept near either.
            let storage = cached.as_ref().map_or(storage, Cached::store);
            Ok(Opened { storage, cached })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<StorageConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn settings_read_and_unknown_keys_are_refused() {
        let file = read(r#"{"kind":"filesystem","dir":"/srv/objects"}"#).unwrap();
        assert_eq!(file, StorageConfig::Filesystem(FileConfig::new("/srv/objects".into())));
        let s3 =
            read(r#"{"kind":"s3","bucket":"b","region":"r","access_key":"a","secret_key":"hush"}"#).unwrap();
        assert!(!format!("{s3:?}").contains("hush"));
        let StorageConfig::S3(s3) = s3 else { panic!("expected s3") };
        assert_eq!(s3.secret_key.as_ref().map(Secret::reveal), Some("hush"));
        for bad in [
            r#"{"kind":"filesystem","dir":"/srv","bucket":"b"}"#,
            r#"{"kind":"filesystem"}"#,
            r#"{"kind":"s3","bucket":"b","region":"r","colour":"red"}"#,
            r#"{"kind":"tape"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
