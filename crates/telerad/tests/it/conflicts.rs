//! Conflicts as a centre meets them: other people's senders send an image again, changed; people decide over the API; what is given out
//! is byte for byte what was decided, and comes back when the decision is taken back.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    odd::send,
    server::{Browser, Site, curl, data_set, head_ct, named_by, read},
};

const SUCCESS: u16 = 0x0000;
/// Duplicate SOP instance (PS3.7 annex C.5.2).
const DUPLICATE: u16 = 0x0111;
const PATIENT: &[u8] = b"QMNx85rKkkg";
const OTHER_PATIENT: &[u8] = b"QMNx85rKkkX";

/// A file with every occurrence of some bytes replaced by as many others.
fn replaced(file: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut file = file.to_vec();
    let mut at = 0;
    while let Some(found) = file[at..].windows(from.len()).position(|window| window == from) {
        file[at + found..at + found + from.len()].copy_from_slice(to);
        at += found + from.len();
    }
    assert!(at > 0, "nothing to replace");
    file
}

struct Names {
    study: String,
    series: String,
    instance: String,
}

fn names(file: &[u8]) -> Names {
    let imaging::sniff::Sniffed::DataSet(place) = imaging::sniff::part10(file, true) else {
        panic!("no DICOM")
    };
    let guarded = imaging::guard::GuardedHeader::of(&file[place.at..], &place.transfer_syntax).unwrap();
    let header = imaging::header::Header::read(&guarded).unwrap();
    Names {
        study: header.study_uid.to_string(),
        series: header.series_uid.to_string(),
        instance: header.sop_instance.to_string(),
    }
}

/// Another UID of the same length.
fn another(uid: &str) -> String {
    let last = uid.chars().last().unwrap();
    format!("{}{}", &uid[..uid.len() - 1], if last == '7' { '8' } else { '7' })
}

struct Clinic {
    site: Site,
    python: String,
    token: String,
    folder: tempfile::TempDir,
}

impl Clinic {
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The status that pynetdicom gets for a file.
    fn send(&self, file: &Path) -> u16 {
        send(&self.python, &self.site, &[("CT", file.to_owned())]).remove(0).0
    }

    /// The data set that is given out over DICOMweb, or the status of the refusal.
    fn given(&self, names: &Names) -> Result<Vec<u8>, String> {
        let Names { study, series, instance } = names;
        let url = self.site.url(&format!("/dicomweb/studies/{study}/series/{series}/instances/{instance}"));
        let token = format!("Authorization: Bearer {}", self.token);
        let out = self.folder.path().join("given");
        let accept = "Accept: application/dicom; transfer-syntax=*";
        let to = out.to_str().unwrap();
        let status = curl_status(&["-H", &token, "-H", accept, "-o", to, &url]);
        if status == "200" { Ok(data_set(&read(&out)).to_vec()) } else { Err(status) }
    }
}

fn curl_status(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "-w", "%{http_code}"]).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn clinic() -> Option<(Clinic, crate::server::Process)> {
    let python = named_by("TELERAD_TEST_PYTHON")?;
    let site = Site::new();
    site.run(&["centre", "add", "North", "--id", "north", "--ae", "CT", "--quiet-period", "1"]);
    site.run(&["centre", "add", "South", "--id", "south", "--ae", "SOUTH"]);
    let token = site.token("north", "admin");
    let serving = site.serve();
    Some((Clinic { site, python, token, folder: tempfile::tempdir().unwrap() }, serving))
}

fn listed(browser: &Browser, decided: bool) -> Vec<Value> {
    let answer = browser.get(&format!("/api/v1/conflicts?decided={decided}"));
    answer["conflicts"].as_array().unwrap().clone()
}

fn decide(browser: &Browser, conflict: &Value, choice: &str) -> Value {
    let path = format!("/api/v1/conflicts/north/{}/decision", conflict["id"].as_str().unwrap());
    let body = json!({
        "choice": choice, "reason": "The scanner was repaired.",
        "revision": conflict["revision"], "current_sha256": conflict["current_sha256"],
    });
    browser.post(&path, &body)
}

