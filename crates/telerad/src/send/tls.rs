//! TLS towards receivers: authorities, and our own certificate where the receiver asks for one, from PEM files. The profile is that of
//! BCP 195 (PS3.15 section B.12): TLS 1.2 with ephemeral keys, and TLS 1.3.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::Failure;

/// Reads authorities, and certificate and key if given.
///
/// # Errors
/// When a file cannot be used.
pub fn client(authorities: &Path, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities)? {
        roots.add(certificate).map_err(|error| unusable(authorities, &error))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let client = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, secret)
                .map_err(|error| unusable(certificate, &error))?
        }
    };
    Ok(Arc::new(client))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).and_then(|certificates| certificates.collect());
    match found.map_err(|error| unusable(file, &error))? {
        empty if empty.is_empty() => Err(unusable(file, &"it holds no certificate in PEM form")),
        found => Ok(found),
    }
}

fn unusable(file: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure::Address(format!("the file {} cannot be used for TLS: {reason}", file.display()))
}
