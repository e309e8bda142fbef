//! RabbitMQ, where `TELERAD_TEST_AMQP_URL` names a server.

use std::{env, sync::Arc};

use broker::{RabbitBroker, RabbitConfig, Secret};
use domain::{
    port::{Broker, BrokerError},
    work::{Depth, Lane, Queue},
};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, QueueDeleteOptions},
};
use testkit::conformance::broker as suite;

/// Settings with short pauses.
pub fn config(url: &str, prefix: &str) -> RabbitConfig {
    RabbitConfig {
        url: Secret::new(url),
        name_prefix: prefix.to_owned(),
        poll_milliseconds: 100,
        retry_pause_milliseconds: 5,
    }
}

fn url() -> Option<String> {
    let url = env::var("TELERAD_TEST_AMQP_URL").ok();
    if url.is_none() {
        eprintln!("SKIPPED: no RabbitMQ (set TELERAD_TEST_AMQP_URL)");
    }
    url
}

/// A prefix that no other test has.
fn prefix() -> String {
    format!("test-{}", uuid::Uuid::now_v7())
}

async fn connected(url: &str, prefix: &str) -> Arc<RabbitBroker> {
    let broker = RabbitBroker::connect(config(url, prefix)).await.unwrap();
    broker.check().await.expect("RabbitMQ answers");
    Arc::new(broker)
}

async fn channel(url: &str) -> (Connection, lapin::Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let (one, other) = (connected(&url, &prefix).await, connected(&url, &prefix).await);
    suite::all(&suite::Pair { one: one.clone(), other }).await;
    one.delete_queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_of_a_process_that_dies_is_handed_out_again() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let survivor = connected(&url, &prefix).await;
    let work = suite::draft(Lane::Stat, "1.2");
    survivor.publish(&work).await.unwrap();
    // A runtime of its own, which ends as a process does: nothing is dropped in order.
    std::thread::spawn({
        let (url, prefix) = (url.clone(), prefix.clone());
        move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let broker = runtime.block_on(connected(&url, &prefix));
            let handed = runtime.block_on(broker.next(Queue::Draft)).unwrap();
            runtime.shutdown_background();
            drop(handed);
        }
    })
    .join()
    .unwrap();
    let handed = survivor.next(Queue::Draft).await.unwrap();
    assert_eq!((handed.work(), handed.delivery_count()), (&work, 2));
    handed.finish().await.unwrap();
    survivor.delete_queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_no_work_is_put_aside() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let broker = connected(&url, &prefix).await;
    let (_connection, channel) = channel(&url).await;
    let lane = format!("{prefix}.draft.stat");
    let (options, none) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish("".into(), lane.into(), options, b"rubbish", none).await.unwrap();
    let work = suite::draft(Lane::Routine, "1.2");
    broker.publish(&work).await.unwrap();
    let handed = broker.next(Queue::Draft).await.unwrap();
    assert_eq!(handed.work(), &work, "what follows is not held up");
    let mut handed = handed;
    for _ in 1..domain::work::DELIVERIES_MAX {
        handed.give_back("broken").await.unwrap();
        handed = broker.next(Queue::Draft).await.unwrap();
    }
    handed.give_back("broken").await.unwrap();
    // The last one writes the dead letter with its reason.
    let dead = broker.next_dead().await.unwrap();
    assert_eq!(dead.handed.work(), &work, "rubbish is no dead work");
    dead.handed.finish().await.unwrap();
    let aside = format!("{prefix}.unreadable");
    let mut found = None;
    for _ in 0..100 {
        // Only who asks for dead work puts rubbish aside.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), broker.next_dead()).await;
        found = channel.basic_get(aside.clone().into(), BasicGetOptions { no_ack: true }).await.unwrap();
        if found.is_some() {
            break;
        }
    }
    assert_eq!(found.expect("put aside").delivery.data, b"rubbish");
    suite::depth_becomes(&*broker, Queue::Draft, Depth::default()).await;
    broker.delete_queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_without_a_queue_is_not_lost_and_the_queue_comes_back() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let broker = connected(&url, &prefix).await;
    let (_connection, channel) = channel(&url).await;
    let lane = format!("{prefix}.draft.urgent");
    channel.queue_delete(lane.into(), QueueDeleteOptions::default()).await.unwrap();
    let work = suite::draft(Lane::Urgent, "1.2");
    let outcome = broker.publish(&work).await;
    assert!(matches!(outcome, Err(BrokerError::Unavailable { .. })), "{outcome:?}");
    while broker.publish(&work).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let handed = broker.next(Queue::Draft).await.unwrap();
    assert_eq!(handed.work(), &work);
    handed.finish().await.unwrap();
    broker.delete_queues().await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_showing_the_password() {
    for (url, prefix) in [("amqp://u:hush@h/v", "Not plain"), ("http://u:hush@h/v", "p"), ("hush", "p")] {
        let Err(error) = RabbitBroker::connect(config(url, prefix)).await else { panic!("{url} was taken") };
        assert!(!format!("{error:?} {error}").contains("hush"));
    }
}

#[tokio::test]
async fn a_broker_that_is_away_says_so() {
    // The discard port: nobody listens.
    let broker = RabbitBroker::connect(config("amqp://u:p@127.0.0.1:9/v", "p")).await.unwrap();
    let away = |outcome: Result<(), BrokerError>| matches!(outcome, Err(BrokerError::Unavailable { .. }));
    assert!(away(broker.check().await));
    assert!(away(broker.publish(&suite::draft(Lane::Stat, "1.2")).await));
    assert!(away(broker.depth(Queue::Draft).await.map(drop)));
    assert!(away(broker.next(Queue::Draft).await.map(drop)));
}
