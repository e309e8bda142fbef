//! The outbox, and the table of work.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    Timestamp,
    event::Event,
    id::{CentreId, EventId},
    port::Catalog,
    work::{DELIVERIES_MAX, Depth, Lane, Queue, Work},
};
use futures::future::join_all;

use super::world::{QUIET, at, later, order_for, world};

fn draft_work(lane: Lane, study: &str) -> Work {
    Work {
        id: EventId::fresh(),
        revision: 1,
        centre: CentreId::parse("north").unwrap(),
        lane,
        event: Event::StudyStoredV1 { centre: "north".into(), study: study.into() },
    }
}

fn notify_work() -> Work {
    let event = Event::DeliveryDueV1 { centre: "north".into(), delivery: "d".into() };
    Work { event, ..draft_work(Lane::Routine, "1") }
}

/// Due rows come the most urgent lane first, then the longest due; what is not due does not come.
pub async fn the_outbox_is_in_order(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    assert_eq!(world.catalog.next_outbox_due().await.unwrap(), None);
    world
        .catalog
        .put_order(
            &world.centre,
            &order_for("ACC-1", "PAT-1", Lane::Stat),
            &domain::audit::Actor::Operator,
            at(0),
        )
        .await
        .unwrap();
    world.images("1.1", &["1.1.1"], 5).await;
    world.images("1.2", &["1.2.1"], 1).await;
    world.images("1.3", &["1.3.1"], 0).await;
    world.images("1.4", &["1.4.1"], 100).await;
    let subjects = |rows: Vec<domain::work::OutboxRow>| {
        rows.into_iter().map(|row| row.work.event.subject()).collect::<Vec<_>>()
    };
    let due = world.catalog.due_outbox(at(5 + QUIET), 10).await.unwrap();
    assert_eq!(subjects(due), ["study north 1.1", "study north 1.3", "study north 1.2"]);
    assert_eq!(subjects(world.catalog.due_outbox(at(5 + QUIET), 1).await.unwrap()), ["study north 1.1"]);
    assert_eq!(world.catalog.next_outbox_due().await.unwrap(), Some(at(QUIET)));
    assert_eq!(world.catalog.outbox_depth().await.unwrap(), 4);
}

/// Publishing an older revision does not take the newer one away; after publishing, the same subject is a new row.
pub async fn the_outbox_keeps_newer_revisions(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.1"], 0).await;
    let first = world.outbox().await.remove(0);
    world.images("1.2", &["1.2.2"], 3).await;
    world.catalog.mark_published(first.work.id, first.work.revision, at(4)).await.unwrap();
    let second = world.outbox().await.remove(0);
    assert_eq!((second.work.id, second.work.revision), (first.work.id, first.work.revision + 1));
    assert_eq!(second.due, at(3 + QUIET));
    for _ in 0..2 {
        world.catalog.mark_published(second.work.id, second.work.revision, at(5)).await.unwrap();
    }
    assert_eq!((world.outbox().await, world.catalog.outbox_depth().await.unwrap()), (Vec::new(), 0));
    assert_eq!(world.catalog.next_outbox_due().await.unwrap(), None);

    world.images("1.2", &["1.2.3"], 6).await;
    let third = world.outbox().await.remove(0);
    let names = |work: &Work| (work.id, work.revision);
    assert!(names(&third.work) != names(&first.work) && names(&third.work) != names(&second.work));
}

