//! Queries and retrieves as DCMTK and pynetdicom make them: what is found, what comes, byte for byte, and what the statuses say.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    certificates::Authority,
    clients::script,
    server::{Process, Site, data_set, free_port, head_ct, named_by, read},
};

const STUDY: &str = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322";

pub fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed; run `make test`");
    }
    is_there
}

/// A server with images of two centres, and `RAD`, which may query and retrieve at the first.
pub struct World {
    pub site: Site,
    pub _serving: Process,
}

pub fn world(site: Site) -> World {
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "CT_1", "--ae", "RAD"]);
    site.run(&["centre", "add", "South Clinic", "--id", "south", "--ae", "CT_S", "--ae", "DEST_S"]);
    let granted = "storage,query,retrieve";
    site.run(&["centre", "ae", "north", "RAD", "--services", granted]);
    site.run(&["centre", "ae", "south", "DEST_S", "--address", "127.0.0.1:1"]);
    let serving = site.serve();
    let world = World { site, _serving: serving };
    world.send(&head_ct(), "CT_1");
    world.send(&formats(&["CT_small.dcm"])[0], "CT_1");
    world.send(&formats(&["MR_small.dcm"])[0], "CT_S");
    world
}

/// Fixtures by name.
pub fn formats(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| testkit::samples::fixtures().join("formats").join(name)).collect()
}

impl World {
    pub fn send(&self, path: &Path, calling: &str) {
        let address = format!("dicom://127.0.0.1:{}/TELERAD", self.site.dicom);
        let sent =
            self.site.output(&["send", path.to_str().unwrap(), "--to", &address, "--calling", calling]);
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }

    pub fn dcmtk(&self, program: &str, calling: &str, arguments: &[&str]) -> Output {
        let port = self.site.dicom.to_string();
        let mut command = Command::new(program);
        command.args(["-aet", calling, "-aec", "TELERAD"]).args(arguments).args(["127.0.0.1", &port]);
        command.output().unwrap()
    }

