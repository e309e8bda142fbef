//! The worker over a real catalog and store, with a broker whose every hand-out the test sees.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use domain::{
    Duration,
    event::Event,
    id::EventId,
    port::{Broker, BrokerError, DeadWork, DraftError, DraftInput, Drafter, Handed, catalog::DraftOutcome},
    report::{DraftContent, SectionKind},
    study::{Belief, StudyKey},
    work::{Depth, Lane, Queue, Work},
};
use reporter::{
    RuleDrafter,
    worker::{Worker, WorkerConfig},
};
use testkit::pixels::InProcess;
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::support::{QUIET, World, now, small_slice, small_study, text, world};

/// What became of a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Finished,
    GivenBack(String),
    Dropped,
}

/// A broker that hands out what the test puts in, and keeps what it was told.
struct Desk {
    work: AsyncMutex<mpsc::UnboundedReceiver<Work>>,
    put: mpsc::UnboundedSender<Work>,
    told: mpsc::UnboundedSender<Told>,
    heard: AsyncMutex<mpsc::UnboundedReceiver<Told>>,
}

struct InHand {
    work: Work,
    told: Option<mpsc::UnboundedSender<Told>>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            let _ = told.send(Told::Dropped);
        }
    }
}

#[async_trait]
impl Handed for InHand {
    fn work(&self) -> &Work {
        &self.work
    }

    fn delivery_count(&self) -> u32 {
        1
    }

    async fn finish(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.told.take().unwrap().send(Told::Finished).unwrap();
        Ok(())
    }

    async fn give_back(mut self: Box<Self>, reason: &str) -> Result<(), BrokerError> {
        self.told.take().unwrap().send(Told::GivenBack(reason.to_owned())).unwrap();
        Ok(())
    }
}

#[async_trait]
impl Broker for Desk {
    async fn publish(&self, work: &Work) -> Result<(), BrokerError> {
        self.put.send(work.clone()).unwrap();
        Ok(())
    }

    async fn next(&self, _: Queue) -> Result<Box<dyn Handed>, BrokerError> {
        let work = self.work.lock().await.recv().await.unwrap();
        Ok(Box::new(InHand { work, told: Some(self.told.clone()) }))
    }

    async fn next_dead(&self) -> Result<DeadWork, BrokerError> {
        std::future::pending().await
    }

    async fn depth(&self, _: Queue) -> Result<Depth, BrokerError> {
        Ok(Depth::default())
    }

