//! Settings of the notifier, and what they mean once checked.

use std::{io, net::IpAddr, path::PathBuf, time::Duration};

use axum::http::{Uri, uri::Authority};
pub use domain::secret::Secret;
use lettre::{Address, address::AddressError, message::Mailbox};
use serde::Deserialize;

/// Settings of the notifier. Mail waits in the embedded mailbox, unsent, until a mail server is named.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where people reach this service; links in mails begin with it. `https` unless it is on loopback.
    pub public_url: String,
    /// Address in From. Its domain also ends each Message-ID.
    pub from_address: String,
    /// Name in From.
    pub from_name: String,
    /// The mail server that takes our mail.
    pub smtp: Option<SmtpConfig>,
    /// Longest time for setting one PDF, in seconds.
    pub pdf_seconds_max: u64,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its name, as its certificate has it.
    pub host: String,
    /// Its port; by default 587 with STARTTLS, 465 with TLS, 25 without.
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: TlsMode,
    /// Who signs in; nobody when unset.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<Secret>,
    /// Certificates (PEM) to trust in place of the machine's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for any one answer of the server, in seconds.
    #[serde(default = "step_seconds_default")]
    pub step_seconds_max: u64,
}

/// How a connection to a mail server is protected. There is no fallback from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// STARTTLS is required (RFC 3207); a server that does not offer it gets no mail.
    #[default]
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// No protection; only for a server on loopback.
    PlainForLoopbackOnly,
}

/// Settings that were checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) base_url: String,
    pub(crate) authority: Authority,
    pub(crate) from: Mailbox,
    pub(crate) pdf_time_max: Duration,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No link can begin with it.
    #[error("public_url must be like https://reports.example.org, without a query: {reason}")]
    PublicUrl {
        /// What is wrong.
        reason: &'static str,
    },
    /// From is no address.
    #[error("from_address is no mail address")]
    FromAddress(#[source] AddressError),
    /// Mail would travel unprotected.
    #[error("smtp.tls = \"plain_for_loopback_only\" needs a host on loopback, and {host} is none")]
    PlainBeyondLoopback {
        /// The host.
        host: String,
    },
    /// A user without a password, or a password without a user.
    #[error("smtp.user and smtp.password are set together or not at all")]
    HalfSignIn,
    /// The certificates cannot be read.
    #[error("cannot read the certificates in {path}")]
    ReadCertificates {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates are none.
    #[error("smtp.ca_file holds no certificates that can be trusted")]
    Certificates(#[source] lettre::transport::smtp::Error),
    /// A time of nothing.
    #[error("{0} must be at least 1")]
    NoTime(&'static str),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8080".to_owned(),
            from_address: "reports@localhost".to_owned(),
            from_name: "Radiology reports".to_owned(),
            smtp: None,
            pdf_seconds_max: 60,
        }
    }
}

impl Settings {
    /// Checks settings.
    ///
    /// # Errors
    /// When no link or no From can be made of them. The mail server is looked at by [`crate::mailer::of`].
    pub fn of(config: &Config) -> Result<Self, SetupError> {
        let (base_url, authority) = public_url(&config.public_url)?;
        let address: Address = config.from_address.trim().parse().map_err(SetupError::FromAddress)?;
        let name = domain::text::bounded(&config.from_name);
        if config.pdf_seconds_max == 0 {
            return Err(SetupError::NoTime("pdf_seconds_max"));
        }
        Ok(Self {
            base_url,
            authority,
            from: Mailbox::new((!name.is_empty()).then_some(name), address),
            pdf_time_max: Duration::from_secs(config.pdf_seconds_max),
        })
    }
}

/// Whether a host name means this machine, without asking anybody.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn public_url(text: &str) -> Result<(String, Authority), SetupError> {
    let refuse = |reason| SetupError::PublicUrl { reason };
    let text = text.trim().trim_end_matches('/');
    let uri: Uri = text.parse().map_err(|_| refuse("it is no URL"))?;
    let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?.clone();
    if authority.as_str().contains('@') {
        return Err(refuse("it names a user"));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(refuse("it has a query or a fragment"));
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_loopback(authority.host()) => {}
        Some("http") => return Err(refuse("beyond loopback it must be https")),
        Some(_) | None => return Err(refuse("it must begin with https://")),
    }
    if !matches!(uri.path(), "" | "/") {
        return Err(refuse("it has a path; the pages stand at /r"));
    }
    Ok((text.to_owned(), authority))
}

const fn step_seconds_default() -> u64 {
    30
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_and_secrets_hidden() {
        let config: Config = toml::from_str(
            "public_url = 'https://reports.example.org/'\nfrom_address = 'reports@example.org'\n\
             [smtp]\nhost = 'mail.example.org'\ntls = 'tls'\nuser = 'u'\npassword = 'hush'",
        )
        .unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        let smtp = config.smtp.as_ref().unwrap();
        assert_eq!((smtp.tls, smtp.step_seconds_max), (TlsMode::Tls, 30));
        assert_eq!(Settings::of(&config).unwrap().base_url, "https://reports.example.org");
        for bad in ["colour = 'red'", "[smtp]\nhost = 'h'\ntls = 'none'", "[smtp]\nport = 25"] {
            assert!(toml::from_str::<Config>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_need_an_address_that_protects_them() {
        for (url, good) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080/", true),
            ("http://[::1]:8080", true),
            ("https://reports.example.org:8443", true),
            ("http://reports.example.org", false),
            ("https://a@reports.example.org", false),
            ("https://reports.example.org/x", false),
            ("https://reports.example.org?x", false),
            ("reports.example.org", false),
            ("ftp://127.0.0.1", false),
            ("", false),
        ] {
            let config = Config { public_url: url.into(), ..Config::default() };
            assert_eq!(Settings::of(&config).is_ok(), good, "{url}");
        }
        let config = Config { from_address: "nobody".into(), ..Config::default() };
        assert!(matches!(Settings::of(&config), Err(SetupError::FromAddress(_))));
    }
}
