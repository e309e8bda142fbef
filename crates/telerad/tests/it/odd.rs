//! What is odd but can be read is stored byte-identical; what cannot is refused with the status that says why. The same table over C-STORE
//! by pynetdicom and over STOW-RS by curl.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use testkit::corpus::bytes::{
    CT, DataSet, Form, ITEM, ITEM_END, PIXELS, SEQUENCE_END, UNDEFINED, file_head, instance_uid,
};

use crate::server::{Site, curl, data_set, named_by};

/// C-STORE statuses, which are STOW-RS's failure reasons too.
const STORED: u16 = 0x0000;
const MISMATCH: u16 = 0xA900;
const NOT_UNDERSTOOD: u16 = 0xC000;

const PATIENT_NAME: (u16, u16) = (0x0010, 0x0010);
const PATIENT_ID: (u16, u16) = (0x0010, 0x0020);
const STUDY_UID: (u16, u16) = (0x0020, 0x000D);
const SERIES_UID: (u16, u16) = (0x0020, 0x000E);
const SOP_CLASS: (u16, u16) = (0x0008, 0x0016);
const SOP_INSTANCE: (u16, u16) = (0x0008, 0x0018);
const MODALITY: (u16, u16) = (0x0008, 0x0060);
const CREATOR: (u16, u16) = (0x0009, 0x0010);
const PRIVATE: (u16, u16) = (0x0009, 0x1001);

struct Odd {
    what: &'static str,
    data_set: DataSet,
    /// The status over C-STORE.
    status: u16,
}

impl Odd {
    /// Only C-STORE announces what it sends, so only there it can be something else.
    fn stow_status(&self) -> u16 {
        if self.status == MISMATCH { STORED } else { self.status }
    }
}

/// Objects, each of its own study. The instance with a number is announced as [`instance_uid`] of it.
fn table() -> Vec<Odd> {
    let mut table = Vec::new();
    let mut row = |what, status, form, change: &dyn Fn(DataSet, u32) -> DataSet| {
        let number = table.len() as u32 + 1;
        table.push(Odd { what, data_set: change(DataSet::image(form, number), number), status });
    };
    missing_and_private(&mut row);
    padded_and_out_of_order(&mut row);
    refused(&mut row);
    table
}

/// Adds a row: what it is, its status, its form, and what makes a sound image so.
type Row<'a> = dyn FnMut(&'static str, u16, Form, &dyn Fn(DataSet, u32) -> DataSet) + 'a;

fn missing_and_private(row: &mut Row<'_>) {
    let explicit = Form::Explicit;
    for (what, tag) in [
        ("no Patient ID", PATIENT_ID),
        ("no Patient's Name", PATIENT_NAME),
        ("no Modality", MODALITY),
        ("no Rows", (0x0028, 0x0010)),
        ("no Pixel Data", (0x7FE0, 0x0010)),
    ] {
        row(what, STORED, explicit, &move |data_set, _| data_set.without(tag));
    }
    for (what, tag, vr) in [
        ("empty Patient ID", PATIENT_ID, "LO"),
        ("empty Patient's Name", PATIENT_NAME, "PN"),
        ("empty Modality", MODALITY, "CS"),
        ("empty Study Date", (0x0008, 0x0020), "DA"),
        ("empty Series Number", (0x0020, 0x0011), "IS"),
        ("empty Specific Character Set", (0x0008, 0x0005), "CS"),
    ] {
        row(what, STORED, explicit, &move |data_set, _| data_set.with(tag, vr, b""));
    }
    for (what, tag, vr, value) in [
        ("a Study Date that is none", (0x0008, 0x0020), "DA", &b"yesterday"[..]),
        ("a Series Number that is none", (0x0020, 0x0011), "IS", b"first"),
        ("a Patient ID of 300 characters", PATIENT_ID, "LO", &[b'7'; 300]),
        ("a date of birth in the old form", (0x0010, 0x0030), "DA", b"1970.01.31"),
    ] {
        row(what, STORED, explicit, &move |data_set, _| data_set.with(tag, vr, value));
    }
    for form in [Form::Explicit, Form::Implicit, Form::Big] {
        row("a private block", STORED, form, &|data_set, _| {
            data_set.with(CREATOR, "LO", b"MAKER").with(PRIVATE, "OB", b"\x01\x02\x03\x04")
        });
        row("a private element without its creator", STORED, form, &|data_set, _| {
            data_set.with(PRIVATE, "UN", b"\x01\x02")
        });
        row("a private sequence of undefined length", STORED, form, &|data_set, _| {
            let form = data_set.form;
            let inner = form.element((0x0009, 0x1002), "LO", b"inside");
            let bytes = [
                form.nested(PRIVATE, "SQ", 1, UNDEFINED),
                inner,
                form.item(ITEM_END, 0),
                form.item(SEQUENCE_END, 0),
            ];
            data_set.with(CREATOR, "LO", b"MAKER").raw(PRIVATE, bytes.concat())
        });
    }
    row("a private sequence that a middleman made UN", STORED, explicit, &|data_set, _| {
        // What is inside of UN of undefined length is implicit VR little endian (PS3.5 section 6.2.2).
        let form = Form::Implicit;
        let bytes = [
            Form::Explicit.claiming(PRIVATE, "UN", UNDEFINED, &[]),
            form.item(ITEM, UNDEFINED),
            form.element((0x0009, 0x1002), "LO", b"inside"),
            form.item(ITEM_END, 0),
            form.item(SEQUENCE_END, 0),
        ];
        data_set.with(CREATOR, "LO", b"MAKER").raw(PRIVATE, bytes.concat())
    });
}

