//! Sweep and scrub against real stores: packs, files, and S3 where the environment names a server. The clock is turned by hand.

use std::{fs, path::Path, sync::Arc};

use archive::upkeep::{Config, Upkeep, UpkeepError, scrub::Step, sweep::Leave};
use bytes::Bytes;
use catalog::SqlCatalog;
use domain::{
    Duration, Timestamp,
    audit::Actor,
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    id::CentreId,
    image::{
        Arrival, ArrivalOutcome, Instance, InstanceAttributes, SeriesAttributes, Source, StudyAttributes,
    },
    object::{ObjectKey, ObjectName, ObjectRef},
    person::Scope,
    port::{
        Clock as _, Condition, Storage, StorageError,
        catalog::{
            Directory as _, Images as _, TakeOut, TakenOutStudies as _, TaskFilter, Trail as _, Upkeep as _,
        },
        storage::{Found, Unhurried, compare},
    },
    study::StudyKey,
    task::{Task, TaskKind},
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
    upkeep::Job,
};
use storage::{Checksums, FileStorage, S3Config, S3Storage, Secret};
use tempfile::TempDir;
use testkit::clock::ManualClock;
use uuid::Uuid;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Larger than a block, so that an object has an inside.
const OBJECT_BYTES: usize = 20_000;

struct World {
    folder: TempDir,
    catalog: SqlCatalog,
    storage: Arc<dyn Storage>,
    clock: ManualClock,
    config: Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Packs,
    Files,
    S3,
}

/// Runs a test on every kind of store that is there.
async fn on_every_store(test: impl AsyncFn(World, Kind)) {
    for kind in [Kind::Packs, Kind::Files, Kind::S3] {
        if let Some(world) = World::new(kind).await {
            test(world, kind).await;
        }
    }
}

pub(crate) async fn s3() -> Option<Arc<dyn Storage>> {
    let of = |name: &str| std::env::var(format!("TELERAD_TEST_S3_{name}"));
    let (Ok(endpoint), Ok(access), Ok(secret), Ok(region)) =
        (of("ENDPOINT"), of("ACCESS_KEY"), of("SECRET_KEY"), of("REGION"))
    else {
        eprintln!("SKIPPED: no S3 server (set TELERAD_TEST_S3_ENDPOINT, _ACCESS_KEY, _SECRET_KEY, _REGION)");
        return None;
    };
    let config = S3Config {
        bucket: format!("upkeep-{}", Uuid::now_v7()),
        region,
        endpoint: Some(endpoint),
        path_style: true,
        access_key: Some(Secret::new(access)),
        secret_key: Some(Secret::new(secret)),
        checksums: Checksums::WhenRequired,
        prefix: String::new(),
        spool_dir: None,
        cache_dir: None,
        cache_bytes_max: 0,
        connect_timeout_seconds: 5,
        answer_timeout_seconds: 60,
    };
    let storage = S3Storage::connect(config).await.unwrap();
    storage.ensure_bucket().await.unwrap();
    Some(Arc::new(storage))
}

fn centre() -> CentreId {
    CentreId::parse("north").unwrap()
}

fn key(study: u32, instance: u32, bytes: &[u8]) -> ObjectKey {
    ObjectName::Instance {
        centre: centre(),
        study: StudyInstanceUid::parse(&format!("1.2.{study}")).unwrap(),
        series: SeriesInstanceUid::parse(&format!("1.2.{study}.1")).unwrap(),
        instance: SopInstanceUid::parse(&format!("1.2.{study}.1.{instance}")).unwrap(),
        sha256: Sha256Digest::of(bytes),
    }
    .key()
}

fn bytes_of(study: u32, instance: u32) -> Vec<u8> {
    let mut bytes = vec![0; OBJECT_BYTES];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from((n / 251 + n + 7 * instance as usize + 31 * study as usize) % 256).unwrap();
    }
    bytes
}

