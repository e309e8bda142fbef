//! Objects in an S3 bucket.
//!
//! An object is gathered first, in memory or in a file, then put with one request that creates but never overwrites and names the SHA-256
//! that the server must find. Whatever the answer leaves open (a lost connection, a 5xx) is settled by asking for the size
//! of what is there. Not here: objects above [`OBJECT_BYTES_MAX`], and multipart uploads.

mod errors;
mod listing;
mod put;
mod spool;

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials, RequestChecksumCalculation, ResponseChecksumValidation},
    operation::{get_object::GetObjectError, head_object::HeadObjectError},
    primitives::ByteStream,
    types::{BucketLocationConstraint, CreateBucketConfiguration},
};
use bytes::Bytes;
use domain::{
    object::{ObjectKey, ObjectRef},
    port::{
        Incoming, Listed, ObjectReader, Storage, StorageError,
        storage::{Found, PIECE_BYTES_MAX, Pieces},
    },
};
use serde::Deserialize;

use self::{errors::unavailable, spool::S3Incoming};
use crate::config::Secret;

/// Largest object, in bytes. S3 takes 5 GiB in one put (Amazon S3 user guide, "Uploading objects"); DICOM data sets end below 4 GiB.
pub const OBJECT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// How often a read is tried, all in all; puts have their own rule.
const READ_TRIES_MAX: u32 = 3;

/// The name, after the prefix, of the object that `check` writes. It can be no object's key.
const CHECK_NAME: &str = ".check";

const CONNECT_SECONDS_DEFAULT: u64 = 5;
const ANSWER_SECONDS_DEFAULT: u64 = 30;

/// Settings of [`S3Storage`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket; made by [`S3Storage::ensure_bucket`] only.
    pub bucket: String,
    /// The region's name; servers of one's own often take any.
    pub region: String,
    /// URL of a server other than Amazon's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The bucket stands in the path, not in the host name; what most servers of one's own need.
    #[serde(default)]
    pub path_style: bool,
    /// Together with `secret_key`; without both, the AWS chain (environment, profile, machine role) decides.
    #[serde(default)]
    pub access_key: Option<Secret>,
    /// See `access_key`.
    #[serde(default)]
    pub secret_key: Option<Secret>,
    /// What the client adds to requests beside our own SHA-256.
    #[serde(default)]
    pub checksums: Checksums,
    /// Stands before every key, with its separator if it wants one: `telerad/`.
    #[serde(default)]
    pub prefix: String,
    /// Where large objects wait for their put; the system's folder for temporary files when unset.
    #[serde(default)]
    pub spool_dir: Option<PathBuf>,
    /// The folder of the cache; a folder of the data when unset.
    #[serde(default)]
    pub cache_dir: Option<PathBuf>,
    /// Most bytes of the cache on a disk of this machine; 0 is none.
    #[serde(default)]
    pub cache_bytes_max: u64,
    /// Longest wait for a connection, in seconds.
    #[serde(default = "connect_seconds_default")]
    pub connect_timeout_seconds: u64,
    /// Longest wait for an answer, in seconds; a put may take longer by its size.
    #[serde(default = "answer_seconds_default")]
    pub answer_timeout_seconds: u64,
}

/// When the client adds and checks checksums of its own. Our puts always carry the SHA-256 of the object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksums {
    /// Where S3 insists. Some servers refuse more.
    #[default]
    WhenRequired,
    /// Wherever S3 can take them.
    WhenSupported,
}

const fn connect_seconds_default() -> u64 {
    CONNECT_SECONDS_DEFAULT
}

