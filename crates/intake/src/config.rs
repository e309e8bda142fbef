//! Settings and limits of intake.

use std::net::SocketAddr;

use serde::Deserialize;

/// Settings of intake, each with its unit in its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where DICOM associations are taken.
    pub listen: SocketAddr,
    /// Our AE title. Any called title is answered, as long as `require_called_ae_title` is off.
    pub ae_title: String,
    /// Refuse associations that call another title than ours.
    pub require_called_ae_title: bool,
    /// Associations at one time, in all.
    pub associations_max: usize,
    /// Associations at one time from one address, so that one peer never takes the last slot.
    pub associations_per_address_max: usize,
    /// From the connection to the end of the association request, in seconds, in all and not per byte.
    pub request_seconds_max: u64,
    /// Without a byte on an open association, in seconds.
    pub idle_seconds_max: u64,
    /// Longest P-DATA-TF that we announce, in bytes.
    pub pdu_bytes_max: u32,
    /// Largest object, in bytes.
    pub object_bytes_max: u64,
    /// Largest body of one STOW-RS request, in bytes.
    pub request_bytes_max: u64,
    /// Parts of one STOW-RS request.
    pub request_parts_max: usize,
    /// STOW-RS requests at one time; more are told to come back.
    pub requests_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 11112)),
            ae_title: "TELERAD".to_owned(),
            require_called_ae_title: false,
            associations_max: 64,
            associations_per_address_max: 48,
            request_seconds_max: 30,
            idle_seconds_max: 60,
            pdu_bytes_max: 256 * 1024,
            object_bytes_max: 4 << 30,
            request_bytes_max: 20 << 30,
            request_parts_max: 50_000,
            requests_max: 32,
        }
    }
}