    /// What findscu is told: each match as tag and value. An answer with FF01H counts as one.
    fn find(&self, root: &str, level: &str, keys: &[&str]) -> Vec<BTreeMap<(u16, u16), String>> {
        let folder = tempfile::tempdir().unwrap();
        let level = format!("QueryRetrieveLevel={level}");
        let mut arguments = vec!["-X", "-od", folder.path().to_str().unwrap(), root, "-k", &level];
        arguments.extend(keys.iter().flat_map(|key| ["-k", key]));
        let output = self.dcmtk("findscu", "RAD", &arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        files(folder.path()).iter().map(|file| elements(&read(file))).collect()
    }

    pub fn python(&self, order: &Value) -> Option<Child> {
        let python = named_by("TELERAD_TEST_PYTHON")?;
        let mut whole = json!({"host": "127.0.0.1", "port": self.site.dicom, "calling": "RAD"});
        whole.as_object_mut().unwrap().extend(order.as_object().unwrap().clone());
        let mut child = Command::new(python)
            .arg(script("pynetdicom_retrieve.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(whole.to_string().as_bytes()).unwrap();
        Some(child)
    }

    fn ask(&self, order: &Value) -> Option<Value> {
        self.python(order).map(outcome)
    }

    /// Who did or saw what of a study.
    pub fn trail(&self, study: &str) -> String {
        let boss = self.site.person("boss", "admin", None);
        boss.get(&format!("/api/v1/studies/north/{study}/trail")).to_string()
    }
}

fn outcome(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"))
}

/// The elements of a file that findscu wrote, which is explicit little endian.
fn elements(file: &[u8]) -> BTreeMap<(u16, u16), String> {
    let keys = dimse::identifier::read(data_set(file), dimse::NoticeSyntax::ExplicitLittleEndian).unwrap();
    let text = |value: Option<Vec<u8>>| {
        String::from_utf8(value.unwrap_or_default()).unwrap().trim_end_matches([' ', '\0']).to_owned()
    };
    keys.into_iter().map(|key| (key.tag, text(key.value))).collect()
}

/// Data sets of files, by SOP Instance UID.
pub fn data_sets(files: impl IntoIterator<Item = PathBuf>) -> BTreeMap<String, Vec<u8>> {
    let of = |path: PathBuf| {
        let file = read(&path);
        let Ok(dimse::Split::Found(head)) = dimse::split_part10(&file, true) else { panic!("{path:?}") };
        (head.sop_instance_uid.unwrap(), data_set(&file).to_vec())
    };
    files.into_iter().map(of).collect()
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The study and series of the head CT.
pub fn head_uids() -> (String, String) {
    let file = read(&files(&head_ct())[0]);
    let sniffed = imaging::sniff::part10(&file, true);
    let imaging::sniff::Sniffed::DataSet(place) = sniffed else { panic!("{sniffed:?}") };
    let guarded = imaging::guard::GuardedHeader::of(&file[place.at..], &place.transfer_syntax).unwrap();
    let header = imaging::header::Header::read(&guarded).unwrap();
    (header.study_uid.to_string(), header.series_uid.to_string())
}

/// A program that runs until the end of a test.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn start(site: &Site, command: &mut Command, port: u16) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Self(child);
        site.until(&format!("port {port} answers"), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
        });
        running
    }
}

#[test]
fn findscu_finds_at_every_level() {
    if !has("findscu") {
        return;
    }
    let world = world(Site::new());
    let (study, series) = head_uids();
    let (study_key, series_key) =
        (format!("StudyInstanceUID={study}"), format!("SeriesInstanceUID={series}"));
    let all = world.find("-S", "STUDY", &["StudyInstanceUID", "PatientID"]);
    let mut found: Vec<_> = all.iter().map(|keys| keys[&(0x0020, 0x000d)].clone()).collect();
    found.sort();
    let mut expected = vec![study.clone(), STUDY.to_owned()];
    expected.sort();
    assert_eq!(found, expected, "and nothing of another centre");
    for keys in &all {
        assert_eq!(keys[&(0x0008, 0x0052)], "STUDY");
        assert_eq!(keys[&(0x0008, 0x0054)], "TELERAD", "who can be asked for it");
        assert_eq!(keys[&(0x0008, 0x0056)], "ONLINE");
        assert_eq!(keys[&(0x0008, 0x0005)], "ISO_IR 192");
    }

    let counts = ["NumberOfStudyRelatedInstances", "NumberOfStudyRelatedSeries", "ModalitiesInStudy"];
    let head = world.find("-S", "STUDY", &[&[study_key.as_str()], &counts[..]].concat());
    let [head] = &head[..] else { panic!("{head:?}") };
    assert_eq!((head[&(0x0020, 0x1208)].as_str(), head[&(0x0020, 0x1206)].as_str()), ("28", "1"));
    assert_eq!(head[&(0x0008, 0x0061)], "CT");

    let keys =
        [&study_key, "SeriesInstanceUID", "Modality", "SeriesNumber", "NumberOfSeriesRelatedInstances"];
    let found = world.find("-S", "SERIES", &keys);
    let [found] = &found[..] else { panic!("{found:?}") };
    let (uid, modality) = (&found[&(0x0020, 0x000e)], &found[&(0x0008, 0x0060)]);
    assert_eq!((uid, modality.as_str(), found[&(0x0020, 0x1209)].as_str()), (&series, "CT", "28"));

    let keys = [&study_key, &series_key, "SOPInstanceUID", "InstanceNumber", "SOPClassUID", "Rows"];
    let images = world.find("-S", "IMAGE", &keys);
    let mut uids: Vec<_> = images.iter().map(|keys| keys[&(0x0008, 0x0018)].clone()).collect();
    uids.sort();
    assert_eq!(uids, data_sets(files(&head_ct())).into_keys().collect::<Vec<_>>());
    let keys = [&study_key, &series_key, "SOPInstanceUID", "InstanceNumber=3"];
    assert_eq!(world.find("-S", "IMAGE", &keys).len(), 1);

    let trail = world.trail(&study);
    assert!(trail.contains("RAD") && trail.contains("C-FIND, centre north"), "{trail}");
}

#[test]
fn findscu_finds_by_what_it_asks() {
    if !has("findscu") {
        return;
    }
    let world = world(Site::new());
    let list = format!("StudyInstanceUID=1.2.3\\{STUDY}");
    for (key, is_found) in [
        ("StudyDate=20040119", true),
        ("StudyDate=20040119-20040119", true),
        ("StudyDate=-20040119", true),
        ("StudyDate=20040120-", false),
        ("StudyTime=070000-080000", true),
        ("StudyTime=080000-", false),
        ("ModalitiesInStudy=CT", true),
        ("ModalitiesInStudy=C?", true),
        ("ModalitiesInStudy=M?", false),
        ("PatientName=compressed*", true),
        ("PatientName=*sAmPlEs^C?1", true),
        ("PatientID=1CT1", true),
        ("PatientID=1ct1", false),
        ("PatientID=*nobody*", false),
        (list.as_str(), true),
        ("StudyInstanceUID=1.2.3", false),
    ] {
        let found = world.find("-S", "STUDY", &["StudyInstanceUID", key]);
        let is_there = found.iter().any(|keys| keys[&(0x0020, 0x000d)] == STUDY);
        assert_eq!(is_there, is_found, "{key}");
    }
}

/// Items are matched as wholes and told with the keys that were asked for (PS3.4 section C.2.2.2.6).
#[test]
fn findscu_finds_by_what_was_requested() {
    if !has("findscu") || !has("dcmodify") || !has("dcmdump") {
        return;
    }
    let world = world(Site::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requested.dcm");
    std::fs::copy(&formats(&["MR_small.dcm"])[0], &file).unwrap();
    let mut modify = Command::new("dcmodify");
    for (item, step, procedure) in [(0, "S1", "R1"), (1, "S2", "R2")] {
        let at = format!("(0040,0275)[{item}]");
        modify.args([
            "-i",
            &format!("{at}.(0040,0009)={step}"),
            "-i",
            &format!("{at}.(0040,1001)={procedure}"),
        ]);
    }
    assert!(modify.arg("-nb").arg(&file).status().unwrap().success());
    world.send(&file, "CT_1");
    let uid = b"1.3.6.1.4.1.5962.1.2.4.20040826185059.5457";
    assert!(read(&file).windows(uid.len()).any(|part| part == uid), "the study of the fixture");
    let study = format!("StudyInstanceUID={}", String::from_utf8_lossy(uid));
    let (step, procedure) = ("(0040,0275)[0].(0040,0009)", "(0040,0275)[0].(0040,1001)");
    for (keys, found) in [
        (vec![format!("{step}=S1")], 1),
        (vec![format!("{step}=S?"), format!("{procedure}=R2")], 1),
        (vec![format!("{step}=S1"), format!("{procedure}=R2")], 0),
        (vec![format!("{procedure}=")], 1),
    ] {
        let keys: Vec<&str> = [study.as_str(), "SeriesInstanceUID"]
            .into_iter()
            .chain(keys.iter().map(String::as_str))
            .collect();
        assert_eq!(world.find("-S", "SERIES", &keys).len(), found, "{keys:?}");
    }
    let answers = folder.path().join("answers");
    std::fs::create_dir(&answers).unwrap();
    let query = [
        "-X",
        "-od",
        answers.to_str().unwrap(),
        "-S",
        "-k",
        "QueryRetrieveLevel=SERIES",
        "-k",
        &study,
        "-k",
        procedure,
    ];
    assert!(world.dcmtk("findscu", "RAD", &query).status.success());
    let dump = Command::new("dcmdump").args(files(&answers)).output().unwrap();
    let dump = String::from_utf8_lossy(&dump.stdout);
    assert!(dump.contains("SH [R1]") && dump.contains("SH [R2]") && !dump.contains("SH [S1]"), "{dump}");
}

/// More answers than are written at once, and more than wait at a time.
#[test]
fn every_match_of_many_is_told() {
    if !has("findscu") {
        return;
    }
    let world = world(Site::new());
    let folder = tempfile::tempdir().unwrap();
    let file = read(&formats(&["CT_small.dcm"])[0]);
    let (own, other) = (b"20040119072730.12322\0", 500);
    for number in 0..other {
        let mut copy = file.clone();
        let new = format!("20040119072730.{:05}", 20_000 + number);
        // File meta and data set name the instance; the study and series end otherwise.
        let instance = b"1.3.6.1.4.1.5962.1.1.1.1.1.";
        while let Some(at) = copy
            .windows(instance.len() + own.len())
            .position(|part| part.starts_with(instance) && part[instance.len()..].starts_with(&own[..20]))
        {
            copy[at + instance.len()..][..20].copy_from_slice(new.as_bytes());
        }
        std::fs::write(folder.path().join(format!("{number}.dcm")), copy).unwrap();
    }
    world.send(folder.path(), "CT_1");
    let (study, series) = (format!("StudyInstanceUID={STUDY}"), "SeriesInstanceUID");
    let found = world.find("-S", "SERIES", &[&study, series]);
    let series = format!("{series}={}", found[0][&(0x0020, 0x000e)]);
    let found = world.find("-S", "IMAGE", &[&study, &series, "SOPInstanceUID"]);
    let uids: std::collections::BTreeSet<_> = found.iter().map(|keys| &keys[&(0x0008, 0x0018)]).collect();
    assert_eq!((found.len(), uids.len()), (501, 501));
}

#[test]
fn findscu_finds_by_patient() {
    if !has("findscu") {
        return;
    }
    let world = world(Site::new());
    let (study, series) = head_uids();
    let (study_key, series_key) =
        (format!("StudyInstanceUID={study}"), format!("SeriesInstanceUID={series}"));
    let head = world.find("-S", "STUDY", &[&study_key, "PatientID"]);
    let id = &head[0][&(0x0010, 0x0020)];
    let patient = format!("PatientID={id}");
    let patients = world.find("-P", "PATIENT", &["PatientID", "PatientName"]);
    assert_eq!(patients.len(), 2);
    assert!(patients.iter().any(|keys| keys[&(0x0010, 0x0020)] == *id), "{patients:?}");
    assert_eq!(world.find("-P", "PATIENT", &["PatientID=1C*"]).len(), 1);
    let studies = world.find("-P", "STUDY", &[&patient, "StudyInstanceUID"]);
    assert_eq!(studies.iter().map(|keys| &keys[&(0x0020, 0x000d)]).collect::<Vec<_>>(), [&study]);
    assert_eq!(world.find("-P", "SERIES", &[&patient, &study_key, "SeriesInstanceUID"]).len(), 1);
    let other = world.find("-P", "SERIES", &["PatientID=other", &study_key, "SeriesInstanceUID"]);
    assert!(other.is_empty(), "the study of another patient");
    assert_eq!(world.find("-P", "IMAGE", &[&patient, &study_key, &series_key, "SOPInstanceUID"]).len(), 28);
}

#[test]
fn identifiers_that_do_not_fit_are_answered_so() {
    let world = world(Site::new());
    let (study, _) = head_uids();
    let statuses = |root: &str, identifier: &Value| {
        let order = json!({"operation": "find", "root": root, "identifier": identifier});
        world.ask(&order).map(|told| told["responses"].clone())
    };
    for (root, identifier, expected) in [
        ("study", json!({"QueryRetrieveLevel": "PATIENT", "PatientID": "*"}), 0xA900),
        ("study", json!({"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": ""}), 0xA900),
        (
            "study",
            json!({"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": study, "SOPInstanceUID": ""}),
            0xA900,
        ),
        ("study", json!({"QueryRetrieveLevel": "", "StudyInstanceUID": ""}), 0xA900),
        ("patient", json!({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}), 0xA900),
        ("study", json!({"QueryRetrieveLevel": "STUDY", "StudyDate": "20201399"}), 0xC000),
    ] {
        let Some(responses) = statuses(root, &identifier) else { return };
        let responses = responses.as_array().unwrap().clone();
        assert_eq!(responses.len(), 1, "{identifier}");
        assert_eq!(responses[0]["status"], json!(expected), "{identifier}");
    }
    // A key that is not known is said so, and the rest is answered.
    let identifier = json!({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study, "Manufacturer": "GE"});
    let Some(responses) = statuses("study", &identifier) else { return };
    assert_eq!((&responses[0]["status"], &responses[1]["status"]), (&json!(0xFF01), &json!(0)));
}

#[test]
fn texts_are_matched_and_answered_in_the_character_set_of_the_request() {
    let world = world(Site::new());
    for name in ["charset/chrFren.dcm", "formats/chrGreek.dcm", "formats/chrX1.dcm"] {
        world.send(&testkit::samples::fixtures().join(name), "CT_1");
    }
    for (charset, name, answered) in [
        ("ISO_IR 100", "Buc^J\u{e9}r\u{f4}me", "ISO_IR 100"),
        ("ISO_IR 192", "Buc^J\u{e9}r\u{f4}me", "ISO_IR 192"),
        ("ISO_IR 192", "Wang^XiaoDong=*", "ISO_IR 192"),
        ("ISO_IR 126", "\u{394}\u{3b9}\u{3bf}\u{3bd}*", "ISO_IR 126"),
    ] {
        let identifier = json!({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "PatientName": name});
        let order = json!({"operation": "find", "identifier": identifier, "charset": charset});
        let Some(told) = world.ask(&order) else { return };
        let found = told["responses"].as_array().unwrap();
        assert_eq!(found.len(), 2, "{charset} {name}: {told}");
        let found = &found[0]["identifier"];
        assert_eq!(found["SpecificCharacterSet"], json!(answered));
        let begins = name.trim_end_matches(['*', '=']);
        assert!(found["PatientName"].as_str().unwrap().starts_with(begins), "{found}");
    }
}

#[test]
fn who_may_not_is_not_heard() {
    if !has("findscu") {
        return;
    }
    let world = world(Site::new());
    let level = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID"];
    let refused = |calling: &str, program: &str, arguments: &[&str]| {
        let output = world.dcmtk(program, calling, &[&level[..], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // What findscu and movescu say to that.
        let words = ["No Acceptable Presentation Contexts", "No valid Presentation Context"];
        assert!(words.iter().any(|words| text.contains(words)), "{program} {text}");
    };
    refused("CT_1", "findscu", &[]);
    refused("CT_1", "movescu", &["-aem", "RAD"]);
    world.site.run(&["centre", "ae", "north", "RAD", "--services", "query"]);
    assert!(world.dcmtk("findscu", "RAD", &level).status.success());
    refused("RAD", "movescu", &["-aem", "RAD"]);
    let shown = world.site.run(&["centre", "show", "north"]);
    assert!(shown.contains("RAD: from anywhere; with or without TLS; query; is not called"), "{shown}");
}

#[test]
fn a_process_that_gives_no_images_out_offers_nothing() {
    if !has("findscu") {
        return;
    }
    let site = Site::new();
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "RAD"]);
    site.run(&["centre", "ae", "north", "RAD", "--services", "query,retrieve"]);
    let serving = site.start(&["serve", "--roles", "intake,relay"], site.dicom);
    let world = World { site, _serving: serving };
    let output = world.dcmtk("findscu", "RAD", &["-S", "-k", "QueryRetrieveLevel=STUDY"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("No Acceptable Presentation Contexts"), "{text}");
}

#[test]
fn getscu_gets_what_is_stored() {
    if !has("getscu") {
        return;
    }
    let world = world(Site::new());
    let (study, series) = head_uids();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let get = |arguments: &[&str]| {
        for file in files(folder.path()) {
            std::fs::remove_file(file).unwrap();
        }
        let output = world.dcmtk("getscu", "RAD", &[&["-B", "-od", out], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        data_sets(files(folder.path()))
    };
    let head = data_sets(files(&head_ct()));
    let study_key = format!("StudyInstanceUID={study}");
    assert!(get(&["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", &study_key]) == head, "byte for byte");
    let series_key = format!("SeriesInstanceUID={series}");
    assert!(get(&["-S", "-k", "QueryRetrieveLevel=SERIES", "-k", &study_key, "-k", &series_key]) == head);
    let (one, bytes) = head.iter().next_back().unwrap();
    let image_key = format!("SOPInstanceUID={one}");
    let image =
        ["-S", "-k", "QueryRetrieveLevel=IMAGE", "-k", &study_key, "-k", &series_key, "-k", &image_key];
    assert!(get(&image) == BTreeMap::from([(one.clone(), bytes.clone())]));
    assert!(get(&["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3"]).is_empty());
    let all = get(&["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", &format!("{study_key}\\{STUDY}")]);
    assert_eq!(all.len(), 29);
}

#[test]
fn getscu_gets_compressed_objects_in_the_syntax_that_it_proposes() {
    if !has("getscu") {
        return;
    }
    let world = world(Site::new());
    let names = [
        "JPGLosslessP14SV1_1s_1f_8b.dcm",
        "US1_J2KR.dcm",
        "MR_small_RLE.dcm",
        "CT0012.fragmented_no_bot_jpeg_ls.80.dcm",
    ];
    for (file, option) in formats(&names).into_iter().zip(["+xs", "+xv", "+xr", "+xt"]) {
        world.send(&file, "CT_1");
        let sent = data_sets([file.clone()]);
        let (uid, _) = sent.iter().next().unwrap();
        let study = study_of(&file);
        let folder = tempfile::tempdir().unwrap();
        let arguments = [
            "-B",
            option,
            "-od",
            folder.path().to_str().unwrap(),
            "-S",
            "-k",
            "QueryRetrieveLevel=STUDY",
            "-k",
            &format!("StudyInstanceUID={study}"),
        ];
        let output = world.dcmtk("getscu", "RAD", &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // getscu writes sequences of its own; what it leaves as it came are the pixels.
        assert!(pixels(&data_sets(files(folder.path()))[uid]) == pixels(&sent[uid]), "{}", file.display());
    }
}

/// The Pixel Data element and what follows it.
fn pixels(data_set: &[u8]) -> &[u8] {
    let at = data_set.windows(4).rposition(|tag| tag == [0xe0, 0x7f, 0x10, 0]).unwrap();
    &data_set[at..]
}

pub fn study_of(file: &Path) -> String {
    let file = read(file);
    let sniffed = imaging::sniff::part10(&file, true);
    let imaging::sniff::Sniffed::DataSet(place) = sniffed else { panic!("{sniffed:?}") };
    let guarded = imaging::guard::GuardedHeader::of(&file[place.at..], &place.transfer_syntax).unwrap();
    imaging::header::Header::read(&guarded).unwrap().study_uid.to_string()
}

#[test]
fn movescu_moves_to_dcmtks_server() {
    if !has("movescu") {
        return;
    }
    let world = world(Site::new());
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    world.site.run(&["centre", "ae", "north", "DEST", "--address", &address]);
    let arguments = ["-B", "+xa", "-aet", "DEST", "-od", folder.path().to_str().unwrap(), &port.to_string()];
    let _storing = Running::start(&world.site, Command::new("storescp").args(arguments), port);
    let study_key = format!("StudyInstanceUID={}", head_uids().0);
    let arguments = ["-S", "-aem", "DEST", "-k", "QueryRetrieveLevel=STUDY", "-k", &study_key];
    let output = world.dcmtk("movescu", "RAD", &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(data_sets(files(folder.path())) == data_sets(files(&head_ct())), "byte for byte");
    let trail = world.trail(&head_uids().0);
    assert!(trail.contains(&format!("C-MOVE of 28 images to DEST at {address}")), "{trail}");
}

#[test]
fn objects_are_moved_over_tls() {
    if !has("movescu") {
        return;
    }
    let site = Site::new();
    let authority = Authority::new(site.folder.path(), "authority");
    let (certificate, key) = authority.issue("server", 30);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let site = site
        .with("INTAKE__TLS__LISTEN", format!("127.0.0.1:{}", free_port()))
        .with("INTAKE__TLS__CERTIFICATE", text(&certificate))
        .with("INTAKE__TLS__KEY", text(&key))
        .with("INTAKE__TLS__AUTHORITIES", text(&authority.file()));
    let world = world(site);
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    world.site.run(&[
        "centre",
        "ae",
        "north",
        "DEST",
        "--address",
        &format!("127.0.0.1:{port}"),
        "--address-tls",
    ]);
    let (certificate, key) = authority.issue("pacs", 30);
    let mut command = Command::new("storescp");
    command.args(["-B", "+xa", "+tls"]).args([&key, &certificate]).arg("+cf").arg(authority.file());
    command.args(["-od", folder.path().to_str().unwrap(), &port.to_string()]);
    let _storing = Running::start(&world.site, &mut command, port);
    let study_key = format!("StudyInstanceUID={}", head_uids().0);
    let arguments = ["-S", "-aem", "DEST", "-k", "QueryRetrieveLevel=STUDY", "-k", &study_key];
    let output = world.dcmtk("movescu", "RAD", &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(data_sets(files(folder.path())) == data_sets(files(&head_ct())), "byte for byte");
}
