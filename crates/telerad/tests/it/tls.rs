//! DICOM over TLS, as DCMTK and OpenSSL meet it; and what centres allow their AE titles.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    certificates::{Authority, fingerprint},
    server::{Process, Site, free_port, head_ct},
};

/// A server with TLS and client certificates.
struct Secure {
    site: Site,
    port: u16,
    serving: Process,
    authority: Authority,
    stranger: Authority,
}

fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed; run `make test`");
    }
    is_there
}

fn secure(client_certificates: &str) -> Secure {
    let site = Site::new();
    let folder = site.folder.path().to_owned();
    let authority = Authority::new(&folder, "authority");
    let stranger = Authority::new(&folder, "stranger");
    let (certificate, key) = authority.issue("server", 30);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let port = free_port();
    let site = site
        .with("INTAKE__TLS__LISTEN", format!("127.0.0.1:{port}"))
        .with("INTAKE__TLS__CERTIFICATE", text(&certificate))
        .with("INTAKE__TLS__KEY", text(&key))
        .with("INTAKE__TLS__AUTHORITIES", text(&authority.file()))
        .with("INTAKE__TLS__CLIENT_CERTIFICATES", client_certificates);
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "CT_1", "--ae", "CT_2"]);
    let serving = site.serve();
    Secure { site, port, serving, authority, stranger }
}

impl Secure {
    fn echo(&self, calling: &str, identity: Option<&(PathBuf, PathBuf)>) -> Output {
        let mut command = Command::new("echoscu");
        command.args(["-aet", calling, "-aec", "TELERAD", "+cf"]).arg(self.authority.file());
        match identity {
            Some((certificate, key)) => command.arg("+tls").arg(key).arg(certificate),
            None => command.arg("+tla"),
        };
        command.args(["127.0.0.1", &self.port.to_string()]).output().unwrap()
    }

    fn logged(&self, words: &str) {
        self.site.until(&format!("the log says {words:?}"), || {
            std::fs::read_to_string(self.site.log()).unwrap().contains(words).then_some(())
        });
    }

    fn logged_times(&self, words: &str) -> usize {
        std::fs::read_to_string(self.site.log()).unwrap().matches(words).count()
    }
}

#[test]
fn dcmtk_stores_over_mutual_tls() {
    if !has("storescu") {
        return;
    }
    let secure = secure("required");
    let scanner = secure.authority.issue("scanner", 30);
    assert!(secure.echo("CT_1", Some(&scanner)).status.success());
    let output = Command::new("storescu")
        .args(["-aet", "CT_1", "-aec", "TELERAD", "+sd", "+r", "+tls"])
        .args([&scanner.1, &scanner.0])
        .arg("+cf")
        .arg(secure.authority.file())
        .args(["127.0.0.1", &secure.port.to_string()])
        .arg(head_ct())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(secure.site.run(&["verify"]).starts_with("28 objects"));
    assert!(secure.serving.stop());
}

#[test]
fn callers_without_a_good_certificate_are_refused() {
    if !has("echoscu") {
        return;
    }
    let secure = secure("required");
    let cases = [
        ("another authority", Some(secure.stranger.issue("imposter", 30)), "UnknownIssuer"),
        ("expired", Some(secure.authority.issue("expired", -1)), "Expired"),
        ("none", None, "peer sent no certificates"),
    ];
    for (name, identity, reason) in &cases {
        assert!(!secure.echo("CT_1", identity.as_ref()).status.success(), "{name}");
        secure.logged(reason);
    }
    // Who speaks DICOM in the clear to the port of TLS is not answered in the clear.
    let plain = Command::new("echoscu")
        .args(["-aet", "CT_1", "127.0.0.1", &secure.port.to_string()])
        .output()
        .unwrap();
    assert!(!plain.status.success());
    assert!(secure.echo("CT_1", Some(&secure.authority.issue("scanner", 30))).status.success());
}

