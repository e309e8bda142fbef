//! Studies that are taken out, as other people's senders, a person in a browser and a kill in the middle of their end meet it.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use catalog::SqlCatalog;
use domain::{
    audit::Actor,
    id::CentreId,
    person::Scope,
    port::catalog::{TakeOut, TakenOut, TakenOutStudies as _, Trail as _, Upkeep as _},
    study::StudyKey,
    uid::StudyInstanceUid,
    upkeep::Job,
};
use serde_json::{Value, json};
use testkit::corpus::bytes::{DataSet, Form};

use crate::{
    journey::{STUDY, drafted, prepare, send, study_path},
    odd::{send as send_by_pynetdicom, write},
    peers::has,
    server::{PATIENCE, Site, head_ct, named_by, read},
};

/// Takes a study out at the command line, in its two steps.
pub fn take_out(site: &Site, centre: &str, study: &str) {
    let shown = site.output(&["study", "take-out", study, "--centre", centre]);
    assert_eq!(shown.status.code(), Some(1), "the first step takes nothing out");
    let shown = String::from_utf8(shown.stdout).unwrap();
    let code = shown.split("--confirm ").nth(1).unwrap().split(' ').next().unwrap();
    site.run(&["study", "take-out", study, "--centre", centre, "--confirm", code, "--reason", "By mistake."]);
}