/// The same id and revision is one piece of work; another revision is another one.
pub async fn the_same_work_is_kept_once(catalog: Arc<dyn Catalog>) {
    let work = draft_work(Lane::Routine, "1.2");
    for _ in 0..2 {
        catalog.put_work(&work, at(0)).await.unwrap();
    }
    let ready = |ready| Depth { ready, ..Depth::default() };
    assert_eq!(catalog.work_depth(Queue::Draft).await.unwrap(), ready(1));
    catalog.put_work(&Work { revision: 2, ..work.clone() }, at(0)).await.unwrap();
    assert_eq!(catalog.work_depth(Queue::Draft).await.unwrap(), ready(2));
    assert_eq!(catalog.work_depth(Queue::Notify).await.unwrap(), ready(0));
    let leased = catalog.lease_work(Queue::Draft, at(1), at(9)).await.unwrap().unwrap();
    assert_eq!((&leased.work, leased.delivery_count, &leased.last_reason), (&work, 1, &None));
    catalog.put_work(&work, at(2)).await.unwrap();
    let in_hand = Depth { ready: 1, in_hand: 1, dead: 0 };
    assert_eq!(catalog.work_depth(Queue::Draft).await.unwrap(), in_hand, "a repeat does not free it");
}

/// The most urgent lane first, then the longest ready; queues do not mix.
pub async fn lanes_go_first(catalog: Arc<dyn Catalog>) {
    let routine = draft_work(Lane::Routine, "1");
    let urgent = [draft_work(Lane::Urgent, "2"), draft_work(Lane::Urgent, "3")];
    let stat = draft_work(Lane::Stat, "4");
    let notify = notify_work();
    for (work, second) in [(&routine, 0), (&urgent[1], 2), (&urgent[0], 1), (&stat, 3), (&notify, 0)] {
        catalog.put_work(work, at(second)).await.unwrap();
    }
    let mut handed = Vec::new();
    while let Some(leased) = catalog.lease_work(Queue::Draft, at(10), at(99)).await.unwrap() {
        handed.push(leased.work);
    }
    assert_eq!(handed, [stat, urgent[0].clone(), urgent[1].clone(), routine]);
    assert_eq!(catalog.lease_work(Queue::Notify, at(10), at(99)).await.unwrap().unwrap().work, notify);
    catalog.put_work(&draft_work(Lane::Stat, "5"), at(20)).await.unwrap();
    assert_eq!(catalog.lease_work(Queue::Draft, at(19), at(99)).await.unwrap(), None, "not ready yet");
}

/// A lease ends by time; then only the next holder may finish or give back. What is given back comes again, with the reason.
pub async fn leases_fence(catalog: Arc<dyn Catalog>) {
    let work = draft_work(Lane::Routine, "1");
    catalog.put_work(&work, at(0)).await.unwrap();
    let first = catalog.lease_work(Queue::Draft, at(0), at(10)).await.unwrap().unwrap();
    assert_eq!(catalog.lease_work(Queue::Draft, at(9), at(20)).await.unwrap(), None);
    let second = catalog.lease_work(Queue::Draft, at(10), at(20)).await.unwrap().unwrap();
    assert_eq!((first.delivery_count, second.delivery_count), (1, 2));
    assert!(!catalog.finish_work(&first).await.unwrap(), "its lease is over");
    assert!(!catalog.give_back_work(&first, at(11), "late").await.unwrap());
    assert!(!catalog.extend_work(&first, at(99)).await.unwrap());
    assert!(catalog.extend_work(&second, at(25)).await.unwrap());
    assert_eq!(
        catalog.lease_work(Queue::Draft, at(24), at(40)).await.unwrap(),
        None,
        "the lease was extended"
    );
    assert!(catalog.give_back_work(&second, at(30), "disk was away").await.unwrap());
    assert!(!catalog.finish_work(&second).await.unwrap(), "it was given back");
    assert_eq!(catalog.lease_work(Queue::Draft, at(29), at(40)).await.unwrap(), None);
    let third = catalog.lease_work(Queue::Draft, at(30), at(40)).await.unwrap().unwrap();
    assert_eq!((third.delivery_count, third.last_reason.as_deref()), (3, Some("disk was away")));
    assert!(catalog.finish_work(&third).await.unwrap());
    assert!(!catalog.finish_work(&third).await.unwrap());
    assert_eq!(catalog.work_depth(Queue::Draft).await.unwrap(), Depth::default());
}

