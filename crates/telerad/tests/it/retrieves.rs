//! What a C-GET and a C-MOVE say about themselves, as pynetdicom hears it: counts, statuses, lists of failures; cancelling, and
//! destinations that are away, unknown or unwilling. And Orthanc, which asks us as a peer and is a peer.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{
    clients::script,
    peers::{Running, World, data_sets, files, formats, has, head_uids, study_of, world},
    server::{Site, data_set, free_port, head_ct, named_by},
};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";

fn ask(world: &World, order: &Value) -> Option<Value> {
    let output = world.python(order)?.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    Some(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}")))
}

fn study(uid: &str) -> Value {
    json!({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid})
}

/// Status, completed, failed and warnings of the last response.
fn last(told: &Value) -> (u64, u64, u64, u64) {
    let last = told["responses"].as_array().unwrap().last().unwrap_or_else(|| panic!("no response: {told}"));
    let number = |name: &str| last[name].as_u64().unwrap_or(u64::MAX);
    (number("status"), number("completed"), number("failed"), number("warning"))
}

fn failed_list(told: &Value) -> Vec<String> {
    let last = told["responses"].as_array().unwrap().last().unwrap();
    match &last["identifier"]["FailedSOPInstanceUIDList"] {
        Value::Array(uids) => uids.iter().map(|uid| uid.as_str().unwrap().to_owned()).collect(),
        Value::String(uid) => vec![uid.clone()],
        _ => Vec::new(),
    }
}

#[test]
fn a_get_counts_down() {
    let world = world(Site::new());
    let folder = tempfile::tempdir().unwrap();
    let (uid, _) = head_uids();
    let order = json!({"operation": "get", "identifier": study(&uid), "folder": folder.path()});
    let Some(told) = ask(&world, &order) else { return };
    assert_eq!(last(&told), (0, 28, 0, 0));
    let responses = told["responses"].as_array().unwrap();
    let remaining: Vec<_> = responses.iter().filter_map(|response| response["remaining"].as_u64()).collect();
    assert_eq!(remaining, (0..28).rev().collect::<Vec<_>>(), "in each pending response");
    assert_eq!(responses.last().unwrap()["remaining"], Value::Null, "nothing remains at the end");
    let objects = told["objects"].as_array().unwrap();
    assert!(objects.iter().all(|object| object["syntax"] == EXPLICIT && object["originator"].is_null()));
    let got: std::collections::BTreeMap<_, _> = files(folder.path())
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    assert!(got == data_sets(files(&head_ct())), "byte for byte");
}

#[test]
fn a_get_tells_what_the_peer_refused_and_what_it_does_not_take() {
    let world = world(Site::new());
    let (uid, _) = head_uids();
    let all: Vec<String> = data_sets(files(&head_ct())).into_keys().collect();
    let statuses = json!({&all[0]: 0xA700, &all[1]: 0xB000, &all[2]: 0xC000});
    let order = json!({"operation": "get", "identifier": study(&uid), "statuses": statuses});
    let Some(told) = ask(&world, &order) else { return };
    assert_eq!(last(&told), (0xB000, 25, 2, 1));
    let mut failed = failed_list(&told);
    failed.sort();
    assert_eq!(failed, [all[0].clone(), all[2].clone()]);

    let order = json!({"operation": "get", "identifier": study(&uid), "contexts": {CT: [JPEG_LS]}});
    let told = ask(&world, &order).unwrap();
    assert_eq!(last(&told), (0xA702, 0, 28, 0), "no object can have that transfer syntax");
    assert_eq!(failed_list(&told).len(), 28);

    let told = ask(&world, &json!({"operation": "get", "identifier": study("1.2.3.4")})).unwrap();
    assert_eq!(last(&told), (0, 0, 0, 0), "nothing matches");
    for identifier in
        [json!({"QueryRetrieveLevel": "STUDY"}), json!({"QueryRetrieveLevel": "PATIENT", "PatientID": "1"})]
    {
        let told = ask(&world, &json!({"operation": "get", "identifier": identifier})).unwrap();
        assert_eq!(told["responses"][0]["status"], json!(0xA900), "{identifier}");
    }
}

