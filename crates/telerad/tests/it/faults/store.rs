//! F21 to F26: the object store is busy, slow, silent, or gives back other bytes than it got.

use std::net::SocketAddr;

use testkit::faults::s3::{Fault, Rule, S3Proxy};

use super::{
    load::{self, Object},
    rig::{
        add_centre, assert_kept, has_dcmtk, known, send_objects, send_objects_as, stow, sweep_later, wado,
        wait_until,
    },
};
use crate::{
    separate::fresh_name,
    server::{Process, Site, curl, named_by, read},
};

/// Tries of one put (`storage::s3::put`): more than this is no bounded retry.
const PUT_TRIES_MAX: usize = 6;

/// How long the product waits for an answer of the store here, in seconds.
const ANSWER_SECONDS: u64 = 2;

/// A site whose object store is real, behind a way that goes wrong.
struct Store {
    serving: Process,
    proxy: S3Proxy,
    site: Site,
    token: String,
    bucket: Bucket,
    files: tempfile::TempDir,
}

/// The bucket, asked without the proxy.
struct Bucket {
    url: String,
    signed: String,
    user: String,
}

impl Bucket {
    fn ask(&self, method: &str, rest: &str) -> String {
        let url = format!("{}{rest}", self.url);
        let answer = curl(&["-X", method, "--aws-sigv4", &self.signed, "--user", &self.user, &url]);
        String::from_utf8(answer).unwrap()
    }

    /// Keys of objects whose name holds a text.
    fn keys(&self, holding: &str) -> Vec<String> {
        let list = self.ask("GET", "?list-type=2&max-keys=1000");
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.filter(|key| key.contains(holding)).map(str::to_owned).collect()
    }
}

impl Store {
    fn start() -> Option<Self> {
        Self::start_with_cache(0)
    }

    /// With a cache of so many bytes before the store.
    fn start_with_cache(cache_bytes: u64) -> Option<Self> {
        let (endpoint, access_key, secret_key, region) = (
            named_by("TELERAD_TEST_S3_ENDPOINT")?,
            named_by("TELERAD_TEST_S3_ACCESS_KEY")?,
            named_by("TELERAD_TEST_S3_SECRET_KEY")?,
            named_by("TELERAD_TEST_S3_REGION")?,
        );
        if !has_dcmtk() {
            return None;
        }
        let name = fresh_name();
        let bucket = Bucket {
            url: format!("{endpoint}/{name}"),
            signed: format!("aws:amz:{region}:s3"),
            user: format!("{access_key}:{secret_key}"),
        };
        bucket.ask("PUT", "");
        let server: SocketAddr = endpoint.trim_start_matches("http://").parse().unwrap();
        let proxy = S3Proxy::to(server);
        let site = Site::new()
            .with("STORAGE__KIND", "s3")
            .with("STORAGE__BUCKET", &name)
            .with("STORAGE__ENDPOINT", proxy.endpoint())
            .with("STORAGE__REGION", region)
            .with("STORAGE__PATH_STYLE", "true")
            .with("STORAGE__ACCESS_KEY", access_key)
            .with("STORAGE__SECRET_KEY", secret_key)
            .with("STORAGE__CACHE_BYTES_MAX", cache_bytes.to_string())
            .with("STORAGE__ANSWER_TIMEOUT_SECONDS", ANSWER_SECONDS.to_string());
        let token = add_centre(&site);
        let serving = site.start(&["serve", "--roles", "intake,archive"], site.http);
        Some(Self { serving, proxy, site, token, bucket, files: tempfile::tempdir().unwrap() })
    }

    fn object(&self, number: u64) -> Vec<Object> {
        load::study(self.files.path(), number, 1)
    }

    fn words(&self, objects: &[Object]) -> Vec<String> {
        let told = send_objects(self.site.dicom, objects).told();
        told.words().into_iter().map(str::to_owned).collect()
    }

    /// Asks for something as a viewer does; how many requests of which method reached the store for it.
    fn cost(&self, path: &str) -> Vec<(String, usize)> {
        drop(self.proxy.take_seen());
        let authorization = format!("Authorization: Bearer {}", self.token);
        curl(&["-H", &authorization, "-o", "/dev/null", &self.site.url(path)]);
        let mut methods = std::collections::BTreeMap::new();
        for seen in self.proxy.take_seen() {
            *methods.entry(seen.method).or_default() += 1;
        }
        methods.into_iter().collect()
    }