#[test]
fn a_sender_is_refused_and_told_why() {
    if !has("storescu") {
        return;
    }
    let site = Site::new();
    prepare(&site);
    let serving = site.serve();
    send(&site);
    take_out(&site, "north-clinic", STUDY);
    let storescu = || {
        let address = ["-aet", "NORTH_CT", "-aec", "TELERAD", "+sd", "127.0.0.1", &site.dicom.to_string()];
        let output = Command::new("storescu").arg("-d").args(address).arg(head_ct()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let said = storescu();
    assert!(said.contains("0x0124"), "{said}");
    assert!(!said.contains("0x0000: Success"), "{said}");
    if let Some(python) = named_by("TELERAD_TEST_PYTHON") {
        let file = head_ct().join("01.dcm");
        let answers = send_by_pynetdicom(&python, &site, &[("NORTH_CT", file)]);
        let comment = "its study was taken out: have an administrator bring it back";
        assert_eq!(answers, [(0x0124, comment.to_owned())]);
    }

    // Our own sender says what to do, over both protocols.
    let dicom = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    let token = site.token("north-clinic", "centre");
    for to in [["--to", &dicom, "--calling", "NORTH_CT"], ["--to", &site.url("/dicomweb"), "--token", &token]]
    {
        let (folder, mut arguments) = (head_ct(), vec!["send", "--quiet", "--summary", "-"]);
        arguments.extend(to);
        arguments.push(folder.to_str().unwrap());
        let output = site.output(&arguments);
        assert_eq!(output.status.code(), Some(1), "{to:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
        assert_eq!((&summary["objects"]["stored"], &summary["objects"]["refused"]), (&json!(0), &json!(28)));
        for failure in summary["failures"].as_array().unwrap() {
            assert_eq!((&failure["kind"], &failure["status"]), (&json!("refused"), &json!("0124H")));
            let next_step = failure["next_step"].as_str().unwrap();
            assert!(
                next_step.contains("bring the study back, or wait until its time is over"),
                "{next_step}"
            );
        }
    }
    let listed = site.run(&["study", "taken-out"]);
    assert!(!listed.contains(" 0 images refused since"), "{listed}");

    site.run(&["study", "bring-back", STUDY, "--centre", "north-clinic"]);
    assert!(!storescu().contains("0x0124"), "the same images are success again");
    assert!(serving.stop());
    assert!(site.run(&["verify"]).starts_with("28 objects"));
}

/// Images of the study that goes: as many as a purge needs some time for.
const IMAGES: u32 = 1_000;
/// The study that goes.
const GOING: &str = "2.25.7700.9000";
/// What upkeep logs for each object that it removes.
const REMOVED: &str = "removed an object that no row names";

#[expect(clippy::disallowed_methods, reason = "the processes of this test have the machine's clock")]
fn now() -> domain::Timestamp {
    domain::Timestamp::now()
}

/// What a process that is not running leaves behind.
struct Left {
    runtime: tokio::runtime::Runtime,
    catalog: SqlCatalog,
}

impl Left {
    fn open(site: &Site) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let path = site.folder.path().join("data/catalog.sqlite");
        let catalog = runtime.block_on(SqlCatalog::open_sqlite(path)).unwrap();
        Self { runtime, catalog }
    }

    fn taken_out(&self) -> Vec<TakenOut> {
        self.runtime.block_on(self.catalog.taken_out(&Scope::AllCentres, 10)).unwrap()
    }

    /// Takes the study out, so that its time is over at once.
    fn take_out(&self, study: &StudyKey) {
        let now = now();
        self.runtime.block_on(async {
            let (_, images) = self.catalog.before_take_out(study, now).await.unwrap();
            let wanted = TakeOut {
                study: study.clone(),
                image_set: images.digest,
                by: Actor::Operator,
                reason: "A phantom.".to_owned(),
                until: now,
            };
            self.catalog.take_out(&wanted, now).await.unwrap();
        });
    }

    /// Ends the lease of a process that was killed, for which its successor would wait two minutes.
    fn end_lease(&self) {
        let later = now() + domain::Duration::from_mins(3);
        let taken =
            self.catalog.take_job(Job::Sweep, uuid::Uuid::now_v7(), later, domain::Timestamp::UNIX_EPOCH);
        self.runtime.block_on(taken).unwrap().expect("the lease is over by then");
    }

    fn count(&self, study: &StudyKey, action: &str) -> usize {
        let trail = self.runtime.block_on(self.catalog.study_trail(study, 10_000)).unwrap();
        trail.iter().filter(|event| event.action == action).count()
    }

    /// Names of all objects in the store.
    fn objects(&self, site: &Site) -> Vec<String> {
        let folder = site.folder.path().join("data/objects");
        self.runtime.block_on(async {
            let config = storage::StorageConfig::Filesystem(storage::FileConfig::new(folder));
            let store = storage::open(&config).await.unwrap().storage;
            let listed = store.list(None, 10_000).await.unwrap();
            listed.iter().map(|one| one.object.key.to_string()).collect()
        })
    }
}

/// How many objects were removed, as the log says from a place on.
fn removed_since(site: &Site, from: usize) -> usize {
    let log = std::fs::read(site.log()).unwrap_or_default();
    String::from_utf8_lossy(&log[from.min(log.len())..]).matches(REMOVED).count()
}

/// Serves until so many more objects are removed, and dies; gives how many were.
fn die_while_purging(site: &Site, objects: usize) -> usize {
    let from = std::fs::metadata(site.log()).map_or(0, |log| log.len()) as usize;
    let serving = site.serve();
    let begin = Instant::now();
    while removed_since(site, from) < objects {
        assert!(begin.elapsed() < PATIENCE, "nothing is removed");
        std::thread::sleep(Duration::from_millis(1));
    }
    serving.kill();
    removed_since(site, from)
}

/// The process dies again and again while it removes a study for good. The purge ends all the same, and takes nothing else along.
#[test]
fn a_purge_ends_although_it_is_killed() {
    let site = Site::new();
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "NORTH_CT"]);
    let folder = tempfile::tempdir().unwrap();
    let image = |number| {
        DataSet::image(Form::Explicit, number)
            .with((0x0010, 0x0020), "LO", b"PHANTOM")
            .with((0x0020, 0x000D), "UI", GOING.as_bytes())
            .with((0x0020, 0x000E), "UI", format!("{GOING}.1").as_bytes())
    };
    for number in 1..=IMAGES {
        write(folder.path(), number, &image(number));
    }
    let to = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    let send = |path: &Path| {
        site.run(&["send", "--to", &to, "--calling", "NORTH_CT", "--quiet", path.to_str().unwrap()]);
    };
    // Without upkeep, which would have swept just now and not again within the hour.
    let serving = site.start(&["serve", "--roles", "intake"], site.dicom);
    send(folder.path());
    send(&head_ct());
    assert!(serving.stop());
    let left = Left::open(&site);
    let key =
        StudyKey { centre: CentreId::parse("north").unwrap(), uid: StudyInstanceUid::parse(GOING).unwrap() };
    left.take_out(&key);
    assert_eq!(left.objects(&site).len(), IMAGES as usize + 28);

    let mut died = 0;
    for objects in [1, 120, 300] {
        let removed = die_while_purging(&site, objects);
        if left.taken_out().is_empty() {
            break;
        }
        assert!(left.taken_out()[0].is_over, "it cannot come back any more");
        assert!((1..IMAGES as usize).contains(&removed), "{removed}");
        died += 1;
        left.end_lease();
    }
    assert!(died > 0, "no kill was in the middle");

    let serving = site.serve();
    site.until("the purge ends", || left.taken_out().is_empty().then_some(()));
    assert!(serving.stop());
    let objects = left.objects(&site);
    assert_eq!(objects.iter().filter(|object| object.contains(GOING)).count(), 0, "nothing of it is left");
    assert_eq!(
        objects.iter().filter(|object| object.contains(STUDY) && object.ends_with(".dcm")).count(),
        28
    );
    let verified = site.run(&["verify"]);
    assert!(verified.starts_with("28 objects") && verified.contains(" 0 are wrong"), "{verified}");
    assert_eq!((left.count(&key, "study_taken_out"), left.count(&key, "study_purged")), (1, 1));

    // Its name is free: an image that comes now makes a new study.
    let serving = site.start(&["serve", "--roles", "intake"], site.dicom);
    send(&folder.path().join("1.dcm"));
    assert!(serving.stop());
    assert!(site.run(&["verify"]).starts_with("29 objects"));
}

