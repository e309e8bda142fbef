//! STOW-RS of metadata and bulk data: other people's writers, every status, and bulk data larger than memory may be.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    clients::{feed, samples, script, site},
    server::{Site, named_by},
};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

fn stored_by(form: &str) {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let (site, _serving, tokens) = site();
    let mut lines = String::new();
    for sample in samples() {
        writeln!(lines, "{}\t{}", tokens[sample.centre], sample.path.display()).unwrap();
    }
    feed(&python, &[&script("stow_described.py"), &site.url("/dicomweb"), form], &lines);
}

#[test]
fn what_pydicom_describes_comes_back_as_it_was() {
    stored_by("json");
}

#[test]
fn what_dcm2xml_describes_comes_back_as_it_was() {
    if Command::new("dcm2xml").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
        return;
    }
    stored_by("xml");
}

struct Sender {
    site: Site,
    serving: crate::server::Process,
    token: String,
}

impl Sender {
    fn new() -> Self {
        let site = Site::new();
        site.run(&["centre", "add", "North", "--id", "north"]);
        let token = site.token("north", "centre");
        let serving = site.serve();
        Self { site, serving, token }
    }

    /// Sends a body with curl: the status, and what came back.
    fn post(&self, path: &str, headers: &[&str], body: &[u8]) -> (u16, String) {
        let token = format!("Authorization: Bearer {}", self.token);
        let url = self.site.url(path);
        let mut command = Command::new("curl");
        command.args(["-sS", "-w", "\n%{http_code}", "--data-binary", "@-", "-H", &token, "-H", "Expect:"]);
        for header in headers {
            command.args(["-H", header]);
        }
        let mut child = command.arg(&url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let (answer, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), answer.to_owned())
    }

    fn metadata(&self, path: &str, accept: &str, text: &str, parts: &[(&str, &[u8])]) -> (u16, String) {
        let mut body = format!("--b\r\nContent-Type: application/dicom+json\r\n\r\n{text}").into_bytes();
        for (location, bytes) in parts {
            body.extend(format!("\r\n--b\r\nContent-Location: {location}\r\n\r\n").bytes());
            body.extend(*bytes);
        }
        body.extend(b"\r\n--b--\r\n");
        let headers = [TYPE, &format!("Accept: {accept}")];
        self.post(path, &headers, &body)
    }
}

const TYPE: &str = "Content-Type: multipart/related; type=\"application/dicom+json\"; boundary=b";
const JSON: &str = "application/dicom+json";
const XML: &str = "application/dicom+xml";
const STUDIES: &str = "/dicomweb/studies";

