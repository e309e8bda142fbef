//! `telerad send` as a night's script uses it: towards other people's receivers that refuse, put off, die and come back; and killed.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    certificates::Authority,
    server::{Process, Site, free_port, head_ct, named_by, read},
};

/// A folder with images of its own, and a receiver's log.
struct World {
    site: Site,
    folder: tempfile::TempDir,
    port: u16,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("images")).unwrap();
    for entry in std::fs::read_dir(head_ct()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join("images").join(path.file_name().unwrap())).unwrap();
    }
    World { site: Site::new(), folder, port: free_port() }
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The images in the order in which they are sent, with their SOP Instance UIDs.
    fn images(&self) -> Vec<(PathBuf, String)> {
        let mut files: Vec<_> =
            std::fs::read_dir(self.path("images")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let named = |path: PathBuf| {
            let file = read(&path);
            let Ok(dimse::Split::Found(head)) = dimse::split_part10(&file, true) else { panic!("{path:?}") };
            (path, head.sop_instance_uid.unwrap())
        };
        files.into_iter().map(named).collect()
    }

    /// Starts one of the receivers of `tests/clients`, and waits for it.
    fn receiver(&self, python: &str, script: &str, order: Value) -> Process {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
        let mut whole = json!({"port": self.port, "log": self.text("received")});
        whole.as_object_mut().unwrap().extend(order.as_object().unwrap().clone());
        let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(whole.to_string().as_bytes()).unwrap();
        self.answers(child)
    }

    fn answers(&self, child: Child) -> Process {
        let process = Process::of(child);
        self.site.until("the receiver answers", || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok().then_some(())
        });
        process
    }

    /// What the receiver logged.
    fn received(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.path("received")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// How often each object came.
    fn times(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for line in self.received() {
            *times.entry(line.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
        times
    }

    fn dicom(&self) -> String {
        format!("dicom://127.0.0.1:{}/RECEIVER", self.port)
    }

    fn command(&self, to: &str, options: &[&str]) -> Command {
        let (images, summary) = (self.text("images"), self.text("summary"));
        let mut command = self.site.command(&["send", "--to", to, "--summary", &summary, &images]);
        command.args(options);
        command
    }

    /// Sends, and gives the exit code and the summary.
    fn send(&self, to: &str, options: &[&str]) -> (i32, Value) {
        self.told(&self.command(to, options).output().unwrap())
    }

    fn told(&self, output: &Output) -> (i32, Value) {
        let code = output.status.code().unwrap();
        let Ok(summary) = std::fs::read(self.path("summary")) else {
            panic!("no summary: {output:?}");
        };
        std::fs::remove_file(self.path("summary")).unwrap();
        let summary: Value = serde_json::from_slice(&summary).unwrap();
        assert_eq!(summary["exit_code"], json!(code), "{summary}");
        (code, summary)
    }
}

fn counts(summary: &Value) -> [u64; 5] {
    ["stored", "stored_before", "refused", "unreadable", "without_answer"]
        .map(|name| summary["objects"][name].as_u64().unwrap())
}

fn failure<'a>(summary: &'a Value, uid: &str) -> &'a Value {
    let failures = summary["failures"].as_array().unwrap();
    failures.iter().find(|failure| failure["sop_instance_uid"] == uid).unwrap_or_else(|| panic!("{summary}"))
}

