//! F07, F27 and F28: the relay dies between publishing and noting it, the database starts again in mid-transaction, a backup holds it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::faults::{
    disk::rules::{Call, Fault, Moment, Rule},
    tcp::{Course, Proxy, Script},
};

use super::{
    load,
    rig::{Rig, add_centre, assert_kept, has_dcmtk, send_objects, wait_until},
};
use crate::{
    journey::{STUDY, drafted, prepare, study_path},
    separate::fresh_name,
    server::{PATIENCE, Process, Site, free_port, named_by},
};

/// How long a backup holds the catalog.
const BACKUP_SECONDS: u64 = 20;

#[test]
fn f07_a_relay_that_dies_between_publishing_and_noting_it_has_one_effect() {
    let Some(amqp) = named_by("TELERAD_TEST_AMQP_URL") else { return };
    let queues = fresh_name();
    let settings = |site: Site| {
        site.with("BROKER__KIND", "rabbitmq").with("BROKER__URL", amqp).with("BROKER__NAME_PREFIX", queues)
    };
    let Some(rig) = Rig::bare(settings) else { return };
    prepare(&rig.site);
    let intake = rig.serve_roles("intake");
    crate::journey::send(&rig.site);
    assert!(intake.stop());
    // The first thing that a relay writes is that the row is published.
    rig.disk.add(Rule::next(&[Call::Write], "catalog.sqlite-wal", Fault::Kill(Moment::Before)));
    let strikes = rig.disk.strikes();
    let relay = rig.serve_roles("relay");
    assert!(rig.disk.wait_for_strikes(strikes + 1, PATIENCE), "the relay published nothing");
    relay.kill();
    let _serving = rig.serve_roles("relay,reporter,reading-room,archive,orders");
    let browser = rig.site.reader();
    drafted(&rig.site, &browser);
    let list = browser.get("/api/v1/worklist");
    assert_eq!(list["entries"].as_array().unwrap().len(), 1);
    let drafts = || {
        let trail = browser.get(&study_path("/trail"));
        trail["events"].as_array().unwrap().iter().filter(|event| event["action"] == "drafted").count()
    };
    // The second message is worked off, too, when the queues are empty; it must not have made a second draft.
    wait_until("both messages are worked off", || {
        let study = browser.get(&study_path(""));
        study["entry"]["study_uid"] == STUDY && study["entry"]["draft"] == "current"
    });
    assert_eq!(drafts(), 1, "one draft per image set");
    let tasks = browser.get("/api/v1/tasks");
    assert_eq!(tasks["tasks"], json!([]), "nothing needs attention");
}

/// A PostgreSQL of the test's own, which it may break.
struct Postgres {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    port: u16,
}

