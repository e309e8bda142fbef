//! Whom a signed version reaches, how often it is tried, and where it climbs when nobody answers.

use domain::{
    Duration,
    audit::Actor,
    delivery::{AttemptOutcome, Recipient, Transport},
    event::Event,
    id::{DeliveryId, PhysicianId},
    person::Physician,
    port::{
        Clock as _,
        catalog::{Deliveries as _, Directory as _, Trail as _, WorkStore as _},
    },
    task::TaskKind,
    text::{EmailAddress, PersonName},
};
use tokio_util::sync::CancellationToken;

use crate::world::{Answer, World, work};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_signed_version_reaches_the_referring_physician() {
    let world = World::new().await;
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    let (delivery, contact) = world.pair().await;
    assert_eq!(delivery.address.as_str(), "jane@practice.example");
    assert_eq!(delivery.recipient.name(), "Dr Jane Doe");
    assert!(matches!(&delivery.transport, Transport::Accepted { by, .. } if by == "250 taken"));
    assert_eq!(delivery.accept_by, world.now() + world.centre.policy.delivery_deadline);
    assert_eq!(delivery.acknowledge_by, world.now() + world.centre.policy.acknowledgement_deadline);
    assert_eq!((contact, world.tasks().await), (None, vec![]));
    let [mail] = world.mails().try_into().unwrap();
    let opened = world.catalog.delivery_by_link(delivery.link).await.unwrap().unwrap();
    assert_eq!(opened.id, delivery.id);
    let secret = World::secret(&mail);
    assert_eq!(domain::digest::Sha256Digest::of(secret.as_bytes()), delivery.link);
    let trail = world.catalog.study_trail(&world.study, 50).await.unwrap();
    assert!(!format!("{trail:?}").contains(&secret), "the audit opens no link");
}

#[tokio::test]
async fn everything_may_run_twice() {
    let world = World::new().await;
    world.sign("A nodule.", Vec::new()).await;
    let signed = world.due().await;
    for work in &signed {
        world.worker.work(work).await.unwrap();
        world.worker.work(work).await.unwrap();
    }
    let due = world.due().await;
    assert!(due.iter().any(|work| matches!(work.event, Event::DeliveryDueV1 { .. })));
    for work in due.iter().chain(&due) {
        world.worker.work(work).await.unwrap();
    }
    let (one, two) = (world.worker.work(&due[0]), world.worker.work(&due[0]));
    assert!(matches!(tokio::join!(one, two), (Ok(()), Ok(()))));
    assert_eq!((world.mails().len(), world.deliveries().await.len()), (1, 1));
}

#[tokio::test]
async fn two_workers_at_once_send_one_mail() {
    let world = World::new().await;
    world.sign("A nodule.", Vec::new()).await;
    for work in world.due().await {
        world.worker.work(&work).await.unwrap();
    }
    let delivery = world.deliveries().await.remove(0);
    let due = work(Event::DeliveryDueV1 { centre: "north".into(), delivery: delivery.id.to_string() });
    let (one, two) = (world.worker.work(&due), world.worker.work(&due));
    assert!(matches!(tokio::join!(one, two), (Ok(()), Ok(()))));
    assert_eq!(world.mails().len(), 1);
}

#[tokio::test]
async fn a_deferred_mail_is_tried_again_with_the_same_message_id() {
    let world = World::new().await;
    world.answer([Answer::Defer, Answer::Defer]);
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    assert_eq!(world.mails().len(), 1);
    world.clock.turn(Duration::from_secs(14));
    world.pump().await;
    assert_eq!(world.mails().len(), 1, "not before its time");
    world.pass(2 * MINUTE, Duration::from_secs(1)).await;
    let mails = world.mails();
    assert_eq!(mails.len(), 3);
    assert!(mails.iter().all(|mail| mail == &mails[0]), "every attempt is the same mail");
    let (delivery, contact) = world.pair().await;
    let outcomes: Vec<_> = delivery.attempts.iter().map(|attempt| &attempt.outcome).collect();
    assert!(matches!(
        outcomes.as_slice(),
        [AttemptOutcome::Deferred { .. }, AttemptOutcome::Deferred { .. }, AttemptOutcome::Accepted { .. }]
    ));
    assert_eq!(contact, None);
}

#[tokio::test]
async fn a_kill_between_acceptance_and_record_gives_the_same_mail_once_more() {
    let world = World::new().await;
    world.answer([Answer::AcceptAndDie]);
    world.sign("A nodule.", Vec::new()).await;
    for work in world.due().await {
        world.worker.work(&work).await.unwrap();
    }
    let due =
        world.due().await.into_iter().find(|work| matches!(work.event, Event::DeliveryDueV1 { .. })).unwrap();
    let worker = world.notifier.worker();
    let killed = tokio::spawn({
        let due = due.clone();
        async move { worker.work(&due).await }
    });
    assert!(killed.await.unwrap_err().is_panic());
    let worker = world.notifier.worker();
    for _ in 0..3 {
        worker.work(&due).await.unwrap();
    }
    let mails = world.mails();
    assert_eq!((mails.len(), &mails[0]), (2, &mails[1]));
    let (delivery, _) = world.pair().await;
    assert_eq!(delivery.attempts.len(), 1);
}

