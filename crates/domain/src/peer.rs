//! What a centre allows one of its AE titles: from where, how protected, for what; and where that AE is called.
//!
//! An AE title is not a secret, so by itself it proves nothing. Here stands what must be true beside it. Not here: sockets and TLS.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    centre::Centre,
    digest::Sha256Digest,
    text::{AeTitle, CharacterSetRule},
};

/// Most networks in one policy; a list that people can still read.
pub const NETWORKS_MAX: usize = 64;

/// What a centre allows one AE title. The default lets it store from anywhere and shows it nothing, and calls nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerPolicy {
    /// Where it may call from; empty means anywhere.
    pub networks: Vec<Network>,
    /// It must come over TLS.
    pub requires_tls: bool,
    /// Which certificate it must show; implies TLS.
    pub certificate: Option<CertificateRule>,
    /// What it may ask for.
    pub services: AllowedServices,
    /// Where it is called for associations that we open.
    pub address: Option<PeerAddress>,
    /// How texts of its images are read; the centre's rule when there is none.
    pub character_set: Option<CharacterSetRule>,
}

/// Which services an AE title may use. Verification is always allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedServices {
    /// C-STORE, and the notices that belong to it.
    pub storage: bool,
    /// Storage commitment.
    pub commitment: bool,
    /// C-FIND: lists of patients and studies of the centre.
    pub query: bool,
    /// C-GET and C-MOVE: images of the centre.
    pub retrieve: bool,
}

/// Who sends images may send them. To see those of others is granted.
impl Default for AllowedServices {
    fn default() -> Self {
        Self { storage: true, commitment: true, query: false, retrieve: false }
    }
}

/// Which certificate a peer must show. It has passed the check against the trusted authorities already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateRule {
    /// The SHA-256 digest of the certificate in DER.
    Fingerprint(Sha256Digest),
    /// The subject as it is written in logs: `CN=scanner, O=North Clinic`. Survives a renewal.
    Subject(String),
}

/// Where a peer listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// Name or address of the host; over TLS its certificate must say the same.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Over TLS.
    pub tls: bool,
}

impl PeerAddress {
    /// Reads `HOST:PORT`, an IPv6 address in brackets.
    #[must_use]
    pub fn parse(text: &str, tls: bool) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let is_plain = !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        let is_good = is_plain && (!host.contains(':') || host.parse::<Ipv6Addr>().is_ok());
        let port = port.parse().ok().filter(|port| *port != 0)?;
        is_good.then(|| Self { host: host.to_owned(), port, tls })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A network in CIDR form (RFC 4632): `192.0.2.0/24`, `2001:db8::/32`; a single address without a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads a network. Bits behind the prefix must be zero, so that a slip of the pen is not taken for a wish.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(text) => text.trim().parse().ok().filter(|prefix| *prefix <= bits)?,
        };
        let network = Self { address, prefix };
        (network.masked(address) == Some(address)).then_some(network)
    }

    /// Whether an address lies in it. An IPv4 address that came over an IPv6 socket counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.masked(address) == Some(self.address.to_canonical())
    }

    fn masked(&self, address: IpAddr) -> Option<IpAddr> {
        match (self.address.to_canonical(), address) {
            (IpAddr::V4(_), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                Some(Ipv4Addr::from_bits(address.to_bits() & mask).into())
            }
            (IpAddr::V6(_), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                Some(Ipv6Addr::from_bits(address.to_bits() & mask).into())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A calling AE title that some centre takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its title.
    pub ae: AeTitle,
    /// Whom it stores for.
    pub centre: Centre,
    /// What it may do; the default when the centre takes all titles and does not list this one.
    pub policy: PeerPolicy,
}

impl KnownPeer {
    /// How texts of its images are read, where a rule says so.
    #[must_use]
    pub fn character_set(&self) -> Option<&CharacterSetRule> {
        self.policy.character_set.as_ref().or(self.centre.policy.character_set.as_ref())
    }
}

/// The certificate that a peer showed, after it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of its DER form.
    pub fingerprint: Sha256Digest,
    /// Its subject, as logs have it.
    pub subject: String,
}

/// How a peer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConnection {
    /// From which address.
    pub address: IpAddr,
    /// Over TLS.
    pub tls: bool,
    /// With which certificate.
    pub certificate: Option<PeerCertificate>,
}