/// What `openssl s_client` says about a handshake with these options.
fn handshake(secure: &Secure, identity: &(PathBuf, PathBuf), options: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{}", secure.port), "-CAfile"])
        .arg(secure.authority.file())
        .arg("-cert")
        .arg(&identity.0)
        .arg("-key")
        .arg(&identity.1)
        .args(options)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn only_what_bcp_195_asks_for_is_spoken() {
    if !has("openssl") {
        return;
    }
    let secure = secure("required");
    let scanner = secure.authority.issue("scanner", 30);
    let cases: [(&[&str], Option<&str>); 7] = [
        (&["-tls1_3"], Some("TLSv1.3")),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], Some("ECDHE-ECDSA-AES128-GCM-SHA256")),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], None),
        (&["-tls1_2", "-cipher", "AES128-GCM-SHA256"], None),
        (&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], None),
        (&["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"], None),
    ];
    for (options, expected) in cases {
        let told = handshake(&secure, &scanner, options);
        match expected {
            Some(words) => {
                assert!(
                    told.contains(words) && told.contains("Verify return code: 0"),
                    "{options:?}: {told}"
                );
            }
            None => assert!(told.contains("Cipher is (NONE)"), "{options:?}: {told}"),
        }
    }
}

#[test]
fn new_certificates_are_taken_without_a_restart() {
    if !has("openssl") {
        return;
    }
    let secure = secure("required");
    let scanner = secure.authority.issue("scanner", 30);
    let serial = |secure: &Secure| {
        let told = handshake(secure, &scanner, &["-tls1_3"]);
        let begin = told.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{told}"));
        let end = told.find("-----END CERTIFICATE-----").unwrap();
        told[begin..end].to_owned()
    };
    let first = serial(&secure);
    // The same names: key and certificate change one after the other, as files do.
    secure.authority.issue("server", 30);
    secure.site.until("the new certificate is shown", || (serial(&secure) != first).then_some(()));
    let second = serial(&secure);

    let certificate = secure.site.folder.path().join("server.pem");
    let good = std::fs::read(&certificate).unwrap();
    let complaints = secure.logged_times("cannot be used; the old ones stay in use");
    std::fs::write(&certificate, "no certificate").unwrap();
    secure.site.until("a bad file is named", || {
        (secure.logged_times("cannot be used; the old ones stay in use") > complaints).then_some(())
    });
    assert!(serial(&secure) == second, "the old one stays in use");
    let doctor = secure.site.output(&["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("PROBLEM DICOM over TLS"));

    std::fs::write(&certificate, good).unwrap();
    secure.authority.issue("server", -1);
    secure.logged("our DICOM certificate has expired");
    let doctor = secure.site.output(&["doctor"]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(told.contains("CN=server") && told.contains("has expired"), "{told}");
}

#[test]
fn a_centre_says_what_its_ae_titles_may_do() {
    if !has("echoscu") {
        return;
    }
    let secure = secure("optional");
    let (scanner, other) = (secure.authority.issue("scanner", 30), secure.authority.issue("other", 30));
    let plain = |calling: &str| {
        let port = secure.site.dicom.to_string();
        Command::new("echoscu").args(["-aet", calling, "127.0.0.1", &port]).output().unwrap().status.success()
    };
    let tls = |identity: Option<&(PathBuf, PathBuf)>| secure.echo("CT_1", identity).status.success();
    let allow = |rules: &[&str]| secure.site.run(&[&["centre", "ae", "north", "CT_1"], rules].concat());

    assert!(plain("CT_1") && tls(None) && tls(Some(&scanner)));
    allow(&["--require-tls"]);
    assert!(!plain("CT_1") && tls(None) && tls(Some(&scanner)));
    allow(&["--certificate-sha256", &fingerprint(&scanner.0)]);
    assert!(!plain("CT_1") && !tls(None) && !tls(Some(&other)) && tls(Some(&scanner)));
    secure.logged("the certificate is not the one of the AE title");
    allow(&["--certificate-subject", "CN=other, O=North Clinic"]);
    assert!(!tls(Some(&scanner)) && tls(Some(&other)));
    allow(&["--from", "192.0.2.0/24", "--from", "2001:db8::/32"]);
    assert!(!plain("CT_1") && !tls(Some(&scanner)));
    secure.logged("the AE title may not call from this address");
    allow(&["--from", "127.0.0.0/8", "--services", "commitment", "--address", "127.0.0.1:11113"]);
    assert!(plain("CT_1"), "verification is always allowed");
    let stores = |calling: &str| {
        let output = Command::new("storescu")
            .args(["-aet", calling, "127.0.0.1", &secure.site.dicom.to_string()])
            .arg(head_ct().join(std::fs::read_dir(head_ct()).unwrap().next().unwrap().unwrap().file_name()))
            .output()
            .unwrap();
        output.status.success()
    };
    assert!(!stores("CT_1"), "storage is not allowed");
    assert!(stores("CT_2"), "the other title is as it was");

    let shown = secure.site.run(&["centre", "show", "north"]);
    assert!(
        shown.contains(
            "CT_1: from 127.0.0.0/8; with or without TLS; commitment; is called at 127.0.0.1:11113"
        ),
        "{shown}"
    );
    // Changing the centre leaves what its titles may do.
    secure.site.run(&["centre", "add", "North", "--id", "north", "--ae", "CT_1", "--ae", "CT_2"]);
    assert_eq!(secure.site.run(&["centre", "show", "north"]).lines().nth(1), shown.lines().nth(1));
    for wrong in [["--from", "127.0.0.1/8"], ["--certificate-sha256", "12"], ["--address", "nowhere"]] {
        assert!(
            !secure.site.output(&[&["centre", "ae", "north", "CT_1"], &wrong[..]].concat()).status.success()
        );
    }
}

/// Reads until the peer closes, or fails when it does not in time.
fn closed(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(crate::server::PATIENCE)).unwrap();
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    got
}

/// A-ASSOCIATE-RQ of `CT_1` for verification (PS3.8 section 9.3.2).
fn association_request() -> Vec<u8> {
    let item = |kind: u8, body: &[u8]| [&[kind, 0][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let context =
        [vec![1, 0, 0, 0], item(0x30, b"1.2.840.10008.1.1"), item(0x40, b"1.2.840.10008.1.2")].concat();
    let user = [item(0x51, &16384_u32.to_be_bytes()), item(0x52, b"1.2.3")].concat();
    let body = [
        vec![0, 1, 0, 0],
        format!("{:<16}{:<16}", "TELERAD", "CT_1").into_bytes(),
        vec![0; 32],
        item(0x10, b"1.2.840.10008.3.1.1.1"),
        item(0x20, &context),
        item(0x50, &user),
    ]
    .concat();
    [&[1, 0][..], &(body.len() as u32).to_be_bytes(), &body].concat()
}

/// A peer that sends its request byte by byte does not keep its place longer than the whole request may take, and one that says nothing on
/// an open association not longer than the idle time; both on either port.
#[test]
fn slow_peers_lose_their_place() {
    let site = Site::new().with("INTAKE__REQUEST_SECONDS_MAX", "2").with("INTAKE__IDLE_SECONDS_MAX", "2");
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "CT_1"]);
    let _serving = site.serve();
    let request = association_request();

    let mut dripping = TcpStream::connect(("127.0.0.1", site.dicom)).unwrap();
    // Far more time in all than there is, never long between two bytes.
    let sent = request.iter().take_while(|byte| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        dripping.write_all(&[**byte]).is_ok()
    });
    assert!(sent.count() < request.len(), "it was cut off before it was through");
    site.until("the log says why", || {
        let log = std::fs::read_to_string(site.log()).unwrap();
        log.contains("before asking for an association").then_some(())
    });

    let mut silent = TcpStream::connect(("127.0.0.1", site.dicom)).unwrap();
    silent.write_all(&request).unwrap();
    let got = closed(&mut silent);
    assert_eq!(got[0], 2, "A-ASSOCIATE-AC came first");
    assert_eq!(got[got.len() - 10], 7, "A-ABORT came last");
}

/// One address never has the last place; it is told to try again later, and another AE title of another address still comes in.
#[test]
fn one_peer_cannot_shut_the_others_out() {
    let site = Site::new()
        .with("INTAKE__ASSOCIATIONS_MAX", "4")
        .with("INTAKE__ASSOCIATIONS_PER_ADDRESS_MAX", "4")
        .with("INTAKE__ASSOCIATIONS_PER_AE_TITLE_MAX", "2");
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "CT_1"]);
    let _serving = site.serve();
    let request = association_request();
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", site.dicom)).unwrap();
        stream.set_read_timeout(Some(crate::server::PATIENCE)).unwrap();
        stream.write_all(&request).unwrap();
        let mut head = [0; 10];
        stream.read_exact(&mut head).unwrap();
        (stream, head)
    };
    let rejected = [3, 0, 0, 0, 0, 4, 0, 2, 3, 2];
    let held: Vec<_> = (0..2).map(|_| ask()).collect();
    assert!(held.iter().all(|(_, head)| head[0] == 2));
    assert_eq!(ask().1, rejected, "the AE title has two");
    drop(held);
    site.until("places are given back", || (ask().1[0] == 2).then_some(()));

    let waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(("127.0.0.1", site.dicom)).unwrap()).collect();
    site.until("the last place is kept for others", || (ask().1 == rejected).then_some(()));
    drop(waiting);
    site.until("places are given back", || (ask().1[0] == 2).then_some(()));
}