fn padded_and_out_of_order(row: &mut Row<'_>) {
    let explicit = Form::Explicit;
    for (what, padding) in [
        ("a UID padded by NUL", &b"\0"[..]),
        ("a UID padded by a space", b" "),
        ("a UID padded by NULs", b"\0\0\0"),
    ] {
        row(what, STORED, explicit, &move |data_set, number| {
            let uid = [format!("2.25.7700.{number}.1").as_bytes(), padding].concat();
            data_set.claiming(SERIES_UID, "UI", uid.len() as u32, &uid)
        });
    }
    row("values of odd length", STORED, explicit, &|data_set, _| {
        data_set.claiming(PATIENT_NAME, "PN", 5, b"Odd^A").claiming(PATIENT_ID, "LO", 3, b"123")
    });
    row("group lengths", STORED, explicit, &|data_set, _| {
        data_set.with((0x0008, 0x0000), "UL", &[0xFF; 4]).with((0x0010, 0x0000), "UL", &[1, 0, 0, 0])
    });
    row("Data Set Trailing Padding", STORED, explicit, &|data_set, _| {
        let padding = Form::Explicit.element((0xFFFC, 0xFFFC), "OB", &[0; 64]);
        data_set.tail(padding)
    });
    row("an element twice and out of order", STORED, explicit, &|data_set, _| {
        let again = Form::Explicit.element(PATIENT_NAME, "PN", b"Second^Name");
        data_set.without((0x7FE0, 0x0010)).tail(again)
    });
    row("a name that is not in its character set", STORED, explicit, &|data_set, _| {
        data_set.with((0x0008, 0x0005), "CS", b"ISO_IR 192").with(PATIENT_NAME, "PN", b"M\xFCller^J\xFCrgen")
    });
}

fn refused(row: &mut Row<'_>) {
    let explicit = Form::Explicit;
    for (what, tag) in [
        ("a zero-length SOP Instance UID", SOP_INSTANCE),
        ("a zero-length SOP Class UID", SOP_CLASS),
        ("a zero-length Study Instance UID", STUDY_UID),
        ("a zero-length Series Instance UID", SERIES_UID),
    ] {
        row(what, NOT_UNDERSTOOD, explicit, &move |data_set, _| data_set.with(tag, "UI", b""));
    }
    row("no Study Instance UID", NOT_UNDERSTOOD, explicit, &|data_set, _| data_set.without(STUDY_UID));
    for (what, uid) in [
        ("a UID of letters", &b"1.2.abc"[..]),
        ("a UID of 65 characters", &[b'1'; 65]),
        ("a UID of a path", b"../../1"),
    ] {
        row(what, NOT_UNDERSTOOD, explicit, &move |data_set, _| data_set.with(STUDY_UID, "UI", uid));
    }
    row("an undefined length where none may be", NOT_UNDERSTOOD, explicit, &|data_set, _| {
        data_set.claiming((0x0008, 0x1030), "UT", UNDEFINED, b"text")
    });
    row("a data set that ends in the middle", NOT_UNDERSTOOD, explicit, &|data_set, _| {
        data_set.without((0x7FE0, 0x0010)).claiming((0x0040, 0x0254), "LO", 40, b"short")
    });
    row("file meta in the data set", NOT_UNDERSTOOD, explicit, &|data_set, _| {
        data_set.without(PIXELS).tail(Form::Explicit.element((0x0002, 0x0003), "UI", b"1.2.3"))
    });
    row("another SOP instance than announced", MISMATCH, explicit, &|data_set, number| {
        data_set.with(SOP_INSTANCE, "UI", format!("2.25.7700.{number}.9.9").as_bytes())
    });
    row("another SOP class than announced", MISMATCH, explicit, &|data_set, _| {
        data_set.with(SOP_CLASS, "UI", b"1.2.840.10008.5.1.4.1.1.4")
    });
}

