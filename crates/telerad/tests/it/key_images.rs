//! Key images that a radiologist marks in a browser, read by other people's tools; and a document of another maker's workstation.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    journey::prepare,
    server::{Browser, Site, named_by},
    viewer::{Chromium, NEW, drafted, head},
};

fn client(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    folder.join(name).to_str().unwrap().to_owned()
}

/// A document of three images, made by pydicom and sent by dcmtk.
fn another_makers(site: &Site, python: &str, images: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key-objects.dcm");
    let named = |number: u32| images.join(format!("{}.1.{number}.dcm", NEW.uid()));
    let made = Command::new(python)
        .args([&client("key_object_make.py"), file.to_str().unwrap(), "Lind^Bo"])
        .args([named(9), named(12), named(20)])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let sent = Command::new("storescu")
        .args(["-aet", "NORTH_CT", "-aec", "TELERAD", "127.0.0.1", &site.dicom.to_string()])
        .arg(&file)
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

/// Every document that the reader stored, oldest first.
fn stored(browser: &Browser, folder: &Path) -> Vec<std::path::PathBuf> {
    let root = format!("/dicomweb/centres/north-clinic/studies/{}", NEW.uid());
    let found =
        browser.get(&format!("{root}/instances?Modality=KO&SeriesNumber=9001&includefield=ContentTime"));
    let text = |one: &Value, tag: &str| one[tag]["Value"][0].as_str().unwrap().to_owned();
    let mut files: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let (series, instance) = (text(one, "0020000E"), text(one, "00080018"));
            let file = folder.join(format!("{instance}.dcm"));
            let accept = "Accept: application/dicom; transfer-syntax=*";
            let mut curl = browser.curl(&format!("{root}/series/{series}/instances/{instance}"));
            let got = curl.args(["-H", accept, "--fail", "-o"]).arg(&file).output().unwrap();
            assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
            file
        })
        .collect();
    files.sort_by_key(|file| {
        let object = dicom_object::open_file(file).unwrap();
        let text = |name: &str| object.element_by_name(name).unwrap().to_str().unwrap().into_owned();
        text("ContentDate") + &text("ContentTime")
    });
    files
}

#[test]
fn a_radiologist_marks_key_images() {
    let (Some(chromium), Some(python)) = (Chromium::find(), named_by("TELERAD_TEST_PYTHON")) else { return };
    if Command::new("dsrdump").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
        return;
    }
    let site = Site::new().with("HTTP__VIEWER_DIR", chromium.viewer.clone());
    prepare(&site);
    let _serving = site.serve();
    let browser = site.reader();
    let folder = tempfile::tempdir().unwrap();
    head(&NEW, folder.path());
    let to = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    site.run(&["send", "--to", &to, "--calling", "NORTH_CT", folder.path().to_str().unwrap()]);
    another_makers(&site, &python, folder.path());
    drafted(&site, &browser, &NEW, 29);
    chromium.run(&site, &browser, "key-images.mjs", &NEW);

    // Two marks, one of them taken away, the other too, and one again.
    let files = stored(&browser, folder.path());
    assert_eq!(files.len(), 4);
    for file in &files {
        let dump = Command::new("dsrdump").args(["+Pt", "-Er"]).arg(file).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&dump.stdout), String::from_utf8_lossy(&dump.stderr));
        assert!(dump.status.success() && out.contains("Key Object Selection Document"), "{out}{err}");
        // It says also what it cannot look at: UTF-8, and constraints of templates.
        assert!(err.lines().all(|line| line.is_empty() || line.contains("support")), "{err}");
    }
    let read = |file: &Path| -> Value {
        let output = Command::new(&python).arg(client("key_object_read.py")).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let first = read(&files[0]);
    assert_eq!(first["class"], "Key Object Selection Document Storage");
    assert_eq!((&first["modality"], &first["title"]), (&json!("KO"), &json!("113000 DCM")));
    assert_eq!((&first["template"], &first["login"]), (&json!("2010 DCMR"), &json!("ada")));
    assert_eq!(first["person"], "Dr Ada Moreau");
    assert_eq!(first["patient"], json!(["Compare^Carla", "HEAD-1"]));
    let counts: Vec<_> = files.iter().map(|file| read(file)["images"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [2, 1, 0, 1]);
    let evidence: Vec<_> = first["evidence"].as_array().unwrap().iter().map(|one| one[2].clone()).collect();
    assert_eq!(json!(evidence), first["images"], "every image that is named stands in the evidence");

    // What went out is what the reader marked, before what the draft proposed.
    let study = browser.get(&format!("/api/v1/studies/north-clinic/{}", NEW.uid()));
    let pictures = study["versions"][0]["key_images"].as_array().unwrap();
    assert_eq!(pictures.len(), 7);
    assert!(pictures[0]["caption"].as_str().unwrap().starts_with("Series 1, image "), "{pictures:?}");
    assert_eq!(study["versions"][0]["intact"], json!(true));
    assert_eq!(study["image_set"]["count"], json!(33));
}