/// Why a peer with a known AE title is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwelcome {
    /// From elsewhere.
    #[error("the AE title may not call from this address")]
    Address,
    /// In the clear.
    #[error("the AE title must come over TLS")]
    NeedsTls,
    /// Without a certificate.
    #[error("the AE title must show its certificate")]
    NeedsCertificate,
    /// With somebody else's certificate.
    #[error("the certificate is not the one of the AE title")]
    OtherCertificate,
}

impl PeerPolicy {
    /// Whether a peer that came in this way is let in.
    ///
    /// # Errors
    /// The first rule that refuses it.
    pub fn admit(&self, connection: &PeerConnection) -> Result<(), Unwelcome> {
        let is_near = |network: &Network| network.contains(connection.address);
        if !self.networks.is_empty() && !self.networks.iter().any(is_near) {
            return Err(Unwelcome::Address);
        }
        if (self.requires_tls || self.certificate.is_some()) && !connection.tls {
            return Err(Unwelcome::NeedsTls);
        }
        let Some(rule) = &self.certificate else { return Ok(()) };
        let Some(shown) = &connection.certificate else { return Err(Unwelcome::NeedsCertificate) };
        let fits = match rule {
            CertificateRule::Fingerprint(fingerprint) => *fingerprint == shown.fingerprint,
            CertificateRule::Subject(subject) => *subject == shown.subject,
        };
        if fits { Ok(()) } else { Err(Unwelcome::OtherCertificate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let cases = [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
            ("::1", "::1", true),
        ];
        for (network, address, expected) in cases {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
            assert_eq!(Network::parse(&network.to_string()), Some(network));
        }
        for bad in ["", "192.0.2.1/24", "192.0.2.0/33", "::/129", "example", "192.0.2.0/x", "1.2.3"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses() {
        for (text, host, shown) in [
            ("pacs.example:104", "pacs.example", "pacs.example:104"),
            ("192.0.2.1:11112", "192.0.2.1", "192.0.2.1:11112"),
            ("[2001:db8::1]:104", "2001:db8::1", "[2001:db8::1]:104"),
        ] {
            let address = PeerAddress::parse(text, false).unwrap();
            assert_eq!((address.host.as_str(), address.to_string().as_str()), (host, shown));
        }
        for bad in ["", "host", "host:", ":104", "host:0", "host:70000", "ho st:1", "a:b:c:1", "host/x:1"] {
            assert_eq!(PeerAddress::parse(bad, true), None, "{bad}");
        }
    }

    #[test]
    fn who_is_let_in() {
        let certificate = |name: &str| PeerCertificate {
            fingerprint: Sha256Digest::of(name.as_bytes()),
            subject: format!("CN={name}"),
        };
        let came = |tls: bool, name: Option<&str>| PeerConnection {
            address: [192, 0, 2, 7].into(),
            tls,
            certificate: name.map(certificate),
        };
        let near =
            PeerPolicy { networks: vec![Network::parse("192.0.2.0/24").unwrap()], ..PeerPolicy::default() };
        let far =
            PeerPolicy { networks: vec![Network::parse("10.0.0.0/8").unwrap()], ..PeerPolicy::default() };
        let tls = PeerPolicy { requires_tls: true, ..PeerPolicy::default() };
        let rule = |rule: CertificateRule| PeerPolicy { certificate: Some(rule), ..PeerPolicy::default() };
        let fingerprint = rule(CertificateRule::Fingerprint(Sha256Digest::of(b"ct")));
        let subject = rule(CertificateRule::Subject("CN=ct".to_owned()));
        let cases = [
            (&PeerPolicy::default(), came(false, None), Ok(())),
            (&near, came(false, None), Ok(())),
            (&far, came(true, Some("ct")), Err(Unwelcome::Address)),
            (&tls, came(false, None), Err(Unwelcome::NeedsTls)),
            (&tls, came(true, None), Ok(())),
            (&fingerprint, came(false, None), Err(Unwelcome::NeedsTls)),
            (&fingerprint, came(true, None), Err(Unwelcome::NeedsCertificate)),
            (&fingerprint, came(true, Some("mr")), Err(Unwelcome::OtherCertificate)),
            (&fingerprint, came(true, Some("ct")), Ok(())),
            (&subject, came(true, Some("mr")), Err(Unwelcome::OtherCertificate)),
            (&subject, came(true, Some("ct")), Ok(())),
        ];
        for (policy, connection, expected) in cases {
            assert_eq!(policy.admit(&connection), expected, "{policy:?} {connection:?}");
        }
    }
}
