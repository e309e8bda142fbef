//! Uploads: tus with other people's clients, archives of every kind, what is told afterwards, kill -9, and the page in a browser.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::server::{Browser, Site, data_set, head_ct, named_by, read};

const BATCH: &str = "0197a5e0-0000-7000-8000-000000000001";

/// An answer to curl.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.head.lines().filter_map(|line| line.split_once(": "));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next_back()
    }

    fn offset(&self) -> u64 {
        self.header("upload-offset").unwrap().parse().unwrap()
    }
}

/// A client that shows a token.
struct Client<'a> {
    site: &'a Site,
    token: String,
}

impl Client<'_> {
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&[u8]>) -> Answer {
        let mut command = Command::new("curl");
        let token = format!("Authorization: Bearer {}", self.token);
        command.args(["-sS", "-i", "-H", &token, "-H", "Expect:"]);
        match method {
            "HEAD" => command.arg("-I"),
            _ => command.args(["-X", method]),
        };
        if !headers.iter().any(|header| header.starts_with("Tus-Resumable")) {
            command.args(["-H", "Tus-Resumable: 1.0.0"]);
        }
        for header in headers {
            command.args(["-H", header]);
        }
        if body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        let url = self.site.url(path);
        let mut child = command
            .arg(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body.unwrap_or_default()).unwrap();
        let text = String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn create(&self, bytes: usize, name: &str) -> Answer {
        let (length, told) = (format!("Upload-Length: {bytes}"), metadata(name));
        self.ask("POST", "/api/v1/uploads", &[&length, &told], None)
    }

    fn patch(&self, path: &str, offset: u64, body: &[u8]) -> Answer {
        let offset = format!("Upload-Offset: {offset}");
        self.ask("PATCH", path, &[&offset, "Content-Type: application/offset+octet-stream"], Some(body))
    }

    fn send(&self, file: &[u8], name: &str) -> String {
        let created = self.create(file.len(), name);
        assert_eq!(created.status, 201, "{}{}", created.head, created.body);
        let path = created.header("location").unwrap().to_owned();
        assert_eq!(self.patch(&path, 0, file).status, 204);
        path
    }

    /// The batch of these tests, once nothing of it is on the way.
    fn settled(&self) -> Value {
        self.site.until("all uploads are taken in", || {
            let answer = self.ask("GET", "/api/v1/uploads", &[], None);
            let view: Value = serde_json::from_str(&answer.body).unwrap();
            let batch = view["batches"].as_array()?.iter().find(|batch| batch["id"] == BATCH)?.clone();
            (batch["waiting"] == 0 && batch["arriving"] == 0).then_some(batch)
        })
    }
}

fn metadata(name: &str) -> String {
    format!("Upload-Metadata: filename {},batch {}", base64(name), base64(BATCH))
}

pub fn base64(text: &str) -> String {
    let mut child =
        Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn images() -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(head_ct()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn site() -> Site {
    let site = Site::new();
    site.run(&["centre", "add", "North Clinic", "--quiet-period", "1"]);
    site.run(&["centre", "add", "South Clinic", "--quiet-period", "1"]);
    site
}

fn client<'a>(site: &'a Site, centre: &str) -> Client<'a> {
    Client { site, token: site.token(centre, "centre") }
}

fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name).to_str().unwrap().to_owned()
}

/// Instances that are stored of the head CT, byte-identical.
fn assert_stored(client: &Client<'_>, files: &[PathBuf]) {
    let token = format!("Authorization: Bearer {}", client.token);
    for path in files {
        let file = read(path);
        let place = match imaging::sniff::part10(&file, true) {
            imaging::sniff::Sniffed::DataSet(place) => place,
            other => panic!("{other:?}"),
        };
        let guarded = imaging::guard::GuardedHeader::of(&file[place.at..], &place.transfer_syntax).unwrap();
        let header = imaging::header::Header::read(&guarded).unwrap();
        let url = client.site.url(&format!(
            "/dicomweb/studies/{}/series/{}/instances/{}",
            header.study_uid, header.series_uid, header.sop_instance
        ));
        let stored =
            crate::server::curl(&["-H", &token, "-H", "Accept: application/dicom; transfer-syntax=*", &url]);
        assert!(data_set(&stored) == data_set(&file), "{}", path.display());
    }
}

