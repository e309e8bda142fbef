//! The whole journey over the API, on the embedded defaults, and through a real browser.

use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Browser, Site, head_ct, named_by};

/// Study Instance UID of the head CT.
pub const STUDY: &str = "1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668";

/// A centre with one physician's order for the head CT.
pub fn prepare(site: &Site) {
    site.run(&[
        "centre",
        "add",
        "North Clinic",
        "--ae",
        "NORTH_CT",
        "--contact",
        "desk@north.example",
        "--quiet-period",
        "2",
    ]);
    site.run(&[
        "order",
        "add",
        "--centre",
        "north-clinic",
        "--accession-number",
        "A1",
        "--patient-id",
        "QMNx85rKkkg",
        "--examination",
        "CT head",
        "--reason",
        "Fall, on apixaban",
        "--priority",
        "stat",
        "--physician",
        "Dr Jane Doe",
        "--physician-email",
        "jane@practice.example",
    ]);
}

pub fn send(site: &Site) {
    let to = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    site.run(&["send", "--to", &to, "--calling", "NORTH_CT", head_ct().to_str().unwrap()]);
}

/// The worklist's line of the head CT, once a draft of all its images is there.
pub fn drafted(site: &Site, browser: &Browser) -> Value {
    site.until("the study is drafted", || {
        let list = browser.get("/api/v1/worklist");
        let entry = list["entries"].as_array()?.iter().find(|entry| entry["study_uid"] == STUDY)?.clone();
        (entry["draft"] == "current" && entry["completeness"]["state"] == "complete").then_some(entry)
    })
}

pub fn study_path(rest: &str) -> String {
    format!("/api/v1/studies/north-clinic/{STUDY}{rest}")
}

