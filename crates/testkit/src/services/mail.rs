//! A mail server of one's own with a certificate from a certificate authority of one's own.
//!
//! The server is `crates/testkit/services/smtp_server.py`; it lists the faults that an address can ask for.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::session::Session;
use super::{Error, Variables, host, workspace_root};

const USER: &str = "telerad";
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// Lines of a greeting that the probe reads at most.
const GREETING_LINES: usize = 20;

// A leaf and an authority apart: rustls refuses a certificate authority's own certificate as a server's.
const EXTENSIONS: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = telerad test authority
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
";

struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(serde::Deserialize)]
struct Ports {
    starttls: u16,
    tls: u16,
    plain: u16,
}

/// Makes certificates, starts the server and waits until it offers STARTTLS.
pub(crate) fn start(session: &Session, python: &Path) -> Result<Variables, Error> {
    let step = "starting the mail server";
    let folder = session.folder("smtp")?;
    let inbox = folder.join("inbox");
    fs::create_dir_all(&inbox).map_err(Error::io(step))?;
    let certificates = certificates(session, &folder)?;
    let password = host::secret();
    let ready = folder.join("ports.json");

    let log = session.log("smtp");
    let file = File::create(&log).map_err(Error::io(step))?;
    let mut command = Command::new(python.join("bin/python"));
    command.arg(workspace_root().join("crates/testkit/services/smtp_server.py"));
    command.arg("--inbox").arg(&inbox).arg("--ready").arg(&ready).args([
        "--user",
        USER,
        "--password",
        &password,
    ]);
    command.arg("--certificate").arg(&certificates.certificate).arg("--key").arg(&certificates.key);
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command.stdout(file.try_clone().map_err(Error::io(step))?).stderr(file);
    let process = session.supervisor().spawn("smtp", &mut command)?;

    let mut ports = None;
    host::wait_until(session.supervisor(), "smtp", process, &log, || {
        ports = read_ports(&ready);
        ports.as_ref().is_some_and(|ports| offers_starttls(ports.starttls).is_some())
    })?;
    let ports = ports.ok_or_else(|| Error::failed(step, "it answered without telling its ports"))?;
    Ok(vec![
        ("SMTP_HOST", "localhost".to_owned()),
        ("SMTP_PORT", ports.starttls.to_string()),
        ("SMTP_TLS_PORT", ports.tls.to_string()),
        ("SMTP_PLAIN_PORT", ports.plain.to_string()),
        ("SMTP_USER", USER.to_owned()),
        ("SMTP_PASSWORD", password),
        ("SMTP_CA_FILE", certificates.authority.display().to_string()),
        ("SMTP_INBOX_DIR", inbox.display().to_string()),
    ])
}

fn read_ports(file: &Path) -> Option<Ports> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn offers_starttls(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(GREETING_LIMIT)).ok()?;
    stream.write_all(b"EHLO localhost\r\n").ok()?;
    let mut lines =
        BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok).take(GREETING_LINES);
    lines.find(|line| line.starts_with("250") && line.ends_with("STARTTLS"))?;
    stream.write_all(b"QUIT\r\n").ok()
}

fn certificates(session: &Session, folder: &Path) -> Result<Certificates, Error> {
    let path = |name: &str| folder.join(name);
    fs::write(path("openssl.cnf"), EXTENSIONS).map_err(Error::io("writing the certificate settings"))?;
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"];
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(folder);
        host::run(session.supervisor(), "openssl", &mut command, &session.log("openssl")).map(drop)
    };
    let authority = [
        "ca.key",
        "-x509",
        "-config",
        "openssl.cnf",
        "-extensions",
        "authority",
        "-days",
        "7",
        "-out",
        "ca.pem",
    ];
    openssl(&[&["req"][..], &key, &authority].concat())?;
    let request = ["leaf.key", "-config", "openssl.cnf", "-subj", "/CN=localhost", "-out", "leaf.csr"];
    openssl(&[&["req"][..], &key, &request].concat())?;
    let sign = [
        "x509",
        "-req",
        "-in",
        "leaf.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "7",
    ];
    openssl(&[&sign[..], &["-extfile", "openssl.cnf", "-extensions", "leaf", "-out", "leaf.pem"]].concat())?;
    Ok(Certificates { authority: path("ca.pem"), certificate: path("leaf.pem"), key: path("leaf.key") })
}