#[test]
fn tus_is_spoken_to_the_letter() {
    let site = site().with("INTAKE__UPLOAD__UPLOAD_BYTES_MAX", "2000000");
    let _serving = site.serve();
    let (north, south) = (client(&site, "north-clinic"), client(&site, "south-clinic"));
    let options = north.ask("OPTIONS", "/api/v1/uploads", &[], None);
    assert_eq!((options.status, options.header("tus-max-size")), (204, Some("2000000")));
    assert!(options.header("tus-extension").unwrap().contains("creation-with-upload"));
    let old = north.ask("POST", "/api/v1/uploads", &["Tus-Resumable: 0.2.2", "Upload-Length: 1"], None);
    assert_eq!((old.status, old.header("tus-version")), (412, Some("1.0.0")));
    assert_eq!(north.ask("POST", "/api/v1/uploads", &[], None).status, 400, "without a length");
    let large = north.create(2_000_001, "large");
    assert_eq!(large.status, 413);
    assert!(large.body.contains("next_step"), "{}", large.body);

    let created = north.create(10, "ten");
    assert_eq!((created.status, created.offset(), created.header("tus-resumable")), (201, 0, Some("1.0.0")));
    assert!(created.header("upload-expires").unwrap().ends_with("GMT"));
    let path = created.header("location").unwrap().to_owned();
    assert_eq!(north.patch(&path, 0, b"abc").offset(), 3);
    let wrong = north.patch(&path, 5, b"abc");
    assert_eq!(wrong.status, 409, "{}", wrong.body);
    let untyped = north.ask("PATCH", &path, &["Upload-Offset: 3", "Content-Type: text/plain"], Some(b"abc"));
    assert_eq!(untyped.status, 415);
    assert_eq!(north.patch(&path, 3, b"more than fits").status, 413);
    let head = north.ask("HEAD", &path, &[], None);
    assert_eq!((head.status, head.offset(), head.header("upload-length")), (200, 3, Some("10")));
    assert_eq!(head.header("cache-control"), Some("no-store"));

    let checked = |sum: &str| {
        let sum = format!("Upload-Checksum: sha1 {sum}");
        let kind = "Content-Type: application/offset+octet-stream";
        north.ask("PATCH", &path, &["Upload-Offset: 3", kind, &sum], Some(b"def"))
    };
    assert_eq!(checked("AAAAAAAAAAAAAAAAAAAAAAAAAAA=").status, 460);
    assert_eq!(north.ask("HEAD", &path, &[], None).offset(), 3, "none of it is kept");
    assert_eq!(checked("WJwiM1o4HxItEpIl9cC6MFbtWBE=").offset(), 6);
    let posted = [
        "X-HTTP-Method-Override: PATCH",
        "Upload-Offset: 6",
        "Content-Type: application/offset+octet-stream",
    ];
    assert_eq!(north.ask("POST", &path, &posted, Some(b"g")).offset(), 7, "where PATCH is not let through");

    let unknown = format!("/api/v1/uploads/{BATCH}");
    for method in ["HEAD", "PATCH", "DELETE"] {
        let headers = ["Upload-Offset: 0", "Content-Type: application/offset+octet-stream"];
        let (theirs, nobody) =
            (south.ask(method, &path, &headers, None), south.ask(method, &unknown, &headers, None));
        assert_eq!((theirs.status, &theirs.body), (404, &nobody.body), "{method}");
        assert_eq!(nobody.status, 404);
    }
    let foreign = south.ask("GET", "/api/v1/uploads?centre=north-clinic", &[], None);
    let nobody = south.ask("GET", "/api/v1/uploads?centre=nowhere", &[], None);
    assert_eq!((foreign.status, &foreign.body), (404, &nobody.body));
    assert_eq!(south.ask("GET", "/api/v1/centres/north-clinic/studies", &[], None).status, 404);
    let joined = south.ask("POST", "/api/v1/uploads", &["Upload-Length: 1", &metadata("x")], None);
    assert_eq!(joined.status, 404, "another centre's batch is not joined");
    let reader = Client { site: &site, token: site.token("north-clinic", "reader") };
    assert_eq!(reader.create(1, "x").status, 403);

    assert_eq!(north.ask("DELETE", &path, &[], None).status, 204);
    for method in ["HEAD", "DELETE"] {
        assert_eq!(north.ask(method, &path, &[], None).status, 410, "{method}");
    }
}