/// Claims, writes an impression, signs.
pub fn read_and_sign(browser: &Browser, impression: &str) -> Value {
    browser.post(&study_path("/claim"), &json!({"action": "take"}));
    let study = browser.get(&study_path(""));
    let mut sections: Vec<Value> = Vec::new();
    for section in study["draft"]["sections"].as_array().unwrap() {
        let sentences = section["sentences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sentence| sentence["text"].as_str().unwrap());
        let text = sentences.collect::<Vec<_>>().join("\n");
        let text = if section["kind"] == "impression" { impression.to_owned() } else { text };
        sections.push(json!({"kind": section["kind"], "text": text}));
    }
    if !sections.iter().any(|section| section["kind"] == "impression") {
        sections.push(json!({"kind": "impression", "text": impression}));
    }
    let versions = study["versions"].as_array().map_or(0, Vec::len);
    browser.post(
        &study_path("/sign"),
        &json!({
            "password": browser.password, "sections": sections, "key_images": [0],
            "after_version": versions, "image_set": study["image_set"]["digest"],
        }),
    )
}

/// The delivery to the physician, once the mail was accepted.
pub fn delivered(site: &Site, browser: &Browser) -> Value {
    site.until("the mail was accepted", || {
        let study = browser.get(&study_path(""));
        let delivery = study["deliveries"].as_array()?.first()?.clone();
        (delivery["transport"]["state"] == "accepted").then_some(delivery)
    })
}

/// The link in a text.
pub fn link(text: &str) -> String {
    let at = text.find("/r/").expect("a link to the report");
    let begin = text[..at].rfind("http").unwrap();
    text[begin..].split(|c: char| c.is_whitespace() || "<>\"".contains(c)).next().unwrap().to_owned()
}

#[test]
fn a_study_travels_from_scanner_to_acknowledgement() {
    let site = Site::new();
    prepare(&site);
    let _serving = site.serve();
    let browser = site.reader();
    send(&site);
    let entry = drafted(&site, &browser);
    assert_eq!(
        (&entry["priority"], &entry["instance_count"], &entry["state"]),
        (&json!("stat"), &json!(28), &json!("unread"))
    );
    let kinds: Vec<_> =
        entry["completeness"]["evidence"].as_array().unwrap().iter().map(|one| one["kind"].clone()).collect();
    assert!(kinds.contains(&json!("sender_count")), "{kinds:?}");

    let study = browser.get(&study_path(""));
    assert_eq!(study["order"]["reason"], "Fall, on apixaban");
    let technique = study["draft"]["sections"]
        .as_array()
        .unwrap()
        .iter()
        .find(|section| section["kind"] == "technique")
        .unwrap();
    let sentence = technique["sentences"][0]["text"].as_str().unwrap();
    assert!(sentence.contains("120 kV") && sentence.contains("28"), "{sentence}");
    assert!(technique["sentences"][0]["origin"]["label"].is_string());
    assert!(!study["draft"]["key_images"].as_array().unwrap().is_empty());

    let signed = read_and_sign(&browser, "No intracranial haemorrhage.");
    assert_eq!(
        (&signed["number"], &signed["kind"], &signed["intact"]),
        (&json!(1), &json!("final"), &json!(true))
    );
    let delivery = delivered(&site, &browser);
    assert_eq!(delivery["address"], "jane@practice.example");
    assert!(delivery["acknowledged"].is_null());

    let mailbox = browser.get("/api/v1/mailbox");
    assert_eq!(mailbox["sending"], false);
    let mails = mailbox["mails"].as_array().unwrap();
    assert_eq!(mails.len(), 1);
    let mail = browser.get(&format!("/api/v1/mailbox/{}", mails[0]["id"].as_str().unwrap()));
    let everything = mail.to_string();
    for private in ["QMNx85rKkkg", "REMOVED", "haemorrhage", "apixaban"] {
        assert!(!everything.contains(private), "{private} in the mail");
    }
    let link = link(mail["text"].as_str().unwrap());

    let page = String::from_utf8(crate::server::curl(&[&link])).unwrap();
    assert!(page.contains("No intracranial haemorrhage."));
    let pdf = crate::server::curl(&[&format!("{link}/report.pdf")]);
    assert!(pdf.starts_with(b"%PDF-"));
    assert!(
        browser.get(&study_path(""))["deliveries"][0]["acknowledged"].is_null(),
        "looking acknowledges nothing"
    );
    let origin = format!("Origin: http://127.0.0.1:{}", site.http);
    crate::server::curl(&["-H", &origin, "-d", "name=Dr Jane Doe", &format!("{link}/acknowledge")]);
    let ledger = browser.get(&study_path(""))["deliveries"][0].clone();
    assert_eq!(ledger["acknowledged"]["by"], "Dr Jane Doe");
}

#[test]
fn late_images_make_the_draft_stale_and_a_signature_on_old_images_is_refused() {
    let site = Site::new();
    prepare(&site);
    let _serving = site.serve();
    let browser = site.reader();
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<_> =
        std::fs::read_dir(head_ct()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in &files[..20] {
        std::fs::copy(path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let to = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    site.run(&["send", "--to", &to, "--calling", "NORTH_CT", folder.path().to_str().unwrap()]);
    drafted(&site, &browser);
    browser.post(&study_path("/claim"), &json!({"action": "take"}));
    let seen = browser.get(&study_path(""));
    send(&site);
    let body = json!({
        "password": browser.password, "sections": [{"kind": "impression", "text": "Normal."}], "key_images": [],
        "after_version": 0, "image_set": seen["image_set"]["digest"],
    });
    let (status, answer) = browser.send("POST", &study_path("/sign"), Some(&body));
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("images_changed")), "{answer}");
    site.until("the draft is written again", || {
        let study = browser.get(&study_path(""));
        (study["entry"]["instance_count"] == 28 && study["entry"]["draft"] == "current").then_some(())
    });
    let list = browser.get("/api/v1/worklist");
    assert_eq!(list["entries"].as_array().unwrap().len(), 1, "one work item, whatever comes late");
    let signed = read_and_sign(&browser, "Normal.");
    assert_eq!(signed["number"], 1);
}

/// The journey as a person makes it, in Chromium: sign in, open, look at the images in OHIF, edit, sign, open the mail, acknowledge.
#[test]
fn a_person_makes_the_journey_in_a_browser() {
    let (Some(chromium), Some(playwright), Some(viewer), Some(node)) = (
        named_by("TELERAD_TEST_CHROMIUM"),
        named_by("TELERAD_TEST_PLAYWRIGHT"),
        named_by("TELERAD_TEST_VIEWER_DIR"),
        named_by("TELERAD_TEST_NODE"),
    ) else {
        return;
    };
    let site = Site::new().with("HTTP__VIEWER_DIR", viewer);
    prepare(&site);
    let _serving = site.serve();
    let browser = site.reader();
    send(&site);
    drafted(&site, &browser);
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/journey.mjs");
    let output = Command::new(node)
        .arg(script)
        .env("BASE", site.url(""))
        .env("LOGIN", "ada")
        .env("PASSWORD", &browser.password)
        .env("CHROMIUM", chromium)
        .env("PLAYWRIGHT", playwright)
        .env("SHOTS", site.folder.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{out}\n{err}\n{}",
        std::fs::read_to_string(site.log()).unwrap_or_default()
    );
    let ledger = browser.get(&study_path(""))["deliveries"][0].clone();
    assert!(ledger["acknowledged"]["by"].is_string(), "{ledger}");
}
