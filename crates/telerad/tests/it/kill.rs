//! kill -9 at any moment: nothing acknowledged is lost, and the journey ends once.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    journey::{STUDY, delivered, drafted, prepare, read_and_sign, send, study_path},
    server::{Process, Site, head_ct, read},
};

/// Kills of one test; `make soak` will do more.
const ROUNDS: u64 = 6;

/// Sends by dcmtk while the server is killed; what dcmtk was told is stored is there afterwards, byte-identical.
#[test]
fn what_was_acknowledged_survives_kill_nine() {
    if Command::new("storescu").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
        return;
    }
    let site = Site::new();
    prepare(&site);
    let token = site.token("north-clinic", "admin");
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let serving = site.serve();
        let sender = Command::new("storescu")
            .args(["-v", "-aet", "NORTH_CT", "-aec", "TELERAD", "+sd", "127.0.0.1", &site.dicom.to_string()])
            .arg(head_ct())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Each round ends at another point of the transfer: seeded, spread over what a transfer takes.
        std::thread::sleep(Duration::from_millis(40 + round * 170));
        serving.kill();
        let output = sender.wait_with_output().unwrap();
        let told =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        acknowledged.extend(successes(&told));
    }
    let _serving = site.serve();
    let mut files: Vec<_> =
        std::fs::read_dir(head_ct()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| acknowledged.contains(path.to_str().unwrap())) {
        let file = read(path);
        let imaging::sniff::Sniffed::DataSet(place) = imaging::sniff::part10(&file, true) else {
            panic!("{path:?}")
        };
        let guarded = imaging::guard::GuardedHeader::of(&file[place.at..], &place.transfer_syntax).unwrap();
        let header = imaging::header::Header::read(&guarded).unwrap();
        let url = site.url(&format!(
            "/dicomweb/studies/{STUDY}/series/{}/instances/{}",
            header.series_uid, header.sop_instance
        ));
        let stored = crate::server::curl(&[
            "-H",
            &format!("Authorization: Bearer {token}"),
            "-H",
            "Accept: application/dicom; transfer-syntax=*",
            &url,
        ]);
        assert!(crate::server::data_set(&stored) == &file[place.at..], "{path:?}");
    }
    assert!(!acknowledged.is_empty(), "no round got far enough to prove anything");
    assert!(site.run(&["verify"]).contains(" 0 are wrong"));
}

/// The files that storescu reports as stored.
fn successes(told: &str) -> Vec<String> {
    let mut file = None;
    let mut stored = Vec::new();
    for line in told.lines() {
        if let Some(path) = line.strip_prefix("I: Sending file: ") {
            file = Some(path.to_owned());
        }
        if line.starts_with("I: Received Store Response (Success)") {
            stored.extend(file.take());
        }
    }
    stored
}

/// The whole server dies again and again while the study is drafted, signed and mailed.
#[test]
fn the_journey_ends_once_whatever_dies() {
    let site = Site::new();
    prepare(&site);
    let mut serving = site.serve();
    send(&site);
    serving = again(&site, serving, 3, 60);
    let browser = site.reader();
    drafted(&site, &browser);
    serving = again(&site, serving, 1, 0);
    read_and_sign(&browser, "No intracranial haemorrhage.");
    serving = again(&site, serving, 5, 120);
    delivered(&site, &browser);
    // The PDF is the last thing that the notifier makes of a signature.
    site.until("the PDF is made", || {
        let (status, _) = browser.send("GET", &study_path("/versions/1/report.pdf"), None);
        (status == 200).then_some(())
    });
    let mails = browser.get("/api/v1/mailbox");
    assert_eq!(mails["mails"].as_array().unwrap().len(), 1, "one mail per version and recipient");
    let study = browser.get(&study_path(""));
    assert_eq!(study["versions"].as_array().unwrap().len(), 1);
    assert_eq!(study["deliveries"].as_array().unwrap().len(), 1);
    let trail = browser.get(&study_path("/trail"));
    let drafts =
        trail["events"].as_array().unwrap().iter().filter(|event| event["action"] == "drafted").count();
    assert_eq!(drafts, 1, "one draft per image set");
    drop(serving);
}

/// Kills and starts, a number of times, each time a little later after the start.
fn again(site: &Site, mut serving: Process, times: u64, step: u64) -> Process {
    for time in 0..times {
        std::thread::sleep(Duration::from_millis(time * step));
        serving.kill();
        serving = site.serve();
    }
    serving
}
