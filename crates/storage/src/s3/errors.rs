//! What the SDK's errors mean.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use domain::port::StorageError;

/// Codes of errors that say that there is no room; not all are Amazon's.
const FULL: [&str; 6] = [
    "QuotaExceeded",
    "InsufficientStorage",
    "NoSpaceLeft",
    "StorageFull",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
];

/// Codes of errors that say that the bytes are not those of the digest.
const CORRUPT: [&str; 4] =
    ["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"];

/// The status of the answer, if there was one.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// The code that the server gave.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.code()
}

/// Whether the server says that the bytes are not those of the digest.
pub(super) fn is_corrupt<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    code(error).is_some_and(|code| CORRUPT.contains(&code))
}

/// An error of the port, with the SDK's below it.
pub(super) fn unavailable<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> StorageError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    // 507 Insufficient Storage: RFC 4918 section 11.5.
    if status(&error) == Some(507) || code(&error).is_some_and(|code| FULL.contains(&code)) {
        return StorageError::Full(error.into());
    }
    StorageError::Unavailable { operation, source: error.into() }
}