/// Objects of every encoding, byte for byte where the peer takes it, and written anew or decoded where it takes another plain one.
#[test]
fn a_get_gives_every_encoding() {
    let world = world(Site::new());
    let names = [
        "CT_small.dcm",
        "CT1_UNC.implicit_little_endian.dcm",
        "ExplVR_BigEnd.dcm",
        "image_dfl",
        "JPGLosslessP14SV1_1s_1f_8b.dcm",
        "US1_J2KR.dcm",
        "MR_small_RLE.dcm",
        "CT0012.fragmented_no_bot_jpeg_ls.80.dcm",
        "test-SR.dcm",
    ];
    let samples = formats(&names);
    for file in &samples {
        world.send(file, "CT_1");
        let bytes = crate::server::read(file);
        let Ok(dimse::Split::Found(head)) = dimse::split_part10(&bytes, true) else { panic!("{file:?}") };
        let (class, stored) = (head.sop_class_uid.unwrap(), head.transfer_syntax_uid.unwrap());
        let uid = study_of(file);
        let get = |syntax: &str| {
            let folder = tempfile::tempdir().unwrap();
            let order = json!({"operation": "get", "identifier": study(&uid), "folder": folder.path(), "contexts": {&class: [syntax]}});
            let told = ask(&world, &order)?;
            Some((last(&told), files(folder.path()).first().map(|path| std::fs::read(path).unwrap())))
        };
        let Some((counts, got)) = get(&stored) else { return };
        assert_eq!(counts, (0, 1, 0, 0), "{}", file.display());
        let mut expected = data_set(&bytes).to_vec();
        // A deflated data set of odd length gets a byte on the wire (PS3.5 section A.5).
        expected.resize(expected.len().next_multiple_of(2), 0);
        assert!(got.unwrap() == expected, "byte for byte: {}", file.display());
        for plain in ["1.2.840.10008.1.2", EXPLICIT].into_iter().filter(|plain| *plain != stored) {
            let (counts, got) = get(plain).unwrap();
            let is_plain = !stored.starts_with("1.2.840.10008.1.2.4") && stored != "1.2.840.10008.1.2.5";
            // Pixels are decoded into explicit little endian alone.
            let can = is_plain || plain == EXPLICIT;
            assert_eq!(counts.0, if can { 0 } else { 0xA702 }, "{} in {plain}", file.display());
            if let Some(got) = got {
                compare(file, &got, plain);
            }
        }
    }
}

/// Every element of an object that was written anew is what pydicom reads of the original.
fn compare(original: &std::path::Path, data_set: &[u8], syntax: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("got");
    std::fs::write(&path, data_set).unwrap();
    let python = named_by("TELERAD_TEST_PYTHON").unwrap();
    let output = Command::new(python)
        .args([&script("pydicom_same.py"), original.to_str().unwrap(), path.to_str().unwrap(), syntax])
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} in {syntax}: {text}", original.display());
}

/// A CT with a large Pixel Data element.
fn large_ct(folder: &std::path::Path) -> std::path::PathBuf {
    let file = crate::server::read(&formats(&["CT_small.dcm"])[0]);
    let at = file.windows(8).position(|head| head == b"\xe0\x7f\x10\0OW\0\0").unwrap();
    let bytes: u32 = 9 << 20;
    let pixels: Vec<u8> = (0..bytes).map(|at| (at * 7 + at / 256) as u8).collect();
    let head = [&file[..at + 8], &bytes.to_le_bytes()].concat();
    let path = folder.join("large.dcm");
    std::fs::write(&path, [head, pixels].concat()).unwrap();
    path
}

#[test]
fn a_large_object_streams() {
    let site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let large = large_ct(folder.path());
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "CT_1", "--ae", "RAD"]);
    site.run(&["centre", "ae", "north", "RAD", "--services", "query,retrieve"]);
    let world = World { _serving: site.serve(), site };
    world.send(&large, "CT_1");
    let get = |syntax: &str| {
        let out = tempfile::tempdir().unwrap();
        let order = json!({"operation": "get", "identifier": study(&study_of(&large)), "folder": out.path(),
            "contexts": {CT: [syntax]}});
        let told = ask(&world, &order)?;
        Some((told, files(out.path()).first().map(|path| std::fs::read(path).unwrap())))
    };
    let Some((told, got)) = get(EXPLICIT) else { return };
    assert_eq!(last(&told), (0, 1, 0, 0));
    let file = crate::server::read(&large);
    assert!(got.unwrap() == data_set(&file), "byte for byte");
    let (told, got) = get("1.2.840.10008.1.2").unwrap();
    assert_eq!(last(&told), (0, 1, 0, 0));
    compare(&large, &got.unwrap(), "1.2.840.10008.1.2");

    // Where it turns out damaged on the way, the end of the association takes it back.
    damage(&world.site, data_set(&file));
    let (told, got) = get(EXPLICIT).unwrap();
    assert!(got.is_none() && told["objects"] == json!([]), "{told}");
    assert!(std::fs::read_to_string(world.site.log()).unwrap().contains("it is damaged"));
}

