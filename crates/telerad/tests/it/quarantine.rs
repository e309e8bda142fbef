//! Quarantine: what cannot be read is kept where a centre wants that, its sender hears of failure, and people decide.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::corpus::bytes::{DataSet, Form, UNDEFINED, instance_uid};

use crate::{
    odd::{send, stored, stow, write},
    server::{Browser, Site, data_set, named_by},
    upload::base64,
};

const NOT_UNDERSTOOD: u16 = 0xC000;
const STUDY_UID: (u16, u16) = (0x0020, 0x000D);

/// Readable, but deeper than the limit of these tests lets in.
fn deep(number: u32) -> DataSet {
    let form = Form::Explicit;
    let tag = (0x0040, 0xA730);
    let bytes = [form.nested(tag, "SQ", 8, UNDEFINED), form.closing(8)].concat();
    DataSet::image(form, number).raw(tag, bytes)
}

/// Its end is missing.
fn truncated(number: u32) -> DataSet {
    DataSet::identifiers(Form::Explicit, number).claiming((0x0040, 0x0254), "LO", 40, b"short")
}

fn site() -> Site {
    let site = Site::new()
        .with("INTAKE__GUARD__DEPTH", "4")
        .with("INTAKE__QUARANTINE__CENTRE_OBJECTS_MAX", "3")
        .with("INTAKE__OBJECT_BYTES_MAX", "100000");
    site.run(&["centre", "add", "North", "--id", "north", "--ae", "NORTH", "--keep-unreadable"]);
    site.run(&["centre", "add", "South", "--id", "south", "--ae", "SOUTH"]);
    assert!(site.run(&["centre", "show", "north"]).contains("is refused, and kept in quarantine"));
    assert!(site.run(&["centre", "show", "south"]).contains("is refused, and not kept"));
    site
}

fn objects(browser: &Browser, decided: bool) -> Vec<Value> {
    let answer = browser.get(&format!("/api/v1/quarantine?decided={decided}"));
    answer["objects"].as_array().unwrap().clone()
}

fn tasks(browser: &Browser) -> Vec<Value> {
    let answer = browser.get("/api/v1/tasks");
    let tasks = answer["tasks"].as_array().unwrap().clone();
    tasks.into_iter().filter(|task| task["kind"] == "quarantine").collect()
}

/// Uploads a file as a person of the centre does; what became of it.
fn upload(site: &Site, browser: &Browser, file: &[u8]) -> Value {
    let id = browser.upload(file);
    site.until("the upload is taken in", || {
        let answer = browser.get("/api/v1/uploads?centre=north");
        let batch = answer["batches"].as_array()?.iter().find(|batch| batch["id"] == id.as_str())?.clone();
        (batch["ended"] == 1).then(|| batch["refusals"][0].clone())
    })
}

fn assert_downloaded(head: &str) {
    for expected in ["content-type: application/dicom", "content-disposition: attachment", "nosniff"] {
        assert!(head.contains(expected), "{head}");
    }
}

#[test]
fn a_rebuild_lets_what_cannot_be_read_wait_again() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = site();
    let north = site.token("north", "admin");
    let serving = site.serve();
    let folder = tempfile::tempdir().unwrap();
    let good = DataSet::image(Form::Explicit, 9);
    let sent = [("NORTH", write(folder.path(), 1, &truncated(1))), ("NORTH", write(folder.path(), 9, &good))];
    let statuses: Vec<_> = send(&python, &site, &sent).into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses, [NOT_UNDERSTOOD, 0]);
    assert_eq!(stow(&site, &north, &write(folder.path(), 2, &truncated(2))).0, 409);
    assert!(serving.stop());
    assert!(site.run(&["verify"]).starts_with("3 objects"), "an image and two in quarantine");

    // With the catalog in place nothing changes; without it both wait again, and once.
    assert!(!site.run(&["rebuild"]).contains("quarantine"));
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = std::fs::remove_file(site.folder.path().join("data").join(name));
    }
    let text = site.run(&["rebuild"]);
    assert!(text.contains("1 images were taken back"), "{text}");
    assert!(text.contains("2 objects that cannot be read wait in quarantine again."), "{text}");
    assert!(!site.run(&["rebuild"]).contains("quarantine"));
    assert!(site.run(&["verify"]).starts_with("3 objects"));
    let serving = site.serve();
    let admin = site.person("root", "admin", None);
    let found = objects(&admin, false);
    assert_eq!(found.len(), 2, "{found:#?}");
    for object in &found {
        assert_eq!((&object["way"], &object["by_name"]), (&json!("rebuild"), &Value::Null));
        assert!(object["reason"].as_str().unwrap().contains("(0040,0254)"), "{object}");
    }
    let mut instances: Vec<_> = found.iter().map(|object| object["sop_instance"].as_str().unwrap()).collect();
    instances.sort_unstable();
    assert_eq!(instances, [instance_uid(1), instance_uid(2)]);
    let tasks = tasks(&admin);
    assert_eq!(tasks.len(), 1, "{tasks:#?}");
    assert!(tasks[0]["reason"].as_str().unwrap().contains("found in storage"), "{tasks:#?}");
    assert!(serving.stop());
}

