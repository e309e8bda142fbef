//! F01 to F04 and F06: the server dies, or loses its power, at a chosen step of taking an object; or a flush fails.

use std::net::SocketAddr;

use testkit::faults::{
    disk::{
        Survival,
        rules::{Call, Fault, Moment, Rule},
    },
    tcp::{End, Proxy, Script},
};

use super::{
    load::{self, Object},
    rig::{Rig, send_objects, wait_until},
};
use crate::server::PATIENCE;

/// Where objects lie, and the log of the catalog, in the data folder.
const OBJECTS: &str = "data/objects/";
const LOG: &str = "catalog.sqlite-wal";

const ROLES: &str = "intake,archive";

/// Whether the machine goes on or loses its power with the process.
const WAYS: [fn(Moment) -> Fault; 2] = [Fault::Kill, Fault::PowerCut];

/// One object after another, each as a study of its own.
struct Objects {
    folder: tempfile::TempDir,
    next: u64,
}

impl Objects {
    fn new(first: u64) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), next: first }
    }

    fn one(&mut self) -> Vec<Object> {
        self.next += 1;
        load::study(self.folder.path(), self.next, 1)
    }
}

#[test]
fn f01_killed_while_receiving_leaves_nothing_and_a_second_sending_succeeds() {
    let Some(rig) = Rig::new() else { return };
    let mut objects = Objects::new(1_000);
    let mut serving = rig.serve();
    let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], rig.site.dicom)));
    let whole = std::fs::metadata(&objects.one()[0].path).unwrap().len();
    // After the first fragment, in the middle, and before the last one.
    for after in [20_000, whole / 2, whole - 20_000] {
        let object = objects.one();
        proxy.next(Script::ends_to_server(after, End::Stall));
        let arrived = proxy.bytes_to_server() + after;
        let sender = send_objects(proxy.address().port(), &object);
        wait_until("the server has so many bytes", || proxy.bytes_to_server() >= arrived);
        serving.kill();
        let told = sender.told();
        assert!(told.stored(&object).is_empty() && !told.text.is_empty(), "{}", told.text);
        serving = rig.serve();
        assert!(rig.known(&object[0].study).is_empty(), "killed after {after} bytes");
        let again = send_objects(rig.site.dicom, &object).told();
        assert_eq!(again.words(), ["Success"], "{}", again.text);
        rig.assert_kept(&[&object[0]]);
    }
    assert!(serving.stop());
    rig.verify();
}

/// Dies where a rule says, once in each way, and gives what the index has before the object is sent again.
fn dies(name: &str, first: u64, rule: impl Fn(Fault) -> Rule, moment: Moment) -> Option<Vec<usize>> {
    let mut rig = Rig::new()?;
    let mut objects = Objects::new(first);
    let mut known = Vec::new();
    let mut serving = rig.serve();
    let before = objects.one();
    let mut last = None;
    assert_eq!(send_objects(rig.site.dicom, &before).told().words(), ["Success"]);
    for way in WAYS {
        let object = objects.one();
        let strikes = rig.disk.strikes();
        rig.disk.add(rule(way(moment)));
        let told = send_objects(rig.site.dicom, &object).told();
        assert!(rig.disk.wait_for_strikes(strikes + 1, PATIENCE), "{name}: nobody came to that step");
        assert!(told.stored(&object).is_empty(), "{name}: {}", told.text);
        serving.kill();
        if rig.disk.is_off() {
            serving = rig.recover(Survival::FlushedOnly, ROLES).0;
        } else {
            serving = rig.serve();
        }
        known.push(rig.known(&object[0].study).len());
        let again = send_objects(rig.site.dicom, &object).told();
        assert_eq!(again.words(), ["Success"], "{name}: {}", again.text);
        assert_eq!(rig.known(&object[0].study).len(), 1, "{name}: one object, however often it was sent");
        rig.assert_kept(&[&before[0], &object[0]]);
        last = object.into_iter().next();
    }
    assert!(serving.stop());
    rig.verify();
    // What the dying processes left is gone once it is old enough, and nothing else is.
    let swept = rig.sweep_later();
    assert!(swept.halted.is_none(), "{name}: {swept:?}");
    assert_eq!(swept.removed >= 1, known.contains(&0), "{name}, known {known:?}: {swept:?}");
    assert_eq!(rig.sweep_later().removed, 0);
    let serving = rig.serve();
    rig.assert_kept(&[&before[0], last.as_ref().expect("one died")]);
    assert!(serving.stop());
    rig.verify();
    Some(known)
}

#[test]
fn f02_killed_after_the_object_is_flushed_and_before_it_is_linked() {
    let rule = |fault| Rule::next(&[Call::Flush], OBJECTS, fault);
    let Some(known) = dies("flushed", 2_000, rule, Moment::After) else { return };
    assert_eq!(known, [0, 0]);
}