#[test]
fn what_is_refused_for_good_is_told_from_what_is_put_off() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let world = world();
    let images = world.images();
    let statuses = json!({
        &images[2].1: [0xa700, 0x0110, 0], &images[4].1: [0x0111], &images[5].1: [0xc001], &images[7].1: [0xb000],
        &images[9].1: [0xa700],
    });
    let _receiver = world.receiver(&python, "pynetdicom_receive.py", json!({"statuses": statuses}));
    let (code, summary) = world.send(&world.dicom(), &["--attempts", "3"]);
    assert_eq!((code, counts(&summary)), (4, [25, 0, 2, 0, 1]), "{summary}");
    let expected = [(4, "refused", "0111H"), (5, "refused", "C001H"), (9, "later", "A700H")];
    assert_eq!(summary["failures"].as_array().unwrap().len(), expected.len());
    for (place, kind, status) in expected {
        let (path, uid) = &images[place];
        let failure = failure(&summary, uid);
        assert_eq!((&failure["kind"], &failure["status"]), (&json!(kind), &json!(status)), "{failure}");
        assert_eq!(failure["path"], path.to_str().unwrap());
        assert!(!failure["next_step"].as_str().unwrap().is_empty());
    }
    let study = &summary["studies"][0];
    assert_eq!((&study["found"], &study["stored"], &study["refused"]), (&json!(28), &json!(25), &json!(2)));
    let times = world.times();
    for (place, (_, uid)) in images.iter().enumerate() {
        let expected = if matches!(place, 2 | 9) { 3 } else { 1 };
        assert_eq!(times[uid], expected, "image {place}");
    }
}

#[test]
fn what_changes_or_goes_away_is_left_and_the_rest_goes_on() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let world = world();
    let images = world.images();
    std::fs::write(world.path("images/damaged.dcm"), &read(&images[0].0)[..600]).unwrap();
    let _receiver = world.receiver(&python, "pynetdicom_receive.py", json!({"delay": 0.05}));
    let mut command = world.command(&world.dicom(), &[]);
    let sender = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    world.site.until("the first image arrives", || (!world.received().is_empty()).then_some(()));
    std::fs::remove_file(&images[27].0).unwrap();
    std::fs::write(&images[26].0, "another content").unwrap();
    let (code, summary) = world.told(&sender.wait_with_output().unwrap());
    assert_eq!((code, counts(&summary)), (1, [26, 0, 0, 2, 0]), "{summary}");
    assert!(failure(&summary, &images[26].1)["reason"].as_str().unwrap().contains("changed"));
    assert_eq!(failure(&summary, &images[27].1)["kind"], "file");
    assert!(summary["failures"].to_string().contains("damaged.dcm"), "{summary}");
    assert_eq!(world.times().len(), 26);
}

#[test]
fn a_killed_sender_goes_on_where_it_was() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let world = world();
    let _receiver = world.receiver(&python, "pynetdicom_receive.py", json!({"delay": 0.3}));
    let journal = world.text("journal");
    let options = ["--journal", journal.as_str()];
    let mut killed = 0;
    for arrived in [4, 12] {
        let sender =
            Process::of(world.command(&world.dicom(), &options).stdout(Stdio::null()).spawn().unwrap());
        world.site.until("some images arrive", || (world.received().len() >= arrived).then_some(()));
        if killed == 0 {
            // Two runs with one journal would send twice.
            let second = world.command(&world.dicom(), &options).output().unwrap();
            assert_eq!(second.status.code(), Some(2));
            assert!(String::from_utf8_lossy(&second.stdout).contains("in use by another run"));
        }
        sender.kill();
        killed += 1;
    }
    let acknowledged = std::fs::read_to_string(world.path("journal")).unwrap();
    let acknowledged: Vec<String> = acknowledged
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| line["stored"]["sop_instance_uid"].as_str().map(str::to_owned))
        .collect();
    assert!(acknowledged.len() >= 10 && acknowledged.len() < 28, "{}", acknowledged.len());
    let at_the_kill = world.times();
    // As a power cut leaves it.
    let mut file = std::fs::File::options().append(true).open(world.path("journal")).unwrap();
    file.write_all(b"{\"stored\":{\"sop_inst").unwrap();

    let before = acknowledged.len() as u64;
    let (code, summary) = world.send(&world.dicom(), &options);
    assert_eq!((code, counts(&summary)), (0, [28 - before, before, 0, 0, 0]), "{summary}");
    let times = world.times();
    assert_eq!(times.len(), 28, "none is lost");
    let sent_again = acknowledged.iter().filter(|uid| times[*uid] != at_the_kill[*uid]).count();
    assert_eq!(sent_again, 0, "what was acknowledged is not sent again");
    assert!(times.values().sum::<usize>() <= 28 + killed, "only what was under way comes twice");

    // A file that changed is another one; and the journal is about this receiver alone.
    let changed = &world.images()[3];
    let bytes = read(&changed.0);
    std::fs::write(&changed.0, bytes).unwrap();
    let (code, summary) = world.send(&world.dicom(), &options);
    assert_eq!((code, counts(&summary)), (0, [1, 27, 0, 0, 0]), "{summary}");
    let plan = world.site.run(&[
        "send",
        "--dry-run",
        "--to",
        &world.dicom(),
        "--journal",
        &journal,
        &world.text("images"),
    ]);
    assert!(plan.contains(" 0 images"), "{plan}");
    for (to, calling) in [(format!("{}_2", world.dicom()), "TELERAD_SEND"), (world.dicom(), "OTHER")] {
        let output = world.command(&to, &[&options[..], &["--calling", calling]].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stdout).contains("name another journal"), "{output:?}");
    }
}

