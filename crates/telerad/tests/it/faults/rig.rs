//! A site whose data rests on a disk that fails when it is told to, and questions to it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use archive::upkeep::{
    Config, Upkeep,
    sweep::{Leave, Swept},
};
use catalog::SqlCatalog;
use storage::FileStorage;
use testkit::{
    clock::ManualClock,
    faults::disk::{Disk, Survival},
};

use super::load::Object;
use crate::server::{PATIENCE, Process, Site, curl, data_set, read};

/// How long a start may take after a power cut.
pub const START_TIME_MAX: Duration = Duration::from_secs(10);

/// The calling AE title of the centre.
pub const AE: &str = "NORTH_CT";

/// A site on a disk of its own. The disk goes before the folder that it is mounted in.
pub struct Rig {
    pub disk: Disk,
    pub site: Site,
    pub token: String,
}

impl Rig {
    /// A site with one centre; `None`, said loudly, where no disk can be mounted or dcmtk is missing.
    pub fn new() -> Option<Self> {
        Self::with(|site| site)
    }

    /// With settings.
    pub fn with(settings: impl FnOnce(Site) -> Site) -> Option<Self> {
        let mut rig = Self::bare(settings)?;
        rig.token = add_centre(&rig.site);
        Some(rig)
    }

    /// Every object a file of its own, in place of packs.
    pub fn in_files(site: Site) -> Site {
        let objects = site.folder.path().join("disk/data/objects");
        site.with("STORAGE__KIND", "filesystem")
            .with("STORAGE__DIR", objects.to_str().unwrap())
            .with("STORAGE__PACKED_BYTES_MAX", "0")
    }

    /// With settings, and no centre.
    pub fn bare(settings: impl FnOnce(Site) -> Site) -> Option<Self> {
        if !has_dcmtk() {
            return None;
        }
        let site = Site::new();
        let folder = site.folder.path().join("disk");
        let disk = Disk::mount(&folder)?;
        let site = settings(site.with("DATA_DIR", folder.join("data").to_str().unwrap()));
        Some(Self { disk, site, token: String::new() })
    }

    /// Starts the roles that take and give images; the disk's rules kill this process.
    pub fn serve(&self) -> Process {
        self.serve_roles("intake,archive")
    }

    /// Starts some roles.
    pub fn serve_roles(&self, roles: &str) -> Process {
        let process = self.site.start(&["serve", "--roles", roles], self.site.http);
        self.disk.set_victim(process.id());
        process
    }

    /// The power comes back, and the same roles with it. How long the start took is looked at.
    pub fn recover(&mut self, survival: Survival, roles: &str) -> (Process, Duration) {
        self.disk.power_on(survival);
        let begin = Instant::now();
        let process = self.serve_roles(roles);
        let took = begin.elapsed();
        assert!(took < START_TIME_MAX, "the start took {took:?}");
        (process, took)
    }

    /// These objects are known and read back byte for byte.
    pub fn assert_kept(&self, objects: &[&Object]) {
        assert_kept(&self.site, &self.token, objects);
    }

    /// SOP Instance UIDs that are known of a study.
    pub fn known(&self, study: &str) -> BTreeSet<String> {
        known(&self.site, &self.token, study)
    }

    /// Sweeps as the role `upkeep` would in two hours. No server runs meanwhile.
    pub fn sweep_later(&self) -> Swept {
        sweep_later(&self.site.folder.path().join("disk/data"))
    }

    /// `telerad verify` finds every object as it should be.
    pub fn verify(&self) {
        let text = self.site.run(&["verify"]);
        assert!(text.contains(" 0 are wrong"), "{text}");
    }
}

/// Sweeps a data folder with a clock that is two hours on.
#[allow(clippy::disallowed_methods, reason = "the disk dates objects by its own clock")]
pub fn sweep_later(data: &Path) -> Swept {
    let sweep = async {
        let catalog = SqlCatalog::open_sqlite(data.join("catalog.sqlite")).await.unwrap();
        let storage = FileStorage::open(data.join("objects")).await.unwrap();
        let clock = ManualClock::at(domain::Timestamp::now() + domain::Duration::from_hours(2));
        let (catalog, storage) = (Arc::new(catalog), Arc::new(storage));
        let upkeep = Upkeep::new(catalog.clone(), storage, Arc::new(clock), Config::default());
        let swept = upkeep.sweep(Leave::default()).await.unwrap();
        catalog.close().await;
        swept
    };
    tokio::runtime::Runtime::new().unwrap().block_on(sweep)
}

/// Whether other people's senders are there; said loudly when not.
pub fn has_dcmtk() -> bool {
    let is_there = Command::new("storescu").arg("--version").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
    }
    is_there
}

/// A centre with a long quiet period, and a token for it.
pub fn add_centre(site: &Site) -> String {
    site.run(&[
        "centre",
        "add",
        "North Clinic",
        "--ae",
        AE,
        "--contact",
        "desk@north.example",
        "--quiet-period",
        "2",
    ]);
    site.token("north-clinic", "admin")
}

