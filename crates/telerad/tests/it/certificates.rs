//! Certificates for tests of TLS, made by `openssl`, as a hospital's administrator makes them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// An authority and the certificates that it signed, in a folder.
pub struct Authority {
    folder: PathBuf,
    name: String,
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let (key, file, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        openssl(
            folder,
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "30",
                "-keyout",
                &key,
                "-out",
                &file,
                "-subj",
                &subject,
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
            ],
        );
        Self { folder: folder.to_owned(), name: name.to_owned() }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// A certificate for a name and this machine, as `NAME.pem` and `NAME.key`; valid for so many days, which may lie in the past.
    pub fn issue(&self, name: &str, days: i32) -> (PathBuf, PathBuf) {
        let (key, request, file) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let (subject, extensions) = (format!("/CN={name}/O=North Clinic"), format!("{name}.ext"));
        std::fs::write(
            self.folder.join(&extensions),
            "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n\
             extendedKeyUsage=serverAuth,clientAuth\n",
        )
        .unwrap();
        openssl(
            &self.folder,
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-keyout",
                &key,
                "-out",
                &request,
                "-subj",
                &subject,
            ],
        );
        let (ca, ca_key, days) =
            (format!("{}.pem", self.name), format!("{}.key", self.name), days.to_string());
        openssl(
            &self.folder,
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                &ca,
                "-CAkey",
                &ca_key,
                "-CAcreateserial",
                "-days",
                &days,
                "-extfile",
                &extensions,
                "-out",
                &file,
            ],
        );
        (self.folder.join(file), self.folder.join(key))
    }
}

/// The SHA-256 fingerprint of a certificate, as openssl prints it.
pub fn fingerprint(file: &Path) -> String {
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", file.to_str().unwrap()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().rsplit_once('=').unwrap().1.to_owned()
}
