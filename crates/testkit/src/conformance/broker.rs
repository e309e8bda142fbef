//! What every adapter of the `broker` port must do.
//!
//! The suite takes two handles of one broker, as two processes would hold them. Pauses between deliveries should be set short: the suite
//! waits for what must come and measures no time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    event::Event,
    id::{CentreId, EventId},
    port::{Broker, DeadWork},
    work::{DELIVERIES_MAX, Depth, Lane, Queue, Work},
};
use futures::future::join_all;
use tokio::time::timeout;

/// Longest wait for something that must come; a broker on a loaded machine is slow, not absent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pieces of work in the crowded test, and workers for them.
const CROWD: usize = 60;
const WORKERS: usize = 8;

/// Two handles of one broker.
pub struct Pair {
    /// Publishes, and works.
    pub one: Arc<dyn Broker>,
    /// Works too.
    pub other: Arc<dyn Broker>,
}

/// Everything below, against a broker that was empty; it is empty again afterwards.
///
/// # Panics
/// When a promise is not kept.
pub async fn all(pair: &Pair) {
    pair.one.check().await.expect("well");
    carries_work_unchanged(pair).await;
    hands_out_the_most_urgent_lane_first(pair).await;
    keeps_queues_apart(pair).await;
    hands_out_again_what_was_dropped(pair).await;
    gives_up_after_the_last_delivery(pair).await;
    keeps_dead_work_until_it_is_finished(pair).await;
    takes_the_same_work_again(pair).await;
    wakes_who_waits(pair).await;
    loses_nothing_to_a_cancelled_wait(pair).await;
    does_each_piece_once_when_nobody_fails(pair).await;
    for queue in Queue::ALL {
        depth_becomes(&*pair.one, queue, Depth::default()).await;
    }
}

/// Work for the report worker.
///
/// # Panics
/// Never: the centre's id is a constant.
#[must_use]
pub fn draft(lane: Lane, study: &str) -> Work {
    Work {
        id: EventId::fresh(),
        revision: 1,
        centre: CentreId::parse("c1").expect("a centre id"),
        lane,
        event: Event::StudyStoredV1 { centre: "c1".into(), study: study.into() },
    }
}

fn notify(lane: Lane, delivery: &str) -> Work {
    Work {
        event: Event::DeliveryDueV1 { centre: "c1".into(), delivery: delivery.into() },
        ..draft(lane, "1.2")
    }
}

