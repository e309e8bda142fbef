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
async fn a_lease_that_ran_out_is_handed_out_again_and_its_worker_fenced() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::monday();
    let catalog = open(&folder).await;
    let broker = EmbeddedBroker::new(catalog, Arc::new(clock.clone()), EmbeddedConfig::default());
    let work = suite::draft(Lane::Stat, "1.2");
    broker.publish(&work).await.unwrap();
    let slow = broker.next(Queue::Draft).await.unwrap();
    let waiting = async {
        let handed = broker.next(Queue::Draft).await.unwrap();
        assert_eq!((handed.work(), handed.delivery_count()), (&work, 2));
        handed
    };
    let turning = async {
        // A second before the end it is still the first worker's.
        clock.turn(Duration::from_secs(299));
        assert_eq!(broker.depth(Queue::Draft).await.unwrap(), Depth { ready: 0, in_hand: 1, dead: 0 });
        clock.turn(Duration::from_secs(2));
    };
    let (second, ()) = tokio::join!(waiting, turning);
    assert!(slow.finish().await.is_err(), "the first lease is over");
    assert_eq!(broker.depth(Queue::Draft).await.unwrap().in_hand, 1);
    second.finish().await.unwrap();
    assert_eq!(broker.depth(Queue::Draft).await.unwrap(), Depth::default());
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
