//! Names in every character set: what lists and the worklist say is what pydicom reads; headers that lie lose no byte, and rules of a
//! device set right what is shown.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::Value;
use testkit::corpus::bytes::{DataSet, Form, instance_uid};

use crate::{
    odd::{answers, send, stored, stow, write},
    server::{Site, curl, named_by},
};

const CHARACTER_SET: (u16, u16) = (0x0008, 0x0005);
const PATIENT_NAME: (u16, u16) = (0x0010, 0x0010);
const DESCRIPTION: (u16, u16) = (0x0008, 0x1030);
const CYRILLIC: &[u8] = &[0xBB, 0xEE, 0xDA, 0x63, 0x65, 0xDC, 0xD1, 0xE3, 0xE0, 0xD3];

/// Every fixture with a name outside of ASCII.
fn fixtures() -> Vec<PathBuf> {
    let folders = ["charset", "formats"].map(|name| testkit::samples::fixtures().join(name));
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("chr"))
        .collect();
    files.sort();
    files
}

/// The studies of a centre as QIDO-RS lists them.
fn listed(site: &Site, token: &str) -> Value {
    let bearer = format!("Authorization: Bearer {token}");
    let answer = curl(&["-H", &bearer, &site.url("/dicomweb/studies?includefield=00081030")]);
    serde_json::from_slice(&answer).unwrap()
}

/// The metadata of a study's one image, as viewers show it.
fn metadata(site: &Site, token: &str, study: &str) -> Value {
    let bearer = format!("Authorization: Bearer {token}");
    let answer = curl(&["-H", &bearer, &site.url(&format!("/dicomweb/studies/{study}/metadata"))]);
    serde_json::from_slice::<Value>(&answer).unwrap()[0].clone()
}

fn groups(study: &Value) -> [String; 3] {
    let name = &study["00100010"]["Value"][0];
    ["Alphabetic", "Ideographic", "Phonetic"].map(|group| name[group].as_str().unwrap_or_default().to_owned())
}

#[test]
fn names_are_listed_as_pydicom_reads_them() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let files = fixtures();
    assert_eq!(files.len(), 7, "every file of the collection of character sets");
    let lines = files.iter().fold(String::new(), |mut lines, file| {
        writeln!(lines, "{}", file.display()).unwrap();
        lines
    });
    let expected = answers(&python, "pydicom_names.py", &[], &lines);
    let site = Site::new();
    for centre in 0..files.len() {
        let id = format!("c{centre}");
        site.run(&["centre", "add", &id, "--id", &id]);
    }
    let tokens: Vec<_> = (0..files.len()).map(|centre| site.token(&format!("c{centre}"), "admin")).collect();
    let _serving = site.serve();
    let reader = site.reader();
    for ((file, expected), token) in files.iter().zip(&expected).zip(&tokens) {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(stow(&site, token, file).0, 200, "{name}");
        let study = &listed(&site, token)[0];
        let pydicom: Vec<&str> =
            expected["name"].as_array().unwrap().iter().map(|group| group.as_str().unwrap()).collect();
        assert!(!pydicom.concat().is_ascii(), "{name}");
        let trimmed = |group: &str| group.trim_end_matches('^').to_owned();
        assert_eq!(
            groups(study).map(|group| trimmed(&group)),
            [0, 1, 2].map(|n| trimmed(pydicom[n])),
            "{name}"
        );
        let description = study["00081030"]["Value"][0].as_str().unwrap_or_default();
        assert_eq!(description, expected["description"].as_str().unwrap(), "{name}");
    }
    let worklist = reader.get("/api/v1/worklist");
    for (centre, expected) in expected.iter().enumerate() {
        let entries = worklist["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["centre"] == format!("c{centre}")).unwrap();
        // The worklist shows the first group there is, in the order in which people say a name.
        let shown = entry["patient"]["name"].as_str().unwrap();
        let mut groups = expected["name"].as_array().unwrap().iter().map(|group| group.as_str().unwrap());
        let first = groups.find(|group| !group.is_empty()).unwrap();
        assert!(first.split('^').all(|part| shown.contains(part.trim())), "{shown} has {first}");
    }
}

/// Who sends, what the header says, the bytes of the name, and the name that is listed.
type Lie = (&'static str, Option<&'static str>, &'static [u8], &'static str);