fn compared(browser: &Browser, conflict: &Value) -> Value {
    browser.get(&format!("/api/v1/conflicts/north/{}", conflict["id"].as_str().unwrap()))
}

fn one_image() -> Vec<u8> {
    let mut files: Vec<_> =
        std::fs::read_dir(head_ct()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    read(&files[3])
}

#[test]
fn changed_pixels_are_refused_decided_given_out_and_put_back() {
    let Some((clinic, serving)) = clinic() else { return };
    let first = one_image();
    let mut second = first.clone();
    let last = second.len() - 1;
    second[last] ^= 1;
    let (first_file, second_file) = (clinic.write("first.dcm", &first), clinic.write("second.dcm", &second));
    let (admin, own, other) = (
        clinic.site.person("root", "admin", None),
        clinic.site.person("nora", "centre", Some("north")),
        clinic.site.person("sam", "centre", Some("south")),
    );
    assert_eq!(clinic.send(&first_file), SUCCESS);
    for _ in 0..3 {
        assert_eq!(clinic.send(&second_file), DUPLICATE);
    }
    // DCMTK's own sender hears the same.
    if Command::new("storescu").arg("--version").output().is_ok() {
        let sent = Command::new("storescu")
            .args(["-v", "-aet", "CT", "-aec", "TELERAD", "127.0.0.1", &clinic.site.dicom.to_string()])
            .arg(&second_file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[sent.stdout, sent.stderr].concat()).into_owned();
        assert!(said.contains("Received Store Response (Unknown Status: 0x111)"), "{said}");
    }
    let names = names(&first);
    let of = |file: &[u8]| Ok::<_, String>(data_set(file).to_vec());
    assert!(clinic.given(&names) == of(&first));

    let open = listed(&own, false);
    assert_eq!((open.len(), listed(&other, false).len()), (1, 0), "{open:#?}");
    assert_eq!((&open[0]["differs"], &open[0]["source"]), (&json!(["other_bytes"]), &json!("AE title CT")));
    assert!(open[0]["seen_count"].as_u64().unwrap() >= 3);
    let side_by_side = compared(&admin, &open[0]);
    assert_eq!(side_by_side["pixels"]["state"], "different");
    assert_eq!(side_by_side["rows"][1]["first"], "QMNx85rKkkg");
    for side in ["first", "second"] {
        let picture = side_by_side[side]["picture_url"].as_str().unwrap();
        let shown = admin.curl(picture).output().unwrap();
        assert!(shown.stdout.starts_with(&[0xFF, 0xD8]), "{side} is a JPEG");
    }
    let download = side_by_side["second"]["file_url"].as_str().unwrap();
    assert!(data_set(&admin.curl(download).output().unwrap().stdout) == data_set(&second));
    assert_eq!(own.send("GET", download, None).0, 403, "the object itself is for administrators");
    assert_eq!(other.send("GET", download, None).0, 404);

    let used = decide(&own, &open[0], "use_second");
    assert!(clinic.given(&names) == of(&second));
    assert_eq!((clinic.send(&second_file), clinic.send(&first_file)), (SUCCESS, DUPLICATE));
    assert_eq!((listed(&own, false).len(), listed(&own, true).len()), (0, 1));
    decide(&admin, &used, "undo");
    assert!(clinic.given(&names) == of(&first));
    assert_eq!((clinic.send(&first_file), clinic.send(&second_file)), (SUCCESS, DUPLICATE));

    // Of all those sendings each content is kept once, and nothing else.
    assert!(serving.stop());
    clinic.site.run(&["verify"]);
    let rebuilt = clinic.site.run(&["rebuild"]);
    assert!(rebuilt.contains("1 images were taken back, 1 were known"), "{rebuilt}");
}

#[test]
fn another_patient_s_image_is_stored_set_aside_and_put_back() {
    let Some((clinic, _serving)) = clinic() else { return };
    let first = one_image();
    let own_names = names(&first);
    let fresh = another(&own_names.instance);
    let second = replaced(&first, own_names.instance.as_bytes(), fresh.as_bytes());
    let second = replaced(&second, PATIENT, OTHER_PATIENT);
    let stray = Names { instance: fresh, study: own_names.study.clone(), series: own_names.series.clone() };
    let own = clinic.site.person("nora", "centre", Some("north"));
    assert_eq!(clinic.send(&clinic.write("first.dcm", &first)), SUCCESS);
    let second_file = clinic.write("second.dcm", &second);
    assert_eq!(clinic.send(&second_file), SUCCESS, "it is legal");
    assert!(clinic.given(&stray) == Ok(data_set(&second).to_vec()), "and stored as it came");

    let open = listed(&own, false);
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0]["kind"], &open[0]["images"]), (&json!("patient"), &json!(1)));
    assert_eq!(open[0]["other_patient"]["id"], "QMNx85rKkkX");
    let tasks = own.get("/api/v1/tasks");
    assert_eq!(tasks["tasks"][0]["kind"], "conflict");
    let side_by_side = compared(&own, &open[0]);
    assert_eq!(side_by_side["pixels"]["state"], "equal");
    let differing: Vec<&Value> =
        side_by_side["rows"].as_array().unwrap().iter().filter(|row| row["differs"] == true).collect();
    assert_eq!(differing.len(), 1, "{differing:#?}");
    assert_eq!(
        (&differing[0]["name"], &differing[0]["second"]),
        (&json!("Patient ID"), &json!("QMNx85rKkkX"))
    );

    let aside = decide(&own, &open[0], "other_patient");
    assert_eq!(clinic.given(&stray), Err("404".to_owned()));
    assert!(clinic.given(&own_names).is_ok());
    assert_eq!(clinic.send(&second_file), SUCCESS, "it is kept, and was never refused");
    assert_eq!(clinic.given(&stray), Err("404".to_owned()));
    let url = clinic.site.url(&format!("/dicomweb/studies/{}/instances", own_names.study));
    let token = format!("Authorization: Bearer {}", clinic.token);
    let found: Value = serde_json::from_slice(&curl(&["-H", &token, &url])).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    decide(&own, &aside, "undo");
    assert!(clinic.given(&stray) == Ok(data_set(&second).to_vec()));
}

