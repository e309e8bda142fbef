//! Tasks and audit.

use std::sync::Arc;

use domain::{
    audit::{Action, Actor, AuditEvent},
    id::{DeliveryId, TaskId, TokenId},
    person::Scope,
    port::{Catalog, catalog::TaskFilter},
    task::{Closure, NewTask, TaskKind},
};
use futures::future::join_all;

use super::world::{World, add_centre, ae, at, study_uid, world};

fn all() -> TaskFilter {
    TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 100 }
}

fn task(world: &World, kind: TaskKind, subject: &str) -> NewTask {
    NewTask {
        centre: world.centre.clone(),
        study: Some(study_uid("1.2")),
        kind,
        subject: subject.into(),
        reason: "It failed.".into(),
        next_step: "Try again.".into(),
    }
}

/// Of one centre, kind and subject one task is open, however many ask at once; after closing there may be another.
pub async fn tasks_are_opened_once(catalog: Arc<dyn Catalog>) {
    let world = Arc::new(world(catalog).await);
    let opens = (0..8).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let new = task(&world, TaskKind::WorkFailed, "work 1");
            world.catalog.open_task(&new, at(1)).await.unwrap()
        })
    });
    let ids: Vec<TaskId> = join_all(opens).await.into_iter().map(Result::unwrap).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let found = world.catalog.tasks(&all()).await.unwrap();
    assert_eq!(found.len(), 1);
    let one = &found[0];
    assert_eq!((one.id, &one.centre, &one.study), (ids[0], &world.centre, &Some(study_uid("1.2"))));
    assert_eq!(
        (one.kind, one.reason.as_str(), one.next_step.as_str()),
        (TaskKind::WorkFailed, "It failed.", "Try again.")
    );
    assert_eq!((one.opened, &one.closed), (at(1), &None));

    let south = add_centre(&world.catalog, "south").await;
    for other in [
        task(&world, TaskKind::WorkFailed, "work 2"),
        task(&world, TaskKind::NoRecipient, "work 1"),
        NewTask { centre: south, study: None, ..task(&world, TaskKind::WorkFailed, "work 1") },
    ] {
        let id = world.catalog.open_task(&other, at(2)).await.unwrap();
        assert_ne!(id, ids[0]);
    }
    let opened = world.catalog.trail(Some(&world.centre), 50).await.unwrap();
    assert_eq!(opened.iter().filter(|line| line.action == "task_opened").count(), 3);
    world.catalog.close_task(ids[0], &Scope::AllCentres, world.reader, "done", at(3)).await.unwrap().unwrap();
    let again = world.catalog.open_task(&task(&world, TaskKind::WorkFailed, "work 1"), at(4)).await.unwrap();
    assert_ne!(again, ids[0]);
}

/// A task is closed once, by somebody who may see it; lists show open ones first, the oldest first.
pub async fn tasks_are_closed_within_scope(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let south = add_centre(&world.catalog, "south").await;
    let mut ids = Vec::new();
    for (subject, second) in [("a", 3), ("b", 1), ("c", 2)] {
        let new = task(&world, TaskKind::Undelivered, subject);
        ids.push(world.catalog.open_task(&new, at(second)).await.unwrap());
    }
    let theirs = Scope::Centres(vec![south.clone()]);
    let close = async |scope: &Scope, note: &str| {
        world.catalog.close_task(ids[1], scope, world.reader, note, at(9)).await.unwrap()
    };
    assert_eq!(close(&theirs, "not mine").await, None);
    let ours = Scope::Centres(vec![south.clone(), world.centre.clone()]);
    let closed = close(&ours, "called").await.unwrap();
    assert_eq!(closed.closed, Some(Closure { by: Some(world.reader), at: at(9), note: "called".into() }));
    assert_eq!(close(&ours, "again").await, None);
    let list = async |filter: TaskFilter| -> Vec<TaskId> {
        world.catalog.tasks(&filter).await.unwrap().iter().map(|task| task.id).collect()
    };
    assert_eq!(list(all()).await, [ids[2], ids[0]]);
    assert_eq!(list(TaskFilter { closed: true, ..all() }).await, [ids[2], ids[0], ids[1]]);
    assert_eq!(list(TaskFilter { closed: true, limit: 2, ..all() }).await, [ids[2], ids[0]]);
    assert_eq!(list(TaskFilter { scope: theirs, closed: true, ..all() }).await, []);
    assert_eq!(list(TaskFilter { study: Some(world.key("1.2")), ..all() }).await.len(), 2);
    assert_eq!(list(TaskFilter { study: Some(world.key("1.3")), ..all() }).await, []);
    let line = world.catalog.trail(Some(&world.centre), 1).await.unwrap().remove(0);
    assert_eq!((line.action.as_str(), line.actor), ("task_closed", Actor::Person(world.reader).text()));
    let unknown = world.catalog.close_task(TaskId::fresh(), &ours, world.reader, "", at(9)).await.unwrap();
    assert_eq!(unknown, None);
}

/// What was seen or tried is kept in order, by study, by centre, and apart from centres.
pub async fn the_audit_is_kept(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.key("1.2");
    let actors = [
        Actor::Person(world.reader),
        Actor::Token(TokenId::fresh()),
        Actor::Peer(ae("CT_1")),
        Actor::Link(DeliveryId::fresh()),
    ];
    for (second, actor) in (1..).zip(&actors) {
        world.catalog.record(actor, Action::StudyViewed, Some(&key), "page", at(second)).await.unwrap();
    }
    world.catalog.record(&Actor::Role("gate"), Action::SignInRefused, None, "bob", at(5)).await.unwrap();
    let line = |actor: &Actor, second| AuditEvent {
        at: at(second),
        actor: actor.text(),
        action: "study_viewed".into(),
        centre: Some(world.centre.clone()),
        study: Some(key.uid.clone()),
        detail: "page".into(),
    };
    let lines = [line(&actors[0], 1), line(&actors[1], 2), line(&actors[2], 3), line(&actors[3], 4)];
    assert_eq!(world.catalog.study_trail(&key, 10).await.unwrap(), lines);
    assert_eq!(world.catalog.study_trail(&key, 2).await.unwrap(), lines[..2]);
    let latest = world.catalog.trail(Some(&world.centre), 2).await.unwrap();
    assert_eq!(latest, [lines[3].clone(), lines[2].clone()]);
    let apart = world.catalog.trail(None, 1).await.unwrap().remove(0);
    assert_eq!((apart.action.as_str(), apart.centre, apart.study), ("sign_in_refused", None, None));
    assert_eq!((apart.actor.as_str(), apart.detail.as_str()), ("role:gate", "bob"));
}

/// A check answers, also many at once.
pub async fn the_catalog_checks_itself(catalog: Arc<dyn Catalog>) {
    for check in join_all((0..4).map(|_| catalog.check())).await {
        check.unwrap();
    }
}