async fn soon<T>(what: &str, comes: impl Future<Output = T>) -> T {
    timeout(PATIENCE, comes).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

async fn next(broker: &dyn Broker, queue: Queue) -> Box<dyn domain::port::Handed> {
    soon("work", broker.next(queue)).await.expect("work")
}

/// The next dead work, with a worker asking for live work beside it, as there always is: some brokers find out only then.
async fn next_dead(pair: &Pair, queue: Queue) -> DeadWork {
    let dead = async {
        tokio::select! {
            dead = pair.other.next_dead() => dead.expect("dead work"),
            handed = pair.one.next(queue) => {
                panic!("{:?} was handed out, not dead", handed.expect("work").work())
            }
        }
    };
    soon("dead work", dead).await
}

async fn publish(broker: &dyn Broker, work: &Work) {
    broker.publish(work).await.expect("published");
}

/// Waits until a queue has this depth.
///
/// # Panics
/// When it never has.
pub async fn depth_becomes(broker: &dyn Broker, queue: Queue, expected: Depth) {
    let mut depth = Depth::default();
    for _ in 0..600 {
        depth = broker.depth(queue).await.expect("counted");
        if depth == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the depth of {} is {depth:?}, not {expected:?}", queue.as_str());
}

/// Each kind of work comes out as it went in, with its first delivery, and finishing removes it.
///
/// # Panics
/// When it does not.
pub async fn carries_work_unchanged(pair: &Pair) {
    let signed = Work {
        revision: 7,
        event: Event::ReportSignedV1 { centre: "c1".into(), study: "1.2".into(), version: 3 },
        ..draft(Lane::Urgent, "1.2")
    };
    for work in [draft(Lane::Stat, "1.2.3"), signed, notify(Lane::Routine, "d")] {
        let queue = work.event.queue();
        publish(&*pair.one, &work).await;
        depth_becomes(&*pair.one, queue, Depth { ready: 1, in_hand: 0, dead: 0 }).await;
        let handed = next(&*pair.one, queue).await;
        assert_eq!((handed.work(), handed.delivery_count()), (&work, 1));
        depth_becomes(&*pair.one, queue, Depth { ready: 0, in_hand: 1, dead: 0 }).await;
        handed.finish().await.expect("finished");
        depth_becomes(&*pair.one, queue, Depth::default()).await;
    }
}

/// What is urgent overtakes, also when it came last.
///
/// # Panics
/// When it does not.
pub async fn hands_out_the_most_urgent_lane_first(pair: &Pair) {
    for lane in Lane::ALL.into_iter().rev() {
        publish(&*pair.one, &draft(lane, &format!("1.{}", lane as u32))).await;
        publish(&*pair.one, &draft(lane, &format!("2.{}", lane as u32))).await;
    }
    let mut lanes = Vec::new();
    for number in 0..5 {
        let handed = next(&*pair.other, Queue::Draft).await;
        lanes.push(handed.work().lane);
        if number == 2 {
            // In the middle of the queue, with a worker busy.
            publish(&*pair.one, &draft(Lane::Stat, "3.0")).await;
        }
        handed.finish().await.expect("finished");
    }
    let (stat, urgent, routine) = (Lane::Stat, Lane::Urgent, Lane::Routine);
    assert_eq!(lanes, [stat, stat, urgent, stat, urgent]);
    for _ in 0..2 {
        let handed = next(&*pair.one, Queue::Draft).await;
        assert_eq!(handed.work().lane, routine);
        handed.finish().await.expect("finished");
    }
}

/// A worker gets work of its queue only.
///
/// # Panics
/// When it gets other work.
pub async fn keeps_queues_apart(pair: &Pair) {
    publish(&*pair.one, &notify(Lane::Stat, "d")).await;
    publish(&*pair.one, &draft(Lane::Routine, "1.2")).await;
    let handed = next(&*pair.one, Queue::Draft).await;
    assert_eq!(handed.work().event.queue(), Queue::Draft);
    handed.finish().await.expect("finished");
    let handed = next(&*pair.one, Queue::Notify).await;
    assert_eq!(handed.work().event.queue(), Queue::Notify);
    handed.finish().await.expect("finished");
}

/// Dropped work comes again, to anybody, with a higher count.
///
/// # Panics
/// When it does not.
pub async fn hands_out_again_what_was_dropped(pair: &Pair) {
    let work = draft(Lane::Routine, "1.2");
    publish(&*pair.one, &work).await;
    drop(next(&*pair.one, Queue::Draft).await);
    let again = next(&*pair.other, Queue::Draft).await;
    assert_eq!((again.work(), again.delivery_count()), (&work, 2));
    again.give_back("not now").await.expect("given back");
    let again = next(&*pair.one, Queue::Draft).await;
    assert_eq!((again.work(), again.delivery_count()), (&work, 3));
    again.finish().await.expect("finished");
}

/// Work that is given back too often is handed out no more; it is dead, with the last reason.
///
/// # Panics
/// When it is not.
pub async fn gives_up_after_the_last_delivery(pair: &Pair) {
    let (spoken, silent) = (draft(Lane::Stat, "1.2"), draft(Lane::Urgent, "1.3"));
    for (work, speaks) in [(&spoken, true), (&silent, false)] {
        publish(&*pair.one, work).await;
        for count in 1..=DELIVERIES_MAX {
            let handed = next(&*pair.one, Queue::Draft).await;
            assert_eq!((handed.work(), handed.delivery_count()), (work, count));
            if speaks {
                handed.give_back(&format!("try {count} failed")).await.expect("given back");
            } else {
                drop(handed);
            }
        }
        // Only now is the next one handed out: the dead one is not.
        let behind = draft(Lane::Routine, "1.4");
        publish(&*pair.one, &behind).await;
        let handed = next(&*pair.one, Queue::Draft).await;
        assert_eq!(handed.work(), &behind);
        handed.finish().await.expect("finished");
        let dead = next_dead(pair, Queue::Draft).await;
        assert_eq!(dead.handed.work(), work);
        if speaks {
            assert_eq!(dead.reason, Some(format!("try {DELIVERIES_MAX} failed")));
        }
        dead.handed.finish().await.expect("finished");
    }
    depth_becomes(&*pair.one, Queue::Draft, Depth::default()).await;
}

/// Dead work is counted, and comes again, with its reason, until it is finished.
///
/// # Panics
/// When it does not.
pub async fn keeps_dead_work_until_it_is_finished(pair: &Pair) {
    let work = notify(Lane::Urgent, "d");
    publish(&*pair.one, &work).await;
    for _ in 0..DELIVERIES_MAX {
        next(&*pair.one, Queue::Notify).await.give_back("broken").await.expect("given back");
    }
    // Some brokers find out that work is dead when somebody asks for the next piece.
    let _ = timeout(Duration::from_millis(200), pair.one.next(Queue::Notify)).await;
    depth_becomes(&*pair.one, Queue::Notify, Depth { ready: 0, in_hand: 0, dead: 1 }).await;
    for last in [false, false, true] {
        let dead = next_dead(pair, Queue::Notify).await;
        assert_eq!((dead.handed.work(), dead.reason.as_deref()), (&work, Some("broken")));
        if last {
            dead.handed.finish().await.expect("finished");
        } else {
            drop(dead);
        }
    }
    depth_becomes(&*pair.one, Queue::Notify, Depth::default()).await;
}

/// The relay may publish the same id and revision again: the work is carried once or twice, and then gone.
///
/// # Panics
/// When it is refused or lost.
pub async fn takes_the_same_work_again(pair: &Pair) {
    let work = draft(Lane::Routine, "1.2");
    publish(&*pair.one, &work).await;
    publish(&*pair.other, &work).await;
    let copies = pair.one.depth(Queue::Draft).await.expect("counted").ready;
    assert!((1..=2).contains(&copies), "{copies} copies");
    for _ in 0..copies {
        let handed = next(&*pair.one, Queue::Draft).await;
        assert_eq!(handed.work(), &work);
        handed.finish().await.expect("finished");
    }
    let later = Work { revision: 2, ..work };
    publish(&*pair.one, &later).await;
    let handed = next(&*pair.one, Queue::Draft).await;
    assert_eq!(handed.work(), &later, "a later revision is carried after the earlier one is done");
    handed.finish().await.expect("finished");
}

/// A worker that waits gets what another process publishes.
///
/// # Panics
/// When it does not.
pub async fn wakes_who_waits(pair: &Pair) {
    let waiting = tokio::spawn({
        let broker = Arc::clone(&pair.other);
        async move { broker.next(Queue::Draft).await.expect("work").finish().await }
    });
    tokio::task::yield_now().await;
    publish(&*pair.one, &draft(Lane::Routine, "1.2")).await;
    soon("the waiting worker", waiting).await.expect("no panic").expect("finished");
}

/// Whoever stops waiting takes no work along.
///
/// # Panics
/// When work is missing.
pub async fn loses_nothing_to_a_cancelled_wait(pair: &Pair) {
    for wait in [0, 1, 2, 5, 10] {
        let _ = timeout(Duration::from_millis(wait), pair.one.next(Queue::Draft)).await;
    }
    let work = draft(Lane::Stat, "1.2");
    publish(&*pair.one, &work).await;
    // Dropped between asking and getting, or just after.
    let early = timeout(Duration::from_micros(1), pair.one.next(Queue::Draft)).await;
    drop(early);
    let handed = next(&*pair.one, Queue::Draft).await;
    assert_eq!(handed.work(), &work);
    handed.finish().await.expect("finished");
}

/// Many workers on two handles share the work; each piece is done exactly once when nobody fails.
///
/// # Panics
/// When a piece is done twice or not at all.
pub async fn does_each_piece_once_when_nobody_fails(pair: &Pair) {
    let works: Vec<Work> =
        (0..CROWD).map(|number| draft(Lane::ALL[number % 3], &format!("1.{number}"))).collect();
    let expected: BTreeSet<EventId> = works.iter().map(|work| work.id).collect();
    let done: Arc<Mutex<BTreeMap<EventId, u32>>> = Arc::default();
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let broker = Arc::clone(if number % 2 == 0 { &pair.one } else { &pair.other });
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                loop {
                    let handed = broker.next(Queue::Draft).await.expect("work");
                    let id = handed.work().id;
                    tokio::task::yield_now().await;
                    handed.finish().await.expect("finished");
                    *done.lock().expect("no panic").entry(id).or_default() += 1;
                }
            })
        })
        .collect();
    for outcome in join_all(works.iter().map(|work| pair.one.publish(work))).await {
        outcome.expect("published");
    }
    let all_done = async {
        while done.lock().expect("no panic").len() < CROWD {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the end of all work", all_done).await;
    for worker in workers {
        worker.abort();
        let _ = worker.await;
    }
    let done = done.lock().expect("no panic").clone();
    assert_eq!(done.keys().copied().collect::<BTreeSet<_>>(), expected);
    assert!(done.values().all(|times| *times == 1), "done more than once: {done:?}");
    depth_becomes(&*pair.one, Queue::Draft, Depth::default()).await;
}