#[test]
fn what_is_under_way_is_cancelled() {
    let world = world(Site::new());
    let (uid, _) = head_uids();
    let order = json!({"operation": "get", "identifier": study(&uid), "cancel_after": 3, "delay": 0.2});
    let Some(told) = ask(&world, &order) else { return };
    let (status, completed, failed, _) = last(&told);
    assert_eq!((status, failed), (0xFE00, 0));
    assert!((3..28).contains(&completed), "{completed}");
    let responses = told["responses"].as_array().unwrap();
    assert_eq!(responses.last().unwrap()["remaining"], json!(28 - completed));

    let listen = free_port();
    world.site.run(&["centre", "ae", "north", "DEST", "--address", &format!("127.0.0.1:{listen}")]);
    let order = json!({"operation": "move", "identifier": study(&uid), "cancel_after": 2, "delay": 0.2,
        "destination": "DEST", "listen": listen});
    let told = ask(&world, &order).unwrap();
    let (status, completed, failed, _) = last(&told);
    assert_eq!((status, failed), (0xFE00, 0));
    assert!((2..28).contains(&completed), "{completed}");

    if has("findscu") {
        let (study, series) = head_uids();
        let output = world.dcmtk(
            "findscu",
            "RAD",
            &[
                "-v",
                "-S",
                "--cancel",
                "2",
                "-k",
                "QueryRetrieveLevel=IMAGE",
                "-k",
                &format!("StudyInstanceUID={study}"),
                "-k",
                &format!("SeriesInstanceUID={series}"),
                "-k",
                "SOPInstanceUID",
            ],
        );
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
    }
}

#[test]
fn a_move_says_who_asked_and_counts() {
    let world = world(Site::new());
    let (uid, _) = head_uids();
    let listen = free_port();
    world.site.run(&["centre", "ae", "north", "DEST", "--address", &format!("127.0.0.1:{listen}")]);
    let all: Vec<String> = data_sets(files(&head_ct())).into_keys().collect();
    let order = json!({"operation": "move", "root": "patient", "identifier": study(&uid), "destination": "DEST",
        "listen": listen, "statuses": {&all[4]: 0xA700}});
    let mut order = order;
    order["identifier"]["PatientID"] = json!(patient_of(&world, &uid));
    let Some(told) = ask(&world, &order) else { return };
    assert_eq!(last(&told), (0xB000, 27, 1, 0));
    assert_eq!(failed_list(&told), [all[4].clone()]);
    let objects = told["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 28);
    for object in objects {
        assert_eq!(
            (&object["originator"], &object["originator_id"], &object["calling"]),
            (&json!("RAD"), &json!(1), &json!("TELERAD"))
        );
    }
}

fn patient_of(world: &World, study_uid: &str) -> String {
    let mut identifier = study(study_uid);
    identifier["PatientID"] = json!("");
    let Some(told) = ask(world, &json!({"operation": "find", "identifier": identifier})) else {
        return String::new();
    };
    told["responses"][0]["identifier"]["PatientID"].as_str().unwrap().to_owned()
}

#[test]
fn a_destination_may_be_unknown_away_or_of_another_centre() {
    let world = world(Site::new());
    let (uid, _) = head_uids();
    let away = format!("127.0.0.1:{}", free_port());
    world.site.run(&["centre", "ae", "north", "AWAY", "--address", &away]);
    let order = |destination: &str| json!({"operation": "move", "identifier": study(&uid), "destination": destination});
    for (destination, expected) in [("NOBODY", 0xA801), ("DEST_S", 0xA801), ("CT_1", 0xA801)] {
        let Some(told) = ask(&world, &order(destination)) else { return };
        assert_eq!(told["responses"][0]["status"], json!(expected), "{destination}");
    }
    let told = ask(&world, &order("AWAY")).unwrap();
    assert_eq!(last(&told), (0xA702, 0, 28, 0));
    assert_eq!(failed_list(&told).len(), 28);
}

#[test]
fn a_destination_that_does_not_answer_is_given_up() {
    let world = world(Site::new().with("ARCHIVE__PEERS__ANSWER_SECONDS_MAX", "1"));
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    world.site.run(&["centre", "ae", "north", "DEST", "--address", &address]);
    let order = json!({"operation": "move", "identifier": study(&head_uids().0), "destination": "DEST"});
    let Some(told) = ask(&world, &order) else { return };
    assert_eq!(last(&told), (0xA702, 0, 28, 0));
    assert!(std::fs::read_to_string(world.site.log()).unwrap().contains("did not answer in time"));
}

#[test]
fn a_damaged_object_does_not_go_out() {
    let world = world(Site::new());
    let (uid, _) = head_uids();
    let whole = data_sets(files(&head_ct()));
    let (damaged, bytes) = whole.iter().nth(7).unwrap();
    damage(&world.site, bytes);
    let Some(told) = ask(&world, &json!({"operation": "get", "identifier": study(&uid)})) else { return };
    assert_eq!(last(&told), (0xB000, 27, 1, 0));
    assert_eq!(failed_list(&told), std::slice::from_ref(damaged));
    assert!(told["objects"].as_array().unwrap().iter().all(|object| object["uid"] != json!(damaged)));
}

/// Changes one byte of a stored object, wherever it rests.
fn damage(site: &Site, data_set: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let wanted = &data_set[data_set.len() - 4096..];
    for entry in walkdir::WalkDir::new(site.folder.path().join("data/objects")) {
        let path = entry.unwrap().into_path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        if let Some(at) = bytes.windows(wanted.len()).position(|part| part == wanted) {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[at + 2048] ^ 1], at as u64 + 2048).unwrap();
            return;
        }
    }
    panic!("the object is not stored");
}