impl World {
    #[allow(clippy::disallowed_methods, reason = "stores date objects by their own clocks")]
    async fn new(kind: Kind) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let objects = folder.path().join("objects");
        let storage: Arc<dyn Storage> = match kind {
            Kind::Packs => Arc::new(FileStorage::open(objects).await.unwrap()),
            Kind::Files => Arc::new(FileStorage::open_with(objects, 0).await.unwrap()),
            Kind::S3 => s3().await?,
        };
        let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap();
        let config = Config { scrub_bytes_per_second: u64::from(u32::MAX) * 1_000_000, ..Config::default() };
        let world = Self { folder, catalog, storage, clock: ManualClock::at(Timestamp::now()), config };
        world.add_centre().await;
        Some(world)
    }

    async fn add_centre(&self) {
        let centre = Centre {
            id: centre(),
            name: "North".into(),
            address: Vec::new(),
            phone: None,
            contact: None,
            policy: CentrePolicy::default(),
        };
        self.catalog.put_centre(&centre, &Actor::Operator, self.clock.now()).await.unwrap();
    }

    fn upkeep(&self) -> Upkeep {
        let (catalog, storage) = (Arc::new(self.catalog.clone()), Arc::clone(&self.storage));
        Upkeep::new(catalog, storage, Arc::new(self.clock.clone()), self.config.clone())
    }

    async fn put(&self, key: &ObjectKey, bytes: &[u8]) -> ObjectRef {
        self.try_to_put(key, bytes).await.unwrap()
    }

    async fn try_to_put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<ObjectRef, StorageError> {
        let mut incoming = self.storage.receive(Found::ByReference).await?;
        incoming.write(Bytes::copy_from_slice(bytes)).await?;
        incoming.finish(key, Sha256Digest::of(bytes)).await
    }

    /// What a killed process leaves: an object that nobody knows.
    async fn leftover(&self, study: u32, instance: u32) -> ObjectRef {
        let bytes = bytes_of(study, instance);
        self.put(&key(study, instance, &bytes), &bytes).await
    }

    async fn image(&self, study: u32, instance: u32) -> ObjectRef {
        let object = self.leftover(study, instance).await;
        let outcome = self.record(&object).await;
        assert_eq!(outcome, ArrivalOutcome::Stored);
        object
    }

    async fn record(&self, object: &ObjectRef) -> ArrivalOutcome {
        let Some(ObjectName::Instance { centre, study, series, instance, sha256 }) = object.key.name() else {
            panic!("{object} is no image")
        };
        let arrival = Arrival {
            instance: Instance {
                centre,
                study,
                series,
                sop_instance: instance,
                sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
                object: object.clone(),
                bytes: OBJECT_BYTES as u64,
                file_sha256: sha256,
                attributes: InstanceAttributes::default(),
                received: self.clock.now(),
            },
            study: StudyAttributes::default(),
            series: SeriesAttributes::default(),
            source: Source::Web,
        };
        self.catalog.record_arrivals(&[arrival], self.clock.now()).await.unwrap().remove(0)
    }

    /// As a sender that tries again when it is refused.
    async fn stored_at_last(&self, study: u32, instance: u32) -> ObjectRef {
        for _ in 0..3 {
            let object = self.leftover(study, instance).await;
            if self.record(&object).await == ArrivalOutcome::Stored {
                return object;
            }
        }
        panic!("instance {instance} is refused again and again");
    }

    async fn condition(&self, object: &ObjectRef) -> Condition {
        let sha256 = object.key.name().unwrap().sha256();
        compare(self.storage.as_ref(), object, sha256, &Unhurried).await.unwrap()
    }

    async fn tasks(&self, kind: TaskKind) -> Vec<Task> {
        let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 1000 };
        let mut tasks = self.catalog.tasks(&filter).await.unwrap();
        tasks.retain(|task| task.kind == kind);
        tasks
    }

    /// Reads until there is nothing to read for now.
    async fn scrub(&self) {
        let upkeep = self.upkeep();
        while upkeep.scrub_some().await.unwrap() == Step::Again {}
        self.clock.turn(Duration::from_mins(3));
    }

    /// Turns a bit in the middle of an object, or turns it back.
    async fn turn_bit(&self, kind: Kind, object: &ObjectRef, bytes: &[u8]) {
        if kind == Kind::S3 {
            let altered = self.condition(object).await == Condition::Good;
            let mut bytes = bytes.to_vec();
            bytes[OBJECT_BYTES / 2] ^= u8::from(altered);
            self.storage.remove(object).await.unwrap();
            self.put(&object.key, &bytes).await;
            return;
        }
        let sample = &bytes[100..OBJECT_BYTES / 2];
        let turned = files(self.folder.path()).into_iter().find_map(|path| {
            let mut there = fs::read(&path).unwrap();
            let at = there.windows(sample.len()).position(|window| window == sample)?;
            there[at + sample.len() + 10] ^= 1;
            fs::write(&path, there).unwrap();
            Some(())
        });
        assert!(turned.is_some(), "the object lies in a file");
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// F26: a bit that rots is found within the period of the scrub, told once, and forgotten when the object was brought back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f26_a_bit_that_rots_is_found_within_the_period() {
    on_every_store(async |world, kind| {
        let (first, rotten) = (world.image(1, 1).await, world.image(1, 2).await);
        world.scrub().await;
        let progress = world.catalog.job(Job::Scrub).await.unwrap();
        assert_eq!((progress.rounds, progress.before.objects, progress.before.found), (1, 2, 0));
        assert_eq!(progress.before.bytes, 2 * OBJECT_BYTES as u64);

        world.turn_bit(kind, &rotten, &bytes_of(1, 2)).await;
        world.clock.turn(Duration::from_secs(29 * DAY));
        world.scrub().await;
        assert_eq!(world.catalog.damaged_count().await.unwrap(), 0, "it is not time yet");
        world.clock.turn(Duration::from_secs(DAY));
        for _ in 0..2 {
            world.scrub().await;
            let damaged = world.catalog.damaged(10).await.unwrap();
            assert_eq!(damaged.iter().map(|one| &one.object).collect::<Vec<_>>(), [&rotten], "{kind:?}");
            let tasks = world.tasks(TaskKind::ObjectDamaged).await;
            assert_eq!(tasks.len(), 1, "{kind:?}: one task, not one each round");
            assert!(tasks[0].reason.contains(&rotten.to_string()), "{}", tasks[0].reason);
            world.clock.turn(Duration::from_secs(30 * DAY));
        }
        world.turn_bit(kind, &rotten, &bytes_of(1, 2)).await;
        world.scrub().await;
        assert_eq!(world.catalog.damaged_count().await.unwrap(), 0);
        assert_eq!(world.tasks(TaskKind::ObjectDamaged).await, []);

        world.storage.remove(&first).await.unwrap();
        world.clock.turn(Duration::from_secs(30 * DAY));
        world.scrub().await;
        assert_eq!(world.catalog.damaged(10).await.unwrap()[0].how, "is missing");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrub_goes_on_where_it_was_and_one_process_does_it() {
    let world = World::new(Kind::Packs).await.unwrap();
    for instance in 0..50 {
        world.image(1, instance).await;
    }
    let (one, other) = (world.upkeep(), world.upkeep());
    assert_eq!(one.scrub_some().await.unwrap(), Step::Again);
    let progress = world.catalog.job(Job::Scrub).await.unwrap();
    assert_eq!((progress.now.objects, progress.bytes_in_all), (20, 50 * OBJECT_BYTES as u64));
    assert!(matches!(other.scrub_some().await, Err(UpkeepError::Taken)));
    world.clock.turn(Duration::from_mins(3));
    assert_eq!(other.scrub_some().await.unwrap(), Step::Again, "the first one died");
    let progress = world.catalog.job(Job::Scrub).await.unwrap();
    assert_eq!(progress.now.objects, 40, "nothing is read twice");
    world.clock.turn(Duration::from_mins(3));
    world.scrub().await;
    assert_eq!(world.catalog.job(Job::Scrub).await.unwrap().before.objects, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrub_keeps_to_its_rate() {
    let mut world = World::new(Kind::Packs).await.unwrap();
    world.config.scrub_bytes_per_second = OBJECT_BYTES as u64;
    for instance in 0..3 {
        world.image(1, instance).await;
    }
    let began = world.clock.now();
    let scrub = tokio::spawn({
        let upkeep = world.upkeep();
        async move { upkeep.scrub_some().await.unwrap() }
    });
    while !scrub.is_finished() {
        world.clock.turn(Duration::from_millis(100));
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let took = world.clock.now().duration_since(began);
    assert!(took >= Duration::from_secs(3), "{took}: three objects, one a second");
}

/// A disk that is not mounted is one task, not a million.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_stops_the_scrub() {
    let mut world = World::new(Kind::Files).await.unwrap();
    for instance in 0..30 {
        world.image(1, instance).await;
    }
    let full = Arc::clone(&world.storage);
    world.storage = Arc::new(FileStorage::open(world.folder.path().join("elsewhere")).await.unwrap());
    world.scrub().await;
    assert_eq!(world.catalog.damaged_count().await.unwrap(), 0);
    let tasks = world.tasks(TaskKind::UpkeepHalted).await;
    assert_eq!(tasks.len(), 1);
    assert!(tasks[0].reason.contains("store is empty"), "{}", tasks[0].reason);
    world.storage = full;
    world.scrub().await;
    assert_eq!(world.tasks(TaskKind::UpkeepHalted).await, [], "it is over by itself");
    assert_eq!(world.catalog.job(Job::Scrub).await.unwrap().before.objects, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_row_names_is_removed_when_it_is_old() {
    on_every_store(async |world, kind| {
        let (image, leftover) = (world.image(1, 1).await, world.leftover(1, 2).await);
        // The same bytes again, as a sender does that heard no answer: in packs, in a place of their own.
        let again = world.leftover(1, 1).await;
        let expected: Vec<&ObjectRef> =
            if kind == Kind::Packs { vec![&leftover, &again] } else { vec![&leftover] };
        let young = world.upkeep().sweep(Leave::default()).await.unwrap();
        assert_eq!((young.removed, young.too_young, young.halted), (0, expected.len() as u64, None));

        world.clock.turn(Duration::from_secs(2 * HOUR));
        let dry = world.upkeep().sweep(Leave { dry_run: true, ..Leave::default() }).await.unwrap();
        assert_eq!(dry.leftovers.iter().collect::<Vec<_>>(), expected, "{kind:?}");
        assert_eq!(world.condition(&leftover).await, Condition::Good, "a dry run removes nothing");
        let swept = world.upkeep().sweep(Leave::default()).await.unwrap();
        assert_eq!(swept.removed, expected.len() as u64);
        assert_eq!(world.condition(&leftover).await, Condition::Missing);
        assert_eq!(world.condition(&image).await, Condition::Good);
        let trail = world.catalog.trail(Some(&centre()), 10).await.unwrap();
        assert!(trail.iter().any(|line| line.action == "leftovers_removed"), "{trail:?}");

        // Sent again, it is stored and known; who had it in hand all the time hears of it.
        assert_eq!(world.record(&leftover).await, ArrivalOutcome::Swept);
        let sent_again = world.leftover(1, 2).await;
        assert_eq!(world.record(&sent_again).await, ArrivalOutcome::Stored);
        world.clock.turn(Duration::from_secs(2 * HOUR));
        assert_eq!(world.upkeep().sweep(Leave::default()).await.unwrap().removed, 0);
        assert_eq!(world.condition(&sent_again).await, Condition::Good);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_sweep_condemned_is_removed_by_a_later_one() {
    let world = World::new(Kind::Files).await.unwrap();
    world.image(1, 1).await;
    let leftover = world.leftover(1, 2).await;
    world.clock.turn(Duration::from_secs(2 * HOUR));
    world.catalog.condemn(std::slice::from_ref(&leftover), world.clock.now()).await.unwrap();
    assert_eq!(
        world.record(&leftover).await,
        ArrivalOutcome::Swept,
        "whoever sends it is told to come again"
    );
    world.clock.turn(Duration::from_secs(HOUR + 1));
    world.upkeep().sweep(Leave::default()).await.unwrap();
    assert_eq!(world.condition(&leftover).await, Condition::Missing);
    assert_eq!(world.catalog.condemned(world.clock.now(), 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_knows_nothing_removes_nothing() {
    on_every_store(async |mut world, kind| {
        let image = world.image(1, 1).await;
        world.clock.turn(Duration::from_secs(2 * HOUR));
        let emptied = world.folder.path().join("emptied.db");
        world.catalog = SqlCatalog::open_sqlite(emptied).await.unwrap();
        for leave in [Leave::default(), Leave { even_if_many: true, ..Leave::default() }] {
            let swept = world.upkeep().sweep(leave).await.unwrap();
            assert!(swept.halted.as_ref().is_some_and(|why| why.contains("knows no image")), "{swept:?}");
        }
        assert_eq!(world.condition(&image).await, Condition::Good, "{kind:?}");
        let progress = world.catalog.job(Job::Sweep).await.unwrap();
        assert!(
            progress.halted.is_some(),
            "the status page says it, also where there is no centre for a task"
        );
        world.add_centre().await;
        world.upkeep().sweep(Leave::default()).await.unwrap();
        let tasks = world.tasks(TaskKind::UpkeepHalted).await;
        assert!(tasks.len() == 1 && tasks[0].next_step.contains("telerad rebuild"), "{tasks:?}");

        world.record(&image).await;
        let swept = world.upkeep().sweep(Leave::default()).await.unwrap();
        assert_eq!((swept.removed, swept.halted), (0, None), "nothing was marked yet");
        assert_eq!(world.tasks(TaskKind::UpkeepHalted).await, []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_killed_processes_leave_is_not_removed() {
    let world = World::new(Kind::Packs).await.unwrap();
    let image = world.image(1, 1).await;
    let mut leftovers = Vec::new();
    for instance in 2..20 {
        leftovers.push(world.leftover(1, instance).await);
    }
    world.clock.turn(Duration::from_secs(2 * HOUR));
    let swept = world.upkeep().sweep(Leave::default()).await.unwrap();
    assert_eq!((swept.removed, swept.leftovers.len()), (0, 18));
    assert!(swept.halted.unwrap().contains("18 of 19"));
    assert_eq!(world.tasks(TaskKind::UpkeepHalted).await.len(), 1);
    let swept = world.upkeep().sweep(Leave { even_if_many: true, ..Leave::default() }).await.unwrap();
    assert_eq!((swept.removed, swept.halted), (18, None));
    assert_eq!(world.condition(&image).await, Condition::Good);
    assert_eq!(world.tasks(TaskKind::UpkeepHalted).await, []);
}

/// A copy of the catalog from yesterday does not know today's images: few among many, and none of them may go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_catalog_removes_nothing() {
    on_every_store(async |mut world, kind| {
        for instance in 0..30 {
            world.image(1, instance).await;
        }
        world.upkeep().sweep(Leave::default()).await.unwrap();
        let (path, copy) = (world.folder.path().join("catalog.db"), world.folder.path().join("yesterday.db"));
        world.catalog.settle().await.unwrap();
        fs::copy(&path, &copy).unwrap();
        let today = world.image(2, 1).await;
        world.clock.turn(Duration::from_secs(2 * HOUR));
        assert_eq!(world.upkeep().sweep(Leave::default()).await.unwrap().halted, None);

        let current = std::mem::replace(&mut world.catalog, SqlCatalog::open_sqlite(&copy).await.unwrap());
        world.clock.turn(Duration::from_secs(2 * HOUR));
        let swept = world.upkeep().sweep(Leave::default()).await.unwrap();
        assert!(swept.halted.as_ref().is_some_and(|why| why.contains("older copy")), "{kind:?} {swept:?}");
        assert_eq!(world.condition(&today).await, Condition::Good);
        // As `telerad rebuild` does, and then a person says that it is settled.
        assert_eq!(world.record(&today).await, ArrivalOutcome::Stored);
        assert!(world.upkeep().sweep(Leave::default()).await.unwrap().halted.is_some(), "a person decides");
        let swept = world.upkeep().sweep(Leave { even_if_many: true, ..Leave::default() }).await.unwrap();
        assert_eq!((swept.halted, swept.removed), (None, 0));
        assert_eq!(world.upkeep().sweep(Leave::default()).await.unwrap().halted, None);
        current.close().await;
    })
    .await;
}

/// A sender repeats what an earlier try left, while sweeps run: whatever it was told is stored, is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_and_sweeps_race_and_nothing_is_lost() {
    on_every_store(async |world, kind| {
        world.image(1, 0).await;
        let (mut swept, mut stored, mut kept) = (0, 0, Vec::new());
        for round in 1..=30_u32 {
            world.leftover(2, round).await;
            world.clock.turn(Duration::from_secs(2 * HOUR));
            // Seeded: how far the sweep is when the sender comes.
            let pause = u64::from(round.wrapping_mul(2_654_435_761) >> 20) % 6_000;
            let sender = async {
                tokio::time::sleep(std::time::Duration::from_micros(pause)).await;
                // Refused when its folder is removed in that moment.
                let bytes = bytes_of(2, round);
                let object = world.try_to_put(&key(2, round, &bytes), &bytes).await.ok()?;
                let mut outcome = world.record(&object).await;
                if outcome == ArrivalOutcome::Swept && world.storage.size(&object).await.unwrap().is_some() {
                    outcome = world.record(&object).await;
                }
                (outcome == ArrivalOutcome::Stored).then_some(object)
            };
            let upkeep = world.upkeep();
            let (told_stored, sweep) = tokio::join!(sender, upkeep.sweep(Leave::default()));
            swept += sweep.unwrap().removed;
            if let Some(object) = told_stored {
                stored += 1;
                assert_eq!(world.condition(&object).await, Condition::Good, "{kind:?}, round {round}");
                assert_eq!(world.catalog.unnamed(std::slice::from_ref(&object)).await.unwrap(), []);
                kept.push(object);
            } else {
                // Whoever was refused comes again later, and gets in.
                world.clock.turn(Duration::from_secs(2 * HOUR));
                world.upkeep().sweep(Leave::default()).await.unwrap();
                kept.push(world.stored_at_last(2, round).await);
            }
        }
        eprintln!("{kind:?}: {swept} removed, {stored} of 30 stored in the race");
        world.clock.turn(Duration::from_secs(2 * HOUR));
        assert_eq!(world.upkeep().sweep(Leave::default()).await.unwrap().halted, None);
        for object in &kept {
            assert_eq!(world.condition(object).await, Condition::Good, "{kind:?}: {object}");
        }
    })
    .await;
}

/// A study that was taken out rests as long as it can come back, then its objects go, however many they are, and nobody else's.
#[tokio::test]
async fn what_was_taken_out_goes_when_its_time_is_over() {
    on_every_store(async |world, _| {
        let mut objects = Vec::new();
        for n in 1..=60 {
            objects.push(world.image(1, n).await);
        }
        let beside = world.image(2, 1).await;
        let study = StudyKey { centre: centre(), uid: StudyInstanceUid::parse("1.2.1").unwrap() };
        let now = world.clock.now();
        let (_, images) = world.catalog.before_take_out(&study, now).await.unwrap();
        let wanted = TakeOut {
            study: study.clone(),
            image_set: images.digest,
            by: Actor::Operator,
            reason: "a test".into(),
            until: now + Duration::from_secs(30 * DAY),
        };
        world.catalog.take_out(&wanted, now).await.unwrap();
        let refused = world.leftover(1, 61).await;
        assert_eq!(world.record(&refused).await, ArrivalOutcome::TakenOut);

        world.clock.turn(Duration::from_secs(30 * DAY - 1));
        let swept = world.upkeep().sweep(Leave::default()).await.unwrap();
        assert_eq!(swept.leftovers, [refused], "what was refused since is a leftover, the rest is not");
        for object in &objects {
            assert_eq!(world.condition(object).await, Condition::Good);
        }
        assert_eq!(world.catalog.taken_out(&Scope::AllCentres, 10).await.unwrap().len(), 1);

        world.clock.turn(Duration::from_secs(HOUR));
        let dry = world.upkeep().sweep(Leave { dry_run: true, even_if_many: false }).await.unwrap();
        assert_eq!((dry.unnamed, dry.halted), (0, None));
        assert_eq!(world.condition(&objects[0]).await, Condition::Good);
        let swept = world.upkeep().sweep(Leave::default()).await.unwrap();
        assert_eq!(swept.halted, None);
        for object in &objects {
            assert_eq!(world.storage.size(object).await.unwrap(), None, "{object}");
        }
        assert_eq!(world.condition(&beside).await, Condition::Good);
        assert_eq!(world.catalog.taken_out(&Scope::AllCentres, 10).await.unwrap(), []);
        world.stored_at_last(1, 1).await;
    })
    .await;
}