#[test]
fn what_ran_out_is_gone_and_room_is_bounded() {
    let site =
        site().with("INTAKE__UPLOAD__EXPIRE_HOURS", "0").with("INTAKE__UPLOAD__CENTRE_BYTES_MAX", "1000");
    let _serving = site.serve();
    let (north, south) = (client(&site, "north-clinic"), client(&site, "south-clinic"));
    let path = north.create(900, "a").header("location").unwrap().to_owned();
    let full = north.create(200, "b");
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")), "{}", full.body);
    let theirs = south.ask("POST", "/api/v1/uploads", &["Upload-Length: 900"], None);
    assert_eq!(theirs.status, 201, "others have room");
    assert_eq!(north.ask("HEAD", &path, &[], None).status, 410);
    assert_eq!(north.create(200, "b").status, 201, "what is gone leaves its room");
}

/// Sends the first bytes of a PATCH and breaks the connection.
fn cut_off(site: &Site, client: &Client<'_>, path: &str, offset: u64, whole: &[u8], bytes: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", site.http)).unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        client.token,
        whole.len() as u64 - offset
    );
    stream.write_all(head.as_bytes()).unwrap();
    let from = usize::try_from(offset).unwrap();
    stream.write_all(&whole[from..from + bytes]).unwrap();
    // The server may answer nothing before the last byte; what it read is asked for afterwards.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_cut_in_mid_chunk_loses_nothing_that_was_said() {
    let site = site();
    let mut serving = Some(site.serve());
    let north = client(&site, "north-clinic");
    let path = &images()[0];
    let whole = read(path);
    let upload = north.create(whole.len(), "IM1").header("location").unwrap().to_owned();
    let half = whole.len() / 2;
    cut_off(&site, &north, &upload, 0, &whole, half);
    let said = north.ask("HEAD", &upload, &[], None).offset();
    assert_eq!(said, half as u64, "what came before the cut is kept");
    if let Some(serving) = serving.take() {
        serving.kill();
    }
    serving = Some(site.serve());
    assert_eq!(north.ask("HEAD", &upload, &[], None).offset(), said, "also after kill -9");
    cut_off(&site, &north, &upload, said, &whole, 1000);
    let said = north.ask("HEAD", &upload, &[], None).offset();
    let done = north.patch(&upload, said, &whole[usize::try_from(said).unwrap()..]);
    assert_eq!((done.status, done.offset()), (204, whole.len() as u64));
    let batch = north.settled();
    assert_eq!((&batch["studies"][0]["stored"], &batch["not_stored"]), (&1.into(), &0.into()), "{batch}");
    assert_eq!(
        north.ask("HEAD", &upload, &[], None).offset(),
        whole.len() as u64,
        "it is still known as whole"
    );
    assert_eq!(north.ask("DELETE", &upload, &[], None).status, 409);
    assert_stored(&north, std::slice::from_ref(path));
    let rest = std::fs::read_dir(site.folder.path().join("data/uploads")).unwrap();
    let rest: Vec<_> =
        rest.map(|entry| entry.unwrap().file_name()).filter(|name| *name != "spool.id").collect();
    assert_eq!(rest, ["spool.lock"], "nothing is left behind");
    drop(serving);
}

