//! Certificates and keys of DICOM over TLS: the BCP 195 profile (PS3.15 section B.12), read from files and read again when they
//! change. TLS 1.2 with ephemeral keys and authenticated encryption, and TLS 1.3; nothing older is spoken. Not here: who may come in, which
//! the policy of an AE title says.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use domain::{Duration, Timestamp, peer::PeerAddress, port::Clock};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    config::{ClientCertificates, TlsConfig},
    connection::Connection,
};

/// Largest file of certificates or keys, in bytes; hundreds of authorities fit.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long before its end a certificate is warned of.
pub const WARN_BEFORE: Duration = Duration::from_hours(30 * 24);
/// How often a certificate that ends soon, or has ended, is named in the log.
const WARN_EVERY: Duration = Duration::from_hours(24);

/// Why certificates and keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the file {file} cannot be read")]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds nothing of the kind.
    #[error("the file {file} holds no {what} in PEM form")]
    Empty {
        /// Which.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A certificate of an authority cannot be used.
    #[error("the file {file} holds a certificate that cannot be used")]
    Authority {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Certificate and key do not make a pair, or are of a kind that is not spoken.
    #[error("certificate and key cannot be used together")]
    Pair(#[source] rustls::Error),
    /// Callers' certificates cannot be checked.
    #[error("callers' certificates cannot be checked with these authorities")]
    Callers(#[source] rustls::server::VerifierBuilderError),
}

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject: `CN=scanner, O=North Clinic`.
    pub subject: String,
    /// From when it counts.
    pub begins: Timestamp,
    /// Until when it counts.
    pub ends: Timestamp,
}

impl Certificate {
    /// Reads a certificate in DER; `None` when it is none.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            subject: certificate.subject().to_string(),
            begins: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            ends: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }

    /// Whether it counts now, and for how long.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> CertificateState {
        if now < self.begins {
            CertificateState::NotYet
        } else if now > self.ends {
            CertificateState::Expired
        } else if now.duration_until(self.ends) < WARN_BEFORE {
            CertificateState::EndsSoon
        } else {
            CertificateState::Good
        }
    }
}

/// Whether a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateState {
    /// It does.
    Good,
    /// It ends within [`WARN_BEFORE`].
    EndsSoon,
    /// It ended.
    Expired,
    /// It does not count yet.
    NotYet,
}

/// The bytes of the files, by which a change is recognised.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

/// What new associations use.
struct Held {
    files: Files,
    certificate: Option<Certificate>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// Certificates and keys that are in use.
pub struct Tls {
    config: TlsConfig,
    held: RwLock<Arc<Held>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn open(config: &TlsConfig) -> Result<Arc<Self>, TlsError> {
        let held = Held::new(config, Files::read(config)?)?;
        Ok(Arc::new(Self { config: config.clone(), held: RwLock::new(Arc::new(held)) }))
    }

    /// Our certificate, if it can be read.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        self.held().certificate.clone()
    }

    /// Looks at the files until told to stop: new associations get what is new; what cannot be used is named in the log once, and the old
    /// stays in use.
    pub async fn watch(self: Arc<Self>, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut complained: Option<Files> = None;
        let mut warned: Option<Timestamp> = None;
        loop {
            let now = clock.now();
            if warned.is_none_or(|at| at.duration_until(now) >= WARN_EVERY) {
                self.warn(now);
                warned = Some(now);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep(LOOK_EVERY) => {}
            }
            let tls = Arc::clone(&self);
            let Ok(read) = tokio::task::spawn_blocking(move || Files::read(&tls.config)).await else {
                return;
            };
            match read {
                Ok(files) if files == self.held().files => complained = None,
                Ok(files) if complained.as_ref() == Some(&files) => {}
                Ok(files) => match Held::new(&self.config, files.clone()) {
                    Ok(held) => {
                        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(held);
                        tracing::info!("new certificates are in use for new associations");
                        (complained, warned) = (None, None);
                    }
                    Err(error) => {
                        complain(&error);
                        complained = Some(files);
                    }
                },
                Err(error) if complained.is_none() => {
                    complain(&error);
                    complained = Some(Files { certificate: vec![], key: vec![], authorities: vec![] });
                }
                Err(_) => {}
            }
        }
    }

    /// Names a certificate that does not count or soon will not.
    fn warn(&self, now: Timestamp) {
        let Some(certificate) = self.certificate() else { return };
        let (file, ends) = (self.config.certificate.display(), certificate.ends);
        match certificate.state(now) {
            CertificateState::Good => {}
            CertificateState::EndsSoon => {
                tracing::warn!(%file, %ends, "our DICOM certificate ends soon: put a new one in its place");
            }
            CertificateState::Expired => {
                tracing::error!(%file, %ends, "our DICOM certificate has expired, peers refuse it: put a new one in its place");
            }
            CertificateState::NotYet => {
                tracing::error!(%file, begins = %certificate.begins, "our DICOM certificate does not count yet: check it and the clock");
            }
        }
    }

    /// Takes a connection that began to speak TLS.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Connection> {
        let stream = TlsAcceptor::from(Arc::clone(&self.held().server)).accept(stream).await?;
        Ok(Connection::Tls(Box::new(stream.into())))
    }

    /// Speaks TLS to a peer that we called, and checks that its certificate is the one of the host.
    pub(crate) async fn connect(&self, stream: TcpStream, peer: &PeerAddress) -> io::Result<Connection> {
        let name = ServerName::try_from(peer.host.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = TlsConnector::from(Arc::clone(&self.held().client));
        let stream = connector.connect(name, stream).await?;
        Ok(Connection::Tls(Box::new(stream.into())))
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn complain(error: &TlsError) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the changed certificate files cannot be used; the old ones stay in use"
    );
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&config.certificate)?,
            key: read(&config.key)?,
            authorities: read(&config.authorities)?,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let refuse = |source| TlsError::File { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).map_err(refuse)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refuse)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB")));
    }
    Ok(bytes)
}

impl Held {
    fn new(config: &TlsConfig, files: Files) -> Result<Self, TlsError> {
        let chain = certificates(&config.certificate, &files.certificate)?;
        let certificate = chain.first().and_then(|der| Certificate::of(der));
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|_| TlsError::Empty { file: config.key.clone(), what: "private key" })?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&config.authorities, &files.authorities)? {
            let refuse = |source| TlsError::Authority { file: config.authorities.clone(), source };
            roots.add(authority).map_err(refuse)?;
        }
        let roots = Arc::new(roots);
        Ok(Self {
            server: Arc::new(server(config, Arc::clone(&roots), chain.clone(), key.clone_key())?),
            client: Arc::new(client(roots, chain, key)?),
            certificate,
            files,
        })
    }
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = || TlsError::Empty { file: file.to_owned(), what: "certificate" };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| refuse())?;
    if found.is_empty() { Err(refuse()) } else { Ok(found) }
}

/// BCP 195 (RFC 9325): of TLS 1.2 only suites with ephemeral elliptic curve keys and authenticated encryption, which are all that this
/// library has; and all of TLS 1.3.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn server(
    config: &TlsConfig,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let callers = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let callers = match config.client_certificates {
        ClientCertificates::Required => callers,
        ClientCertificates::Optional => callers.allow_unauthenticated(),
    };
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Pair)?
        .with_client_cert_verifier(callers.build().map_err(TlsError::Callers)?)
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    // A resumed session would skip the check of a certificate that has expired since.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(server)
}

fn client(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, TlsError> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Pair)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(TlsError::Pair)
}
