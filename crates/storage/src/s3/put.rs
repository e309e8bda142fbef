//! The put: create, never overwrite, and know for certain how it ended.

use std::time::Duration;

use aws_sdk_s3::{
    config::{Builder, retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{digest::Sha256Digest, object::ObjectKey, port::StorageError};

use super::{Shared, errors, errors::unavailable, spool::Spooled};

/// How often a put is tried, all in all.
const PUT_TRIES_MAX: u32 = 6;

/// The pause before the second try; each later one is twice as long, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// The slowest line that a put still gets through, in bytes per second; its time limit follows from it.
const SLOWEST_BYTES_PER_SECOND: u64 = 256 * 1024;

const PUTTING: &str = "putting an object";

/// How a try ended, as far as the answer tells.
enum Outcome {
    Stored,
    /// 412: something of that name is there.
    Exists,
    /// 409: two raced; neither answer says who won.
    Raced,
    /// No answer, or one that leaves it open (5xx: Amazon S3 error responses, "InternalError").
    Unknown(StorageError),
    /// It will not get better.
    Refused(StorageError),
}

impl Shared {
    /// Puts an object and returns when it is there.
    pub(super) async fn put(
        &self,
        key: &ObjectKey,
        sha256: Sha256Digest,
        spooled: &Spooled,
    ) -> Result<(), StorageError> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            let last = match self.try_put(key, sha256, spooled).await? {
                Outcome::Stored => return Ok(()),
                Outcome::Refused(error) => return Err(error),
                Outcome::Raced => None,
                Outcome::Exists => match self.size(key, PUTTING).await? {
                    Some(bytes) if bytes == spooled.bytes() => return Ok(()),
                    Some(_) => return Err(StorageError::Corrupt(key.clone())),
                    // Removed in between.
                    None => None,
                },
                Outcome::Unknown(error) => {
                    // A name belongs to one content and a put shows all or nothing, so the size tells.
                    if matches!(self.size(key, PUTTING).await, Ok(Some(bytes)) if bytes == spooled.bytes()) {
                        return Ok(());
                    }
                    Some(error)
                }
            };
            if tries == PUT_TRIES_MAX {
                let source = "somebody else kept changing it".into();
                return Err(last.unwrap_or(StorageError::Unavailable { operation: PUTTING, source }));
            }
            tries += 1;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn try_put(
        &self,
        key: &ObjectKey,
        sha256: Sha256Digest,
        spooled: &Spooled,
    ) -> Result<Outcome, StorageError> {
        let bytes = spooled.bytes();
        let limit = self.answer_timeout + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND);
        let settings = Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(limit).build());
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.name(key))
            .if_none_match("*")
            .checksum_sha256(BASE64_STANDARD.encode(sha256.as_bytes()))
            .content_length(i64::try_from(bytes).unwrap_or(i64::MAX))
            .body(spooled.body().await?)
            .customize()
            .config_override(settings);
        let Err(error) = request.send().await else { return Ok(Outcome::Stored) };
        Ok(match errors::status(&error) {
            Some(412) => Outcome::Exists,
            Some(409) => Outcome::Raced,
            Some(400) if errors::is_corrupt(&error) => Outcome::Refused(StorageError::Corrupt(key.clone())),
            Some(507) => Outcome::Refused(unavailable(PUTTING, error)),
            Some(408 | 425 | 429 | 500..=599) | None => match error {
                SdkError::ConstructionFailure(_) => Outcome::Refused(unavailable(PUTTING, error)),
                other => Outcome::Unknown(unavailable(PUTTING, other)),
            },
            Some(_) => Outcome::Refused(unavailable(PUTTING, error)),
        })
    }
}