    /// Ends the process and starts another one, which remembers nothing.
    fn again(self) -> Self {
        let Self { serving, proxy, site, token, bucket, files } = self;
        assert!(serving.stop());
        let serving = site.start(&["serve", "--roles", "intake,archive"], site.http);
        Self { serving, proxy, site, token, bucket, files }
    }

    fn puts(&self) -> usize {
        self.proxy.take_seen().iter().filter(|seen| seen.method == "PUT").count()
    }

    /// Sends once more when the store is well again: success, one object, the very bytes.
    fn succeeds_again(&self, object: &[Object]) {
        self.proxy.clear();
        assert_eq!(self.words(object), ["Success"]);
        assert_eq!(self.bucket.keys(&object[0].instance).len(), 1, "one object");
        assert_kept(&self.site, &self.token, &object.iter().collect::<Vec<_>>());
    }

    fn is_unknown(&self, object: &[Object]) -> bool {
        known(&self.site, &self.token, &object[0].study).is_empty()
    }

    fn end(self) {
        assert!(self.serving.stop());
        let text = self.site.run(&["verify"]);
        assert!(text.contains(" 0 are wrong"), "{text}");
    }
}

#[test]
fn f21_a_busy_store_is_asked_again_a_bounded_number_of_times_and_then_said_to_be_away() {
    let Some(store) = Store::start() else { return };
    for (number, fault) in
        [Fault::Answer(503, "SlowDown"), Fault::Answer(500, "InternalError")].into_iter().enumerate()
    {
        let number = 21_000 + 10 * number as u64;
        let object = store.object(number);
        store.proxy.add(Rule::next("PUT", 2, fault.clone()));
        assert_eq!(store.words(&object), ["Success"], "a short burst");
        assert_eq!(store.puts(), 3);
        assert_kept(&store.site, &store.token, &[&object[0]]);

        let object = store.object(number + 1);
        store.proxy.add(Rule::next("PUT", u32::MAX, fault));
        assert_eq!(store.words(&object), ["Refused: OutOfResources"], "no end of it");
        assert!(store.puts() <= PUT_TRIES_MAX);
        let (status, answer) = stow(&store.site, &store.token, &object);
        assert_eq!(status, 503, "{answer}");
        assert!(store.is_unknown(&object) && store.bucket.keys(&object[0].instance).is_empty());
        store.succeeds_again(&object);
        store.puts();
    }
    store.end();
}

#[test]
fn f22_an_answer_that_is_lost_after_the_store_has_the_object_is_success_and_one_object() {
    let Some(store) = Store::start() else { return };
    for (number, fault) in [(22_000, Fault::LoseAnswer), (22_001, Fault::CutAnswer)] {
        let object = store.object(number);
        store.proxy.add(Rule::next("PUT", 1, fault));
        assert_eq!(store.words(&object), ["Success"]);
        assert_eq!(store.puts(), 1, "what is there is not sent again");
        assert_eq!(store.bucket.keys(&object[0].instance).len(), 1);
        assert_kept(&store.site, &store.token, &[&object[0]]);
    }
    store.end();
}

#[test]
fn f23_a_put_that_is_cut_leaves_no_object() {
    let Some(store) = Store::start() else { return };
    let object = store.object(23_000);
    store.proxy.add(Rule::next("PUT", 1, Fault::CutRequest(200_000)));
    assert_eq!(store.words(&object), ["Success"], "once is tried again");
    assert_kept(&store.site, &store.token, &[&object[0]]);

    let object = store.object(23_001);
    store.proxy.add(Rule::next("PUT", u32::MAX, Fault::CutRequest(200_000)));
    assert_eq!(store.words(&object), ["Refused: OutOfResources"]);
    assert!(store.is_unknown(&object) && store.bucket.keys(&object[0].instance).is_empty());
    store.succeeds_again(&object);
    store.end();
}

