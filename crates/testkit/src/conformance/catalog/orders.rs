//! Orders, and how they meet their studies.

use std::sync::Arc;

use domain::{
    audit::Actor,
    id::OrderId,
    order::{Order, OrderMatch, OrderRequest},
    port::{Catalog, catalog::OrderOutcome},
    text::AccessionNumber,
    work::Lane,
};

use super::world::{World, add_centre, at, image, order_for, study_uid, world};

async fn put(world: &World, request: &OrderRequest, second: i64) -> OrderOutcome {
    world.catalog.put_order(&world.centre, request, &Actor::Operator, at(second)).await.unwrap()
}

/// An image of a patient with no accession number, on the day that [`order_for`] plans.
async fn image_without_accession(world: &World, study: &str, patient: &str, second: i64) {
    let mut arrival = image(&world.centre, study, &format!("{study}.1.1"), second);
    arrival.study.accession_number = None;
    arrival.study.patient_id = domain::text::PatientId::new(patient);
    world.catalog.record_arrivals(&[arrival], at(second)).await.unwrap();
}

async fn order_of(world: &World, study: &str) -> Option<(OrderId, OrderMatch)> {
    world.catalog.study(&world.key(study)).await.unwrap().unwrap().order
}

/// An accession number is one order of a centre: created, unchanged, changed; the identity stays.
pub async fn orders_are_kept_by_accession_number(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let request = order_for("ACC-1", "PAT-1", Lane::Routine);
    let OrderOutcome::Created(created) = put(&world, &request, 0).await else { panic!("not created") };
    assert_eq!((&created.request, &created.study, created.received), (&request, &None, at(0)));
    assert_eq!(put(&world, &request, 1).await, OrderOutcome::Unchanged(created.clone()));
    let bare = OrderRequest {
        patient_name: None,
        examination: None,
        reason: None,
        physician: None,
        physician_name: None,
        scheduled: None,
        ..request.clone()
    };
    let changed = Order { request: bare.clone(), ..created.clone() };
    assert_eq!(put(&world, &bare, 2).await, OrderOutcome::Changed(changed.clone()));
    assert_eq!(world.catalog.order(&world.centre, created.id).await.unwrap(), Some(changed.clone()));

    let south = add_centre(&world.catalog, "south").await;
    let theirs = world.catalog.put_order(&south, &request, &Actor::Operator, at(3)).await.unwrap();
    assert!(matches!(theirs, OrderOutcome::Created(_)), "another centre, another order");
    assert_eq!(world.catalog.order(&south, created.id).await.unwrap(), None);
    let second = put(&world, &order_for("ACC-2", "PAT-1", Lane::Routine), 4).await.order().clone();
    assert_eq!(world.catalog.orders(&world.centre, 10).await.unwrap(), [second.clone(), changed]);
    assert_eq!(world.catalog.orders(&world.centre, 1).await.unwrap(), [second]);
    let received: Vec<_> = world.catalog.trail(Some(&world.centre), 20).await.unwrap();
    assert_eq!(received.iter().filter(|line| line.action == "order_received").count(), 3);
}

/// An order that is there gives a new study its priority and its lane.
pub async fn an_order_waits_for_its_study(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let order = put(&world, &order_for("ACC-1", "PAT-1", Lane::Stat), 0).await.order().clone();
    world.images("1.2", &["1.2.1.1"], 5).await;
    let study = world.catalog.study(&world.key("1.2")).await.unwrap().unwrap();
    assert_eq!((study.order, study.priority), (Some((order.id, OrderMatch::AccessionNumber)), Lane::Stat));
    let linked = world.catalog.order(&world.centre, order.id).await.unwrap().unwrap();
    assert_eq!(linked.study, Some(study_uid("1.2")));
    assert_eq!(world.outbox().await[0].work.lane, Lane::Stat);
    world.images("1.3", &["1.3.1.1"], 6).await;
    assert_eq!(order_of(&world, "1.3").await, None, "an order is answered by one study");

    put(&world, &order_for("ACC-2", "PAT-2", Lane::Urgent), 7).await;
    image_without_accession(&world, "1.4", "PAT-2", 8).await;
    let (_, found) = order_of(&world, "1.4").await.unwrap();
    assert_eq!(found, OrderMatch::PatientAndDate);
}

