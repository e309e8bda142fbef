//! Other people's clients store every sample in its own transfer syntax and read it back byte-identical.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::server::{Site, curl, data_set, free_port, named_by, read};

/// A sample, and the centre it is stored for: files that share a SOP Instance UID go to different centres.
pub struct Sample {
    pub path: PathBuf,
    pub centre: usize,
    ids: Ids,
    /// The file meta names the object that the data set is. DIMSE senders announce what the file meta says; where it
    /// is missing or false they
    /// send nothing, or are refused.
    is_announced_truly: bool,
}

#[derive(Clone)]
struct Ids {
    study: String,
    series: String,
    instance: String,
}

/// Centres that the samples need: the most files that share a SOP Instance UID.
const CENTRES: usize = 12;

/// Every valid file of the fixtures, and of the larger collection where it is there.
pub fn samples() -> Vec<Sample> {
    let mut folders = vec![testkit::samples::fixtures()];
    folders.extend(testkit::samples::collection());
    let mut times: HashMap<String, usize> = HashMap::new();
    let mut samples = Vec::new();
    for folder in folders {
        for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
            let path = entry.unwrap().into_path();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if !path.is_file() || matches!(extension, "txt" | "tsv" | "md") {
                continue;
            }
            let Some((ids, is_announced_truly)) = ids(&path) else { continue };
            let time = times.entry(ids.instance.clone()).or_default();
            samples.push(Sample { path, centre: *time, ids, is_announced_truly });
            *time += 1;
        }
    }
    assert!(samples.len() > 50, "{} samples", samples.len());
    assert!(samples.iter().all(|sample| sample.centre < CENTRES));
    samples
}

/// The identifiers of a valid Part 10 file; a file without file meta is valid for nobody's sender.
fn ids(path: &Path) -> Option<(Ids, bool)> {
    let file = read(path);
    let Ok(dimse::Split::Found(head)) = dimse::split_part10(&file, true) else { return None };
    let imaging::sniff::Sniffed::DataSet(place) = imaging::sniff::part10(&file, true) else { return None };
    if !place.declared {
        return None;
    }
    let guarded = imaging::guard::GuardedHeader::of(&file[place.at..], &place.transfer_syntax).ok()?;
    let header = imaging::header::Header::read(&guarded).ok()?;
    let is_announced_truly = head.sop_class_uid.as_deref() == Some(header.sop_class.as_str())
        && head.sop_instance_uid.as_deref() == Some(header.sop_instance.as_str());
    let ids = Ids {
        study: header.study_uid.to_string(),
        series: header.series_uid.to_string(),
        instance: header.sop_instance.to_string(),
    };
    Some((ids, is_announced_truly))
}

pub fn site() -> (Site, crate::server::Process, Vec<String>) {
    let site = Site::new();
    for centre in 0..CENTRES {
        let id = format!("c{centre}");
        site.run(&["centre", "add", &id, "--id", &id, "--ae", &format!("AE{centre}")]);
    }
    let tokens = (0..CENTRES).map(|centre| site.token(&format!("c{centre}"), "admin")).collect();
    let serving = site.serve();
    (site, serving, tokens)
}

/// The data set of a sample as it is stored, read back over DICOMweb by curl.
fn stored(site: &Site, tokens: &[String], sample: &Sample) -> Vec<u8> {
    let Ids { study, series, instance } = &sample.ids;
    let url = site.url(&format!("/dicomweb/studies/{study}/series/{series}/instances/{instance}"));
    let token = format!("Authorization: Bearer {}", tokens[sample.centre]);
    let file = curl(&["-H", &token, "-H", "Accept: application/dicom; transfer-syntax=*", &url]);
    data_set(&file).to_vec()
}

/// Every sample is stored as its file has it.
fn compare(site: &Site, tokens: &[String], samples: &[Sample]) {
    let wrong: Vec<_> = samples
        .iter()
        .filter(|sample| stored(site, tokens, sample) != data_set(&read(&sample.path)))
        .map(|sample| sample.path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "not byte-identical: {wrong:#?}");
}

/// Runs a program on lines; what it said.
pub fn feed(program: &str, arguments: &[&str], lines: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {out}\n{err}");
    out.into_owned()
}

pub fn script(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn dcmtk_echoes_and_stores() {
    if Command::new("dcmsend").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
        return;
    }
    let (site, _serving, tokens) = site();
    let port = site.dicom.to_string();
    let echo =
        |calling: &str| Command::new("echoscu").args(["-aet", calling, "127.0.0.1", &port]).output().unwrap();
    assert!(echo("AE0").status.success());
    assert!(!echo("NOBODY").status.success(), "an unknown calling AE title is refused");

    let samples: Vec<Sample> = samples()
        .into_iter()
        .filter(|sample| {
            // Every element of this one is UN, which dcmsend does not read back from its own file.
            sample.is_announced_truly && !sample.path.ends_with("explicit_VR-UN.dcm")
        })
        .collect();
    let mut by_centre: BTreeMap<usize, Vec<&Sample>> = BTreeMap::new();
    for sample in &samples {
        by_centre.entry(sample.centre).or_default().push(sample);
    }
    let mut sent = BTreeMap::new();
    for (centre, samples) in &by_centre {
        let files: Vec<&PathBuf> = samples.iter().map(|sample| &sample.path).collect();
        let output = dcmsend(&format!("AE{centre}"), &port, &files);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for (instance, bytes) in taken_by_storescp(&site, &files) {
            sent.insert((*centre, instance), bytes);
        }
    }
    // dcmsend reads a file and writes what it sends anew, so what was sent is what DCMTK's own server took, bit for bit.
    assert!(sent.len() > 40, "{} objects", sent.len());
    let is_taken = |sample: &&Sample| sent.contains_key(&(sample.centre, sample.ids.instance.clone()));
    let wrong: Vec<_> = samples
        .iter()
        .filter(is_taken)
        .filter(|sample| {
            stored(&site, &tokens, sample) != sent[&(sample.centre, sample.ids.instance.clone())]
        })
        .map(|sample| sample.path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "not what was sent: {wrong:#?}");
}

