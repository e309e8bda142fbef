//! Settings of the archive.

use serde::Deserialize;

use crate::peers;

/// Settings, each with its unit in its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How the service is reached from outside, for example `https://images.example.org`, without a path.
    /// Without it, addresses in answers are made of the request's `Host`.
    pub public_url: Option<String>,
    /// Memory for metadata of series that were asked for before, in bytes.
    pub metadata_cache_bytes: usize,
    /// Memory for pictures that were made before, in bytes.
    pub picture_cache_bytes: usize,
    /// Objects read at one time for one metadata request.
    pub objects_at_once: usize,
    /// From the request of a picture to its answer, in seconds, the wait for its turn included.
    pub picture_seconds_max: u64,
    /// Queries and retrieves of DICOM peers.
    pub peers: peers::Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: None,
            metadata_cache_bytes: 64 << 20,
            picture_cache_bytes: 16 << 20,
            objects_at_once: 12,
            picture_seconds_max: 30,
            peers: peers::Settings::default(),
        }
    }
}