#[test]
fn f24_other_bytes_than_were_stored_are_refused_and_never_served_as_good() {
    let Some(store) = Store::start() else { return };
    let object = store.object(24_000);
    store.proxy.add(Rule::next("PUT", u32::MAX, Fault::Answer(400, "BadDigest")));
    assert_eq!(store.words(&object), ["Refused: OutOfResources"]);
    assert_eq!(store.puts(), 1, "what the store found wrong is not called right by trying again");
    store.succeeds_again(&object);

    store.proxy.add(Rule::next("GET", u32::MAX, Fault::FlipBit(300_000)));
    assert_not_served(&store.site, &store.token, &object[0]);
    let output = store.site.output(&["verify"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("1 are wrong"), "{text}");
    store.proxy.clear();
    assert_kept(&store.site, &store.token, &[&object[0]]);
    store.end();
}

/// What a viewer asks when it opens a study, counted on the wire. Metadata of a series are one request, a frame is one, lists are none;
/// with a cache, which making the metadata has filled, all are none.
#[test]
fn an_opened_study_costs_the_requests_that_it_must_and_near_ones_cost_none() {
    for cache_bytes in [0, 1 << 30] {
        let Some(store) = Store::start_with_cache(cache_bytes) else { return };
        let objects = load::study(store.files.path(), 91, 20);
        assert!(store.words(&objects).iter().all(|word| word == "Success"));
        let Object { study, series, .. } = &objects[0];
        let study = format!("/dicomweb/studies/{study}");
        let series = format!("{study}/series/{series}");
        let gets = |count: usize| if count == 0 { Vec::new() } else { vec![("GET".to_owned(), count)] };
        let made = store.cost(&format!("{series}/metadata"));
        let reads = made.iter().find(|(method, _)| method == "GET").map(|(_, count)| *count);
        assert_eq!(reads, Some(20), "each header is read once: {made:?}");

        // Its document is kept behind the answer; reading it once brings it near.
        wait_until("the document of the series is kept", || store.bucket.keys(".sheet").len() == 1);
        let store = store.again();
        store.cost(&format!("{series}/metadata"));
        let store = store.again();
        assert_eq!(store.cost("/dicomweb/studies?limit=101"), gets(0));
        assert_eq!(store.cost(&format!("{study}/series")), gets(0));
        assert_eq!(store.cost(&format!("{series}/instances")), gets(0));
        let each = usize::from(cache_bytes == 0);
        assert_eq!(store.cost(&format!("{series}/metadata")), gets(each));
        assert_eq!(store.cost(&format!("{series}/metadata")), gets(0), "it is in memory");
        for object in objects.iter().take(5) {
            let frame = format!("{series}/instances/{}/frames/1", object.instance);
            assert_eq!(store.cost(&frame), gets(each), "{cache_bytes}");
            assert_eq!(store.cost(&format!("{frame}/rendered")), gets(2 * each), "its header and its pixels");
            assert_eq!(store.cost(&format!("{frame}/rendered")), gets(0), "the picture is in memory");
        }
        assert_eq!(store.cost(&study), gets(20 * each), "all of it");
        assert_kept(&store.site, &store.token, &objects.iter().collect::<Vec<_>>());
    }
}

#[test]
fn f25_a_very_slow_store_holds_up_nobody_else() {
    let Some(store) = Store::start() else { return };
    store.site.run(&["centre", "add", "South Clinic", "--id", "south", "--ae", "SOUTH_CT"]);
    let token = store.site.token("south", "admin");
    let slow = Rule { target: "/north-clinic/".to_owned(), ..Rule::next("PUT", u32::MAX, Fault::Slow(1024)) };
    store.proxy.add(slow);
    let (north, south) = (store.object(25_000), load::study(store.files.path(), 25_001, 8));
    let mut waiting = send_objects(store.site.dicom, &north);
    let told = send_objects_as("SOUTH_CT", store.site.dicom, &south).told();
    assert_eq!(told.words(), ["Success"; 8], "{}", told.text);
    assert!(!waiting.has_ended(), "the slow one is still under way");
    assert_kept(&store.site, &token, &south.iter().collect::<Vec<_>>());
    assert_eq!(waiting.told().words(), ["Refused: OutOfResources"], "it ends by the product's own clock");
    assert!(store.is_unknown(&north));
    store.succeeds_again(&north);
    store.end();
}

#[test]
fn f26_a_bit_that_rots_on_the_disk_is_found_and_not_served() {
    if !has_dcmtk() {
        return;
    }
    let site = Site::new();
    let token = add_centre(&site);
    let serving = site.start(&["serve", "--roles", "intake,archive"], site.http);
    let files = tempfile::tempdir().unwrap();
    let objects = load::study(files.path(), 26_000, 3);
    assert_eq!(send_objects(site.dicom, &objects).told().words(), ["Success"; 3]);
    assert_kept(&site, &token, &objects.iter().collect::<Vec<_>>());
    rot(&site.folder.path().join("data"), &objects[1]);
    assert_not_served(&site, &token, &objects[1]);
    assert_kept(&site, &token, &[&objects[0], &objects[2]]);
    let output = site.output(&["verify"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("1 are wrong"), "{text}");
    assert!(text.contains(&objects[1].instance), "it says which: {text}");
    let output = site.output(&["verify", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["objects"], &told["wrong"]), (&3.into(), &1.into()), "{told}");
    assert!(told["findings"][0]["what"].as_str().unwrap().contains(&objects[1].instance), "{told}");
    assert!(serving.stop());

    // The scrub finds it by itself, and people are told.
    let serving = site.start(&["serve", "--roles", "archive,upkeep"], site.http);
    let metrics = || String::from_utf8(curl(&[&site.url("/metrics")])).unwrap();
    wait_until("the scrub found it", || metrics().contains("telerad_upkeep_damaged_objects_total 1"));
    assert_not_served(&site, &token, &objects[1]);
    assert!(serving.stop());
    let output = site.output(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("1 are missing or not what was stored"), "{text}");
}

/// A catalog that was emptied, or made anew, is no reason to remove what the store has.
#[test]
fn an_emptied_catalog_stops_the_sweep_and_a_rebuild_settles_it() {
    if !has_dcmtk() {
        return;
    }
    let site = Site::new();
    add_centre(&site);
    let serving = site.start(&["serve", "--roles", "intake,archive"], site.http);
    let files = tempfile::tempdir().unwrap();
    let objects = load::study(files.path(), 27_000, 3);
    assert_eq!(send_objects(site.dicom, &objects).told().words(), ["Success"; 3]);
    assert!(serving.stop());
    let data = site.folder.path().join("data");
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    let token = add_centre(&site);
    for arguments in [&["sweep", "--dry-run"][..], &["sweep"], &["sweep", "--even-if-many"]] {
        let output = site.output(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && text.contains("knows no image at all"), "{arguments:?}: {text}");
    }
    assert_eq!(sweep_later(&data).removed, 0);
    let output = site.output(&["doctor"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("knows no image at all"));
    site.run(&["rebuild"]);
    let swept = site.run(&["sweep"]);
    assert!(swept.contains("0 were removed"), "{swept}");
    let serving = site.start(&["serve", "--roles", "intake,archive"], site.http);
    assert_kept(&site, &token, &objects.iter().collect::<Vec<_>>());
    assert!(serving.stop());
}

/// Nobody gets the whole object and believes that all is well.
fn assert_not_served(site: &Site, token: &str, object: &Object) {
    let target = tempfile::NamedTempFile::new().unwrap();
    let status = std::process::Command::new("curl")
        .args(["-sS", "--fail", "-H", &format!("Authorization: Bearer {token}")])
        .args(["-H", "Accept: application/dicom; transfer-syntax=*"])
        .args(["-o", target.path().to_str().unwrap(), &wado(site, object)])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "changed bytes were served as good");
}

/// Turns one bit of an object's pixels, wherever it lies.
fn rot(data: &std::path::Path, object: &Object) {
    let bytes = read(&object.path);
    let middle = bytes.len() / 2;
    let sample = &bytes[middle..middle + 256];
    let mut turned = 0;
    for entry in walkdir::WalkDir::new(data) {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        let mut there = read(entry.path());
        // Pixels repeat; the identifiers before them say whose they are.
        let Some(named) = find(&there, object.instance.as_bytes()) else { continue };
        let Some(at) = find(&there[named..], sample) else { continue };
        there[named + at] ^= 0x10;
        std::fs::write(entry.path(), there).unwrap();
        turned += 1;
    }
    assert_eq!(turned, 1, "the object was found on the disk");
}

fn find(bytes: &[u8], sample: &[u8]) -> Option<usize> {
    let first = *sample.first()?;
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == first) {
        at += next;
        if bytes[at..].starts_with(sample) {
            return Some(at);
        }
        at += 1;
    }
    None
}