    async fn check(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl Desk {
    fn new() -> Arc<Self> {
        let (put, work) = mpsc::unbounded_channel();
        let (told, heard) = mpsc::unbounded_channel();
        Arc::new(Self { work: AsyncMutex::new(work), put, told, heard: AsyncMutex::new(heard) })
    }

    async fn ask(&self, key: &StudyKey) {
        let event = Event::StudyStoredV1 { centre: key.centre.to_string(), study: key.uid.to_string() };
        self.ask_for(key, event).await;
    }

    async fn ask_for(&self, key: &StudyKey, event: Event) {
        let work = Work {
            id: EventId::fresh(),
            revision: 1,
            centre: key.centre.clone(),
            lane: Lane::Routine,
            event,
        };
        self.publish(&work).await.unwrap();
    }

    async fn hears(&self) -> Told {
        self.heard.lock().await.recv().await.unwrap()
    }
}

/// A worker at work.
struct Running {
    desk: Arc<Desk>,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

fn run(world: &World, drafter: Arc<dyn Drafter>) -> Running {
    let desk = Desk::new();
    let shutdown = CancellationToken::new();
    let worker = Worker::new(
        Arc::clone(&desk) as Arc<dyn Broker>,
        Arc::clone(&world.catalog),
        drafter,
        Arc::new(world.clock.clone()),
        WorkerConfig::default(),
    );
    let ended = tokio::spawn(worker.run(shutdown.clone()));
    Running { desk, shutdown, ended }
}

fn rules(world: &World) -> Arc<dyn Drafter> {
    Arc::new(RuleDrafter::new(Arc::clone(&world.storage), InProcess::port()))
}

#[tokio::test]
async fn a_study_is_drafted_once() {
    let world = world().await;
    let running = run(&world, rules(&world));
    let key = world.arrive(small_study("1.2.3", "P1", "20260302", 8)).await;

    // Images may still come: there is a later row in the outbox.
    running.desk.ask(&key).await;
    assert_eq!(running.desk.hears().await, Told::Finished);
    assert!(world.catalog.draft(&key).await.unwrap().is_none());

    world.clock.turn(QUIET);
    running.desk.ask(&key).await;
    assert_eq!(running.desk.hears().await, Told::Finished);
    let draft = world.catalog.draft(&key).await.unwrap().unwrap();
    assert_eq!(draft.at, now(&world.clock));
    assert_eq!(
        text(&draft.content, SectionKind::Technique),
        "Axial CT of the head, 8 slices in 1 series at 5.0 mm slice thickness, 120 kVp, kernel H30s; \
         no contrast agent is recorded in the image headers."
    );
    assert_eq!(draft.content.key_images.len(), 6);
    let study = world.catalog.study(&key).await.unwrap().unwrap();
    assert!(matches!(study.completeness.belief, Belief::Complete { .. }));

    // The same work again changes nothing, in the catalog or in the store.
    let keys = world.keys().await;
    world.clock.turn(Duration::from_secs(1));
    running.desk.ask(&key).await;
    assert_eq!(running.desk.hears().await, Told::Finished);
    assert_eq!(world.catalog.draft(&key).await.unwrap().unwrap(), draft);
    assert_eq!(world.keys().await, keys);
    // And the same draft written again, as after a crash before it was kept, finds its pictures there.
    let mut again = draft.clone();
    again.images.generation += 1;
    assert_eq!(world.catalog.put_draft(&again).await.unwrap(), DraftOutcome::Kept);
}

#[tokio::test]
async fn late_images_are_drafted_anew() {
    let world = world().await;
    let running = run(&world, rules(&world));
    let key = world.arrive(small_study("1.2.3", "P1", "20260302", 4)).await;
    world.clock.turn(QUIET);
    running.desk.ask(&key).await;
    assert_eq!(running.desk.hears().await, Told::Finished);
    let first = world.catalog.draft(&key).await.unwrap().unwrap();

    world.clock.turn(Duration::from_mins(5));
    world.arrive(vec![small_slice("1.2.3", "P1", "20260302", 5)]).await;
    world.clock.turn(QUIET);
    running.desk.ask(&key).await;
    assert_eq!(running.desk.hears().await, Told::Finished);
    let second = world.catalog.draft(&key).await.unwrap().unwrap();
    assert!(second.images.generation > first.images.generation);
    assert_eq!((first.images.count, second.images.count), (4, 5));
    assert!(text(&second.content, SectionKind::Technique).contains("5 slices"));
}

/// Panics, fails or waits, by the name of the study.
struct Moody {
    inner: Arc<dyn Drafter>,
    begun: Notify,
    release: Notify,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    given: Mutex<Vec<DraftInputNames>>,
}

/// What a drafter was given of a study: its UID and those of the earlier ones.
type DraftInputNames = (String, Vec<String>);

impl Moody {
    fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            inner: rules(world),
            begun: Notify::new(),
            release: Notify::new(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            given: Mutex::new(Vec::new()),
        })
    }
}

#[async_trait]
impl Drafter for Moody {
    async fn draft(&self, input: DraftInput) -> Result<DraftContent, DraftError> {
        let uid = input.study.key.uid.to_string();
        let priors = input.priors.iter().map(|prior| prior.study.key.uid.to_string()).collect();
        self.given.lock().unwrap().push((uid.clone(), priors));
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        self.begun.notify_one();
        let waits = uid.starts_with("1.99.3");
        if waits {
            self.release.notified().await;
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        match uid.as_str() {
            "1.99.1" => panic!("the rules met something they do not know"),
            "1.99.2" => Err(DraftError::Failed { operation: "thinking", source: "no thought".into() }),
            _ => self.inner.draft(input).await,
        }
    }
}

async fn complete(world: &World, study: &str) -> StudyKey {
    let key = world.arrive(small_study(study, study, "20260302", 3)).await;
    world.clock.turn(QUIET);
    key
}

#[tokio::test]
async fn what_fails_goes_back_and_the_rest_goes_on() {
    let world = world().await;
    let running = run(&world, Moody::new(&world));
    for (study, expected) in [
        (
            "1.99.1",
            Told::GivenBack("the drafter broke down: the rules met something they do not know".into()),
        ),
        ("1.99.2", Told::GivenBack("the draft could not be written while thinking: no thought".into())),
        ("1.99.4", Told::Finished),
    ] {
        let key = complete(&world, study).await;
        running.desk.ask(&key).await;
        assert_eq!(running.desk.hears().await, expected, "{study}");
        assert_eq!(world.catalog.draft(&key).await.unwrap().is_some(), expected == Told::Finished);
    }
    let key = complete(&world, "1.99.5").await;
    running.desk.ask_for(&key, Event::DeliveryDueV1 { centre: "north".into(), delivery: "x".into() }).await;
    assert_eq!(
        running.desk.hears().await,
        Told::GivenBack("the event names no study: it is of another queue".into())
    );
    let unknown = StudyKey { uid: "1.2.404".parse().unwrap(), ..key };
    running.desk.ask(&unknown).await;
    assert_eq!(running.desk.hears().await, Told::Finished);
}

#[tokio::test]
async fn a_draft_that_hangs_is_given_back() {
    let world = world().await;
    let moody = Moody::new(&world);
    let running = run(&world, Arc::clone(&moody) as Arc<dyn Drafter>);
    let key = complete(&world, "1.99.3").await;
    running.desk.ask(&key).await;
    moody.begun.notified().await;
    world.clock.turn(WorkerConfig::default().draft_time);
    let Told::GivenBack(reason) = running.desk.hears().await else { panic!("not given back") };
    assert!(reason.starts_with("the draft took longer than 2m"), "{reason}");
}

#[tokio::test]
async fn no_more_than_two_at_once() {
    let world = world().await;
    let moody = Moody::new(&world);
    let running = run(&world, Arc::clone(&moody) as Arc<dyn Drafter>);
    let mut keys = Vec::new();
    for n in 0..4 {
        keys.push(complete(&world, &format!("1.99.3{n}")).await);
    }
    for key in &keys {
        running.desk.ask(key).await;
    }
    for _ in 0..4 {
        moody.release.notify_one();
        assert_eq!(running.desk.hears().await, Told::Finished);
    }
    assert!(moody.most_at_once.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_hand() {
    let world = world().await;
    let moody = Moody::new(&world);
    let running = run(&world, Arc::clone(&moody) as Arc<dyn Drafter>);
    let key = complete(&world, "1.99.3").await;
    running.desk.ask(&key).await;
    moody.begun.notified().await;
    running.shutdown.cancel();
    moody.release.notify_one();
    running.ended.await.unwrap();
    assert_eq!(running.desk.hears().await, Told::Finished);
    assert!(world.catalog.draft(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let world = world().await;
    let moody = Moody::new(&world);
    let running = run(&world, Arc::clone(&moody) as Arc<dyn Drafter>);
    let key = complete(&world, "1.99.3").await;
    running.desk.ask(&key).await;
    moody.begun.notified().await;
    running.shutdown.cancel();
    let turning = tokio::spawn({
        let clock = world.clock.clone();
        async move {
            // The worker begins to wait at some moment after it was told to stop; the clock goes on.
            loop {
                clock.turn(Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
        }
    });
    running.ended.await.unwrap();
    turning.abort();
    assert!(matches!(running.desk.hears().await, Told::Dropped | Told::GivenBack(_)));
    assert!(world.catalog.draft(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn earlier_studies_of_the_patient_are_priors() {
    let world = world().await;
    let moody = Moody::new(&world);
    let running = run(&world, Arc::clone(&moody) as Arc<dyn Drafter>);
    for (study, patient, date) in [
        ("1.1", "P*", "20250101"),
        ("1.2", "P*", "20260101"),
        ("1.3", "P*", "20260401"),
        ("1.4", "P2", "20250101"),
        ("1.5", "P*", ""),
    ] {
        world.arrive(small_study(study, patient, date, 1)).await;
        world.clock.turn(Duration::from_secs(1));
    }
    let key = world.arrive(small_study("1.7", "P*", "20260302", 2)).await;
    world.clock.turn(QUIET);
    running.desk.ask(&key).await;
    assert_eq!(running.desk.hears().await, Told::Finished);
    let mut given = moody.given.lock().unwrap().clone();
    let (study, mut priors) = given.remove(0);
    priors.sort();
    assert_eq!((study.as_str(), priors), ("1.7", vec!["1.1".to_owned(), "1.2".into(), "1.5".into()]));
    let draft = world.catalog.draft(&key).await.unwrap().unwrap();
    let comparison = text(&draft.content, SectionKind::Comparison);
    assert!(comparison.contains("CT head of 1 January 2026; no signed report."), "{comparison}");
}