#[test]
fn associations_are_as_many_as_asked_for() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let world = world();
    let _receiver = world.receiver(&python, "pynetdicom_receive.py", json!({"delay": 0.1}));
    let (code, summary) = world.send(&world.dicom(), &["--parallel", "3"]);
    assert_eq!((code, counts(&summary)), (0, [28, 0, 0, 0, 0]), "{summary}");
    let received = world.received();
    let most = received.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).max();
    assert_eq!((received.len(), most), (28, Some(3)));
}

#[test]
fn storescp_dies_and_comes_back() {
    if Command::new("storescp").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
        return;
    }
    let world = world();
    let images = world.images();
    images[6..].iter().for_each(|(path, _)| std::fs::remove_file(path).unwrap());
    std::fs::create_dir(world.path("taken")).unwrap();
    let start = |options: &[&str]| {
        let mut command = Command::new("storescp");
        command.args(options).args(["+xa", "-od", &world.text("taken"), &world.port.to_string()]);
        world.answers(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let taken = || std::fs::read_dir(world.path("taken")).unwrap().count();
    let first = start(&["--sleep-after", "1"]);
    let mut command = world.command(&world.dicom(), &["--journal", &world.text("journal")]);
    let sender = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    world.site.until("two images arrive", || (taken() >= 2).then_some(()));
    first.kill();
    let _second = start(&[]);
    let (code, summary) = world.told(&sender.wait_with_output().unwrap());
    assert_eq!((code, counts(&summary)), (0, [6, 0, 0, 0, 0]), "{summary}");
    assert_eq!(taken(), 6);
}

#[test]
fn a_receiver_that_starts_later_gets_everything_and_one_that_never_does_is_given_up() {
    let world = world();
    world.site.run(&["centre", "add", "North Clinic", "--ae", "NORTH_CT"]);
    let token = world.site.token("north-clinic", "centre");
    let dicom = format!("dicom://127.0.0.1:{}/TELERAD", world.site.dicom);
    let web = world.site.url("/dicomweb");
    for (to, options) in [(&dicom, ["--calling", "NORTH_CT"]), (&web, ["--token", token.as_str()])] {
        let journal = world.text(&format!("journal-{}", options[0]));
        let options = [&options[..], &["--journal", &journal, "--parallel", "2"]].concat();
        let (code, summary) = world.send(to, &[&options[..], &["--give-up-after", "0s"]].concat());
        assert_eq!((code, counts(&summary)), (4, [0, 0, 0, 0, 28]), "{summary}");
        assert!(summary["broke_off"].as_str().unwrap().contains("no connection"), "{summary}");

        let mut command = world.command(to, &options);
        let sender = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let serving = world.site.serve();
        let (code, summary) = world.told(&sender.wait_with_output().unwrap());
        assert_eq!((code, counts(&summary)), (0, [28, 0, 0, 0, 0]), "{summary}");
        assert!(serving.stop());
        // All is acknowledged: nobody is called.
        let (code, summary) = world.send(to, &options);
        assert_eq!((code, counts(&summary)), (0, [0, 28, 0, 0, 0]), "{summary}");
    }
    assert!(world.site.run(&["verify"]).starts_with("28 objects"));
}

#[test]
fn a_web_server_is_left_alone_as_long_as_it_asks_and_gets_smaller_requests() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let world = world();
    let order = json!({"answers": [[503, {"Retry-After": "3"}], [200, {}]], "most": 10});
    let _receiver = world.receiver(&python, "stow_receive.py", order);
    let to = format!("http://127.0.0.1:{}/dicomweb", world.port);
    let (code, summary) = world.send(&to, &[]);
    assert_eq!((code, counts(&summary)), (0, [28, 0, 0, 0, 0]), "{summary}");
    let requests: Vec<Value> =
        world.received().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let statuses: Vec<u64> = requests.iter().map(|request| request["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [503, 413, 413, 413, 200, 200, 200, 200], "28, then 14, then 7");
    let waited = requests[1]["at"].as_f64().unwrap() - requests[0]["at"].as_f64().unwrap();
    assert!(waited >= 3.0, "{waited}");
}

#[test]
fn a_web_server_that_does_not_know_us_is_asked_once() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let world = world();
    let _receiver = world.receiver(&python, "stow_receive.py", json!({"answers": [[401, {}]]}));
    let (code, summary) = world.send(&format!("http://127.0.0.1:{}", world.port), &[]);
    assert_eq!((code, counts(&summary), world.received().len()), (4, [0, 0, 0, 0, 28], 1), "{summary}");
}

#[test]
fn tls_with_certificates_on_both_sides() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let world = world();
    let folder = world.folder.path();
    let (authority, stranger) = (Authority::new(folder, "authority"), Authority::new(folder, "stranger"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (certificate, key) = authority.issue("receiver", 30);
    let tls = json!({"certificate": certificate, "key": key, "authorities": authority.file()});
    let (ca, other) = (text(&authority.file()), text(&stranger.file()));
    let [sender, imposter] = [authority.issue("sender", 30), stranger.issue("imposter", 30)]
        .map(|(certificate, key)| [text(&certificate), text(&key)]);
    let to = format!("dicoms://127.0.0.1:{}/RECEIVER", world.port);
    let with = |ca: &str, identity: Option<&[String; 2]>| {
        let mut all = vec!["--ca".to_owned(), ca.to_owned()];
        if let Some([certificate, key]) = identity {
            all.extend(["--cert".to_owned(), certificate.clone(), "--key".to_owned(), key.clone()]);
        }
        all
    };
    let run = |to: &str, options: Vec<String>| {
        world.send(to, &options.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let receiver = world.receiver(&python, "pynetdicom_receive.py", json!({"tls": tls}));
    let (code, summary) = run(&to, with(&ca, Some(&sender)));
    assert_eq!((code, counts(&summary)), (0, [28, 0, 0, 0, 0]), "{summary}");
    // Who is not trusted today is not asked again and again.
    for mut options in [with(&other, Some(&sender)), with(&ca, Some(&imposter)), with(&ca, None)] {
        // A peer that hangs up may take its alert back with it; then it looks like any broken connection.
        options.extend(["--give-up-after".to_owned(), "3s".to_owned()]);
        let (code, summary) = run(&to, options);
        assert_eq!((code, counts(&summary)), (4, [0, 0, 0, 0, 28]), "{summary}");
    }
    assert_eq!(world.received().len(), 28);
    let output = world.command(&to, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "there is no trust without authorities");
    receiver.kill();

    std::fs::remove_file(world.path("received")).unwrap();
    let _receiver = world.receiver(&python, "stow_receive.py", json!({"answers": [[200, {}]], "tls": tls}));
    let to = format!("https://127.0.0.1:{}/dicomweb", world.port);
    let (code, summary) = run(&to, with(&ca, None));
    assert_eq!((code, counts(&summary)), (0, [28, 0, 0, 0, 0]), "{summary}");
    let (code, summary) = run(&to, with(&other, None));
    assert_eq!((code, counts(&summary)), (4, [0, 0, 0, 0, 28]), "{summary}");
}
