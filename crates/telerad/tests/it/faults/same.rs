//! F14 to F16: the same object twice at once, the same identifier with other contents, and a study that comes in pieces.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use super::{
    load::{self, Object, replace},
    rig::{add_centre, assert_kept, has_dcmtk, known, send, send_objects},
};
use crate::{
    journey::{STUDY, prepare, study_path},
    separate,
    server::{Site, free_port, head_ct, named_by, read},
};

/// Objects that two senders give to two processes at the same moment.
const RACES: usize = 1000;

/// A small object, so that a thousand of them are quick.
fn small() -> std::path::PathBuf {
    let mut files: Vec<_> = walkdir::WalkDir::new(testkit::samples::fixtures())
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".dcm"))
        .map(walkdir::DirEntry::into_path)
        .collect();
    files.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    let suits = |path: &std::path::PathBuf| {
        let bytes = read(path);
        let imaging::sniff::Sniffed::DataSet(place) = imaging::sniff::part10(&bytes, true) else {
            return false;
        };
        let Ok(dimse::Split::Found(meta)) = dimse::split_part10(&bytes, true) else { return false };
        place.declared
            && meta.sop_instance_uid.is_some()
            && load::try_identifiers(&bytes).is_some_and(|uids| uids.iter().all(|uid| load::has_room(uid)))
    };
    files.into_iter().find(suits).expect("a small sample")
}

#[test]
fn f14_two_processes_take_the_same_object_at_once_a_thousand_times() {
    let (Some(python), Some(site)) = (named_by("TELERAD_TEST_PYTHON"), separate::site()) else { return };
    let token = add_centre(&site);
    let one = site.start(&["serve", "--roles", "intake,archive"], site.http);
    let (http, dicom) = (free_port(), free_port());
    let (http_at, dicom_at) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{dicom}"));
    let spool = site.folder.path().join("uploads of two");
    let site = site.with("INTAKE__UPLOAD_DIR", spool.to_str().unwrap());
    let two = site.start(&["serve", "--roles", "intake", "--http", &http_at, "--dicom", &dicom_at], http);

    let files = tempfile::tempdir().unwrap();
    let from = tempfile::tempdir().unwrap();
    std::fs::copy(small(), from.path().join("small.dcm")).unwrap();
    let objects = load::study_of(from.path(), files.path(), 14_000, RACES);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/pynetdicom_race.py");
    let mut child = Command::new(python)
        .arg(script)
        .args([&site.dicom.to_string(), &dicom.to_string(), super::rig::AE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = child.stdin.take().unwrap();
    for object in &objects {
        writeln!(lines, "{}", object.path.display()).unwrap();
    }
    drop(lines);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("{} answers 0000H", 2 * RACES)), "{text}");
    assert_eq!(known(&site, &token, &objects[0].study).len(), RACES);
    assert_kept(&site, &token, &objects.iter().step_by(50).collect::<Vec<_>>());
    assert!(one.stop() && two.stop());
    let text = site.run(&["verify"]);
    assert!(text.starts_with(&format!("{RACES} objects")) && text.contains(" 0 are wrong"), "{text}");
}