#[test]
fn too_many_at_one_time_are_told_so() {
    let site =
        Site::new().with("ARCHIVE__PEERS__RETRIEVES_AT_ONCE", "1").with("ARCHIVE__PEERS__ANSWERS_MAX", "5");
    let world = world(site);
    let (uid, series) = head_uids();
    let slow = json!({"operation": "get", "identifier": study(&uid), "delay": 0.3});
    let Some(first) = world.python(&slow) else { return };
    let boss = world.site.person("boss", "admin", None);
    let trail = format!("/api/v1/studies/north/{uid}/trail");
    world.site.until("the first one is under way", || {
        boss.get(&trail).to_string().contains("C-GET of 28").then_some(())
    });
    assert!(boss.get("/api/v1/status").to_string().contains("archive.peers.retrieves_at_once"));
    let told = ask(&world, &json!({"operation": "get", "identifier": study(&uid)})).unwrap();
    assert_eq!(told["responses"][0]["status"], json!(0xA702));
    let output = first.wait_with_output().unwrap();
    assert_eq!(last(&serde_json::from_slice(&output.stdout).unwrap()), (0, 28, 0, 0));

    let identifier = json!({"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": uid, "SeriesInstanceUID": series, "SOPInstanceUID": ""});
    let told = ask(&world, &json!({"operation": "find", "identifier": identifier})).unwrap();
    let responses = told["responses"].as_array().unwrap();
    assert_eq!(
        (responses.len(), &responses[5]["status"]),
        (6, &json!(0xA700)),
        "five are given, and that there are more"
    );
}

/// Orthanc, whose modality `telerad` we are, and which is `ORTHANC` to us.
struct Orthanc {
    _running: Running,
    http: u16,
}