const fn answer_seconds_default() -> u64 {
    ANSWER_SECONDS_DEFAULT
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// One of two keys is missing.
    #[error("access_key and secret_key must be given together")]
    HalfCredentials,
    /// The folder for spooling cannot be made.
    #[error("cannot make the spool folder {folder}")]
    Spool {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Objects in an S3 bucket. Clones share the connections.
#[derive(Debug, Clone)]
pub struct S3Storage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    bucket: String,
    prefix: String,
    region: String,
    own_server: bool,
    spool: PathBuf,
    answer_timeout: Duration,
    studies: listing::Studies,
}

impl S3Storage {
    /// Prepares a client. Nothing is sent yet, unless the AWS chain must look for credentials.
    ///
    /// # Errors
    /// When half of the credentials is missing or the spool folder cannot be made.
    pub async fn connect(config: S3Config) -> Result<Self, ConnectError> {
        let spool = config.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
        std::fs::create_dir_all(&spool)
            .map_err(|source| ConnectError::Spool { folder: spool.clone(), source })?;
        let answer_timeout = Duration::from_secs(config.answer_timeout_seconds.max(1));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(config.connect_timeout_seconds.max(1)))
            .operation_attempt_timeout(answer_timeout)
            .build();
        let region = Region::new(config.region.clone());
        let builder = match (&config.access_key, &config.secret_key) {
            (Some(access), Some(secret)) => Builder::new()
                .behavior_version(BehaviorVersion::latest())
                .region(region)
                .credentials_provider(Credentials::new(
                    access.reveal(),
                    secret.reveal(),
                    None,
                    None,
                    "settings",
                )),
            (None, None) => {
                Builder::from(&aws_config::defaults(BehaviorVersion::latest()).region(region).load().await)
            }
            (Some(_), None) | (None, Some(_)) => return Err(ConnectError::HalfCredentials),
        };
        let (calculate, validate) = match config.checksums {
            Checksums::WhenRequired => {
                (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
            }
            Checksums::WhenSupported => {
                (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
            }
        };
        let mut builder = builder
            .force_path_style(config.path_style)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(READ_TRIES_MAX))
            .request_checksum_calculation(calculate)
            .response_checksum_validation(validate);
        builder.set_endpoint_url(config.endpoint.clone());
        Ok(Self {
            shared: Arc::new(Shared {
                client: Client::from_conf(builder.build()),
                bucket: config.bucket,
                prefix: config.prefix,
                region: config.region,
                own_server: config.endpoint.is_some(),
                spool,
                answer_timeout,
                studies: listing::Studies::default(),
            }),
        })
    }

    /// Makes the bucket where it is missing.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn ensure_bucket(&self) -> Result<(), StorageError> {
        const OPERATION: &str = "making the bucket";
        let shared = &self.shared;
        let Err(missing) = shared.client.head_bucket().bucket(&shared.bucket).send().await else {
            return Ok(());
        };
        if errors::status(&missing) != Some(404) {
            return Err(unavailable(OPERATION, missing));
        }
        // Amazon's first region is the one that must not be named.
        let place = (!shared.own_server && shared.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(shared.region.as_str()))
                .build()
        });
        let made = shared
            .client
            .create_bucket()
            .bucket(&shared.bucket)
            .set_create_bucket_configuration(place)
            .send();
        match made.await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_bucket_already_owned_by_you()) => {
                Ok(())
            }
            Err(error) => Err(unavailable(OPERATION, error)),
        }
    }
}

#[async_trait]
impl Storage for S3Storage {
    async fn receive(&self, _: Found) -> Result<Box<dyn Incoming>, StorageError> {
        Ok(Box::new(S3Incoming::new(Arc::clone(&self.shared))))
    }

