//! Deliveries and the embedded mailbox.

use std::sync::Arc;

use domain::{
    Duration, Timestamp,
    audit::Actor,
    delivery::{AttemptOutcome, Delivery, RETRY_PAUSE_MIN, Recipient, Transport},
    digest::Sha256Digest,
    event::Event,
    id::{DeliveryId, MailId},
    person::Scope,
    port::{
        Catalog,
        catalog::{DeliveryFilter, Mail, NewDelivery, TaskFilter},
    },
    study::StudyKey,
    task::{NewTask, TaskKind},
    work::Lane,
};
use futures::future::join_all;

use super::world::{World, add_centre, address, at, new_delivery, world};

fn all() -> DeliveryFilter {
    DeliveryFilter { scope: Scope::AllCentres, study: None, unacknowledged: false, limit: 100 }
}

fn deferred(reason: &str) -> AttemptOutcome {
    AttemptOutcome::Deferred { reason: reason.to_owned() }
}

/// When the one delivery that waits in the outbox is due.
async fn due(world: &World) -> Timestamp {
    let rows = world.outbox().await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].due
}

async fn actions(world: &World, key: &StudyKey, action: &str) -> usize {
    let trail = world.catalog.study_trail(key, 100).await.unwrap();
    trail.iter().filter(|line| line.action == action).count()
}

/// One delivery per version, recipient and address, due at once, found by its link.
pub async fn deliveries_are_opened_once(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.signed("1.2").await;
    let new = new_delivery(&key, "anna@practice.example");
    let opened = world.catalog.open_delivery(&new, at(5)).await.unwrap();
    let expected = Delivery {
        id: new.id,
        study: key.clone(),
        version: 1,
        recipient: new.recipient.clone(),
        address: new.address.clone(),
        link: new.link,
        created: at(5),
        accept_by: at(100),
        acknowledge_by: at(1000),
        transport: Transport::Waiting { next_attempt: at(5) },
        attempts: Vec::new(),
        acknowledgement: None,
        escalated: None,
    };
    assert_eq!(opened, expected);
    let event = Event::DeliveryDueV1 { centre: "north".into(), delivery: new.id.to_string() };
    let rows = world.outbox().await;
    assert_eq!((&rows[0].work.event, rows[0].work.lane, rows[0].due), (&event, Lane::Routine, at(5)));
    world.publish_all().await;
    let again =
        NewDelivery { recipient: new.recipient.clone(), ..new_delivery(&key, "anna@practice.example") };
    assert_eq!(world.catalog.open_delivery(&again, at(6)).await.unwrap(), opened);
    assert_eq!(world.outbox().await, []);
    assert_eq!(actions(&world, &key, "delivery_opened").await, 1);
    assert_eq!(world.catalog.delivery(new.id).await.unwrap().as_ref(), Some(&opened));
    assert_eq!(world.catalog.delivery_by_link(new.link).await.unwrap(), Some(opened));
    assert_eq!(world.catalog.delivery_by_link(again.link).await.unwrap(), None);
    assert_eq!(world.catalog.delivery(again.id).await.unwrap(), None);
    let elsewhere = world.catalog.open_delivery(&new_delivery(&key, "other@practice.example"), at(7)).await;
    assert_ne!(elsewhere.unwrap().id, new.id);
}

