//! F29 and F30: no room on the disk, no names left on it, no file descriptors left.

use std::{
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use testkit::faults::disk::rules::{Call, Fault, Rule};

use super::{
    load,
    rig::{Rig, add_centre, assert_kept, has_dcmtk, known, send_objects, send_objects_as, stow, wait_until},
};
use crate::{
    journey::{STUDY, delivered, drafted, prepare, read_and_sign, study_path},
    server::{Process, Site},
};

const MIB: u64 = 1 << 20;

/// `ENOSPC` of `errno.h`.
const ENOSPC: i32 = 28;

/// Descriptors that a process may have, and connections that use them up.
const DESCRIPTORS: &str = "64";
const CONNECTIONS: usize = 80;

// Without a reserve images may fill the disk to its last block.

#[test]
fn f29_a_full_disk_refuses_and_takes_again_by_itself() {
    refuses_while_full(Rig::with(|site| site.with("INTAKE__RESERVE_BYTES", "0")));
}

#[test]
fn f29_a_full_disk_refuses_and_takes_again_by_itself_in_files_too() {
    refuses_while_full(Rig::with(|site| Rig::in_files(site).with("INTAKE__RESERVE_BYTES", "0")));
}

fn refuses_while_full(rig: Option<Rig>) {
    let Some(rig) = rig else { return };
    let mut serving = rig.serve();
    let files = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for (round, free) in [8 * MIB, 3 * MIB, MIB / 2].into_iter().enumerate() {
        let objects = load::study(files.path(), 29_000 + round as u64, 24);
        // A pack has room that was set aside while there was some; the next one begins on the full disk.
        serving.kill();
        serving = rig.serve();
        rig.disk.set_size(Some(rig.disk.bytes_taken() + free));
        let told = send_objects(rig.site.dicom, &objects).told();
        let words = told.words();
        assert!(words.iter().all(|word| ["Success", "Refused: OutOfResources"].contains(word)), "{words:?}");
        assert!(words.contains(&"Refused: OutOfResources"), "{words:?}");
        let stored = told.stored(&objects);
        let left: Vec<_> = objects.iter().filter(|one| !stored.iter().any(|s| s.path == one.path)).collect();
        let (status, answer) = stow(&rig.site, &rig.token, &[left[0].clone()]);
        assert!([507, 503].contains(&status), "{status} {answer}");
        rig.disk.set_size(None);
        // Not before: each look at images is noted, and there was no room for that.
        rig.assert_kept(&stored);
        let again = send_objects(rig.site.dicom, &objects).told();
        assert_eq!(again.words(), ["Success"; 24], "by itself, once there is room: {}", again.text);
        acknowledged.extend(objects);
    }
    rig.assert_kept(&acknowledged.iter().collect::<Vec<_>>());
    assert!(serving.stop());
    rig.verify();
}

#[test]
fn f29_reports_are_signed_and_mailed_when_there_is_no_room_for_images() {
    const RESERVE: u64 = 16 * MIB;
    let Some(rig) = Rig::bare(|site| site.with("INTAKE__RESERVE_BYTES", RESERVE.to_string())) else { return };
    prepare(&rig.site);
    let token = rig.site.token("north-clinic", "admin");
    let _serving = rig.serve_roles("intake,archive,orders,relay,reporter,reading-room,notifier");
    crate::journey::send(&rig.site);
    let browser = rig.site.reader();
    drafted(&rig.site, &browser);
    let files = tempfile::tempdir().unwrap();
    rig.disk.set_size(Some(rig.disk.bytes_taken() + RESERVE + 4 * MIB));
    // What is seen is believed for a second, so the first ones may still go through; in the end none does.
    let mut number = 29_500;
    wait_until("images are refused", || {
        number += 1;
        let objects = load::study(files.path(), number, 4);
        let words = send_objects(rig.site.dicom, &objects).told();
        words.words() == ["Refused: OutOfResources"; 4]
    });
    let object = load::study(files.path(), 29_400, 1);
    let (status, answer) = stow(&rig.site, &token, &object);
    assert_eq!(status, 507, "{answer}");
    read_and_sign(&browser, "No intracranial haemorrhage.");
    delivered(&rig.site, &browser);
    rig.site.until("the PDF is made", || {
        (browser.send("GET", &study_path("/versions/1/report.pdf"), None).0 == 200).then_some(())
    });
    rig.disk.set_size(None);
    wait_until("images are taken again", || {
        send_objects(rig.site.dicom, &object).told().words() == ["Success"]
    });
    assert_kept(&rig.site, &token, &[&object[0]]);
    assert_eq!(known(&rig.site, &token, STUDY).len(), 28);
}

#[test]
fn f30_a_disk_without_names_refuses_and_takes_again_by_itself() {
    let Some(rig) = Rig::new() else { return };
    let serving = rig.serve();
    let files = tempfile::tempdir().unwrap();
    let objects = load::study(files.path(), 30_000, 6);
    // The file system has no inode left: nothing new can be made, what is there can be written.
    rig.disk
        .add(Rule::next(&[Call::Create, Call::MakeFolder], "objects/", Fault::Fail(ENOSPC)).times(u32::MAX));
    let told = send_objects(rig.site.dicom, &objects).told();
    let words = told.words();
    assert!(words.iter().all(|word| ["Success", "Refused: OutOfResources"].contains(word)), "{words:?}");
    let stored = told.stored(&objects);
    rig.assert_kept(&stored);
    assert!(!stored.is_empty() || rig.disk.strikes() > 0, "nobody met the fault");
    rig.disk.clear();
    assert_eq!(send_objects(rig.site.dicom, &objects).told().words(), ["Success"; 6]);
    rig.assert_kept(&objects.iter().collect::<Vec<_>>());
    assert!(serving.stop());
    rig.verify();
}

#[test]
fn f30_without_descriptors_the_accept_loop_waits_and_goes_on() {
    if !has_dcmtk() {
        return;
    }
    let site = Site::new();
    let token = add_centre(&site);
    let log = std::fs::File::create(site.log()).unwrap();
    let ours = site.command(&["serve", "--roles", "intake,archive"]);
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={DESCRIPTORS}")).arg(ours.get_program()).args(ours.get_args());
    command.envs(ours.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.current_dir(testkit::samples::workspace()).stdin(Stdio::null());
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let serving = Process::of(child);
    let dicom = SocketAddr::from(([127, 0, 0, 1], site.dicom));
    // The web server is the last one that begins to listen.
    wait_until("the web server answers", || TcpStream::connect(("127.0.0.1", site.http)).is_ok());

    let connections: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| TcpStream::connect_timeout(&dicom, Duration::from_secs(5)).unwrap())
        .collect();
    wait_until("the server runs out of descriptors", || {
        std::fs::read_to_string(site.log()).unwrap().contains("no connection can be taken")
    });
    let before = processor_ticks(serving.id());
    std::thread::sleep(Duration::from_secs(2));
    let spent = processor_ticks(serving.id()) - before;
    // A hundred ticks are a second: two seconds of spinning would be two hundred.
    assert!(spent < 50, "{spent} ticks in two seconds of waiting");
    drop(connections);
    let files = tempfile::tempdir().unwrap();
    let objects = load::study(files.path(), 30_500, 6);
    site.until("associations are taken again", || {
        let told = send_objects_as(super::rig::AE, site.dicom, &objects).told();
        (told.words() == ["Success"; 6]).then_some(())
    });
    wait_until("the web server answers again", || TcpStream::connect(("127.0.0.1", site.http)).is_ok());
    assert_kept(&site, &token, &objects.iter().collect::<Vec<_>>());
    assert!(serving.stop());
}

/// Processor time of a process, in ticks (`proc(5)`: fields 14 and 15 of `stat`).
fn processor_ticks(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = text.rsplit_once(") ").unwrap().1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