/// A study that is there is found by an order that comes late, and moves to the order's lane.
pub async fn a_study_waits_for_its_order(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    world.images("1.3", &["1.3.1.1"], 1).await;
    let before = world.outbox().await;
    let outcome = put(&world, &order_for("ACC-1", "PAT-1", Lane::Stat), 5).await;
    let OrderOutcome::Created(order) = outcome else { panic!("{outcome:?}") };
    assert_eq!(order.study, Some(study_uid("1.2")), "the earliest of two with this number");
    assert_eq!(order_of(&world, "1.2").await, Some((order.id, OrderMatch::AccessionNumber)));
    assert_eq!(order_of(&world, "1.3").await, None);
    let after = world.outbox().await;
    let stat = after.iter().find(|row| row.work.lane == Lane::Stat).unwrap();
    let same = before.iter().find(|row| row.work.id == stat.work.id).unwrap();
    assert_eq!((stat.work.revision, stat.due), (same.work.revision + 1, same.due));
    assert_eq!(after.iter().filter(|row| row.work.lane == Lane::Routine).count(), 1);

    image_without_accession(&world, "1.4", "PAT-4", 6).await;
    put(&world, &order_for("ACC-4", "PAT-4", Lane::Urgent), 7).await;
    assert_eq!(order_of(&world, "1.4").await.unwrap().1, OrderMatch::PatientAndDate);
}

/// What could mean two, or contradicts itself, is left to a person.
pub async fn doubt_links_nothing(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    put(&world, &order_for("A1", "P1", Lane::Routine), 0).await;
    put(&world, &order_for("A2", "P1", Lane::Routine), 0).await;
    image_without_accession(&world, "1.2", "P1", 1).await;
    assert_eq!(order_of(&world, "1.2").await, None, "two orders of one patient for one day");

    image_without_accession(&world, "1.3", "P3", 2).await;
    image_without_accession(&world, "1.4", "P3", 2).await;
    put(&world, &order_for("A3", "P3", Lane::Routine), 3).await;
    assert_eq!((order_of(&world, "1.3").await, order_of(&world, "1.4").await), (None, None), "two studies");

    world.images("1.5", &["1.5.1.1"], 4).await;
    put(&world, &order_for("ACC-1", "ANOTHER", Lane::Routine), 5).await;
    assert_eq!(order_of(&world, "1.5").await, None, "another patient under the same number");
    let unlinked = world.catalog.orders(&world.centre, 10).await.unwrap();
    assert!(unlinked.iter().all(|order| order.study.is_none()));
}

/// A changed priority reaches the study and everything of it that waits, and raises the revision of that.
pub async fn a_changed_priority_moves_what_waits(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    put(&world, &order_for("ACC-1", "PAT-1", Lane::Routine), 0).await;
    world.images("1.2", &["1.2.1.1"], 1).await;
    let before = world.outbox().await;
    put(&world, &order_for("ACC-1", "PAT-1", Lane::Stat), 2).await;
    let study = world.catalog.study(&world.key("1.2")).await.unwrap().unwrap();
    assert_eq!(study.priority, Lane::Stat);
    world.catalog.mark_published(before[0].work.id, before[0].work.revision, at(3)).await.unwrap();
    let after = world.outbox().await;
    assert_eq!(after.len(), 1, "whoever published the routine one has not published the urgent one");
    assert_eq!((after[0].work.lane, after[0].due), (Lane::Stat, before[0].due));
}

/// An order and its study that come at the same time always meet.
pub async fn racing_orders_and_studies_meet(catalog: Arc<dyn Catalog>) {
    let world = Arc::new(world(catalog).await);
    for n in 0..10 {
        let (study, accession) = (format!("1.{n}"), format!("RACE-{n}"));
        let mut arrival = image(&world.centre, &study, &format!("1.{n}.1.1"), n);
        arrival.study.accession_number = AccessionNumber::new(&accession);
        let sender = tokio::spawn({
            let world = Arc::clone(&world);
            async move { world.catalog.record_arrivals(&[arrival], at(n)).await.unwrap() }
        });
        let orderer = tokio::spawn({
            let world = Arc::clone(&world);
            async move { put(&world, &order_for(&accession, "PAT-1", Lane::Stat), n).await }
        });
        sender.await.unwrap();
        let order = orderer.await.unwrap().order().id;
        assert_eq!(order_of(&world, &study).await, Some((order, OrderMatch::AccessionNumber)), "round {n}");
    }
}