#[test]
fn one_request_is_enough_for_a_small_file() {
    let site = site();
    let _serving = site.serve();
    let north = client(&site, "north-clinic");
    let path = &images()[1];
    let whole = read(path);
    let length = format!("Upload-Length: {}", whole.len());
    let headers = [length.as_str(), &metadata("IM1"), "Content-Type: application/offset+octet-stream"];
    for (stored, already) in [(1, 0), (1, 1)] {
        let made = north.ask("POST", "/api/v1/uploads", &headers, Some(&whole));
        assert_eq!((made.status, made.offset()), (201, whole.len() as u64));
        let study = north.settled()["studies"][0].clone();
        assert_eq!((&study["stored"], &study["already_stored"]), (&stored.into(), &already.into()));
    }
    for (name, content) in [("AUTORUN.INF", &b"[autorun]"[..]), ("IM2", b"\x01\x02\x03\0damaged")] {
        north.send(content, name);
    }
    let batch = north.settled();
    assert_eq!((&batch["not_images"], &batch["not_stored"]), (&1.into(), &1.into()), "{batch}");
    assert_eq!(batch["refusals"][0]["name"], "IM2");
    assert!(batch["refusals"][0]["next_step"].as_str().unwrap().contains("scanner"), "{batch}");

    let studies = site.until("the study is drafted", || {
        let answer = north.ask("GET", "/api/v1/centres/north-clinic/studies", &[], None);
        let view: Value = serde_json::from_str(&answer.body).unwrap();
        (view["studies"][0]["stage"] == "drafted").then_some(view)
    });
    let study = &studies["studies"][0];
    assert_eq!((&study["instance_count"], &study["needs_attention"]), (&1.into(), &serde_json::json!([])));
    assert_eq!((&study["patient_id"], &studies["more"]), (&"QMNx85rKkkg".into(), &false.into()));
    let south = client(&site, "south-clinic").ask("GET", "/api/v1/centres/south-clinic/studies", &[], None);
    assert_eq!(serde_json::from_str::<Value>(&south.body).unwrap()["studies"], serde_json::json!([]));
}

#[test]
fn tuspy_uploads_with_check_sums_and_resumes() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = site();
    let _serving = site.serve();
    let north = client(&site, "north-clinic");
    let files = &images()[..5];
    let lines: String = files.iter().map(|path| format!("{}\n", path.display())).collect();
    let mut child = Command::new(python)
        .args([&script("clients/tus_upload.py"), &site.url("/api/v1/uploads"), &north.token, BATCH])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(north.settled()["studies"][0]["stored"], 5);
    assert_stored(&north, files);
}

#[test]
fn archives_are_read_within_limits() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = site();
    let _serving = site.serve();
    let north = client(&site, "north-clinic");
    let made = tempfile::tempdir().unwrap();
    let folder = made.path().to_str().unwrap();
    let images = head_ct();
    let script = script("clients/make_archives.py");
    let status = Command::new(python).args([&script, images.to_str().unwrap(), folder]).status().unwrap();
    assert!(status.success());
    let names =
        ["plain", "streamed", "wide", "nested", "climbing", "encrypted", "bomb", "overlap", "many", "cut"];
    for name in names {
        let name = format!("{name}.zip");
        north.send(&read(&made.path().join(&name)), &name);
    }
    let batch = north.settled();
    assert_eq!(batch["studies"][0]["stored"], 3 + 1 + 1 + 1 + 3, "{batch}");
    let refusals: Vec<(String, String)> = batch["refusals"].as_array().unwrap().iter().map(refusal).collect();
    for (name, reason) in [
        ("inner.zip", "archive inside"),
        ("secret", "password"),
        ("bomb.zip", "100 times"),
        ("overlap.zip", "overlap"),
        ("many.zip", "100000 files"),
        ("cut.zip", "table of contents"),
    ] {
        let found = refusals.iter().find(|(found, _)| found == name);
        assert!(found.is_some_and(|(_, told)| told.contains(reason)), "{name}: {refusals:?}");
    }
    assert_eq!(refusals.len(), 6, "{refusals:?}");
    assert!(!Path::new("/etc/cron.d/evil").exists());
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(!log.contains("evil"), "no name of a sender's is logged");
}

