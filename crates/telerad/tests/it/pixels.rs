//! A decoder that crashes, hangs or eats memory, behind the real server: one request is harmed, and nothing else.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::server::Site;

/// What the worker of these tests does with a frame that begins so.
const UNRULY: [(&[u8; 8], &str); 5] = [
    (b"\0UNRULY1", "aborts"),
    (b"\0UNRULY2", "hangs"),
    (b"\0UNRULY3", "eats memory"),
    (b"\0UNRULY4", "panics"),
    (b"\0UNRULY5", "opens a file"),
];

/// Most that the server may grow by while all of this goes on, in KiB.
const GROWTH_KIB_MAX: u64 = 64 << 10;

/// A worker that does what a frame asks of it, in the place of the product's own.
fn unruly_worker() -> PathBuf {
    let program =
        PathBuf::from(env!("CARGO_BIN_EXE_telerad")).with_file_name("examples").join("unruly-worker");
    assert!(program.is_file(), "{} is built with the tests: cargo build --examples", program.display());
    program
}

/// A slice of the head with UIDs of its own, whose pixels begin with so many bytes.
fn slice(beginning: &[u8], number: usize) -> Vec<u8> {
    let mut file = std::fs::read(testkit::samples::fixtures().join("ct-head-ge-28/14.dcm")).unwrap();
    let pixels = 512 * 512 * 2;
    let at = file.len() - pixels;
    file[at..at + beginning.len()].copy_from_slice(beginning);
    let object = dicom_object::from_reader(std::io::Cursor::new(&file)).unwrap();
    let uid = object.element(dicom_core::Tag(0x0008, 0x0018)).unwrap().to_str().unwrap().into_owned();
    let uid = uid.trim_end_matches('\0').as_bytes();
    // The last digits of the SOP Instance UID, in file meta and data set alike.
    let own = format!("{:03}", 900 + number);
    let places: Vec<usize> =
        file.windows(uid.len()).enumerate().filter(|(_, w)| *w == uid).map(|(i, _)| i).collect();
    for place in places {
        let end = place + uid.len();
        file[end - 3..end].copy_from_slice(own.as_bytes());
    }
    file
}

fn memory_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processes that work for another.
fn children(process: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.map(|list| list.split_whitespace().count()).sum()
}

async fn stored(site: &Site, token: &str, file: Vec<u8>) -> String {
    let boundary = "between-parts";
    let body = [
        format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n").into_bytes(),
        file,
        format!("\r\n--{boundary}--\r\n").into_bytes(),
    ];
    let answer = reqwest::Client::new()
        .post(site.url("/dicomweb/studies"))
        .bearer_auth(token)
        .header("content-type", format!("multipart/related; type=\"application/dicom\"; boundary={boundary}"))
        .body(body.concat())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let told: serde_json::Value = answer.json().await.unwrap();
    let address = told["00081199"]["Value"][0]["00081190"]["Value"][0].as_str().unwrap().to_owned();
    address[address.find("/dicomweb").unwrap()..].to_owned()
}

async fn rendered(site: &Site, token: &str, path: &str) -> (u16, String) {
    let answer = reqwest::Client::new()
        .get(site.url(&format!("{path}/rendered?accept=image/png")))
        .bearer_auth(token)
        .timeout(Duration::from_secs(60))
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_gone_wild_harms_one_request() {
    let site = Site::new()
        .with("PIXELS__PROGRAM", unruly_worker().display().to_string())
        .with("PIXELS__WORKERS", "2")
        .with("PIXELS__SECONDS_MAX", "4")
        .with("PIXELS__MEMORY_BYTES", (300_u64 << 20).to_string());
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "CT_1"]);
    let token = site.token("north", "admin");
    let server = site.start(&["serve"], site.http);
    let good = stored(&site, &token, slice(b"", 0)).await;
    assert_eq!(rendered(&site, &token, &good).await.0, 200);
    let mut bad = Vec::new();
    for (number, (beginning, what)) in UNRULY.into_iter().enumerate() {
        bad.push((stored(&site, &token, slice(beginning, number + 1)).await, what));
    }
    let before = memory_kib(server.id());
    for (path, what) in &bad {
        let harmed = rendered(&site, &token, path);
        // Beside it, others get their pictures, and a frame needs no decoder at all.
        let beside = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..5 {
                let began = Instant::now();
                assert_eq!(rendered(&site, &token, &good).await.0, 200, "beside one that {what}");
                slowest = slowest.max(began.elapsed());
            }
            slowest
        };
        let ((status, body), slowest) = tokio::join!(harmed, beside);
        assert_eq!(status, 422, "{what}: {body}");
        assert!(body.contains("\"not_shown\"") && body.contains("as it is stored"), "{what}: {body}");
        eprintln!("{what}: {body}; the slowest beside it took {slowest:?}");
        assert_eq!(rendered(&site, &token, &good).await.0, 200, "after one that {what}");
    }
    let after = memory_kib(server.id());
    assert!(after < before + GROWTH_KIB_MAX, "the server grew from {before} to {after} KiB");
    assert!(children(server.id()) <= 2, "{} processes work on pixels", children(server.id()));
    let log = std::fs::read_to_string(site.log()).unwrap();
    let named = log.lines().filter(|line| line.contains("the pixels of an object are not decoded")).count();
    assert_eq!(named, UNRULY.len(), "{log}");
    assert!(log.lines().any(|line| line.contains("not decoded") && line.contains("sha256=")), "{log}");
    assert!(!log.contains("as confined as they could be"), "{log}");
    assert!(server.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_product_s_own_worker_is_found_and_confined() {
    let site = Site::new();
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "CT_1"]);
    let doctor = String::from_utf8(site.output(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("ok      pixel work: its processes start, and are confined"), "{doctor}");
    let token = site.token("north", "admin");
    let server = site.start(&["serve"], site.http);
    let path = stored(&site, &token, slice(b"", 0)).await;
    let (status, png) = rendered(&site, &token, &path).await;
    assert!(status == 200 && png.contains("PNG"), "{status}");
    assert_eq!(children(server.id()), 1);
    // A process whose parent is killed ends with it.
    let worker = worker_of(server.id());
    server.kill();
    let began = Instant::now();
    while std::path::Path::new(&format!("/proc/{worker}/exe")).exists() {
        assert!(began.elapsed() < crate::server::PATIENCE, "the worker lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The one child of a process.
fn worker_of(process: u32) -> u32 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let found = lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    found.map(|id| id.parse().unwrap()).next().unwrap()
}
