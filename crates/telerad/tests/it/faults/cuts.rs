//! F05: the power goes at seeded random moments while real senders send; everything that they were told is stored is there afterwards.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use testkit::faults::disk::{
    Survival,
    rules::{Call, Fault, Moment, Rule},
};

use super::{
    load::{self, Object},
    rig::{Rig, send_objects, wait_until},
};

/// Every call that changes something.
pub const CALLS: [Call; 10] = [
    Call::Create,
    Call::MakeFolder,
    Call::Write,
    Call::Resize,
    Call::Allocate,
    Call::Flush,
    Call::FlushFolder,
    Call::Link,
    Call::Rename,
    Call::Unlink,
];

/// Cuts in `make test`; `make soak` makes more.
const CUTS: u64 = 4;

/// Senders at one time, and slices that each sends.
const SENDERS: usize = 3;
const SLICES: usize = 12;

/// Calls of the disk that one round of sending makes, about; the power goes at one of them, or a little after the last.
const CALLS_OF_A_ROUND: u32 = 900;

/// What some cuts showed.
#[derive(Debug, Default)]
pub struct Summary {
    pub cuts: u64,
    pub cuts_in_mid_sending: u64,
    pub acknowledged: usize,
    pub slowest_start: Duration,
}

/// Cuts the power again and again under load, and looks after each.
pub fn cut(rig: &mut Rig, seed: u64, cuts: u64, roles: &str) -> Summary {
    let mut luck = StdRng::seed_from_u64(seed);
    let mut summary = Summary::default();
    let files = tempfile::tempdir().unwrap();
    let mut all: Vec<Object> = Vec::new();
    let mut serving = rig.serve_roles(roles);
    for round in 1..=cuts {
        let objects: Vec<Vec<Object>> = (0..SENDERS)
            .map(|sender| load::study(files.path(), 5_000_000 + round * 10 + sender as u64, SLICES))
            .collect();
        let moment = if luck.random_bool(0.5) { Moment::Before } else { Moment::After };
        let passes = luck.random_range(0..CALLS_OF_A_ROUND);
        let survival =
            if luck.random_bool(0.5) { Survival::FlushedOnly } else { Survival::Torn(luck.random()) };
        let before = rig.disk.strikes();
        rig.disk.add(Rule::next(&CALLS, "", Fault::PowerCut(moment)).after(passes));
        let mut senders: Vec<_> =
            objects.iter().map(|objects| send_objects(rig.site.dicom, objects)).collect();
        wait_until("the power goes or everything is sent", || {
            rig.disk.strikes() > before || senders.iter_mut().all(|sender| sender.has_ended())
        });
        summary.cuts_in_mid_sending += u64::from(rig.disk.is_off());
        rig.disk.power_off();
        serving.kill();
        let mut stored: Vec<&Object> = Vec::new();
        for (sender, objects) in senders.into_iter().zip(&objects) {
            stored.extend(sender.told().stored(objects));
        }
        let (started, took) = rig.recover(survival, roles);
        serving = started;
        rig.assert_kept(&stored);
        eprintln!(
            "cut {round}: call {passes} {moment:?} {survival:?}, {} acknowledged and there, start {took:?}",
            stored.len()
        );
        all.extend(stored.into_iter().cloned());
        summary.cuts = round;
        summary.slowest_start = summary.slowest_start.max(took);
    }
    for objects in all.chunks(SLICES) {
        rig.assert_kept(&objects.iter().collect::<Vec<_>>());
    }
    assert!(serving.stop());
    rig.verify();
    summary.acknowledged = all.len();
    summary
}

#[test]
fn f05_what_was_acknowledged_survives_power_cuts_under_load() {
    let Some(mut rig) = Rig::new() else { return };
    let summary = cut(&mut rig, 5, CUTS, "intake,archive");
    eprintln!("{summary:?}");
    assert!(summary.acknowledged > 0 && summary.cuts_in_mid_sending > 0, "nothing was proved: {summary:?}");
}