/// Work that was handed out as often as it may be is not handed out again but dead, with the last reason.
pub async fn work_dies_after_its_deliveries(catalog: Arc<dyn Catalog>) {
    let work = draft_work(Lane::Routine, "1");
    catalog.put_work(&work, at(0)).await.unwrap();
    for count in 1..=DELIVERIES_MAX {
        let now = at(i64::from(count));
        let leased = catalog.lease_work(Queue::Draft, now, later()).await.unwrap().unwrap();
        assert_eq!(leased.delivery_count, count);
        assert!(catalog.give_back_work(&leased, now, &format!("reason {count}")).await.unwrap());
    }
    let behind = draft_work(Lane::Routine, "2");
    catalog.put_work(&behind, at(50)).await.unwrap();
    let next = catalog.lease_work(Queue::Draft, at(60), later()).await.unwrap().unwrap();
    assert_eq!(next.work, behind, "dead work does not stand in the way");
    let depth = catalog.work_depth(Queue::Draft).await.unwrap();
    assert_eq!(depth, Depth { ready: 0, in_hand: 1, dead: 1 });
    let dead = catalog.lease_dead_work(at(61), later()).await.unwrap().unwrap();
    assert_eq!((&dead.work, dead.last_reason.as_deref()), (&work, Some("reason 4")));
}

async fn make_dead(catalog: &Arc<dyn Catalog>, work: &Work) {
    catalog.put_work(work, at(0)).await.unwrap();
    for _ in 0..DELIVERIES_MAX {
        let lease: fn(i64) -> Timestamp = at;
        catalog.lease_work(Queue::Draft, lease(1), lease(1)).await.unwrap().unwrap();
    }
    assert_eq!(catalog.lease_work(Queue::Draft, at(1), at(1)).await.unwrap(), None);
}

/// Dead work has leases of its own, and is gone once finished. Workers who never answered count as deliveries too.
pub async fn dead_work_is_leased_apart(catalog: Arc<dyn Catalog>) {
    assert_eq!(catalog.lease_dead_work(at(0), at(1)).await.unwrap(), None);
    let work = draft_work(Lane::Stat, "1");
    make_dead(&catalog, &work).await;
    let first = catalog.lease_dead_work(at(2), at(10)).await.unwrap().unwrap();
    assert_eq!(catalog.lease_dead_work(at(9), at(20)).await.unwrap(), None);
    let second = catalog.lease_dead_work(at(10), at(20)).await.unwrap().unwrap();
    assert!(!catalog.finish_work(&first).await.unwrap());
    assert_eq!(catalog.work_depth(Queue::Draft).await.unwrap().dead, 1);
    assert!(catalog.finish_work(&second).await.unwrap());
    assert_eq!(catalog.work_depth(Queue::Draft).await.unwrap(), Depth::default());
}

/// Twenty workers and ten pieces: each piece is handed to one of them.
pub async fn racing_workers_share_nothing(catalog: Arc<dyn Catalog>) {
    let pieces: Vec<Work> = (0..10).map(|n| draft_work(Lane::Routine, &format!("1.{n}"))).collect();
    for work in &pieces {
        catalog.put_work(work, at(0)).await.unwrap();
    }
    let workers = (0..20).map(|_| {
        let catalog = Arc::clone(&catalog);
        tokio::spawn(async move { catalog.lease_work(Queue::Draft, at(1), at(100)).await.unwrap() })
    });
    let mut handed: Vec<Work> =
        join_all(workers).await.into_iter().filter_map(Result::unwrap).map(|leased| leased.work).collect();
    // A worker may find nothing while others hold the rows that it looked at; who comes back finds the rest.
    while let Some(leased) = catalog.lease_work(Queue::Draft, at(1), at(100)).await.unwrap() {
        handed.push(leased.work);
    }
    let ids = |works: &[Work]| works.iter().map(|work| work.id).collect::<BTreeSet<_>>();
    assert_eq!((handed.len(), ids(&handed)), (10, ids(&pieces)));
}
