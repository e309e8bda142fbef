//! `make soak`: many power cuts, then a mix of faults under load for as long as one likes, with a summary.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use testkit::faults::{
    disk::{
        Survival,
        rules::{Call, Fault, Moment, Rule},
    },
    tcp::{Proxy, Script},
};

use super::{
    cuts::{CALLS, Summary, cut},
    load::{self, Object},
    rig::{Rig, send_objects, wait_until},
};
use crate::server::Process;

/// Cuts, or rounds of the mix, on one disk: it is kept in memory.
const CUTS_OF_A_DISK: u64 = 20;
const ROUNDS_OF_A_DISK: u64 = 8;

/// Senders at one time, and slices that each sends.
const SENDERS: u64 = 3;
const SLICES: usize = 12;

/// Every role: the mix has drafts and mails beside intake.
const ROLES: &str = "intake,archive,orders,relay,reporter,reading-room,notifier";

/// How long the senders may be busy in a round; the slowest faults end by the product's own clock.
const ROUND_TIME_MAX: Duration = Duration::from_secs(120);

/// What is asked for: `seed=1 cuts=100 minutes=60`.
struct Wish {
    seed: u64,
    cuts: u64,
    minutes: u64,
}

impl Wish {
    fn read() -> Self {
        let text = std::env::var("TELERAD_SOAK").unwrap_or_default();
        let words: BTreeMap<&str, u64> = text
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name, value.parse().unwrap_or_else(|_| panic!("{name}={value}: a number"))))
            .collect();
        if let Some(unknown) = words.keys().find(|name| !["seed", "cuts", "minutes"].contains(name)) {
            panic!("{unknown}: known are seed, cuts and minutes");
        }
        let value = |name: &str, otherwise| words.get(name).copied().unwrap_or(otherwise);
        Self { seed: value("seed", 1), cuts: value("cuts", 100), minutes: value("minutes", 60) }
    }
}

/// What goes wrong in a round of the mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    PowerCut,
    Kill,
    FailedFlush,
    SlowFlush,
    FullDisk,
    BrokenConnections,
}

const TROUBLES: [Trouble; 6] = [
    Trouble::PowerCut,
    Trouble::Kill,
    Trouble::FailedFlush,
    Trouble::SlowFlush,
    Trouble::FullDisk,
    Trouble::BrokenConnections,
];

#[test]
#[ignore = "takes as long as one likes: `make soak`"]
fn soak() {
    let wish = Wish::read();
    let mut all = Summary::default();
    let mut disk = 0;
    while all.cuts < wish.cuts {
        let Some(mut rig) = Rig::new() else { return };
        disk += 1;
        let some = (wish.cuts - all.cuts).min(CUTS_OF_A_DISK);
        let summary = cut(&mut rig, wish.seed * 1000 + disk, some, "intake,archive");
        all.cuts += summary.cuts;
        all.cuts_in_mid_sending += summary.cuts_in_mid_sending;
        all.acknowledged += summary.acknowledged;
        all.slowest_start = all.slowest_start.max(summary.slowest_start);
    }
    let begin = Instant::now();
    let mut luck = StdRng::seed_from_u64(wish.seed);
    let mut mix = Mix::default();
    while begin.elapsed() < Duration::from_secs(60 * wish.minutes) {
        let Some(rig) = Rig::new() else { return };
        mix.disk(rig, &mut luck);
    }
    eprintln!("seed {}", wish.seed);
    eprintln!("{all:?}");
    eprintln!("{mix:?} in {:?}", begin.elapsed());
}

/// What the mix showed.
#[derive(Debug, Default)]
struct Mix {
    rounds: BTreeMap<Trouble, u32>,
    sent: usize,
    acknowledged_during_faults: usize,
    refused_or_broken: usize,
    drafted_studies: usize,
    next_study: u64,
}

impl Mix {
    /// Some rounds on one disk; at its end every study is drafted, and every object is as it was sent.
    fn disk(&mut self, mut rig: Rig, luck: &mut StdRng) {
        let files = tempfile::tempdir().unwrap();
        let mut all: Vec<Object> = Vec::new();
        let mut serving = rig.serve_roles(ROLES);
        for _ in 0..ROUNDS_OF_A_DISK {
            let trouble = TROUBLES[luck.random_range(0..TROUBLES.len())];
            let objects: Vec<Vec<Object>> = (0..SENDERS)
                .map(|sender| load::study(files.path(), 50_000_000 + self.next_study + sender, SLICES))
                .collect();
            self.next_study += SENDERS;
            serving = self.round(&mut rig, serving, trouble, &objects, luck);
            *self.rounds.entry(trouble).or_default() += 1;
            all.extend(objects.into_iter().flatten());
        }
        for objects in all.chunks(SLICES) {
            rig.assert_kept(&objects.iter().collect::<Vec<_>>());
        }
        let browser = rig.site.reader();
        let studies = all.len() / SLICES;
        rig.site.until("every study is drafted", || {
            let list = browser.get("/api/v1/worklist?limit=500");
            let entries = list["entries"].as_array()?;
            (entries.len() == studies && entries.iter().all(|entry| entry["draft"] == "current"))
                .then_some(())
        });
        self.drafted_studies += studies;
        serving.kill();
        rig.verify();
    }