    async fn read(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        const OPERATION: &str = "opening an object";
        let key = &object.key;
        if range.as_ref().is_some_and(|range| range.is_empty() || range.start >= OBJECT_BYTES_MAX) {
            return self.shared.empty_range(key).await;
        }
        // HTTP ranges name their last byte (RFC 9110 section 14.1.2). Servers do not take just any number for it.
        let header = range.as_ref().map(|range| match range.end {
            0..=OBJECT_BYTES_MAX => format!("bytes={}-{}", range.start, range.end - 1),
            _ => format!("bytes={}-", range.start),
        });
        let name = self.shared.name(key);
        let request =
            self.shared.client.get_object().bucket(&self.shared.bucket).key(name).set_range(header).send();
        let answer = match request.await {
            Ok(answer) => answer,
            Err(error) if errors::status(&error) == Some(416) => return self.shared.empty_range(key).await,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Err(StorageError::NotFound(key.clone()));
            }
            Err(error) => return Err(unavailable(OPERATION, error)),
        };
        let malformed =
            |reason: &'static str| StorageError::Unavailable { operation: OPERATION, source: reason.into() };
        let left = answer.content_length().and_then(|length| u64::try_from(length).ok());
        let left = left.ok_or_else(|| malformed("the server did not say how long the answer is"))?;
        let object_bytes = match (&range, answer.content_range()) {
            (None, _) => left,
            (Some(_), Some(text)) => text
                .rsplit('/')
                .next()
                .and_then(|total| total.parse().ok())
                .ok_or_else(|| malformed("the server did not say how large the object is"))?,
            (Some(_), None) => return Err(malformed("the server ignored the range")),
        };
        let pieces = S3Pieces { body: answer.body, arrived: Bytes::new(), left };
        Ok(ObjectReader { object_bytes, is_checked: false, pieces: Box::new(pieces) })
    }

    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError> {
        self.shared.size(&object.key, "asking for an object's size").await
    }

    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError> {
        let name = self.shared.name(&object.key);
        // Once: a request that is given up may still arrive, and must not find what was put there after the caller heard of success.
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let request = self.shared.client.delete_object().bucket(&self.shared.bucket).key(name).customize();
        match request.config_override(once).send().await {
            Ok(_) => Ok(()),
            Err(error) if errors::code(&error) == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(unavailable("removing an object", error)),
        }
    }

    /// In the order of their keys.
    async fn list(&self, after: Option<&ObjectRef>, limit: usize) -> Result<Vec<Listed>, StorageError> {
        self.shared.list(after.map(|after| &after.key), limit).await
    }

    async fn tidy(&self) -> Result<u64, StorageError> {
        let shared = Arc::clone(&self.shared);
        spool::tidy(shared).await
    }

    async fn check(&self) -> Result<(), StorageError> {
        const OPERATION: &str = "checking the object store";
        // Some servers make a missing bucket with the first put.
        let bucket = self.shared.client.head_bucket().bucket(&self.shared.bucket).send().await;
        bucket.map_err(|error| unavailable(OPERATION, error))?;
        let name = format!("{}{CHECK_NAME}", self.shared.prefix);
        let body = ByteStream::from_static(b"check");
        let put = self.shared.client.put_object().bucket(&self.shared.bucket).key(name).body(body).send();
        put.await.map(drop).map_err(|error| unavailable(OPERATION, error))
    }
}

impl Shared {
    fn name(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn size(&self, key: &ObjectKey, operation: &'static str) -> Result<Option<u64>, StorageError> {
        let name = self.name(key);
        match self.client.head_object().bucket(&self.bucket).key(name).send().await {
            Ok(answer) => match answer.content_length().map(u64::try_from) {
                Some(Ok(bytes)) => Ok(Some(bytes)),
                Some(Err(_)) | None => Err(StorageError::Unavailable {
                    operation,
                    source: "the server did not say a size".into(),
                }),
            },
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
            Err(error) => Err(unavailable(operation, error)),
        }
    }

    /// No bytes of an object that is there.
    async fn empty_range(&self, key: &ObjectKey) -> Result<ObjectReader, StorageError> {
        let size = self.size(key, "opening an object").await?;
        let object_bytes = size.ok_or_else(|| StorageError::NotFound(key.clone()))?;
        let pieces = S3Pieces { body: ByteStream::default(), arrived: Bytes::new(), left: 0 };
        Ok(ObjectReader { object_bytes, is_checked: false, pieces: Box::new(pieces) })
    }
}

/// A body on its way, cut to size.
struct S3Pieces {
    body: ByteStream,
    /// Came from the network and not given yet.
    arrived: Bytes,
    left: u64,
}

#[async_trait]
impl Pieces for S3Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        const OPERATION: &str = "reading an object";
        while self.arrived.is_empty() {
            match self.body.next().await {
                Some(Ok(bytes)) => self.arrived = bytes,
                Some(Err(error)) => {
                    return Err(StorageError::Unavailable { operation: OPERATION, source: error.into() });
                }
                None if self.left == 0 => return Ok(None),
                None => {
                    let source = "the answer ended too early".into();
                    return Err(StorageError::Unavailable { operation: OPERATION, source });
                }
            }
        }
        let piece = self.arrived.split_to(self.arrived.len().min(PIECE_BYTES_MAX));
        self.left = self.left.saturating_sub(piece.len() as u64);
        Ok(Some(piece))
    }
}