fn dcmsend(calling: &str, port: &str, files: &[&PathBuf]) -> Output {
    let mut command = Command::new("dcmsend");
    command.args([
        "-aet",
        calling,
        "-aec",
        "TELERAD",
        "--no-uid-checks",
        "--no-halt",
        "-dn",
        "127.0.0.1",
        port,
    ]);
    command.args(files).output().unwrap()
}

/// What dcmsend sends of these files: their data sets, as DCMTK's own server stores them bit for bit, by SOP Instance UID.
fn taken_by_storescp(site: &Site, files: &[&PathBuf]) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut server = Command::new("storescp")
        .args(["+B", "+xa", "-od", folder.path().to_str().unwrap(), &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    site.until("storescp answers", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
    });
    // It refuses some encodings that we take; what it took is what counts.
    dcmsend("STORESCU", &port.to_string(), files);
    server.kill().unwrap();
    server.wait().unwrap();
    let taken = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    taken.filter_map(|path| Some((ids(&path)?.0.instance, data_set(&read(&path)).to_vec()))).collect()
}

#[test]
fn storescu_stores_a_folder() {
    if Command::new("storescu").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dcmtk is not installed; run `make test`");
        return;
    }
    let (site, _serving, tokens) = site();
    let folder = testkit::samples::fixtures().join("ct-head-ge-28");
    let output = Command::new("storescu")
        .args(["-aet", "AE0", "-aec", "TELERAD", "+sd", "+r", "127.0.0.1", &site.dicom.to_string()])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let samples: Vec<Sample> =
        samples().into_iter().filter(|sample| sample.path.starts_with(&folder)).collect();
    assert_eq!(samples.len(), 28);
    compare(&site, &tokens, &samples);
}

#[test]
fn pynetdicom_stores() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let (site, _serving, tokens) = site();
    let samples: Vec<Sample> = samples().into_iter().filter(|sample| sample.is_announced_truly).collect();
    let lines = samples.iter().fold(String::new(), |mut lines, sample| {
        writeln!(lines, "AE{}\t{}", sample.centre, sample.path.display()).unwrap();
        lines
    });
    feed(&python, &[&script("pynetdicom_store.py"), "127.0.0.1", &site.dicom.to_string()], &lines);
    compare(&site, &tokens, &samples);
}

/// The folder with the JavaScript client, which `make test` fills; `None`, and a line that says so, where it is not there.
fn javascript() -> Option<PathBuf> {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reading-room/web");
    let is_there = web.join("node_modules/dicomweb-client").is_dir();
    if !is_there {
        eprintln!("SKIPPED: the JavaScript dicomweb-client is not installed; run `make test`");
    }
    is_there.then_some(web)
}

#[test]
fn the_javascript_client_stores_and_reads_everything() {
    let Some(web) = javascript() else { return };
    let (site, _serving, tokens) = site();
    let mut lines = String::new();
    // The client reads whole studies each time: one slice of a scan stands for all of them, and the fixtures for the collection.
    let fixtures = testkit::samples::fixtures();
    let is_one_of_many = |path: &Path| {
        path.parent().is_some_and(|folder| folder.ends_with("ct-head-ge-28")) && !path.ends_with("01.dcm")
    };
    for sample in
        samples().iter().filter(|sample| sample.path.starts_with(&fixtures) && !is_one_of_many(&sample.path))
    {
        let centre = sample.centre;
        let url = site.url(&format!("/dicomweb/centres/c{centre}"));
        writeln!(lines, "{url}\t{}\t{}", tokens[centre], sample.path.display()).unwrap();
    }
    let said = feed("node", &[&script("dicomweb_client.mjs"), web.to_str().unwrap()], &lines);
    let undrawn: Vec<PathBuf> = serde_json::from_str(&said).unwrap();
    assert!(undrawn.is_empty(), "no picture of {undrawn:#?}");
}

#[test]
fn dicomweb_client_stores_searches_and_retrieves() {
    let Some(python) = named_by("TELERAD_TEST_PYTHON") else { return };
    let (site, _serving, tokens) = site();
    let samples = samples();
    let out = |index: usize| site.folder.path().join(format!("retrieved-{index}"));
    let mut lines = String::new();
    for (index, sample) in samples.iter().enumerate() {
        let (centre, token) = (sample.centre, &tokens[sample.centre]);
        writeln!(lines, "c{centre}\t{token}\t{}\t{}", sample.path.display(), out(index).display()).unwrap();
    }
    feed(&python, &[&script("dicomweb_client_roundtrip.py"), &site.url("/dicomweb")], &lines);
    for (index, sample) in samples.iter().enumerate() {
        assert!(data_set(&read(&out(index))) == data_set(&read(&sample.path)), "{}", sample.path.display());
    }
}