/// SOP Instance UIDs that QIDO-RS gives of a study; none when the study is not known.
pub fn known(site: &Site, token: &str, study: &str) -> BTreeSet<String> {
    let bearer = format!("Authorization: Bearer {token}");
    let url = site.url(&format!("/dicomweb/instances?StudyInstanceUID={study}&limit=1000"));
    let text = curl(&["-H", &bearer, "-H", "Accept: application/dicom+json", &url]);
    if text.is_empty() {
        return BTreeSet::new();
    }
    let found: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let instances = found.as_array().unwrap().iter();
    instances.map(|instance| instance["00080018"]["Value"][0].as_str().unwrap().to_owned()).collect()
}

/// Every object is in the index and comes back byte for byte.
pub fn assert_kept(site: &Site, token: &str, objects: &[&Object]) {
    let studies: BTreeSet<&str> = objects.iter().map(|object| object.study.as_str()).collect();
    let known: BTreeSet<String> = studies.iter().flat_map(|study| known(site, token, study)).collect();
    let missing: Vec<_> = objects.iter().filter(|object| !known.contains(&object.instance)).collect();
    assert!(missing.is_empty(), "{} of {} objects are not in the index", missing.len(), objects.len());
    if objects.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    let mut arguments: Vec<String> = ["-H", &bearer, "-H", "Accept: application/dicom; transfer-syntax=*"]
        .iter()
        .map(|&word| word.to_owned())
        .collect();
    let target = |number: usize| folder.path().join(number.to_string());
    for (number, object) in objects.iter().enumerate() {
        arguments.extend(["-o".to_owned(), target(number).to_str().unwrap().to_owned(), wado(site, object)]);
    }
    curl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, object) in objects.iter().enumerate() {
        let (sent, stored) = (read(&object.path), read(&target(number)));
        assert!(data_set(&stored) == data_set(&sent), "{} came back otherwise", object.instance);
    }
}

/// The address of an object.
pub fn wado(site: &Site, object: &Object) -> String {
    let Object { study, series, instance, .. } = object;
    site.url(&format!("/dicomweb/studies/{study}/series/{series}/instances/{instance}"))
}

/// dcmtk's sender at work. It goes on with the next object when one was refused.
pub struct Sender {
    child: Child,
}

/// What a sender was told.
#[derive(Debug)]
pub struct Told {
    /// Files, and the words of the answer: `Success`, `Refused: OutOfResources`, or whatever it was.
    pub answers: Vec<(PathBuf, String)>,
    /// Everything that it wrote.
    pub text: String,
}

/// Sends files to a port of this machine.
pub fn send(ae: &str, port: u16, files: &[&Path]) -> Sender {
    let child = Command::new("storescu")
        .args(["-v", "-nh", "-aet", ae, "-aec", "TELERAD", "127.0.0.1", &port.to_string()])
        .args(files)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Sender { child }
}

/// Sends objects.
pub fn send_objects(port: u16, objects: &[Object]) -> Sender {
    send_objects_as(AE, port, objects)
}

/// Sends objects under a calling AE title.
pub fn send_objects_as(ae: &str, port: u16, objects: &[Object]) -> Sender {
    send(ae, port, &objects.iter().map(|object| object.path.as_path()).collect::<Vec<_>>())
}

/// Uploads objects over STOW-RS; the status, and the answer.
pub fn stow(site: &Site, token: &str, objects: &[Object]) -> (u16, String) {
    let mut body = Vec::new();
    for object in objects {
        body.extend_from_slice(b"--part\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend(read(&object.path));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--part--\r\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), body).unwrap();
    let output = Command::new("curl")
        .args(["-sS", "-X", "POST", "-w", "\n%{http_code}", "-H", &format!("Authorization: Bearer {token}")])
        .args(["-H", "Content-Type: multipart/related; type=\"application/dicom\"; boundary=part"])
        .args(["--data-binary", &format!("@{}", file.path().display()), &site.url("/dicomweb/studies")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (answer, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
    (status.parse().unwrap_or(0), answer.to_owned())
}

impl Sender {
    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn told(self) -> Told {
        Told::of(&self.child.wait_with_output().unwrap())
    }
}

impl Told {
    fn of(output: &Output) -> Self {
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let mut file = None;
        let mut answers = Vec::new();
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("I: Sending file: ") {
                file = Some(PathBuf::from(path));
            }
            let Some((_, answer)) = line.split_once("Received Store Response (") else { continue };
            if let Some(file) = file.take() {
                answers.push((file, answer.trim_end_matches(')').to_owned()));
            }
        }
        Self { answers, text }
    }

    /// Those of the objects that were answered with success.
    pub fn stored<'a>(&self, objects: &'a [Object]) -> Vec<&'a Object> {
        let stored: BTreeSet<&Path> = self
            .answers
            .iter()
            .filter(|(_, answer)| answer == "Success")
            .map(|(path, _)| path.as_path())
            .collect();
        objects.iter().filter(|object| stored.contains(object.path.as_path())).collect()
    }

    /// Every answer's words.
    pub fn words(&self) -> Vec<&str> {
        self.answers.iter().map(|(_, answer)| answer.as_str()).collect()
    }
}

/// Waits until something is so; gives up loudly.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
