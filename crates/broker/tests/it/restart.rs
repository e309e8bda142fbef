//! RabbitMQ dies and comes back in the middle of work.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use broker::RabbitBroker;
use domain::{
    id::EventId,
    port::Broker,
    work::{Depth, Lane, Queue},
};
use testkit::{conformance::broker as suite, services::rabbitmq::PrivateBroker};

use crate::rabbit::config;

/// Pieces of work that must be confirmed before, while and after RabbitMQ is away.
const CONFIRMED: usize = 60;

/// What was seen so far.
#[derive(Default)]
struct History {
    confirmed: BTreeSet<EventId>,
    refused: usize,
    finished: BTreeSet<EventId>,
}

type Shared = Arc<Mutex<History>>;

/// Publishes as the relay does: what is not confirmed is published again until it is.
async fn publish(broker: Arc<RabbitBroker>, history: Shared) {
    for number in 0..CONFIRMED {
        let work = suite::draft(Lane::ALL[number % 3], &format!("1.{number}"));
        while let Err(_away) = broker.publish(&work).await {
            history.lock().unwrap().refused += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        history.lock().unwrap().confirmed.insert(work.id);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Works for ever; what cannot be finished comes again.
async fn work(broker: Arc<RabbitBroker>, history: Shared) {
    loop {
        let Ok(handed) = broker.next(Queue::Draft).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let id = handed.work().id;
        tokio::time::sleep(Duration::from_millis(5)).await;
        if handed.finish().await.is_ok() {
            history.lock().unwrap().finished.insert(id);
        }
    }
}

async fn until(history: &Shared, what: &str, reached: impl Fn(&History) -> bool) {
    for _ in 0..1200 {
        if reached(&history.lock().unwrap()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let history = history.lock().unwrap();
    let counts = (history.confirmed.len(), history.refused, history.finished.len());
    panic!("{what} did not come: (confirmed, refused, finished) = {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_work_survives_a_crash_and_everybody_comes_back() {
    let Some(mut server) = tokio::task::spawn_blocking(PrivateBroker::launch).await.unwrap().unwrap() else {
        eprintln!("SKIPPED: RabbitMQ is not installed");
        return;
    };
    let publisher = Arc::new(RabbitBroker::connect(config(&server.url(), "crash")).await.unwrap());
    let worker = Arc::new(RabbitBroker::connect(config(&server.url(), "crash")).await.unwrap());
    worker.check().await.unwrap();
    let history = Shared::default();
    let publishing = tokio::spawn(publish(Arc::clone(&publisher), Arc::clone(&history)));
    let working = tokio::spawn(work(Arc::clone(&worker), Arc::clone(&history)));

    until(&history, "work before the crash", |history| history.finished.len() >= 5).await;
    server.kill();
    let refused = history.lock().unwrap().refused;
    until(&history, "a refusal while RabbitMQ is away", |history| history.refused > refused).await;
    assert!(publisher.check().await.is_err() && worker.depth(Queue::Draft).await.is_err());
    let mut server =
        tokio::task::spawn_blocking(move || server.start().map(|()| server)).await.unwrap().unwrap();

    until(&history, "the end of all work", |history| {
        history.confirmed.len() == CONFIRMED && history.confirmed.is_subset(&history.finished)
    })
    .await;
    publishing.await.unwrap();
    // A connection that was cut may have left a second copy; it is handed out too, and then nothing is left.
    suite::depth_becomes(&*worker, Queue::Draft, Depth::default()).await;
    working.abort();
    drop((publisher, worker));
    server.kill();
}