#[test]
fn what_cannot_be_read_waits_for_a_person() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = site();
    let (north, south) = (site.token("north", "admin"), site.token("south", "admin"));
    let serving = site.serve();
    let (admin, own, other) = (
        site.person("root", "admin", None),
        site.person("nora", "centre", Some("north")),
        site.person("sam", "centre", Some("south")),
    );
    let folder = tempfile::tempdir().unwrap();
    let file = |number: u32, object: &DataSet| write(folder.path(), number, object);
    let deep_file = file(1, &deep(1));
    let once = |ae: &'static str, file: &PathBuf| send(&python, &site, &[(ae, file.clone())]).remove(0);

    // Each way tells its sender of failure, and that it is kept.
    for _ in 0..2 {
        let (status, comment) = once("NORTH", &deep_file);
        assert_eq!(status, NOT_UNDERSTOOD);
        assert!(comment.starts_with("kept in quarantine, not stored: "), "{comment}");
    }
    let (status, comment) = once("SOUTH", &deep_file);
    assert_eq!(status, NOT_UNDERSTOOD);
    assert!(!comment.contains("quarantine"), "{comment}");
    let (code, answer) = stow(&site, &north, &file(2, &truncated(2)));
    let item = &answer["0008119A"]["Value"][0];
    assert_eq!((code, &item["00081197"]["Value"][0]), (409, &json!(NOT_UNDERSTOOD)), "{answer}");
    assert!(item["00091001"]["Value"][0].as_str().unwrap().contains("kept in quarantine"), "{answer}");
    let nameless = std::fs::read(file(3, &DataSet::image(Form::Explicit, 3).without(STUDY_UID))).unwrap();
    let refusal = upload(&site, &own, &nameless);
    assert!(refusal["reason"].as_str().unwrap().contains("It is kept in quarantine"), "{refusal}");

    // What came is there once, with the reason; other centres and programs see nothing of it.
    let found = objects(&admin, false);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(objects(&own, false).len(), 3);
    let ways: Vec<_> = found.iter().map(|object| object["way"].as_str().unwrap()).collect();
    assert_eq!(ways, ["upload", "web", "association"], "the latest first");
    let [uploaded, cut, nested] = [&found[0], &found[1], &found[2]];
    assert_eq!((&nested["times"], &nested["ae_title"]), (&json!(2), &json!("NORTH")));
    assert_eq!(nested["sop_instance"], instance_uid(1).as_str());
    assert!(nested["reason"].as_str().unwrap().contains("(0040,A730)"), "{nested}");
    assert_eq!(
        (&uploaded["by_name"], &uploaded["reason"]),
        (&json!("nora"), &json!("StudyInstanceUID is missing"))
    );
    assert_eq!(cut["sop_instance"], instance_uid(2).as_str(), "its file meta says so");
    assert_eq!(objects(&other, true), Vec::<Value>::new());
    let of =
        |object: &Value, what: &str| format!("/api/v1/quarantine/{}/{what}", object["id"].as_str().unwrap());
    assert_eq!(other.send("POST", &of(cut, "discard"), None).0, 404, "as if it were not there");
    assert_eq!(other.send("GET", &of(cut, "object"), None).0, 403);
    let bearer = format!("Authorization: Bearer {north}");
    assert_eq!(status_of(&site.url("/api/v1/quarantine"), &bearer), "403", "programs decide nothing");
    assert_eq!(site.reader().send("GET", "/api/v1/quarantine", None).0, 403);
    assert_eq!(tasks(&own).len(), 3, "one for each sender");
    assert_eq!(tasks(&other), Vec::<Value>::new());

    // No more than there is room for, and nothing of what is refused for another reason.
    let (status, comment) = once("NORTH", &file(4, &truncated(4)));
    assert_eq!(status, NOT_UNDERSTOOD);
    assert!(!comment.contains("quarantine"), "{comment}");
    let full = |task: &Value| task["reason"].as_str().unwrap().contains("full");
    assert!(tasks(&own).iter().any(full));
    let held = &admin.get("/api/v1/quarantine")["centres"][0]["held"];
    assert_eq!((&held["objects"], &held["objects_max"]), (&json!(3), &json!(3)));

    // Bytes as they came, for administrators.
    let (head, bytes) = admin.download(&of(nested, "object"));
    assert_downloaded(&head.to_lowercase());
    assert_eq!(data_set(&bytes), deep(1).bytes());
    assert_eq!(own.send("GET", &of(nested, "object"), None).0, 403);

    // Decisions, undone and again.
    assert_eq!(own.post(&of(cut, "discard"), &json!({}))["state"], "discarded");
    assert_eq!(objects(&own, false).len(), 2);
    assert_eq!(own.post(&of(cut, "restore"), &json!({}))["state"], "waiting");
    assert_eq!(own.post(&of(cut, "retry"), &json!({}))["state"], "waiting", "it is no better than before");
    assert_eq!(admin.post(&of(cut, "discard"), &json!({}))["decided"]["by_name"], "root");
    assert_eq!(own.post(&of(nested, "retry"), &json!({}))["state"], "waiting");
    assert!(serving.stop());

    // Under a limit that is raised it is an image like others.
    let site = site.with("INTAKE__GUARD__DEPTH", "64");
    let serving = site.serve();
    let stored_view = own.post(&of(nested, "retry"), &json!({}));
    assert_eq!((&stored_view["state"], &stored_view["study_uid"]), (&json!("stored"), &json!("2.25.7700.1")));
    assert_eq!(stored(&site, &north, "2.25.7700.1", &instance_uid(1)), deep(1).bytes());
    assert_eq!(own.send("GET", &of(nested, "object"), None).0, 403);
    assert_eq!(admin.send("GET", &of(nested, "object"), None).0, 409, "its bytes are an image's now");
    assert_eq!(once_at(&python, &site, "NORTH", &deep_file).0, 0, "it is known");
    assert_eq!(stow(&site, &south, &deep_file).0, 200);
    let found = objects(&own, true);
    let states: Vec<_> = found.iter().map(|object| object["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["waiting", "stored", "discarded"]);
    let of_north = |task: &Value| task["reason"].as_str().unwrap().contains("NORTH");
    assert!(!tasks(&own).iter().any(of_north), "it is decided");
    assert!(serving.stop());
    assert!(site.run(&["verify"]).contains(" 0 are wrong"));
}

/// What is larger than the room that is left, or than any object, is refused while it comes, and leaves nothing.
#[test]
fn bytes_are_bounded_while_they_come() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = site().with("INTAKE__QUARANTINE__CENTRE_BYTES_MAX", "5000");
    let serving = site.serve();
    let admin = site.person("root", "admin", None);
    let folder = tempfile::tempdir().unwrap();
    let large = |number, bytes| deep(number).with((0x7FE0, 0x0010), "OW", &vec![7; bytes]);
    let sent = [large(1, 50_000), large(2, 150_000), deep(3)];
    let files: Vec<_> =
        (1..).zip(&sent).map(|(number, object)| ("NORTH", write(folder.path(), number, object))).collect();
    let answers = send(&python, &site, &files);
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    // What is too large and cannot be read is refused for what is seen first, which is a matter of how its bytes are cut.
    assert!(matches!(statuses[..], [NOT_UNDERSTOOD, NOT_UNDERSTOOD | 0xA700, NOT_UNDERSTOOD]), "{answers:?}");
    let kept: Vec<_> = answers.iter().map(|(_, comment)| comment.contains("quarantine")).collect();
    assert_eq!(kept, [false, false, true]);
    assert_eq!(objects(&admin, true).len(), 1);
    assert!(tasks(&admin).iter().any(|task| task["reason"].as_str().unwrap().contains("full")));
    assert!(serving.stop());
}