impl Orthanc {
    fn start(world: &World) -> Option<Self> {
        let program = named_by("TELERAD_TEST_ORTHANC")?;
        let (http, dicom) = (free_port(), free_port());
        world.site.run(&[
            "centre",
            "ae",
            "north",
            "ORTHANC",
            "--services",
            "storage,query,retrieve",
            "--address",
            &format!("127.0.0.1:{dicom}"),
        ]);
        let folder = world.site.folder.path().join("orthanc");
        std::fs::create_dir_all(&folder).unwrap();
        let settings = json!({
            "Name": "Orthanc", "StorageDirectory": folder.join("storage"), "IndexDirectory": folder.join("index"),
            "HttpPort": http, "DicomAet": "ORTHANC", "DicomPort": dicom, "RemoteAccessAllowed": false,
            "AuthenticationEnabled": false, "Plugins": [],
            "DicomModalities": {"telerad": {"AET": "TELERAD", "Host": "127.0.0.1", "Port": world.site.dicom, "AllowStore": true}},
        });
        let file = folder.join("orthanc.json");
        std::fs::write(&file, settings.to_string()).unwrap();
        let running =
            Running::start(&world.site, Command::new(program).arg(&file).stdin(Stdio::null()), http);
        Some(Self { _running: running, http })
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail-with-body", "-X", method]);
        if !body.is_null() {
            command.args(["--data-binary", &body.to_string()]);
        }
        let output = command.arg(format!("http://127.0.0.1:{}{path}", self.http)).output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    fn instances(&self) -> usize {
        self.send("GET", "/instances", &Value::Null).as_array().unwrap().len()
    }

    /// Queries us, and gives the path of what was found.
    fn query(&self, level: &str, query: &Value) -> String {
        let found = self.send("POST", "/modalities/telerad/query", &json!({"Level": level, "Query": query}));
        format!("/queries/{}", found["ID"].as_str().unwrap())
    }
}

#[test]
fn orthanc_queries_and_retrieves() {
    let world = world(Site::new());
    let Some(orthanc) = Orthanc::start(&world) else { return };
    let (uid, _) = head_uids();
    let echo = orthanc.send("POST", "/modalities/telerad/echo", &json!({}));
    assert_eq!(echo, json!({}));
    let found = orthanc.query("Study", &json!({"PatientName": "*", "StudyInstanceUID": ""}));
    assert_eq!(orthanc.send("GET", &format!("{found}/answers"), &Value::Null).as_array().unwrap().len(), 2);
    let found = orthanc.query("Study", &json!({"StudyInstanceUID": uid}));
    let content = orthanc.send("GET", &format!("{found}/answers/0/content?simplify"), &Value::Null);
    assert_eq!(content["StudyInstanceUID"], json!(uid));
    // C-MOVE to itself, which is a destination with an address.
    orthanc.send("POST", &format!("{found}/retrieve"), &json!({"TargetAet": "ORTHANC", "Synchronous": true}));
    assert_eq!(orthanc.instances(), 28);
    let series = orthanc.query("Series", &json!({"StudyInstanceUID": uid, "Modality": "CT"}));
    assert_eq!(orthanc.send("GET", &format!("{series}/answers"), &Value::Null).as_array().unwrap().len(), 1);

    // What it got is what was stored: data sets are compared, since it writes file meta of its own.
    let sent = data_sets(files(&head_ct()));
    for id in orthanc.send("GET", "/instances", &Value::Null).as_array().unwrap() {
        let url = format!("http://127.0.0.1:{}/instances/{}/file", orthanc.http, id.as_str().unwrap());
        let file = crate::server::curl(&[&url]);
        let Ok(dimse::Split::Found(head)) = dimse::split_part10(&file, true) else { panic!("{id}") };
        assert!(data_set(&file) == sent[&head.sop_instance_uid.unwrap()], "byte for byte");
    }
}

#[test]
fn orthanc_sends_what_it_has_and_finds_it_again() {
    let world = world(Site::new());
    let Some(orthanc) = Orthanc::start(&world) else { return };
    let file = &formats(&["US1_J2KR.dcm"])[0];
    let url = format!("http://127.0.0.1:{}/instances", orthanc.http);
    let stored = crate::server::curl(&["-X", "POST", "--data-binary", &format!("@{}", file.display()), &url]);
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    orthanc.send(
        "POST",
        "/modalities/telerad/store",
        &json!({"Resources": [stored["ID"]], "Synchronous": true}),
    );
    let uid = data_sets([file.clone()]).into_keys().next().unwrap();
    let content = orthanc.send(
        "GET",
        &format!("/instances/{}/simplified-tags", stored["ID"].as_str().unwrap()),
        &Value::Null,
    );
    let found = orthanc.query("Instance", &json!({
        "StudyInstanceUID": content["StudyInstanceUID"], "SeriesInstanceUID": content["SeriesInstanceUID"], "SOPInstanceUID": ""}));
    let answer = orthanc.send("GET", &format!("{found}/answers/0/content?simplify"), &Value::Null);
    assert_eq!(answer["SOPInstanceUID"], json!(uid));
}