fn refusal(refusal: &Value) -> (String, String) {
    (refusal["name"].as_str().unwrap().to_owned(), refusal["reason"].as_str().unwrap().to_owned())
}

/// A burnt disc: images, a DICOMDIR by dcmtk, a viewer and its texts; `None` without dcmtk.
fn disc(folder: &Path, files: &[PathBuf]) -> bool {
    if Command::new("dcmmkdir").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
        return false;
    }
    std::fs::create_dir_all(folder.join("IMAGES")).unwrap();
    for (index, path) in files.iter().enumerate() {
        std::fs::copy(path, folder.join(format!("IMAGES/IM{index:06}"))).unwrap();
    }
    let output = Command::new("dcmmkdir")
        .args(["+r", "+I", "-Pgp", "-W", "IMAGES"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::create_dir(folder.join("VIEWER")).unwrap();
    for (name, content) in [
        ("AUTORUN.INF", &b"[autorun]\r\nopen=VIEWER\\viewer.exe\r\n"[..]),
        ("README.TXT", b"This disc holds images of one patient.\r\n"),
        ("VIEWER/viewer.exe", b"MZ\x90\0\x03\0\0\0\x04\0\0\0 a program"),
        ("VIEWER/logo.png", b"\x89PNG\r\n\x1a\n........"),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    true
}

fn zip(python: &str, folder: &Path, to: &Path) {
    let arguments = ["-m", "zipfile", "-c", to.to_str().unwrap(), "."];
    assert!(Command::new(python).args(arguments).current_dir(folder).status().unwrap().success());
}

#[test]
fn a_burnt_disc_is_compared_with_its_directory() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = site();
    let _serving = site.serve();
    let north = client(&site, "north-clinic");
    let made = tempfile::tempdir().unwrap();
    let (folder, archive) = (made.path().join("disc"), made.path().join("disc.zip"));
    let files = &images()[..6];
    if !disc(&folder, files) {
        return;
    }
    std::fs::remove_file(folder.join("IMAGES/IM000004")).unwrap();
    zip(&python, &folder, &archive);
    north.send(&read(&archive), "disc.zip");
    let batch = north.settled();
    assert_eq!((&batch["studies"][0]["stored"], &batch["not_images"]), (&5.into(), &5.into()), "{batch}");
    assert_eq!((&batch["promised"], &batch["missing"]), (&6.into(), &1.into()), "{batch}");
    assert_eq!(batch["missing_names"][0], "IMAGES/IM000004");
    north.send(&read(&files[4]), "the one that was forgotten");
    let batch = north.settled();
    assert_eq!((&batch["studies"][0]["stored"], &batch["missing"]), (&6.into(), &0.into()), "{batch}");
    assert_stored(&north, files);
}

#[test]
fn a_zip_goes_on_after_kill_9() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let site = site();
    let mut serving = site.serve();
    let north = client(&site, "north-clinic");
    let made = tempfile::tempdir().unwrap();
    let archive = made.path().join("ct.zip");
    zip(&python, &head_ct(), &archive);
    let whole = read(&archive);
    north.send(&whole, "ct.zip");
    for _ in 0..3 {
        serving.kill();
        serving = site.serve();
    }
    let batch = north.settled();
    let study = &batch["studies"][0];
    let count = |key: &str| study[key].as_u64().unwrap();
    assert_eq!((count("stored") + count("already_stored"), count("not_stored")), (28, 0), "{batch}");
    assert_eq!((&batch["ended"], &batch["not_stored"]), (&1.into(), &0.into()));
    assert_stored(&north, &images());
    assert!(serving.stop(), "it stops well");
}

