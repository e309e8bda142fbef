//! Keep: objects, on a filesystem or S3.
//!
//! Two adapters of [`domain::port::Storage`], a cache for the one that is far away, and the settings that choose between them. Not here:
//! what an object means, and who may see it.

mod cache;
mod config;
mod file;
mod s3;

pub use cache::{Cached, NEAR_BYTES_MAX};
pub use config::{FileConfig, OpenError, Opened, Secret, StorageConfig, open};
pub use file::{FileStorage, OpenFileError, PACKED_BYTES_MAX};
pub use s3::{Checksums, ConnectError, OBJECT_BYTES_MAX, S3Config, S3Storage};