#[tokio::test]
async fn a_mail_that_nobody_takes_climbs_at_its_deadline_and_goes_on() {
    let world = World::new().await;
    world.answer((0..500).map(|_| Answer::Defer));
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    world.pass(29 * MINUTE, MINUTE).await;
    assert_eq!(world.pair().await.1, None);
    world.pass(2 * MINUTE, MINUTE).await;
    let (delivery, contact) = world.pair().await;
    assert!(delivery.escalated.is_some());
    assert_eq!(contact.as_ref().unwrap().address.as_str(), "desk@north.example");
    let [task] = world.tasks().await.try_into().unwrap();
    assert_eq!(task.kind, TaskKind::Undelivered);
    assert!(
        task.reason.contains("451 later") && task.reason.contains("desk@north.example"),
        "{}",
        task.reason
    );
    assert!(task.next_step.contains("Dr Jane Doe (+44 1224 555 0199)"), "{}", task.next_step);
    assert!(matches!(delivery.transport, Transport::Waiting { .. }), "the mail is still tried");

    world.pass(48 * HOUR, HOUR).await;
    let (_, contact) = world.pair().await;
    assert!(contact.unwrap().escalated.is_some());
    assert_eq!(world.tasks().await.len(), 1, "the contact's silence is the same task");

    world.pass(80 * HOUR, HOUR).await;
    let (delivery, contact) = world.pair().await;
    for delivery in [delivery, contact.unwrap()] {
        let Transport::Failed { reason, .. } = &delivery.transport else {
            panic!("still tried after five days")
        };
        assert_eq!(reason, "given up after 5 days; the last answer was: 451 later");
    }
    let sent = world.mails().len();
    world.pass(24 * HOUR, HOUR).await;
    assert_eq!(world.mails().len(), sent);
}

#[tokio::test]
async fn a_refusal_climbs_at_once() {
    let world = World::new().await;
    world.answer([Answer::Refuse]);
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    let (delivery, contact) = world.pair().await;
    assert_eq!(delivery.escalated, Some(world.now()));
    assert!(matches!(contact.unwrap().transport, Transport::Accepted { .. }));
    assert_eq!(world.mails().len(), 2);
    let [task] = world.tasks().await.try_into().unwrap();
    assert!(task.reason.contains("550 no such mailbox"), "{}", task.reason);
    world.pass(72 * HOUR, HOUR).await;
    assert_eq!(world.mails().len(), 2, "nobody is told twice");
}

#[tokio::test]
async fn silence_climbs_at_the_deadline_and_each_link_is_its_own() {
    let world = World::new().await;
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    world.pass(23 * HOUR, HOUR).await;
    assert_eq!(world.pair().await.1, None);
    world.pass(2 * HOUR, HOUR).await;
    let (delivery, contact) = world.pair().await;
    let contact = contact.unwrap();
    assert!(
        matches!(&contact.recipient, Recipient::CentreContact { escalates, .. } if *escalates == delivery.id)
    );
    let [to_physician, to_contact] = world.mails().try_into().unwrap();
    assert_ne!(World::secret(&to_physician), World::secret(&to_contact));
    let [task] = world.tasks().await.try_into().unwrap();
    assert!(
        task.reason.starts_with("Nobody has acknowledged the mail to Dr Jane Doe in time."),
        "{}",
        task.reason
    );
}

#[tokio::test]
async fn an_acknowledgement_stops_the_climb() {
    let world = World::new().await;
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    let (delivery, _) = world.pair().await;
    let actor = Actor::Link(delivery.id);
    world.catalog.acknowledge(delivery.id, "Dr Jane Doe", &actor, world.now()).await.unwrap();
    world.pass(72 * HOUR, HOUR).await;
    assert_eq!(world.pair().await.1, None);
    assert_eq!((world.mails().len(), world.tasks().await.len()), (1, 0));
}

#[tokio::test]
async fn who_has_read_it_gets_no_more_mail() {
    let world = World::new().await;
    world.answer([Answer::Defer]);
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    let (delivery, _) = world.pair().await;
    // The answer of the mail server was lost, not the mail.
    world
        .catalog
        .acknowledge(delivery.id, "Dr Jane Doe", &Actor::Link(delivery.id), world.now())
        .await
        .unwrap();
    world.pass(72 * HOUR, HOUR).await;
    assert_eq!(world.mails().len(), 1);
    assert!(matches!(world.pair().await.0.transport, Transport::Accepted { .. }));
}