/// The page as a technologist meets it, in Chromium.
#[test]
fn a_technologist_sends_a_folder_and_a_disc_in_a_browser() {
    let (Some(python), Some(chromium), Some(playwright), Some(node)) = (
        named_by("TELERAD_TEST_PYTHON"),
        named_by("TELERAD_TEST_CHROMIUM"),
        named_by("TELERAD_TEST_PLAYWRIGHT"),
        named_by("TELERAD_TEST_NODE"),
    ) else {
        return;
    };
    let site = site();
    let made = tempfile::tempdir().unwrap();
    let (folder, disc_folder) = (made.path().join("studies"), made.path().join("disc"));
    if !disc(&disc_folder, &images()[20..]) {
        return;
    }
    std::fs::remove_file(disc_folder.join("IMAGES/IM000003")).unwrap();
    // Large enough that a cut falls into the middle: bytes that do not pack well.
    let mut seed = 1_u32;
    let program: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(12 << 20)
    .collect();
    std::fs::write(disc_folder.join("VIEWER/setup.exe"), [b"MZ".to_vec(), program].concat()).unwrap();
    zip(&python, &disc_folder, &made.path().join("disc.zip"));
    several_studies(&folder);
    let serving = site.serve();
    let printed = site.run(&[
        "user",
        "add",
        "tina",
        "--name",
        "Tina Brandt",
        "--role",
        "centre",
        "--centre",
        "north-clinic",
    ]);
    let password = printed.lines().last().unwrap().to_owned();
    // The script says when the server is to be killed and started again, since both are one process.
    let mut child = Command::new(node)
        .arg(script("browser/upload.mjs"))
        .env("BASE", site.url(""))
        .env("LOGIN", "tina")
        .env("PASSWORD", &password)
        .env("CHROMIUM", chromium)
        .env("PLAYWRIGHT", playwright)
        .env("FILES", made.path())
        .env("SHOTS", std::env::var("SHOTS").unwrap_or_else(|_| made.path().to_str().unwrap().to_owned()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to_script = child.stdin.take().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut serving = Some(serving);
    for line in lines {
        match line.unwrap().as_str() {
            "kill the server" => {
                if let Some(serving) = serving.take() {
                    serving.kill();
                }
                writeln!(to_script, "killed").unwrap();
            }
            "start the server" => {
                serving = Some(site.serve());
                writeln!(to_script, "started").unwrap();
            }
            other => println!("{other}"),
        }
    }
    assert!(child.wait().unwrap().success(), "{}", std::fs::read_to_string(site.log()).unwrap_or_default());
    let browser = Browser::sign_in(site.url(""), "tina", &password);
    let studies = browser.get("/api/v1/centres/north-clinic/studies");
    let images: u64 = studies["studies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|study| study["instance_count"].as_u64().unwrap())
        .sum();
    assert_eq!(images, 20 + 7 + 4, "{studies}");
    let north = client(&site, "north-clinic");
    let missing = &self::images()[23];
    let present: Vec<_> = self::images().into_iter().filter(|path| path != missing).collect();
    assert_stored(&north, &present);
}

/// A folder with two studies in folders of their own, a text, and a file that was an image once.
fn several_studies(folder: &Path) {
    for (name, from) in
        [("head", head_ct()), ("tilt", testkit::samples::fixtures().join("ct-siemens-gantrytilt-4"))]
    {
        let to = folder.join(name);
        std::fs::create_dir_all(&to).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for path in files.iter().take(20) {
            std::fs::copy(path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
    std::fs::write(folder.join("notes.txt"), "Patient was moving.").unwrap();
    std::fs::write(folder.join("head/damaged"), b"\x01\x02\x03\0this was an image once").unwrap();
}
