//! The embedded broker over a real catalog.

use std::sync::Arc;

use async_trait::async_trait;
use broker::{EmbeddedBroker, EmbeddedConfig};
use catalog::SqlCatalog;
use domain::{
    Duration, Timestamp,
    port::{Broker, Catalog, Clock},
    work::{Depth, Lane, Queue},
};

use testkit::{clock::ManualClock, conformance::broker as suite};
use tokio::sync::watch;

/// The machine's clock: these pauses are real.
struct MachineClock;

#[async_trait]
impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "leases of two handles run on real time here")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration.unsigned_abs()).await;
    }
}

/// A clock that tells how often somebody went to sleep: whoever renews a lease sleeps again once it is renewed.
struct CountingClock {
    clock: ManualClock,
    sleeps: watch::Sender<u32>,
}

#[async_trait]
impl Clock for CountingClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.clock.now() + duration;
        self.sleeps.send_modify(|sleeps| *sleeps += 1);
        self.clock.sleep(until.duration_since(self.clock.now())).await;
    }
}

async fn open(folder: &tempfile::TempDir) -> Arc<dyn Catalog> {
    Arc::new(SqlCatalog::open_sqlite(folder.path().join("catalog.sqlite")).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        EmbeddedConfig { poll_milliseconds: 20, retry_pause_milliseconds: 1, ..EmbeddedConfig::default() };
    // Two catalogs on one file, as two processes have.
    let (one, other) = (open(&folder).await, open(&folder).await);
    let clock: Arc<dyn Clock> = Arc::new(MachineClock);
    let pair = suite::Pair {
        one: Arc::new(EmbeddedBroker::new(one, Arc::clone(&clock), config.clone())),
        other: Arc::new(EmbeddedBroker::new(other, clock, config)),
    };
    suite::all(&pair).await;
}

#[tokio::test]
async fn the_lease_of_a_process_that_died_runs_out_and_its_worker_is_fenced() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::monday();
    let catalog = open(&folder).await;
    let broker =
        EmbeddedBroker::new(Arc::clone(&catalog), Arc::new(clock.clone()), EmbeddedConfig::default());
    let work = suite::draft(Lane::Stat, "1.2");
    broker.publish(&work).await.unwrap();
    // Nobody renews this one: its process is gone.
    let until = clock.now() + Duration::from_secs(30);
    let died = catalog.lease_work(Queue::Draft, clock.now(), until).await.unwrap().unwrap();
    let waiting = async {
        let handed = broker.next(Queue::Draft).await.unwrap();
        assert_eq!((handed.work(), handed.delivery_count()), (&work, 2));
        handed
    };
    let turning = async {
        // A second before the end it is still the first worker's.
        clock.turn(Duration::from_secs(29));
        assert_eq!(broker.depth(Queue::Draft).await.unwrap(), Depth { ready: 0, in_hand: 1, dead: 0 });
        clock.turn(Duration::from_secs(2));
    };
    let (second, ()) = tokio::join!(waiting, turning);
    assert!(!catalog.finish_work(&died).await.unwrap(), "the first lease is over");
    assert_eq!(broker.depth(Queue::Draft).await.unwrap().in_hand, 1);
    second.finish().await.unwrap();
    assert_eq!(broker.depth(Queue::Draft).await.unwrap(), Depth::default());
}

#[tokio::test]
async fn a_worker_that_lives_keeps_its_lease_for_as_long_as_it_works() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::monday();
    let catalog = open(&folder).await;
    let counting = Arc::new(CountingClock { clock: clock.clone(), sleeps: watch::Sender::new(0) });
    let mut sleeps = counting.sleeps.subscribe();
    let broker = EmbeddedBroker::new(Arc::clone(&catalog), counting, EmbeddedConfig::default());
    broker.publish(&suite::draft(Lane::Stat, "1.2")).await.unwrap();
    let busy = broker.next(Queue::Draft).await.unwrap();
    for renewals in 1..=12 {
        sleeps.wait_for(|sleeps| *sleeps == renewals).await.unwrap();
        clock.turn(Duration::from_secs(10));
    }
    sleeps.wait_for(|sleeps| *sleeps == 13).await.unwrap();
    let until = clock.now() + Duration::from_secs(1);
    assert_eq!(catalog.lease_work(Queue::Draft, clock.now(), until).await.unwrap(), None);
    busy.finish().await.unwrap();
}

#[tokio::test]
async fn work_that_was_given_back_pauses_longer_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::monday();
    let catalog = open(&folder).await;
    let broker =
        EmbeddedBroker::new(Arc::clone(&catalog), Arc::new(clock.clone()), EmbeddedConfig::default());
    broker.publish(&suite::draft(Lane::Stat, "1.2")).await.unwrap();
    let handed = broker.next(Queue::Draft).await.unwrap();
    handed.give_back("not now").await.unwrap();
    for pause in [1, 2] {
        let until = clock.now() + Duration::from_secs(600);
        clock.turn(Duration::from_millis(pause * 1000 - 1));
        assert_eq!(
            catalog.lease_work(Queue::Draft, clock.now(), until).await.unwrap(),
            None,
            "after {pause} s"
        );
        clock.turn(Duration::from_millis(1));
        broker.next(Queue::Draft).await.unwrap().give_back("not now").await.unwrap();
    }
}