/// Every attempt is in the ledger; the outbox wakes the notifier for the next attempt or deadline.
pub async fn attempts_are_kept_and_scheduled(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.signed("1.2").await;
    let id = world.catalog.open_delivery(&new_delivery(&key, "a@x.example"), at(5)).await.unwrap().id;
    let attempt = async |outcome: AttemptOutcome, second| {
        world.publish_all().await;
        world.catalog.record_attempt(id, &outcome, at(second)).await.unwrap().unwrap()
    };
    let first = attempt(deferred("450"), 6).await;
    assert_eq!(first.transport, Transport::Waiting { next_attempt: at(6) + RETRY_PAUSE_MIN });
    assert_eq!(due(&world).await, at(6) + RETRY_PAUSE_MIN);
    let near_deadline = attempt(deferred("451"), 95).await;
    assert_eq!(near_deadline.attempts.len(), 2);
    assert_eq!(due(&world).await, at(100), "the deadline comes before the next attempt");
    let accepted = attempt(AttemptOutcome::Accepted { by: "250 ok".into() }, 99).await;
    assert_eq!(accepted.transport, Transport::Accepted { at: at(99), by: "250 ok".into() });
    assert_eq!(due(&world).await, at(100));
    let late = attempt(AttemptOutcome::Refused { reason: "550".into() }, 101).await;
    assert_eq!((&late.transport, late.attempts.len()), (&accepted.transport, 4));
    assert_eq!(due(&world).await, at(1000));
    assert_eq!(world.catalog.delivery(id).await.unwrap(), Some(late));
    assert_eq!(actions(&world, &key, "delivery_attempted").await, 4);

    world.publish_all().await;
    world.catalog.schedule_delivery(id, at(500)).await.unwrap();
    assert_eq!(due(&world).await, at(500));
    let other = world.catalog.open_delivery(&new_delivery(&key, "b@x.example"), at(5)).await.unwrap().id;
    world.publish_all().await;
    let refused = AttemptOutcome::Refused { reason: "no such mailbox".into() };
    world.catalog.record_attempt(other, &refused, at(7)).await.unwrap();
    assert_eq!(due(&world).await, at(7), "somebody must be told at once");
    let nobody = DeliveryId::fresh();
    assert_eq!(world.catalog.record_attempt(nobody, &refused, at(7)).await.unwrap(), None);
    world.catalog.schedule_delivery(nobody, at(7)).await.unwrap();
    assert_eq!(world.outbox().await.len(), 1);
}

/// The first acknowledgement counts, with who gave it.
pub async fn acknowledgements_count_once(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.signed("1.2").await;
    let id = world.catalog.open_delivery(&new_delivery(&key, "a@x.example"), at(5)).await.unwrap().id;
    let link = Actor::Link(id);
    let first = world.catalog.acknowledge(id, "Dr Weiß", &link, at(6)).await.unwrap().unwrap();
    let said = first.acknowledgement.clone().unwrap();
    assert_eq!((said.by.as_str(), said.at), ("Dr Weiß", at(6)));
    assert_eq!(world.catalog.acknowledge(id, "Other", &link, at(7)).await.unwrap(), Some(first.clone()));
    assert_eq!(world.catalog.delivery(id).await.unwrap(), Some(first));
    let trail = world.catalog.study_trail(&key, 100).await.unwrap();
    let lines: Vec<_> = trail.iter().filter(|line| line.action == "acknowledged").collect();
    assert_eq!((lines.len(), lines[0].actor.clone()), (1, link.text()));
    assert_eq!(world.catalog.acknowledge(DeliveryId::fresh(), "x", &link, at(7)).await.unwrap(), None);
}

fn escalation(delivery: &Delivery) -> (NewDelivery, NewTask) {
    let to_contact = NewDelivery {
        recipient: Recipient::CentreContact { escalates: delivery.id, name: "Centre north".into() },
        ..new_delivery(&delivery.study, "contact@centre.example")
    };
    let task = NewTask {
        centre: delivery.study.centre.clone(),
        study: Some(delivery.study.uid.clone()),
        kind: TaskKind::Undelivered,
        subject: NewTask::delivery_subject(delivery.id),
        reason: "Nobody acknowledged the report in time.".into(),
        next_step: "Call the practice.".into(),
    };
    (to_contact, task)
}

async fn open_tasks(world: &World) -> usize {
    let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 100 };
    world.catalog.tasks(&filter).await.unwrap().len()
}

/// An escalation marks the delivery, opens one to the contact and a task, once.
pub async fn escalation_happens_once(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.signed("1.2").await;
    let delivery = world.catalog.open_delivery(&new_delivery(&key, "a@x.example"), at(5)).await.unwrap();
    world.publish_all().await;
    let (to_contact, task) = escalation(&delivery);
    let told = world.catalog.escalate(delivery.id, Some(&to_contact), &task, at(200)).await.unwrap().unwrap();
    assert_eq!(told.escalated, Some(at(200)));
    let (second_contact, second_task) = (
        NewDelivery { address: address("x@y.example"), ..to_contact.clone() },
        NewTask { subject: "s".into(), ..task },
    );
    let again =
        world.catalog.escalate(delivery.id, Some(&second_contact), &second_task, at(300)).await.unwrap();
    assert_eq!(again, Some(told.clone()));
    assert_eq!(world.catalog.delivery(delivery.id).await.unwrap(), Some(told));
    let opened = world.catalog.delivery(to_contact.id).await.unwrap().unwrap();
    assert_eq!(opened.recipient, to_contact.recipient);
    assert_eq!((open_tasks(&world).await, world.catalog.deliveries(&all()).await.unwrap().len()), (1, 2));
    assert_eq!(due(&world).await, at(200));
    assert_eq!(actions(&world, &key, "delivery_escalated").await, 1);

    world.catalog.acknowledge(opened.id, "Reception", &Actor::Link(opened.id), at(201)).await.unwrap();
    let first = world.catalog.delivery(delivery.id).await.unwrap().unwrap();
    assert_eq!(first.acknowledgement, None, "the physician still has not read it");
    let lonely = world.catalog.open_delivery(&new_delivery(&key, "c@x.example"), at(5)).await.unwrap();
    let (_, task) = escalation(&lonely);
    world.catalog.escalate(lonely.id, None, &task, at(202)).await.unwrap().unwrap();
    assert_eq!(open_tasks(&world).await, 2);
    assert_eq!(world.catalog.escalate(DeliveryId::fresh(), None, &task, at(203)).await.unwrap(), None);
}