    fn round(
        &mut self,
        rig: &mut Rig,
        serving: Process,
        trouble: Trouble,
        objects: &[Vec<Object>],
        luck: &mut StdRng,
    ) -> Process {
        eprintln!("{trouble:?}");
        let before = rig.disk.strikes();
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], rig.site.dicom)));
        let moment = if luck.random_bool(0.5) { Moment::Before } else { Moment::After };
        let passes = luck.random_range(0..600);
        let flushes = [Call::Flush, Call::FlushFolder];
        match trouble {
            Trouble::PowerCut => rig.disk.add(Rule::next(&CALLS, "", Fault::PowerCut(moment)).after(passes)),
            Trouble::Kill => rig.disk.add(Rule::next(&CALLS, "", Fault::Kill(moment)).after(passes)),
            Trouble::FailedFlush => rig.disk.add(Rule::next(&flushes, "", Fault::Fail(5)).after(passes / 8)),
            Trouble::SlowFlush => {
                let slow = Fault::Slow(Duration::from_millis(luck.random_range(20..400)));
                rig.disk.add(Rule::next(&flushes, "", slow).times(40));
            }
            Trouble::FullDisk => {
                rig.disk.set_size(Some(rig.disk.bytes_taken() + luck.random_range(0..16_u64 << 20)));
            }
            Trouble::BrokenConnections => {
                for _ in 0..SENDERS {
                    // Silence ends by the product's own clock after a minute, which is for tests of its own.
                    let script = loop {
                        let script = Script::drawn(luck, 6 << 20, 2000);
                        let ends = [script.to_server.end, script.to_client.end];
                        if ends.iter().flatten().all(|(_, end)| !silent(*end)) {
                            break script;
                        }
                    };
                    proxy.next(script);
                }
            }
        }
        let mut senders: Vec<_> =
            objects.iter().map(|objects| send_objects(proxy.address().port(), objects)).collect();
        let begin = Instant::now();
        wait_until("the fault strikes or everything is sent", || {
            let dies = matches!(trouble, Trouble::PowerCut | Trouble::Kill);
            (dies && rig.disk.strikes() > before)
                || senders.iter_mut().all(|sender| sender.has_ended())
                || begin.elapsed() > ROUND_TIME_MAX
        });
        let serving = self.after(rig, serving, trouble, luck);
        let mut stored: Vec<&Object> = Vec::new();
        for (sender, objects) in senders.into_iter().zip(objects) {
            let told = sender.told();
            stored.extend(told.stored(objects));
            self.sent += objects.len();
        }
        self.acknowledged_during_faults += stored.len();
        self.refused_or_broken += objects.iter().map(Vec::len).sum::<usize>() - stored.len();
        rig.assert_kept(&stored);
        for objects in objects {
            wait_until("everything is taken once the fault is over", || {
                send_objects(rig.site.dicom, objects).told().words() == vec!["Success"; objects.len()]
            });
        }
        serving
    }

    /// Ends the fault, and starts what it killed.
    fn after(&self, rig: &mut Rig, serving: Process, trouble: Trouble, luck: &mut StdRng) -> Process {
        rig.disk.clear();
        rig.disk.set_size(None);
        match trouble {
            Trouble::PowerCut => {
                rig.disk.power_off();
                serving.kill();
                let survival =
                    if luck.random_bool(0.5) { Survival::FlushedOnly } else { Survival::Torn(luck.random()) };
                rig.recover(survival, ROLES).0
            }
            // After a failed flush the product may promise nothing until it is started again.
            Trouble::Kill | Trouble::FailedFlush => {
                serving.kill();
                rig.serve_roles(ROLES)
            }
            Trouble::SlowFlush | Trouble::FullDisk | Trouble::BrokenConnections => serving,
        }
    }
}

fn silent(end: testkit::faults::tcp::End) -> bool {
    use testkit::faults::tcp::End;
    match end {
        End::Stall | End::Swallow => true,
        End::Close | End::Reset => false,
    }
}