/// As a person of the centre does it, in Chromium.
#[test]
fn a_person_decides_in_a_browser() {
    let (Some(chromium), Some(playwright), Some(node)) = (
        named_by("TELERAD_TEST_CHROMIUM"),
        named_by("TELERAD_TEST_PLAYWRIGHT"),
        named_by("TELERAD_TEST_NODE"),
    ) else {
        return;
    };
    let Some((clinic, _serving)) = clinic() else { return };
    let first = one_image();
    let fresh = another(&names(&first).instance);
    let stray = replaced(&first, names(&first).instance.as_bytes(), fresh.as_bytes());
    let stray = replaced(&stray, PATIENT, OTHER_PATIENT);
    let mut second = first.clone();
    // A bright stripe, so that a person sees the difference.
    let end = second.len();
    second[end - 100_000..].iter_mut().skip(1).step_by(2).for_each(|byte| *byte = 3);
    for (name, file, status) in
        [("1.dcm", &first, SUCCESS), ("2.dcm", &second, DUPLICATE), ("3.dcm", &stray, SUCCESS)]
    {
        assert_eq!(clinic.send(&clinic.write(name, file)), status, "{name}");
    }
    let person = clinic.site.person("nora", "centre", Some("north"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/conflicts.mjs");
    let output = Command::new(node)
        .arg(script)
        .env("BASE", clinic.site.url(""))
        .env("LOGIN", "nora")
        .env("PASSWORD", &person.password)
        .env("CHROMIUM", chromium)
        .env("PLAYWRIGHT", playwright)
        .env("SHOTS", std::env::var("SHOTS").unwrap_or_else(|_| clinic.folder.path().display().to_string()))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
}
