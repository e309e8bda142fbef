//! Settings of the archive.

use serde::{Deserialize, Deserializer, de::Error as _};

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
    /// How long a study that was taken out can come back, in days; at least 1.
    #[serde(deserialize_with = "taken_out_days")]
    pub taken_out_days: u32,
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
            taken_out_days: 30,
            peers: peers::Settings::default(),
        }
    }
}

/// Most days for which a study that was taken out can come back: ten years.
const TAKEN_OUT_DAYS_MAX: u32 = 3_653;

fn taken_out_days<'de, D: Deserializer<'de>>(reader: D) -> Result<u32, D::Error> {
    let days = u32::deserialize(reader)?;
    if !(1..=TAKEN_OUT_DAYS_MAX).contains(&days) {
        return Err(D::Error::custom(format!("it is 1 to {TAKEN_OUT_DAYS_MAX} days")));
    }
    Ok(days)
}