#[test]
fn f03_killed_after_the_object_is_linked_and_before_the_commit() {
    let rule = |fault| Rule::next(&[Call::Write], LOG, fault).once(&[Call::Flush], OBJECTS);
    let Some(known) = dies("linked", 3_000, rule, Moment::Before) else { return };
    assert_eq!(known, [0, 0]);
    // The commit is written and not flushed: a kill leaves it to the machine, a power cut takes it.
    let rule = |fault| Rule::next(&[Call::Flush], LOG, fault).once(&[Call::Flush], OBJECTS);
    let Some(known) = dies("committing", 3_100, rule, Moment::Before) else { return };
    assert_eq!(known, [1, 0]);
}

#[test]
fn f04_killed_after_the_commit_and_before_the_answer() {
    let rule = |fault| Rule::next(&[Call::Flush], LOG, fault).once(&[Call::Flush], OBJECTS);
    let Some(known) = dies("committed", 4_000, rule, Moment::After) else { return };
    assert_eq!(known, [1, 1]);
}

#[test]
fn f04_the_answer_is_lost_on_its_way() {
    let Some(rig) = Rig::new() else { return };
    let mut objects = Objects::new(4_500);
    let serving = rig.serve();
    let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], rig.site.dicom)));
    // Long enough for the association to be accepted, too short for the answer to the object.
    let accepted = {
        let object = objects.one();
        let told = send_objects(proxy.address().port(), &object).told();
        assert_eq!(told.words(), ["Success"], "{}", told.text);
        proxy.bytes_to_client()
    };
    for end in [End::Close, End::Reset] {
        let object = objects.one();
        // The answers: acceptance, the response to the object, and ten bytes of release.
        proxy.next(Script::ends_to_client(accepted - 10 - 20, end));
        let told = send_objects(proxy.address().port(), &object).told();
        assert!(told.stored(&object).is_empty(), "{}", told.text);
        wait_until("the object is known", || rig.known(&object[0].study).len() == 1);
        let again = send_objects(rig.site.dicom, &object).told();
        assert_eq!(again.words(), ["Success"], "{}", again.text);
        assert_eq!(rig.known(&object[0].study).len(), 1);
        rig.assert_kept(&[&object[0]]);
    }
    assert!(serving.stop());
    rig.verify();
}

/// EIO, once, at each flush that taking an object needs: none of them may end in success, now or after a power cut.
#[test]
fn f06_a_failed_flush_is_never_a_success() {
    refuses_what_was_not_flushed(Rig::new());
}

#[test]
fn f06_a_failed_flush_is_never_a_success_in_files_either() {
    refuses_what_was_not_flushed(Rig::with(Rig::in_files));
}

fn refuses_what_was_not_flushed(rig: Option<Rig>) {
    const EIO: i32 = 5;
    let Some(mut rig) = rig else { return };
    let mut objects = Objects::new(6_000);
    let mut serving = rig.serve();
    let mut acknowledged: Vec<Object> = Vec::new();
    for (calls, path) in [(Call::Flush, OBJECTS), (Call::FlushFolder, OBJECTS), (Call::Flush, LOG)] {
        let mut struck = 0;
        for passes in 0.. {
            let object = objects.one();
            if calls == Call::FlushFolder {
                // A pack's folders are flushed when it is begun, with the first object after a start.
                serving.kill();
                serving = rig.serve();
            }
            let strikes = rig.disk.strikes();
            let rule = Rule::next(&[calls], path, Fault::Fail(EIO)).after(passes);
            // The log is flushed by others too: only the flush that belongs to the object counts.
            rig.disk.add(if path == LOG { rule.once(&[Call::Flush], OBJECTS) } else { rule });
            let told = send_objects(rig.site.dicom, &object).told();
            if rig.disk.strikes() == strikes {
                assert_eq!(told.words(), ["Success"], "{}", told.text);
                acknowledged.extend(object);
                break;
            }
            struck += 1;
            assert!(told.stored(&object).is_empty(), "{calls:?} {passes}: {}", told.text);
            assert_eq!(told.words(), ["Refused: OutOfResources"], "{calls:?} {passes}: {}", told.text);
            // Who promises nothing after a failed flush needs a new start; the rest goes on by itself.
            serving.kill();
            serving = rig.serve();
            // A refused commit may be in the log all the same; whoever was refused sends again.
            assert!(path == LOG || rig.known(&object[0].study).is_empty(), "{calls:?} {passes}");
            let again = send_objects(rig.site.dicom, &object).told();
            assert_eq!(again.words(), ["Success"], "{calls:?} {passes}: {}", again.text);
            acknowledged.extend(object);
        }
        assert!(struck > 0, "{calls:?} in {path}: nobody flushes there");
        rig.disk.clear();
    }
    // What the failed flushes lost is lost for good: nothing that was answered with success may rest on it.
    rig.disk.power_off();
    serving.kill();
    serving = rig.recover(Survival::FlushedOnly, ROLES).0;
    rig.assert_kept(&acknowledged.iter().collect::<Vec<_>>());
    assert!(serving.stop());
    rig.verify();
}