#[tokio::test]
async fn an_acknowledgement_during_the_climb_spares_the_contact() {
    let world = World::new().await;
    world.answer([Answer::Accept, Answer::Defer]);
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    world.pass(24 * HOUR, HOUR).await;
    let (delivery, contact) = world.pair().await;
    assert!(matches!(contact.unwrap().transport, Transport::Waiting { .. }));
    world
        .catalog
        .acknowledge(delivery.id, "Dr Jane Doe", &Actor::Link(delivery.id), world.now())
        .await
        .unwrap();
    world.pass(72 * HOUR, HOUR).await;
    let (_, contact) = world.pair().await;
    let contact = contact.unwrap();
    assert!(matches!(&contact.transport, Transport::Failed { reason, .. } if reason.starts_with("not sent")));
    assert_eq!(contact.escalated, None, "nothing is left to climb for");
    assert_eq!((world.mails().len(), world.tasks().await.len()), (2, 1), "a person closes the task");
}

#[tokio::test]
async fn a_centre_without_a_contact_gets_a_task_alone() {
    let world = World::with(|centre| centre.contact = None).await;
    world.answer([Answer::Refuse]);
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    assert_eq!((world.pair().await.1, world.mails().len()), (None, 1));
    let [task] = world.tasks().await.try_into().unwrap();
    assert!(task.reason.contains("no contact address"), "{}", task.reason);
}

#[tokio::test]
async fn the_order_says_who_must_hear() {
    let world = World::new().await;
    let other = Physician {
        id: PhysicianId::fresh(),
        name: PersonName::new("Okafor^Peter^^Dr").unwrap(),
        email: EmailAddress::parse("peter@practice.example"),
        ..world.physician.clone()
    };
    world.catalog.put_physician(&other, &Actor::Operator, world.now()).await.unwrap();
    world.order(Some(other.id), Some("Okafor^Peter")).await;
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    assert_eq!(world.pair().await.0.address.as_str(), "peter@practice.example");
}

#[tokio::test]
async fn nobody_is_guessed() {
    let without_address = |world: &World| Physician { email: None, ..world.physician.clone() };
    let namesake = |world: &World| Physician { id: PhysicianId::fresh(), ..world.physician.clone() };
    for (case, expected) in
        [(0, "no mail address of Dr Jane Doe"), (1, "named JANE DOE"), (2, "named Ann Other")]
    {
        let world = World::new().await;
        match case {
            0 => world
                .catalog
                .put_physician(&without_address(&world), &Actor::Operator, world.now())
                .await
                .unwrap(),
            1 => world.catalog.put_physician(&namesake(&world), &Actor::Operator, world.now()).await.unwrap(),
            // The images name somebody whom we know, but the order means somebody else.
            _ => world.order(None, Some("Other^Ann")).await,
        }
        world.sign("A nodule.", Vec::new()).await;
        world.pump().await;
        assert_eq!((world.mails().len(), world.deliveries().await.len()), (0, 0));
        let [task] = world.tasks().await.try_into().unwrap();
        assert_eq!(task.kind, TaskKind::NoRecipient);
        assert!(task.reason.contains(expected), "{}", task.reason);
        assert!(!task.next_step.is_empty());
        let signed = Event::ReportSignedV1 { centre: "north".into(), study: "2.25.991".into(), version: 1 };
        world.worker.work(&work(signed)).await.unwrap();
        assert_eq!(world.tasks().await.len(), 1, "asked twice, one task");
    }
}

#[tokio::test]
async fn an_addendum_is_a_delivery_of_its_own() {
    let world = World::new().await;
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    world.sign("And a second one.", Vec::new()).await;
    world.pump().await;
    let versions: Vec<_> = world.deliveries().await.iter().map(|delivery| delivery.version).collect();
    assert_eq!((versions, world.mails().len()), (vec![1, 2], 2));
}

#[tokio::test]
async fn work_that_cannot_be_done_is_given_back_with_a_reason() {
    let world = World::new().await;
    for (event, reason) in [
        (Event::StudyStoredV1 { centre: "north".into(), study: "1.2".into() }, "no work for the notifier"),
        (Event::ReportSignedV1 { centre: "north".into(), study: "1.2".into(), version: 1 }, "no such signed"),
        (Event::ReportSignedV1 { centre: "north".into(), study: "../x".into(), version: 1 }, "no study"),
        (
            Event::DeliveryDueV1 { centre: "north".into(), delivery: DeliveryId::fresh().to_string() },
            "no such delivery",
        ),
        (Event::DeliveryDueV1 { centre: "north".into(), delivery: "x".into() }, "cannot be"),
    ] {
        let error = world.worker.work(&work(event)).await.unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn the_worker_takes_work_from_the_broker_until_told_to_stop() {
    let world = World::new().await;
    world.sign("A nodule.", Vec::new()).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (worker, shutdown) = (world.notifier.worker(), shutdown.clone());
        async move { worker.run(shutdown).await }
    });
    while world.mails().is_empty() {
        for work in world.due().await {
            world.notifier.broker.publish(&work).await.unwrap();
            world.catalog.mark_published(work.id, work.revision, world.clock.now()).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.unwrap();
    assert!(
        matches!(world.pair().await.0.transport, Transport::Accepted { .. }),
        "what is in hand is finished"
    );
}
