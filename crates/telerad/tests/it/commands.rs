//! Settings and commands.

use crate::server::{Site, head_ct};

/// The example names every section, and nothing that does not exist.
#[test]
fn the_example_configuration_is_read() {
    let example = testkit::samples::workspace().join("deploy/config.example.toml");
    let site = Site::new();
    let output = site.output(&["--config", example.to_str().unwrap(), "doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("ok      settings"), "{text}");
}

#[test]
fn unknown_settings_are_refused_by_name() {
    let site = Site::new().with("HTTP__COLOUR", "red");
    let output = site.output(&["centre", "list"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("colour"), "{text}");
}

#[test]
fn doctor_is_content_with_the_defaults_and_names_what_is_not_there() {
    let site = Site::new();
    let output = site.output(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for expected in ["ok      catalog", "ok      object store", "ok      broker", "telerad centre add"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let site = Site::new()
        .with("BROKER__KIND", "rabbitmq")
        .with("BROKER__URL", format!("amqp://guest:guest@127.0.0.1:{}/%2f", crate::server::free_port()));
    let output = site.output(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("PROBLEM") && text.contains("RabbitMQ"), "{text}");
}

#[test]
fn send_says_what_became_of_each_file() {
    let site = Site::new();
    site.run(&["centre", "add", "North Clinic", "--ae", "NORTH_CT"]);
    let serving = site.serve();
    let to = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    let folder = head_ct();
    let folder = folder.to_str().unwrap();

    let output = site.output(&["send", "--to", &to, "--calling", "STRANGER", folder]);
    assert_eq!(output.status.code(), Some(4), "an unknown calling AE title is refused");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("0 of 28 images stored"), "{text}");

    let text = site.run(&["send", "--to", &to, "--calling", "NORTH_CT", folder]);
    assert!(text.contains("28 of 28 images stored (1 study"), "{text}");
    let text = site.run(&["send", "--to", &to, "--calling", "NORTH_CT", folder]);
    assert!(text.contains("28 of 28 images stored"), "the same again is success: {text}");

    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("notes.txt"), "hello").unwrap();
    let output = site.output(&["send", "--to", &to, empty.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));

    let web = site.url("/dicomweb");
    let token = site.token("north-clinic", "centre");
    let text = site.run(&["send", "--to", &web, "--token", &token, folder]);
    assert!(text.contains("28 of 28 images stored"), "{text}");
    let output = site.output(&["send", "--to", &web, "--token", "telerad_wrong", folder]);
    assert_eq!(output.status.code(), Some(4));

    let text = site.run(&["verify"]);
    assert!(text.contains("28 objects") && text.contains(" 0 are wrong"), "{text}");
    assert!(serving.stop(), "a signal drains");
}

#[test]
fn a_dry_run_says_what_would_be_sent_and_connects_to_nobody() {
    let site = Site::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "hello").unwrap();
    let paths = [head_ct(), folder.path().to_owned()];
    let [images, notes] = paths.each_ref().map(|path| path.to_str().unwrap());

    for to in [format!("dicom://{address}/TELERAD"), format!("http://{address}/dicomweb")] {
        let text = site.run(&["send", "--dry-run", "--to", &to, images, notes]);
        assert!(text.contains("Would send 1 study: "), "{text}");
        assert!(text.contains(" 28 images, ") && text.contains("; 1 other files left out."), "{text}");
        assert!(text.contains("notes.txt (is not a DICOM file)"), "{text}");
        assert!(text.contains(&format!("Study {}: ", crate::journey::STUDY)), "{text}");
        let connected = listener.accept().map_err(|error| error.kind());
        assert_eq!(connected.unwrap_err(), std::io::ErrorKind::WouldBlock, "nobody is connected to");

        let output = site.output(&["send", "--dry-run", "--to", &to, notes]);
        assert_eq!(output.status.code(), Some(3), "nothing to send");
    }
    let output = site.output(&["send", "--dry-run", "--to", "nowhere", images]);
    assert_eq!(output.status.code(), Some(2), "a wrong address is seen in a dry run too");
}

#[test]
fn verify_finds_a_changed_byte_and_rebuild_takes_objects_back() {
    let site = Site::new();
    site.run(&["centre", "add", "North Clinic", "--accept-any-ae"]);
    let serving = site.serve();
    let to = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    site.run(&["send", "--to", &to, head_ct().to_str().unwrap()]);
    assert!(serving.stop());

    let data = site.folder.path().join("data");
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    let text = site.run(&["rebuild"]);
    assert!(text.contains("28 images were taken back, 0 were known, 0 cannot be used"), "{text}");
    let text = site.run(&["rebuild"]);
    assert!(text.contains("0 images were taken back, 28 were known"), "{text}");

    let object = walkdir::WalkDir::new(data.join("objects/.packs"))
        .into_iter()
        .map(Result::unwrap)
        .find(|entry| entry.file_type().is_file())
        .unwrap();
    let mut bytes = std::fs::read(object.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(object.path(), bytes).unwrap();
    let output = site.output(&["verify"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && text.contains("it is not what was stored"), "{text}");
}

#[test]
fn an_order_from_the_command_line_finds_its_study() {
    let site = Site::new();
    site.run(&["centre", "add", "North Clinic", "--accept-any-ae"]);
    let csv = site.folder.path().join("orders.csv");
    std::fs::write(
        &csv,
        "accession_number,patient_id,priority,physician_name,physician_email\n\
         A1,QMNx85rKkkg,stat,Dr Jane Doe,jane@practice.example\n\
         ,p2,routine,,\n",
    )
    .unwrap();
    let output = site.output(&["order", "import", "--centre", "north-clinic", csv.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("1 orders kept") && text.contains("1 lines refused"), "{text}");
    let physicians = site.run(&["physician", "list", "--centre", "north-clinic"]);
    assert!(physicians.contains("Jane Doe") && physicians.contains("jane@practice.example"), "{physicians}");
}

/// Two steps out, one back, and what is on the list between them; each step has its line of the audit.
#[test]
fn a_study_goes_and_comes_back_at_the_command_line() {
    let site = Site::new();
    site.run(&["centre", "add", "North Clinic", "--ae", "NORTH_CT"]);
    site.run(&["centre", "add", "South Clinic", "--id", "south"]);
    let serving = site.serve();
    crate::journey::send(&site);
    let study = crate::journey::STUDY;
    let take_out = ["study", "take-out", study, "--centre", "north-clinic"];
    let fails = |arguments: &[&str], code: i32, expected: &str| {
        let output = site.output(arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        said
    };
    assert!(site.run(&["study", "taken-out"]).contains("No study is taken out."));

    // The first step only shows, whether there is a reason or not.
    let shown = fails(&take_out, 1, "Nothing was taken out");
    assert!(shown.contains("28 images in 1 series"), "{shown}");
    fails(&[&take_out[..], &["--reason", "By mistake."]].concat(), 1, "Nothing was taken out");
    let code = shown.split("--confirm ").nth(1).unwrap().split(' ').next().unwrap();
    let confirmed = |code, reason| [&take_out[..], &["--confirm", code, "--reason", reason]].concat();
    fails(&confirmed("000000000000", "By mistake."), 1, "its images are not those that were shown");
    fails(&confirmed(code, " "), 1, "a reason has 1 to 500 characters");
    fails(&[&take_out[..], &["--confirm", code]].concat(), 2, "--reason");
    fails(&["study", "take-out", study, "--centre", "south"], 1, "there is no such study");
    fails(&["study", "take-out", "head", "--centre", "south"], 1, "no Study Instance UID");
    let browser = site.reader();
    browser.post(&crate::journey::study_path("/claim"), &serde_json::json!({"action": "take"}));
    fails(&confirmed(code, "By mistake."), 1, "a reader holds it; ask them to give it back, or wait until");
    browser.post(&crate::journey::study_path("/claim"), &serde_json::json!({"action": "release"}));

    let text = site.run(&confirmed(code, "Sent by\nmistake."));
    assert!(text.contains("The study is out of sight, with 28 images"), "{text}");
    assert_eq!(browser.send("GET", &crate::journey::study_path(""), None).0, 404);
    fails(&take_out, 1, "there is no such study");
    let listed = site.run(&["study", "taken-out", "--centre", "north-clinic"]);
    for expected in [study, "QMNx85rKkkg", "by operator: Sent by mistake.", "; 0 images refused since"] {
        assert!(listed.contains(expected), "{expected} in {listed}");
    }
    assert!(site.run(&["study", "taken-out", "--centre", "south"]).contains("No study is taken out."));

    let bring_back = ["study", "bring-back", study, "--centre", "north-clinic"];
    site.run(&bring_back);
    fails(&bring_back, 1, "no such study was taken out");
    let trail = browser.get(&crate::journey::study_path("/trail"));
    let by_operator: Vec<_> = trail["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["actor"] == "operator at the command line")
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(by_operator, ["study_taken_out", "study_brought_back"], "{trail}");
    assert!(!trail.to_string().contains("mistake"), "the reason may name a patient: {trail}");
    assert!(serving.stop());
    let logged = std::fs::read_to_string(site.log()).unwrap();
    assert!(!logged.contains("mistake") && !logged.contains("QMNx85rKkkg"), "nor does it stand in a log");
}