fn once_at(python: &str, site: &Site, ae: &str, file: &Path) -> (u16, String) {
    send(python, site, &[(ae, file.to_path_buf())]).remove(0)
}

fn status_of(url: &str, header: &str) -> String {
    let output = std::process::Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, url])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

impl Browser {
    /// Downloads: head and body.
    fn download(&self, path: &str) -> (String, Vec<u8>) {
        let head = tempfile::NamedTempFile::new().unwrap();
        let output =
            self.curl(path).args(["--fail-with-body", "-D", head.path().to_str().unwrap()]).output().unwrap();
        assert!(output.status.success());
        (std::fs::read_to_string(head.path()).unwrap(), output.stdout)
    }

    /// Sends a file by the upload page's protocol, in one request; the batch.
    fn upload(&self, file: &[u8]) -> String {
        let body = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(body.path(), file).unwrap();
        let batch = "0197a5e0-0000-7000-8000-0000000000aa";
        let words = [("filename", "IM1"), ("batch", batch), ("centre", "north")];
        let told: Vec<_> = words.iter().map(|(key, word)| format!("{key} {}", base64(word))).collect();
        let output = self
            .curl("/api/v1/uploads")
            .args(["--fail-with-body", "-X", "POST", "-H", "Tus-Resumable: 1.0.0"])
            .args(["-H", &format!("Upload-Length: {}", file.len())])
            .args(["-H", &format!("Upload-Metadata: {}", told.join(","))])
            .args(["-H", "Content-Type: application/offset+octet-stream"])
            .args(["--data-binary", &format!("@{}", body.path().display())])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        batch.to_owned()
    }
}
