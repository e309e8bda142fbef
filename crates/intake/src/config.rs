//! Settings and limits of intake.

use std::{net::SocketAddr, path::PathBuf};

use imaging::guard::GuardLimits;
use serde::Deserialize;

use crate::{quarantine, upload::Limits};

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
    /// DICOM over TLS: where it is taken, and with which certificates. Off when not set.
    pub tls: Option<TlsConfig>,
    /// Associations at one time, in all. The last one is never given to a peer that has one already.
    pub associations_max: usize,
    /// Associations at one time from one address, so that one peer never takes the last slot.
    pub associations_per_address_max: usize,
    /// Associations at one time from one calling AE title.
    pub associations_per_ae_title_max: usize,
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
    /// Room that images leave free on the disks of objects and catalog, in bytes: reports are still signed and mailed there.
    pub reserve_bytes: u64,
    /// Uploads of the upload page.
    pub upload: Limits,
    /// The folder in which uploads rest; `uploads` in the data folder when not set. A process of its own each.
    pub upload_dir: Option<PathBuf>,
    /// STOW-RS requests at one time of one centre, so that one never takes the last place.
    pub requests_per_centre_max: usize,
    /// What the guard lets in.
    pub guard: GuardSettings,
    /// What cannot be read and is kept for people.
    pub quarantine: quarantine::Settings,
}

/// DICOM over TLS (PS3.15 section B.12, BCP 195). Files are PEM; when they change they are read again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Where associations over TLS are taken; without it TLS is used only for associations that we open.
    pub listen: Option<SocketAddr>,
    /// Our certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// The key of our certificate.
    pub key: PathBuf,
    /// Certificates of the authorities that peers' certificates come from.
    pub authorities: PathBuf,
    /// Whether callers must show a certificate.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
}

/// Whether callers must show a certificate. One that is shown is always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// Nobody comes in without.
    #[default]
    Required,
    /// It may be left out, as far as the policy of the AE title allows.
    Optional,
}

/// What the guard lets in. Only stricter than what the product is built for: whoever reads an object later keeps to that.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSettings {
    /// Sequences inside each other.
    pub depth: usize,
    /// Bytes of one value of a header.
    pub element_bytes: usize,
    /// Elements and items of a header.
    pub elements: usize,
    /// Bytes of a header.
    pub header_bytes: usize,
    /// Bytes that one deflated byte may become.
    pub inflate_ratio: u64,
}

impl Default for GuardSettings {
    fn default() -> Self {
        let GuardLimits { depth, element_bytes, elements, header_bytes, inflate_ratio } =
            GuardLimits::default();
        Self { depth, element_bytes, elements, header_bytes, inflate_ratio }
    }
}

impl Config {
    /// The limits of the guard: those of the settings, where they are stricter than those of the product.
    #[must_use]
    pub fn guard_limits(&self) -> GuardLimits {
        let (most, set) = (GuardLimits::default(), &self.guard);
        GuardLimits {
            depth: most.depth.min(set.depth),
            element_bytes: most.element_bytes.min(set.element_bytes),
            elements: most.elements.min(set.elements),
            header_bytes: most.header_bytes.min(set.header_bytes),
            inflate_ratio: most.inflate_ratio.min(set.inflate_ratio),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 11112)),
            ae_title: "TELERAD".to_owned(),
            require_called_ae_title: false,
            tls: None,
            associations_max: 64,
            associations_per_address_max: 48,
            associations_per_ae_title_max: 32,
            request_seconds_max: 30,
            idle_seconds_max: 60,
            pdu_bytes_max: 256 * 1024,
            object_bytes_max: 4 << 30,
            request_bytes_max: 20 << 30,
            request_parts_max: 50_000,
            requests_max: 32,
            reserve_bytes: 256 << 20,
            upload: Limits::default(),
            upload_dir: None,
            requests_per_centre_max: 24,
            guard: GuardSettings::default(),
            quarantine: quarantine::Settings::default(),
        }
    }
}