/// As an administrator does it, in Chromium: a study goes, is listed and comes back; what may not go stays.
#[test]
fn a_person_takes_a_study_out_in_a_browser() {
    let (Some(chromium), Some(playwright), Some(node)) = (
        named_by("TELERAD_TEST_CHROMIUM"),
        named_by("TELERAD_TEST_PLAYWRIGHT"),
        named_by("TELERAD_TEST_NODE"),
    ) else {
        return;
    };
    let site = Site::new();
    prepare(&site);
    let _serving = site.serve();
    let folder = tempfile::tempdir().unwrap();
    let held = read(&testkit::samples::fixtures().join("formats/CT_small.dcm"));
    std::fs::write(folder.path().join("held.dcm"), held).unwrap();
    for number in 1..=27 {
        let name = format!("{number:02}.dcm");
        std::fs::copy(head_ct().join(&name), folder.path().join(&name)).unwrap();
    }
    let to = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    site.run(&["send", "--to", &to, "--calling", "NORTH_CT", folder.path().to_str().unwrap()]);
    let reader = site.reader();
    drafted(&site, &reader);
    let list = reader.get("/api/v1/worklist");
    let held = list["entries"].as_array().unwrap().iter().find(|entry| entry["study_uid"] != STUDY).unwrap();
    let held = held["study_uid"].as_str().unwrap();
    reader.post(&format!("/api/v1/studies/north-clinic/{held}/claim"), &json!({"action": "take"}));
    let admin = site.person("root", "admin", None);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/taken_out.mjs");
    let output = Command::new(node)
        .arg(script)
        .env("BASE", site.url(""))
        .env("LOGIN", "root")
        .env("PASSWORD", &admin.password)
        .env("STUDY", STUDY)
        .env("HELD", held)
        .env("LATE", head_ct().join("28.dcm"))
        .env("TOKEN", site.token("north-clinic", "centre"))
        .env("CHROMIUM", chromium)
        .env("PLAYWRIGHT", playwright)
        .env("SHOTS", std::env::var("SHOTS").unwrap_or_else(|_| folder.path().display().to_string()))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let trail = admin.get(&study_path("/trail")).to_string();
    for action in ["study_taken_out", "study_brought_back"] {
        assert_eq!(trail.matches(action).count(), 2, "{trail}");
    }
}