fn object(number: u32, more: &str) -> String {
    let uid = |tag: &str, uid: &str| format!(r#""{tag}":{{"vr":"UI","Value":["{uid}"]}}"#);
    let (study, series) = ("2.25.77".to_owned(), "2.25.77.1".to_owned());
    let instance = format!("2.25.77.1.{number}");
    let uids =
        [uid("00080016", CT), uid("00080018", &instance), uid("0020000D", &study), uid("0020000E", &series)];
    format!("{{{}{more}}}", uids.join(","))
}

fn json(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap()
}

#[test]
fn every_ending_has_its_status() {
    let sender = Sender::new();
    let refer = r#","00291010":{"vr":"OB","BulkDataURI":"x"}"#;
    let array = |objects: &[String]| format!("[{}]", objects.join(","));

    let (status, answer) =
        sender.metadata(STUDIES, JSON, &array(&[object(1, ""), object(2, refer)]), &[("x", b"bulk")]);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(json(&answer)["00081199"]["Value"].as_array().unwrap().len(), 2);

    // The same again is known; with other bytes it is a conflict.
    assert_eq!(sender.metadata(STUDIES, JSON, &array(&[object(1, "")]), &[]).0, 200);
    let other = object(1, r#","00100020":{"vr":"LO","Value":["another"]}"#);
    let (status, answer) = sender.metadata(STUDIES, JSON, &array(std::slice::from_ref(&other)), &[]);
    assert_eq!(
        (status, &json(&answer)["00081198"]["Value"][0]["00081197"]["Value"][0]),
        (409, &0x0111.into())
    );

    // Some are stored: one lacks its bulk data, and a part belongs to nobody.
    let (status, answer) =
        sender.metadata(STUDIES, XML, &array(&[object(3, ""), object(4, refer)]), &[("y", b"bulk")]);
    assert_eq!(status, 202, "{answer}");
    for expected in [
        "<NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\"",
        "<DicomAttribute tag=\"00081199\" vr=\"SQ\" keyword=\"ReferencedSOPSequence\">",
        "<Value number=\"1\">2.25.77.1.4</Value>",
        "<DicomAttribute tag=\"00081197\" vr=\"US\" keyword=\"FailureReason\">\n<Value number=\"1\">49152</Value>",
        "<DicomAttribute tag=\"0008119A\" vr=\"SQ\" keyword=\"OtherFailuresSequence\">",
        "privateCreator=\"TELERAD\"",
        "the bulk data of element (0029,1010) are not in the request",
    ] {
        assert!(answer.contains(expected), "{expected} is not in {answer}");
    }

    // Another study than the address says.
    let (status, answer) = sender.metadata("/dicomweb/studies/2.25.78", JSON, &array(&[object(5, "")]), &[]);
    assert_eq!(
        (status, &json(&answer)["00081198"]["Value"][0]["00081197"]["Value"][0]),
        (409, &0xA900.into())
    );
    let (status, answer) = sender.metadata(STUDIES, XML, &array(&[other]), &[]);
    assert!(status == 409 && answer.contains("FailedSOPSequence"), "{status} {answer}");

    // Pixels in a form that nobody takes.
    let pixels = object(6, r#","7FE00010":{"vr":"OW","BulkDataURI":"x"}"#);
    let (status, answer) =
        sender.metadata(STUDIES, JSON, &array(&[pixels]), &[("x", b"\xFE\xFF\x00\xE0\0\0\0\0")]);
    assert_eq!(
        (status, &json(&answer)["00081198"]["Value"][0]["00081197"]["Value"][0]),
        (409, &0xC122.into())
    );

    // What cannot be read says where, and nothing of it is stored.
    let broken = object(8, r#","00400260":{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":[1]}}]}"#);
    let (status, answer) = sender.metadata(STUDIES, JSON, &array(&[object(7, ""), broken]), &[]);
    let message = json(&answer)["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(status, 400, "{answer}");
    assert!(
        message.contains("object 2, element (0040,0260), element (0008,0100), line 1, column"),
        "{message}"
    );
    let (status, answer) = sender.metadata(STUDIES, JSON, "[{", &[]);
    assert!(status == 400 && answer.contains("line 1, column 2"), "{status} {answer}");

    // What cannot be answered is not done.
    let (status, answer) = sender.metadata(STUDIES, "text/html", &array(&[object(9, "")]), &[]);
    assert!(status == 406 && answer.contains("offers"), "{status} {answer}");
    for (expected, headers) in [
        (415, &[TYPE, "Content-Encoding: gzip"][..]),
        (415, &["Content-Type: multipart/related; type=\"application/json\"; boundary=b"]),
        (415, &["Content-Type: multipart/related; type=\"application/dicom+xml\"; boundary=b"]),
        (400, &["Content-Type: multipart/related; type=\"application/dicom+json\"; boundary=c"]),
    ] {
        let body = format!("--b\r\nContent-Type: {JSON}\r\n\r\n{}\r\n--b--", array(&[object(10, "")]));
        let (status, answer) = sender.post(STUDIES, headers, body.as_bytes());
        assert_eq!(status, expected, "{headers:?}: {answer}");
    }
    let long = " ".repeat(intake::web::METADATA_BYTES_MAX + 1);
    let (status, answer) = sender.metadata(STUDIES, JSON, &long, &[]);
    assert!(status == 413 && answer.contains("metadata_too_large"), "{status} {answer}");
}

/// Bulk data that are larger than the whole process may ever be.
const LARGE_BYTES: usize = 272 << 20;

#[test]
fn large_bulk_data_do_not_rest_in_memory() {
    let sender = Sender::new();
    let more = r#","00280010":{"vr":"US","Value":[16000]},"7FE00010":{"vr":"OW","BulkDataURI":"x"}"#;
    let text = format!("[{}]", object(20, more));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "--b\r\nContent-Type: {JSON}\r\n\r\n{text}\r\n--b\r\nContent-Location: x\r\n\r\n").unwrap();
    let end = file.as_file().metadata().unwrap().len() + LARGE_BYTES as u64;
    file.as_file().set_len(end).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(b"\r\n--b--\r\n").unwrap();
    let token = format!("Authorization: Bearer {}", sender.token);
    let answer = crate::server::curl(&[
        "-X",
        "POST",
        "-T",
        file.path().to_str().unwrap(),
        "-H",
        &token,
        "-H",
        TYPE,
        &sender.site.url(STUDIES),
    ]);
    assert!(String::from_utf8(answer).unwrap().contains("00081199"));
    let peak = sender.serving.peak_bytes();
    assert!(peak < 256 << 20, "it held {} MiB", peak >> 20);
    let url = sender.site.url("/dicomweb/studies/2.25.77/series/2.25.77.1/instances/2.25.77.1.20");
    let stored =
        crate::server::curl(&["-H", &token, "-H", "Accept: application/dicom; transfer-syntax=*", &url]);
    assert!(stored.len() > LARGE_BYTES && stored[stored.len() - LARGE_BYTES..].iter().all(|byte| *byte == 0));
}
