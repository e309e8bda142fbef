//! Storage commitment, as pynetdicom and a DICOMweb client ask for it: what is committed, what is not and why, and who hears of it when.

use std::{
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    certificates::Authority,
    server::{Process, Site, data_set, free_port, head_ct, named_by, read},
};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// A server with a stored head CT, and the clients' Python.
struct World {
    site: Site,
    python: String,
    /// Class and instance of what is stored.
    stored: Vec<(String, String)>,
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(head_ct()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn reference(path: &Path) -> (String, String) {
    let file = read(path);
    let Ok(dimse::Split::Found(head)) = dimse::split_part10(&file, true) else { panic!("{path:?}") };
    (head.sop_class_uid.unwrap(), head.sop_instance_uid.unwrap())
}

fn world(site: Site) -> Option<(World, Process)> {
    let python = named_by("TELERAD_TEST_PYTHON")?;
    site.run(&["centre", "add", "North Clinic", "--id", "north", "--ae", "CT_1", "--quiet-period", "3600"]);
    site.run(&["centre", "add", "South Clinic", "--id", "south", "--ae", "CT_S"]);
    let serving = site.serve();
    send(&site, "CT_1");
    let stored = files().iter().map(|path| reference(path)).collect();
    Some((World { site, python, stored }, serving))
}

fn send(site: &Site, calling: &str) {
    let address = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    let folder = head_ct();
    let sent = site.output(&["send", folder.to_str().unwrap(), "--to", &address, "--calling", calling]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

impl World {
    fn client(&self, order: &Value) -> Child {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/pynetdicom_commit.py");
        let mut whole = json!({
            "host": "127.0.0.1", "port": self.site.dicom, "calling": "CT_1", "references": self.stored,
        });
        whole.as_object_mut().unwrap().extend(order.as_object().unwrap().clone());
        let mut child = Command::new(&self.python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(whole.to_string().as_bytes()).unwrap();
        child
    }

    fn ask(&self, order: &Value) -> Value {
        outcome(self.client(order))
    }

    /// Changes one byte of a stored object, wherever it rests.
    fn damage(&self, path: &Path) {
        let file = read(path);
        let wanted = &data_set(&file)[data_set(&file).len() - 4096..];
        let objects = self.site.folder.path().join("data/objects");
        for entry in walkdir::WalkDir::new(objects) {
            let entry = entry.unwrap();
            if !entry.file_type().is_file() {
                continue;
            }
            let bytes = read(entry.path());
            if let Some(at) = bytes.windows(wanted.len()).position(|part| part == wanted) {
                // In place, as a disk does it: the server may have the file open.
                let place = at + 2048;
                let file = std::fs::File::options().write(true).open(entry.path()).unwrap();
                file.write_all_at(&[bytes[place] ^ 0x01], place as u64).unwrap();
                return;
            }
        }
        panic!("{path:?} is not stored");
    }
}

fn outcome(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"))
}

fn count(told: &Value, what: &str) -> usize {
    told[what].as_array().unwrap_or_else(|| panic!("nothing was told: {told}")).len()
}

#[test]
fn pynetdicom_hears_on_its_own_association() {
    let Some((world, _serving)) = world(Site::new()) else { return };
    let told = world.ask(&json!({"mode": "same", "transaction": "1.2.3.1"}));
    assert_eq!(
        (&told["status"], &told["event_type"], &told["transaction"]),
        (&json!(0), &json!(1), &json!("1.2.3.1"))
    );
    assert_eq!((count(&told, "committed"), count(&told, "failed")), (28, 0));

    // What is asked for and is not so.
    let mut references = world.stored[..2].to_vec();
    references.push((CT.to_owned(), "1.2.3.4.5".to_owned()));
    references.push(("1.2.840.10008.5.1.4.1.1.4".to_owned(), world.stored[2].1.clone()));
    references.push(("1.2.840.10008.1.1".to_owned(), world.stored[3].1.clone()));
    let told = world.ask(&json!({"mode": "same", "transaction": "1.2.3.2", "references": references}));
    assert_eq!((&told["event_type"], count(&told, "committed")), (&json!(2), 2));
    let reasons: Vec<_> = told["failed"].as_array().unwrap().iter().map(|item| item[2].clone()).collect();
    assert_eq!(reasons, [json!(0x0112), json!(0x0119), json!(0x0122)]);

    // The same again is told again; another request under the same UID is refused whole.
    let again = world.ask(&json!({"mode": "same", "transaction": "1.2.3.1"}));
    assert_eq!((count(&again, "committed"), count(&again, "failed")), (28, 0));
    // The client knows reports by their transaction, and one of before may come again when its answer was lost with its association.
    let other = world.site.until("the other request is answered", || {
        let other = world.ask(&json!({"mode": "same", "transaction": "1.2.3.1", "references": references}));
        (count(&other, "committed") != 28).then_some(other)
    });
    assert_eq!((count(&other, "committed"), count(&other, "failed")), (0, 5));
    assert!(other["failed"].as_array().unwrap().iter().all(|item| item[2] == 0x0131));

    // Another centre's images are nobody's.
    let told = world.ask(&json!({"mode": "same", "transaction": "1.2.3.3", "calling": "CT_S"}));
    assert_eq!((count(&told, "committed"), count(&told, "failed")), (0, 28));
    assert!(told["failed"].as_array().unwrap().iter().all(|item| item[2] == 0x0112));
}

#[test]
fn a_damaged_object_is_not_committed_and_a_person_sees_it() {
    let Some((world, _serving)) = world(Site::new()) else { return };
    world.damage(&files()[5]);
    let told = world.ask(&json!({"mode": "same", "transaction": "1.2.3.1"}));
    assert_eq!((count(&told, "committed"), &told["event_type"]), (27, &json!(2)));
    assert_eq!(told["failed"], json!([[CT, world.stored[5].1, 0x0110]]));
    let browser = world.site.reader();
    let tasks = browser.get("/api/v1/tasks").to_string();
    assert!(tasks.contains("object_damaged") && tasks.contains(&world.stored[5].1), "{tasks}");
}

#[test]
fn the_report_comes_over_a_new_association() {
    let Some((world, _serving)) = world(Site::new()) else { return };
    let listen = free_port();
    let address = format!("127.0.0.1:{listen}");
    world.site.run(&["centre", "ae", "north", "CT_1", "--address", &address]);
    let told = world.ask(&json!({"mode": "new", "transaction": "1.2.3.1", "listen": listen}));
    assert_eq!((count(&told, "committed"), &told["event_type"]), (28, &json!(1)));
    assert_eq!(told["as_scu"], json!(true), "the roles were selected");
}

#[test]
fn the_report_comes_after_a_kill() {
    let Some((world, serving)) = world(Site::new()) else { return };
    let listen = free_port();
    let address = format!("127.0.0.1:{listen}");
    world.site.run(&["centre", "ae", "north", "CT_1", "--address", &address]);
    let asked = world.ask(&json!({"mode": "ask", "transaction": "1.2.3.1"}));
    assert_eq!(asked["status"], json!(0));
    serving.kill();
    let listening = world.client(&json!({"mode": "listen", "transaction": "1.2.3.1", "listen": listen}));
    let _serving = world.site.serve();
    let told = outcome(listening);
    assert_eq!((count(&told, "committed"), &told["transaction"]), (28, &json!("1.2.3.1")));
}

#[test]
fn who_did_not_wait_hears_when_it_comes_back() {
    let Some((world, _serving)) = world(Site::new()) else { return };
    let asked = world.ask(&json!({"mode": "ask", "transaction": "1.2.3.1"}));
    assert_eq!(asked["status"], json!(0));
    world.site.until("the peer could not be told", || {
        std::fs::read_to_string(world.site.log()).unwrap().contains("peer not told").then_some(())
    });
    let told = world.ask(&json!({"mode": "hear"}));
    assert_eq!((count(&told, "committed"), &told["transaction"]), (28, &json!("1.2.3.1")));
}

#[test]
fn who_may_not_ask_is_not_heard() {
    let Some((world, _serving)) = world(Site::new()) else { return };
    world.site.run(&["centre", "ae", "north", "CT_1", "--services", "storage"]);
    let told = world.ask(&json!({"mode": "same", "transaction": "1.2.3.1"}));
    assert_ne!(told["established"], json!(true), "pynetdicom takes an association without contexts for none");
}

/// Over TLS to the end: both sides show certificates, the peer hears the report, and a host whose certificate is another's is not told.
#[test]
fn the_report_comes_over_mutual_tls() {
    let site = Site::new();
    let folder = site.folder.path().to_owned();
    let authority = Authority::new(&folder, "authority");
    let (certificate, key) = authority.issue("server", 30);
    let (peer_certificate, peer_key) = authority.issue("scanner", 30);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let site = site
        .with("INTAKE__TLS__LISTEN", format!("127.0.0.1:{}", free_port()))
        .with("INTAKE__TLS__CERTIFICATE", text(&certificate))
        .with("INTAKE__TLS__KEY", text(&key))
        .with("INTAKE__TLS__AUTHORITIES", text(&authority.file()));
    let Some((world, _serving)) = world(site) else { return };
    let listen = free_port();
    let call = |host: &str| {
        let address = format!("{host}:{listen}");
        world.site.run(&["centre", "ae", "north", "CT_1", "--address", &address, "--address-tls"]);
    };
    call("127.0.0.1");
    world.damage(&files()[5]);
    let tls = json!({"certificate": peer_certificate, "key": peer_key, "authority": authority.file()});
    let told = world.ask(&json!({"mode": "new", "transaction": "1.2.3.1", "listen": listen, "tls": tls}));
    assert_eq!((count(&told, "committed"), &told["event_type"]), (27, &json!(2)));
    assert_eq!(told["failed"], json!([[CT, world.stored[5].1, 0x0110]]));
    assert_eq!((&told["called_by"], &told["as_scu"]), (&json!("server"), &json!(true)));

    // A host that the certificate does not name is not told, although the authority is the same.
    call("127.0.0.2");
    let order = json!({
        "mode": "new", "transaction": "1.2.3.2", "listen": listen, "bind": "127.0.0.2", "tls": tls,
    });
    let mut waiting = world.client(&order);
    world.site.until("the name is refused", || {
        std::fs::read_to_string(world.site.log()).unwrap().contains("not valid for name").then_some(())
    });
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}

#[test]
fn a_web_client_asks_for_the_result() {
    let Some((world, _serving)) = world(Site::new()) else { return };
    let (north, south) = (world.site.token("north", "centre"), world.site.token("south", "centre"));
    let call = |token: &str, method: &str, path: &str, body: Option<&Value>| {
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "-X",
            method,
            "-w",
            "\n%{http_code}",
            "-H",
            &format!("Authorization: Bearer {token}"),
        ]);
        if let Some(body) = body {
            let file = world.site.folder.path().join("body.json");
            std::fs::write(&file, body.to_string()).unwrap();
            command.args(["-H", "Content-Type: application/dicom+json", "--data-binary"]);
            command.arg(format!("@{}", file.display()));
        }
        let output = command.arg(world.site.url(path)).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse::<u16>().unwrap(), serde_json::from_str::<Value>(body).unwrap_or(Value::Null))
    };
    let reference = |class: &str, instance: &str| {
        json!({
            "00081150": {"vr": "UI", "Value": [class]},
            "00081155": {"vr": "UI", "Value": [instance]},
        })
    };
    let mut items: Vec<_> = world.stored.iter().map(|(class, instance)| reference(class, instance)).collect();
    items.push(reference(CT, "1.2.3.4.5"));
    let body = json!({"00081199": {"vr": "SQ", "Value": items}});
    let path = "/dicomweb/commitment-requests/1.2.3.1";
    assert_eq!(call(&north, "POST", path, Some(&body)).0, 202);
    assert_eq!(call(&north, "POST", path, Some(&body)).0, 409);
    let result = world.site.until("the result is there", || {
        let (status, result) = call(&north, "GET", path, None);
        assert!(status == 200 || status == 202, "{status}");
        (status == 200).then_some(result)
    });
    assert_eq!(result["00081199"]["Value"].as_array().unwrap().len(), 28);
    let failed = result["00081198"]["Value"].as_array().unwrap();
    assert_eq!((failed.len(), &failed[0]["00081197"]["Value"][0]), (1, &json!(0x0112)));
    assert_eq!(failed[0]["00081155"]["Value"][0], "1.2.3.4.5");

    assert_eq!(call(&north, "GET", "/dicomweb/centres/north/commitment-requests/1.2.3.1", None).0, 200);
    assert_eq!(call(&south, "GET", path, None).0, 404, "another centre's");
    assert_eq!(call(&south, "GET", "/dicomweb/centres/north/commitment-requests/1.2.3.1", None).0, 404);
    assert_eq!(call("nonsense", "GET", path, None).0, 401);
    let bad = "/dicomweb/commitment-requests/1.2.3.2";
    assert_eq!(call(&north, "POST", bad, Some(&json!({}))).0, 400);
    assert_eq!(call(&north, "POST", "/dicomweb/commitment-requests/nonsense", Some(&body)).0, 400);
    let nobody = json!({"00081199": {"vr": "SQ", "Value": [reference("x", "y")]}});
    assert_eq!(call(&north, "POST", bad, Some(&nobody)).0, 400);
}