/// Eight notifiers that escalate one delivery at once: one delivery to the contact, one task, one line of audit.
pub async fn racing_escalations(catalog: Arc<dyn Catalog>) {
    let world = Arc::new(world(catalog).await);
    let key = world.signed("1.2").await;
    let delivery = world.catalog.open_delivery(&new_delivery(&key, "a@x.example"), at(5)).await.unwrap();
    let runs = (0..8).map(|_| {
        let (world, delivery) = (Arc::clone(&world), delivery.clone());
        tokio::spawn(async move {
            let (to_contact, task) = escalation(&delivery);
            world.catalog.escalate(delivery.id, Some(&to_contact), &task, at(200)).await.unwrap().unwrap()
        })
    });
    for run in join_all(runs).await {
        assert_eq!(run.unwrap().escalated, Some(at(200)));
    }
    assert_eq!((open_tasks(&world).await, world.catalog.deliveries(&all()).await.unwrap().len()), (1, 2));
    assert_eq!(actions(&world, &key, "delivery_escalated").await, 1);
}

/// The latest first; by scope, study, acknowledgement; no more than asked for.
pub async fn deliveries_are_listed(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let (one, two) = (world.signed("1.2").await, world.signed("1.3").await);
    let mut ids = Vec::new();
    for (key, to, second) in [(&one, "a@x.example", 5), (&two, "b@x.example", 7), (&one, "c@x.example", 6)] {
        ids.push(world.catalog.open_delivery(&new_delivery(key, to), at(second)).await.unwrap().id);
    }
    let list = async |filter: DeliveryFilter| -> Vec<DeliveryId> {
        world.catalog.deliveries(&filter).await.unwrap().iter().map(|delivery| delivery.id).collect()
    };
    assert_eq!(list(all()).await, [ids[1], ids[2], ids[0]]);
    assert_eq!(list(DeliveryFilter { study: Some(one), ..all() }).await, [ids[2], ids[0]]);
    assert_eq!(list(DeliveryFilter { limit: 1, ..all() }).await, [ids[1]]);
    let south = add_centre(&world.catalog, "south").await;
    assert_eq!(list(DeliveryFilter { scope: Scope::Centres(vec![south]), ..all() }).await, []);
    world.catalog.acknowledge(ids[2], "x", &Actor::Operator, at(9)).await.unwrap();
    assert_eq!(list(DeliveryFilter { unacknowledged: true, ..all() }).await, [ids[1], ids[0]]);
}

/// A mail lies in the mailbox once, byte for byte.
pub async fn mails_are_kept_once(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let mail = |second, message: &[u8]| Mail {
        id: MailId::fresh(),
        centre: world.centre.clone(),
        to: address("a@x.example"),
        at: at(second),
        message: message.to_vec(),
    };
    let first = mail(1, b"Subject: a\r\n\r\n\x00\xff\r\n");
    let second = mail(2, &Sha256Digest::of(b"x").as_bytes().repeat(5000));
    for kept in
        [&first, &second, &Mail { at: at(3) + Duration::from_micros(1), message: vec![], ..first.clone() }]
    {
        world.catalog.put_mail(kept).await.unwrap();
    }
    assert_eq!(world.catalog.mails(10).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(world.catalog.mails(1).await.unwrap(), [second]);
    assert_eq!(world.catalog.mail(first.id).await.unwrap(), Some(first));
    assert_eq!(world.catalog.mail(MailId::fresh()).await.unwrap(), None);
}
