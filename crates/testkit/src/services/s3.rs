//! An S3 server of one's own: SeaweedFS, all parts in one process, everything on 127.0.0.1.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::session::Session;
use super::{Error, Variables, host, ports};

const REGION: &str = "us-east-1";
const SERVICE: &str = "s3";
const SIGNED_HEADERS: &str = "host;x-amz-content-sha256;x-amz-date";

/// How long one request of the readiness probe may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The largest answer that the probe reads, in bytes: it asks for next to nothing.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// The block length of SHA-256 in bytes (FIPS 180-4), which HMAC pads its key to.
const BLOCK: usize = 64;

/// One volume per bucket instead of seven, or a few buckets use up the server.
const GROWTH: &str = "[master.volume_growth]\ncopy_1 = 1\ncopy_2 = 1\ncopy_3 = 1\ncopy_other = 1\n";

/// Starts the server and waits until an object has gone in and come out.
pub(crate) fn start(session: &Session, python: &Path) -> Result<Variables, Error> {
    let step = "starting seaweedfs";
    let folder = session.folder("s3")?;
    let probe = Probe { port: ports::free_pair()?, access_key: host::secret(), secret_key: host::secret() };
    let identities = serde_json::json!({ "identities": [{
        "name": "tests",
        "credentials": [{ "accessKey": probe.access_key, "secretKey": probe.secret_key }],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }]});
    fs::write(folder.join("identities.json"), identities.to_string()).map_err(Error::io(step))?;
    fs::write(folder.join("master.toml"), GROWTH).map_err(Error::io(step))?;
    fs::create_dir_all(folder.join("data")).map_err(Error::io(step))?;

    let log = session.log("seaweedfs");
    let file = File::create(&log).map_err(Error::io(step))?;
    let mut command = Command::new(python.join("bin/weed"));
    command.args(["-logtostderr=true", "server"]).args(arguments(&folder, probe.port)?);
    command.current_dir(&folder).env("HOME", &folder).stdin(Stdio::null());
    command.stdout(file.try_clone().map_err(Error::io(step))?).stderr(file);
    let process = session.supervisor().spawn("seaweedfs", &mut command)?;
    host::wait_until(session.supervisor(), "seaweedfs", process, &log, || probe.round_trip().is_some())?;
    Ok(vec![
        ("S3_ENDPOINT", format!("http://127.0.0.1:{}", probe.port)),
        ("S3_ACCESS_KEY", probe.access_key),
        ("S3_SECRET_KEY", probe.secret_key),
        ("S3_REGION", REGION.to_owned()),
    ])
}

fn arguments(folder: &Path, s3_port: u16) -> Result<Vec<String>, Error> {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec![
        format!("-dir={}", path("data")),
        "-ip=127.0.0.1".into(),
        "-ip.bind=127.0.0.1".into(),
        "-master.telemetry=false".into(),
        "-master.volumeSizeLimitMB=1024".into(),
        "-volume.max=1000".into(),
        "-volume.preStopSeconds=1".into(),
        "-filer".into(),
        format!("-filer.localSocket={}", path("filer.sock")),
        "-s3".into(),
        format!("-s3.port={s3_port}"),
        format!("-s3.config={}", path("identities.json")),
        format!("-s3.localSocket={}", path("s3.sock")),
        "-s3.port.iceberg=0".into(),
        "-s3.port.lance=0".into(),
    ];
    for part in ["master", "volume", "filer"] {
        arguments.push(format!("-{part}.port={}", ports::free_pair()?));
    }
    Ok(arguments)
}

/// A client that can do just enough to see whether the server works. Requests are signed by AWS Signature
/// Version 4, as the "Signature Calculations for the Authorization Header" of the Amazon S3 API describe.
struct Probe {
    port: u16,
    access_key: String,
    secret_key: String,
}

impl Probe {
    fn round_trip(&self) -> Option<()> {
        let bucket = format!("/probe-{}", host::secret());
        let object = format!("{bucket}/object");
        self.request("PUT", &bucket, b"")?;
        self.request("PUT", &object, b"in and out")?;
        let found = self.request("GET", &object, b"")?;
        self.request("DELETE", &object, b"")?;
        self.request("DELETE", &bucket, b"")?;
        found.ends_with(b"in and out").then_some(())
    }

    /// The whole answer, head and body, if its status is 2xx.
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        let host = format!("127.0.0.1:{}", self.port);
        let time = timestamp();
        let digest = hex::encode(Sha256::digest(body));
        let canonical = format!(
            "{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{time}\n\n{SIGNED_HEADERS}\n{digest}"
        );
        let day = &time[..8];
        let scope = format!("{day}/{REGION}/{SERVICE}/aws4_request");
        let digest_of_canonical = hex::encode(Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest_of_canonical}");
        let signature =
            hex::encode(hmac(&signing_key(&self.secret_key, day, REGION, SERVICE), to_sign.as_bytes()));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\
             x-amz-content-sha256: {digest}\r\nx-amz-date: {time}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}\r\n\r\n",
            body.len(),
            self.access_key,
        );
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(REQUEST_LIMIT)).ok()?;
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_LIMIT).read_to_end(&mut answer).ok()?;
        answer.starts_with(b"HTTP/1.1 2").then_some(answer)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a signature is bound to the real time; this is no part of the product"
)]
fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> [u8; 32] {
    let start = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
    [region, service, "aws4_request"].iter().fold(start, |key, part| hmac(&key, part.as_bytes()))
}

/// HMAC-SHA-256 (RFC 2104) for keys up to one block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| -> Vec<u8> {
        (0..BLOCK).map(|index| key.get(index).copied().unwrap_or_default() ^ with).collect()
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4231, test case 2.
    #[test]
    fn hmac_gives_the_published_value() {
        let value = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex::encode(value), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    // The signing key example of the AWS General Reference.
    #[test]
    fn the_signing_key_is_the_published_one() {
        let key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam");
        assert_eq!(hex::encode(key), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }
}