/// The object with something else in it, as another file.
fn other(object: &Object, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Object {
    let mut bytes = read(&object.path);
    change(&mut bytes);
    let path = object.path.with_file_name(name);
    std::fs::write(&path, bytes).unwrap();
    Object { path, ..object.clone() }
}

#[test]
fn f15_the_same_identifier_with_other_contents_is_refused_and_people_see_it() {
    if !has_dcmtk() {
        return;
    }
    let site = Site::new();
    let token = add_centre(&site);
    let serving = site.serve();
    let browser = site.reader();
    let files = tempfile::tempdir().unwrap();
    let objects = load::study(files.path(), 15_000, 1);
    let object = &objects[0];
    assert_eq!(send_objects(site.dicom, &objects).told().words(), ["Success"]);
    let elsewhere = load::study(files.path(), 15_001, 1);
    let pixels = other(object, "pixels.dcm", |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let patient = other(object, "patient.dcm", |bytes| replace(bytes, b"QMNx85rKkkg", b"QMNx85rKkkh"));
    let study = other(object, "study.dcm", |bytes| {
        replace(bytes, object.study.as_bytes(), elsewhere[0].study.as_bytes());
    });
    for other in [&pixels, &patient, &study] {
        assert!(read(&other.path) != read(&object.path), "{:?} is another file", other.path);
        let told = send(super::rig::AE, site.dicom, &[&other.path]).told();
        assert!(
            told.stored(std::slice::from_ref(other)).is_empty() && told.answers.len() == 1,
            "{}",
            told.text
        );
        assert!(told.text.contains("0x111") || told.text.contains("Duplicate"), "{}", told.text);
        let (status, answer) = super::rig::stow(&site, &token, std::slice::from_ref(other));
        // 0111H as a failure reason is 273.
        assert!(status == 409 && answer.contains("273"), "{status} {answer}");
    }
    // The same bytes again: success, and nothing new.
    assert_eq!(send_objects(site.dicom, &objects).told().words(), ["Success"]);
    assert_kept(&site, &token, &[object]);
    assert_eq!(known(&site, &token, &object.study).len(), 1);
    assert!(known(&site, &token, &elsewhere[0].study).is_empty());
    site.until("people see it", || {
        let tasks = browser.get("/api/v1/tasks");
        tasks["tasks"].as_array()?.iter().any(|task| task["study_uid"] == json!(object.study)).then_some(())
    });
    assert!(serving.stop());
    let text = site.run(&["verify"]);
    assert!(text.contains(" 0 are wrong"), "{text}");
}

#[test]
fn f16_a_study_in_pieces_from_several_senders_is_one_study_and_each_image_set_one_draft() {
    if !has_dcmtk() {
        return;
    }
    let site = Site::new();
    prepare(&site);
    let titles = ["--ae", "NORTH_CT", "--ae", "NORTH_CT2", "--quiet-period", "2"];
    site.run(&[&["centre", "add", "North Clinic", "--contact", "desk@north.example"], &titles[..]].concat());
    let serving = site.serve();
    let browser = site.reader();
    let mut files: Vec<_> =
        std::fs::read_dir(head_ct()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let pieces = [&files[..10], &files[10..19], &files[19..]];
    let drafts = || {
        let trail = browser.get(&study_path("/trail"));
        trail["events"].as_array().unwrap().iter().filter(|event| event["action"] == "drafted").count()
    };
    let mut sent = 0;
    for (number, (piece, ae)) in pieces.iter().zip(["NORTH_CT", "NORTH_CT2", "NORTH_CT"]).enumerate() {
        // Two associations each, at the same time.
        let (first, second) = piece.split_at(piece.len() / 2);
        let senders = [first, second].map(|part| {
            send(ae, site.dicom, &part.iter().map(std::path::PathBuf::as_path).collect::<Vec<_>>())
        });
        for sender in senders {
            let told = sender.told();
            assert!(!told.answers.is_empty(), "{}", told.text);
            assert!(told.words().iter().all(|word| *word == "Success"), "{}", told.text);
        }
        sent += piece.len();
        // The quiet period ends, and these images are drafted before the next ones come.
        site.until("the images so far are drafted", || {
            let list = browser.get("/api/v1/worklist");
            let entry = list["entries"].as_array()?.iter().find(|entry| entry["study_uid"] == STUDY)?.clone();
            (entry["draft"] == "current" && entry["instance_count"] == json!(sent)).then_some(())
        });
        assert_eq!(drafts(), number + 1, "one draft per image set");
        let list = browser.get("/api/v1/worklist");
        assert_eq!(list["entries"].as_array().unwrap().len(), 1, "one study");
    }
    assert!(serving.stop());
}