impl Postgres {
    fn start() -> Option<Self> {
        let binaries = PathBuf::from(named_by("TELERAD_TEST_POSTGRES_BIN")?);
        let server = Self { folder: tempfile::tempdir().unwrap(), binaries, port: free_port() };
        if is_root() {
            let owner = Command::new("chown").args(["-R", "postgres"]).arg(server.folder.path()).status();
            assert!(owner.unwrap().success());
        }
        server.run("initdb", &["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        server.up();
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs a program of the server, as the user that it wants.
    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.binaries.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg("-D").arg(self.data()).args(arguments).current_dir(self.folder.path());
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{command:?}");
    }

    fn up(&self) {
        let options =
            format!("-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c port={}", self.port);
        let log = self.folder.path().join("log");
        self.run("pg_ctl", &["start", "-w", "-l", log.to_str().unwrap(), "-o", &options]);
    }

    fn stop_at_once(&self) {
        self.run("pg_ctl", &["stop", "-m", "immediate"]);
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0)
}

#[test]
fn f27_a_database_that_starts_again_in_mid_transaction_loses_nothing_that_was_acknowledged() {
    if !has_dcmtk() {
        return;
    }
    let Some(database) = Postgres::start() else { return };
    let site = Site::new().with("CATALOG__KIND", "postgres").with("CATALOG__URL", database.url());
    let token = add_centre(&site);
    let serving = site.start(&["serve", "--roles", "intake,archive"], site.http);
    let files = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    let mut struck = 0;
    let mut refused = 0;
    // As slow as a line, so that the database goes while there is still something to send.
    let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], site.dicom)));
    let to_server = Course { latency: Duration::from_millis(2), ..Course::default() };
    proxy.otherwise(Script { to_server, ..Script::default() });
    for round in 0..3 {
        let objects = load::study(files.path(), 27_000 + round, 28);
        let mut sender = send_objects(proxy.address().port(), &objects);
        let stored = || super::rig::known(&site, &token, &objects[0].study).len() as u64;
        wait_until("some objects are stored", || stored() > 2 * round || sender.has_ended());
        database.stop_at_once();
        struck += u32::from(!sender.has_ended());
        database.up();
        let told = sender.told();
        let began = Instant::now();
        wait_until("the connections are back", || {
            let told = send_objects(site.dicom, &objects[..1]).told();
            told.words() == ["Success"]
        });
        eprintln!("round {round}: {:?}, back after {:?}", told.words(), began.elapsed());
        let words = told.words();
        assert!(words.iter().all(|word| ["Success", "Refused: OutOfResources"].contains(word)), "{words:?}");
        refused += words.iter().filter(|word| **word != "Success").count();
        let stored: Vec<_> = told.stored(&objects).into_iter().cloned().collect();
        assert_kept(&site, &token, &stored.iter().collect::<Vec<_>>());
        acknowledged.extend(stored);
        let again = send_objects(site.dicom, &objects).told();
        assert_eq!(again.words(), ["Success"; 28], "{}", again.text);
        assert_kept(&site, &token, &objects.iter().collect::<Vec<_>>());
    }
    eprintln!("{} acknowledged, {refused} refused", acknowledged.len());
    assert!(!acknowledged.is_empty() && struck > 0, "nothing was proved");
    assert!(serving.stop());
    let text = site.run(&["verify"]);
    assert!(text.contains(" 0 are wrong"), "{text}");
}

/// Another process that holds the catalog's lock.
struct Backup(std::process::Child);

impl Backup {
    fn of(catalog: &Path) -> Self {
        let program = format!(
            "import sqlite3, time\n\
             c = sqlite3.connect({:?}, isolation_level=None)\n\
             c.execute('BEGIN IMMEDIATE')\n\
             print('held', flush=True)\n\
             time.sleep({BACKUP_SECONDS})\n\
             c.execute('COMMIT')\n",
            catalog.to_str().unwrap()
        );
        let mut child =
            Command::new("python3").args(["-c", &program]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn f28_a_catalog_that_a_backup_holds_refuses_after_its_time_and_loses_no_write() {
    if !has_dcmtk() {
        return;
    }
    let site = Site::new();
    let token = add_centre(&site);
    let serving: Process = site.start(&["serve", "--roles", "intake,archive"], site.http);
    let files = tempfile::tempdir().unwrap();
    let object = |number: u64| load::study(files.path(), 28_000 + number, 1);
    let (before, during, waits) = (object(0), object(1), object(2));
    assert_eq!(send_objects(site.dicom, &before).told().words(), ["Success"]);
    let mut backup = Backup::of(&site.folder.path().join("data/catalog.sqlite"));
    let began = Instant::now();
    assert_eq!(send_objects(site.dicom, &during).told().words(), ["Refused: OutOfResources"]);
    eprintln!("refused after {:?}", began.elapsed());
    assert!(!backup.is_over() && began.elapsed() < Duration::from_secs(BACKUP_SECONDS));
    assert_kept(&site, &token, &[&before[0]]);
    assert!(super::rig::known(&site, &token, &during[0].study).is_empty());
    wait_until("the backup is done", || backup.is_over());
    for object in [&during, &waits] {
        assert_eq!(send_objects(site.dicom, object).told().words(), ["Success"]);
    }
    assert_kept(&site, &token, &[&before[0], &during[0], &waits[0]]);
    assert!(serving.stop());
}