/// Writes an object as a file whose meta announces it.
pub fn write(folder: &Path, number: u32, data_set: &DataSet) -> PathBuf {
    let path = folder.join(format!("{number}.dcm"));
    let head = file_head(CT, &instance_uid(number), data_set.form.uid());
    std::fs::write(&path, [head, data_set.bytes()].concat()).unwrap();
    path
}

/// Sends files by pynetdicom, each from an AE title; status and comment of each.
pub fn send(python: &str, site: &Site, files: &[(&str, PathBuf)]) -> Vec<(u16, String)> {
    let lines = files.iter().fold(String::new(), |mut lines, (ae, file)| {
        writeln!(lines, "{ae}\t{}", file.display()).unwrap();
        lines
    });
    answers(python, "pynetdicom_status.py", &["127.0.0.1", &site.dicom.to_string()], &lines)
        .into_iter()
        .map(|answer| {
            let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
            (status, answer["comment"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// Runs a script over lines of standard input; each line of its output as JSON.
pub fn answers(python: &str, script: &str, arguments: &[&str], lines: &str) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let mut child = Command::new(python)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends a file over STOW-RS by curl: the status, and the answer.
pub fn stow(site: &Site, token: &str, file: &Path) -> (u16, Value) {
    let body = tempfile::NamedTempFile::new().unwrap();
    let part = [
        b"--edge\r\nContent-Type: application/dicom\r\n\r\n".to_vec(),
        std::fs::read(file).unwrap(),
        b"\r\n--edge--\r\n".to_vec(),
    ];
    std::fs::write(body.path(), part.concat()).unwrap();
    let output = Command::new("curl")
        .args(["-sS", "-w", "\n%{http_code}", "-H", &format!("Authorization: Bearer {token}")])
        .args(["-H", "Content-Type: multipart/related; type=\"application/dicom\"; boundary=edge"])
        .args(["--data-binary", &format!("@{}", body.path().display())])
        .arg(site.url("/dicomweb/studies"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (answer, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(answer).unwrap())
}

/// The data set of an instance as it is stored, by curl.
pub fn stored(site: &Site, token: &str, study: &str, instance: &str) -> Vec<u8> {
    let url = site.url(&format!("/dicomweb/studies/{study}/series/{study}.1/instances/{instance}"));
    let bearer = format!("Authorization: Bearer {token}");
    data_set(&curl(&["-H", &bearer, "-H", "Accept: application/dicom; transfer-syntax=*", &url])).to_vec()
}

fn instance_of(odd: &Odd, number: u32) -> String {
    match odd.what {
        "another SOP instance than announced" => format!("2.25.7700.{number}.9.9"),
        _ => instance_uid(number),
    }
}

#[test]
fn the_odd_is_stored_as_it_came_and_the_broken_is_refused() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = Site::new();
    for centre in ["dimse", "stow"] {
        site.run(&["centre", "add", centre, "--id", centre, "--ae", &centre.to_uppercase()]);
    }
    let (dimse, web) = (site.token("dimse", "admin"), site.token("stow", "admin"));
    let _serving = site.serve();
    let table = table();
    let folder = tempfile::tempdir().unwrap();
    let numbered = || (1..).zip(&table);
    let files: Vec<_> =
        numbered().map(|(number, odd)| ("DIMSE", write(folder.path(), number, &odd.data_set))).collect();

    let mut wrong = Vec::new();
    let statuses = send(&python, &site, &files);
    assert_eq!(statuses.len(), table.len());
    for ((number, odd), (status, comment)) in numbered().zip(&statuses) {
        let (study, instance) = (format!("2.25.7700.{number}"), instance_of(odd, number));
        if *status != odd.status {
            wrong.push(format!("{}: {status:04X}, not {:04X}: {comment}", odd.what, odd.status));
        } else if *status == STORED && stored(&site, &dimse, &study, &instance) != odd.data_set.bytes() {
            wrong.push(format!("{}: not as it came", odd.what));
        } else if *status != STORED && comment.is_empty() {
            wrong.push(format!("{}: refused without a comment", odd.what));
        }
    }
    for ((number, odd), (_, file)) in numbered().zip(&files) {
        let (study, instance) = (format!("2.25.7700.{number}"), instance_of(odd, number));
        let (code, answer) = stow(&site, &web, file);
        let failures =
            ["00081198", "0008119A"].map(|items| answer[items]["Value"][0]["00081197"]["Value"][0].as_u64());
        let status = failures.into_iter().flatten().next().unwrap_or(0);
        if status != u64::from(odd.stow_status()) || (code == 200) != (status == 0) {
            wrong.push(format!("{} over STOW-RS: {code}, {answer}", odd.what));
        } else if status == 0 && stored(&site, &web, &study, &instance) != odd.data_set.bytes() {
            wrong.push(format!("{} over STOW-RS: not as it came", odd.what));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), table.len(), wrong.join("\n"));
    assert!(site.run(&["verify"]).contains(" 0 are wrong"));
}