const LIES: [Lie; 10] = [
    ("PLAIN", None, "Müller".as_bytes(), "Müller"),
    ("PLAIN", None, b"M\xFCller", "Müller"),
    ("PLAIN", Some("ISO_IR 100"), "Müller".as_bytes(), "Müller"),
    ("PLAIN", Some("ISO_IR 192"), b"M\xFCller", "M\u{FFFD}ller"),
    ("PLAIN", Some("NONSENSE"), b"M\xFCller", "Müller"),
    ("PLAIN", Some("\\ISO 2022 IR 87"), b"\x1b$B;3", "山"),
    ("ASSUMING", None, CYRILLIC, "Люкceмбург"),
    ("ASSUMING", Some("ISO_IR 192"), "Müller".as_bytes(), "Müller"),
    ("FORCED", Some("ISO_IR 100"), CYRILLIC, "Люкceмбург"),
    ("FORCED", None, b"Plain", "Plain"),
];

#[test]
fn headers_that_lie_lose_no_byte_and_a_device_s_rule_sets_right_what_is_listed() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = Site::new();
    site.run(&["centre", "add", "North", "--id", "north", "--ae", "PLAIN"]);
    site.run(&["centre", "ae", "north", "ASSUMING", "--assume-character-set", "ISO_IR 144"]);
    site.run(&["centre", "ae", "north", "FORCED", "--force-character-set", "ISO_IR 144"]);
    site.run(&["centre", "add", "South", "--id", "south", "--force-character-set", "ISO_IR 144"]);
    let shown = site.run(&["centre", "show", "north"]);
    assert!(shown.contains("FORCED: ") && shown.contains("texts as ISO_IR 144, whatever"), "{shown}");
    assert!(shown.contains("texts as ISO_IR 144 where their headers name no character set"), "{shown}");
    let refused = site.output(&["centre", "ae", "north", "X", "--force-character-set", "ISO_IR 999"]);
    assert!(!refused.status.success());

    let (north, south) = (site.token("north", "admin"), site.token("south", "admin"));
    let _serving = site.serve();
    let folder = tempfile::tempdir().unwrap();
    let objects: Vec<(DataSet, PathBuf)> = (1..)
        .zip(LIES)
        .map(|(number, (_, set, name, _))| {
            let object = DataSet::image(Form::Explicit, number).with(PATIENT_NAME, "PN", name).with(
                DESCRIPTION,
                "LO",
                name,
            );
            let object = match set {
                Some(set) => object.with(CHARACTER_SET, "CS", set.as_bytes()),
                None => object,
            };
            let path = write(folder.path(), number, &object);
            (object, path)
        })
        .collect();
    let files: Vec<_> = LIES.iter().zip(&objects).map(|((ae, ..), (_, path))| (*ae, path.clone())).collect();
    for (answer, lie) in send(&python, &site, &files).into_iter().zip(LIES) {
        assert_eq!(answer.0, 0, "{lie:?}: {}", answer.1);
    }
    let studies = listed(&site, &north);
    for ((number, (_, set, _, expected)), (object, _)) in (1..).zip(LIES).zip(&objects) {
        let uid = format!("2.25.7700.{number}");
        let all = studies.as_array().unwrap();
        let study = all.iter().find(|study| study["0020000D"]["Value"][0] == uid.as_str()).unwrap();
        assert_eq!(groups(study)[0], expected, "{number}: {set:?}");
        assert_eq!(study["00081030"]["Value"][0], expected, "{number}: {set:?}");
        assert_eq!(stored(&site, &north, &uid, &instance_uid(number)), object.bytes(), "{number}");
        let shown = metadata(&site, &north, &uid);
        assert_eq!(shown["00100010"]["Value"][0]["Alphabetic"], expected, "metadata of {number}");
        assert_eq!(
            shown["00080005"]["Value"].as_array().map_or("ISO_IR 192", |set| set[0].as_str().unwrap()),
            "ISO_IR 192"
        );
    }
    // The rule of a centre, for what comes over the web.
    let (_, _, _, name) = LIES[8];
    assert_eq!(stow(&site, &south, &objects[8].1).0, 200);
    assert_eq!(groups(&listed(&site, &south)[0])[0], name);
}
