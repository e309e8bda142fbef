//! Objects that cannot be read and are kept for a person.

use std::sync::Arc;

use domain::{
    audit::{Action, Actor},
    centre::Centre,
    digest::Sha256Digest,
    id::{CentreId, QuarantineId},
    object::{ObjectName, ObjectRef, Place},
    person::Scope,
    port::{
        Catalog,
        catalog::{QuarantineFilter, TaskFilter},
    },
    quarantine::{
        Claim, Decision, KeepOutcome, QuarantineChange, QuarantineLimits, QuarantineState, QuarantineUse,
        Quarantined, Way,
    },
    task::{Task, TaskKind},
    uid::{SopClassUid, TransferSyntaxUid},
};

use super::world::{World, add_centre, ae, at, centre_named, sop_uid, study_uid, world};

const LIMITS: QuarantineLimits = QuarantineLimits { objects: 3, bytes: 1000 };

/// Whether a sweep leaves the object alone.
async fn is_named(catalog: &Arc<dyn Catalog>, object: &ObjectRef) -> bool {
    catalog.unnamed(std::slice::from_ref(object)).await.unwrap().is_empty()
}

async fn keeping(catalog: Arc<dyn Catalog>) -> World {
    let world = world(catalog).await;
    let mut centre = centre_named("north");
    centre.policy.keeps_unreadable = true;
    world.catalog.put_centre(&centre, &Actor::Operator, at(0)).await.unwrap();
    world
}

fn object(centre: &CentreId, content: &str, bytes: u64, second: i64) -> Quarantined {
    let sha256 = Sha256Digest::of(content.as_bytes());
    let key = ObjectName::Quarantined { centre: centre.clone(), sha256 }.key();
    Quarantined {
        id: QuarantineId::fresh(),
        centre: centre.clone(),
        way: Way::Association,
        by: Actor::Peer(ae("CT_1")).text(),
        claim: Claim {
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").ok(),
            sop_instance: None,
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        },
        reason: format!("{content} is broken at element (0040,A730), byte 12"),
        next_step: "Discard it.".into(),
        object: ObjectRef { key, place: Place::parse("018f:4096") },
        bytes,
        data_set_bytes: bytes - 10,
        sha256,
        received: at(second),
        times: 1,
        last_received: at(second),
        state: QuarantineState::Waiting,
    }
}

async fn keep(catalog: &Arc<dyn Catalog>, object: &Quarantined) -> KeepOutcome {
    let actor = Actor::parse_sender(&object.by).unwrap();
    catalog.quarantine(object, LIMITS, &actor).await.unwrap()
}

async fn listed(catalog: &Arc<dyn Catalog>, scope: &Scope, decided: bool) -> Vec<Quarantined> {
    let filter = QuarantineFilter { scope: scope.clone(), decided, limit: 100 };
    catalog.quarantined_objects(&filter).await.unwrap()
}

async fn open_tasks(catalog: &Arc<dyn Catalog>) -> Vec<Task> {
    let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 100 };
    catalog.tasks(&filter).await.unwrap()
}

/// A centre that does not want it keeps nothing; one that does keeps the same bytes once, with audit and one task for a sender.
pub async fn objects_are_kept_once_where_they_are_wanted(catalog: Arc<dyn Catalog>) {
    let world = keeping(catalog).await;
    let catalog = &world.catalog;
    let south = add_centre(catalog, "south").await;
    assert_eq!(catalog.quarantine_use(&south).await.unwrap(), None);
    assert_eq!(keep(catalog, &object(&south, "a", 100, 1)).await, KeepOutcome::NotWanted);
    assert_eq!(open_tasks(catalog).await, []);

    let first = object(&world.centre, "a", 100, 1);
    assert_eq!(keep(catalog, &first).await, KeepOutcome::Kept);
    let again = object(&world.centre, "a", 100, 5);
    let there = KeepOutcome::AlreadyKept { object: first.object.clone() };
    assert_eq!(keep(catalog, &again).await, there);
    let other = object(&world.centre, "b", 200, 7);
    assert_eq!(keep(catalog, &other).await, KeepOutcome::Kept);

    let counted = Quarantined { times: 2, last_received: at(5), ..first.clone() };
    assert_eq!(listed(catalog, &Scope::AllCentres, false).await, [other.clone(), counted.clone()]);
    assert_eq!(
        catalog.quarantine_use(&world.centre).await.unwrap(),
        Some(QuarantineUse { objects: 2, bytes: 300 })
    );
    let tasks = open_tasks(catalog).await;
    assert_eq!(tasks.len(), 1, "one task speaks for a sender");
    assert_eq!((tasks[0].kind, &tasks[0].centre), (TaskKind::Quarantine, &world.centre));
    let trail = catalog.trail(Some(&world.centre), 50).await.unwrap();
    let lines: Vec<_> = trail.iter().filter(|line| line.action == Action::Quarantined.as_str()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.actor == "peer:CT_1"));
    assert!(lines.iter().any(|line| line.detail.contains(&first.id.to_string())));
    for (object, named) in [
        (first.object.clone(), true),
        (ObjectRef { place: Place::parse("018f:8192"), ..first.object.clone() }, false),
        (object(&south, "a", 100, 1).object, false),
    ] {
        assert_eq!(is_named(catalog, &object).await, named, "{object}");
    }
}

/// Neither count nor bytes grow beyond the limits, however many come at a time; a task says so.
pub async fn a_full_quarantine_takes_no_more(catalog: Arc<dyn Catalog>) {
    let world = keeping(catalog).await;
    let catalog = &world.catalog;
    assert_eq!(keep(catalog, &object(&world.centre, "large", 1001, 1)).await, KeepOutcome::Full);
    let mut racing = tokio::task::JoinSet::new();
    for n in 0..12 {
        let (catalog, object) = (Arc::clone(catalog), object(&world.centre, &n.to_string(), 100, n));
        racing.spawn(async move { keep(&catalog, &object).await });
    }
    let outcomes = racing.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == KeepOutcome::Kept).count(), 3, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == KeepOutcome::Full).count(), 9, "{outcomes:?}");
    assert_eq!(
        catalog.quarantine_use(&world.centre).await.unwrap(),
        Some(QuarantineUse { objects: 3, bytes: 300 })
    );
    catalog.quarantine_full(&world.centre, at(50)).await.unwrap();
    let tasks = open_tasks(catalog).await;
    assert_eq!(tasks.iter().filter(|task| task.reason.contains("full")).count(), 1, "{tasks:?}");
}

/// Decisions are a named person's, audited, undone while the bytes are there, and of no other centre.
pub async fn decisions_are_audited_and_undone(catalog: Arc<dyn Catalog>) {
    let world = keeping(catalog).await;
    let catalog = &world.catalog;
    let kept = object(&world.centre, "a", 100, 1);
    assert_eq!(keep(catalog, &kept).await, KeepOutcome::Kept);
    let all = Scope::AllCentres;
    let elsewhere = Scope::Centres(vec![add_centre(catalog, "south").await]);
    let decide = async |change: QuarantineChange, scope: &Scope, second: i64| {
        catalog.decide_quarantined(kept.id, scope, &change, world.reader, at(second)).await.unwrap()
    };
    assert_eq!(
        decide(QuarantineChange::Discard, &elsewhere, 2).await,
        None,
        "of another centre, so not there"
    );
    assert_eq!(catalog.quarantined_object(kept.id, &elsewhere).await.unwrap(), None);
    assert_eq!(listed(catalog, &elsewhere, true).await, []);

    let refused = QuarantineChange::Refused { reason: "still broken".into(), next_step: "Wait.".into() };
    let tried = decide(refused, &all, 2).await.unwrap();
    assert_eq!((tried.state, tried.reason.as_str()), (QuarantineState::Waiting, "still broken"));
    let discarded = QuarantineState::Discarded(Decision { by: world.reader, at: at(3) });
    assert_eq!(decide(QuarantineChange::Discard, &all, 3).await.unwrap().state, discarded);
    assert_eq!(
        decide(QuarantineChange::Discard, &all, 4).await.unwrap().state,
        discarded,
        "the first one counts"
    );
    assert_eq!(open_tasks(catalog).await, [], "nothing of the sender waits");
    assert_eq!(listed(catalog, &all, false).await, []);
    assert_eq!(listed(catalog, &all, true).await.len(), 1);
    assert!(is_named(catalog, &kept.object).await);
    let there = KeepOutcome::Discarded { object: kept.object.clone() };
    assert_eq!(keep(catalog, &object(&world.centre, "a", 100, 5)).await, there);

    assert_eq!(decide(QuarantineChange::Restore, &all, 6).await.unwrap().state, QuarantineState::Waiting);
    assert_eq!(open_tasks(catalog).await.len(), 1, "it waits again");
    assert_eq!(decide(QuarantineChange::Restore, &all, 6).await.unwrap().state, QuarantineState::Waiting);
    let study = study_uid("1.2.3");
    let decision = Decision { by: world.reader, at: at(7) };
    let stored = QuarantineState::Stored { decision, study: study.clone() };
    assert_eq!(decide(QuarantineChange::Stored { study }, &all, 7).await.unwrap().state, stored);
    assert_eq!(
        decide(QuarantineChange::Restore, &all, 8).await.unwrap().state,
        stored,
        "there is no way back"
    );
    assert!(!is_named(catalog, &kept.object).await, "its bytes are an image's now");
    assert_eq!(
        catalog.quarantine_use(&world.centre).await.unwrap(),
        Some(QuarantineUse { objects: 0, bytes: 0 })
    );
    let trail = catalog.trail(Some(&world.centre), 50).await.unwrap();
    let by = Actor::Person(world.reader).text();
    let decided = trail.iter().filter(|line| line.action == Action::QuarantineDecided.as_str());
    let words: Vec<_> = decided
        .map(|line| {
            assert_eq!(line.actor, by);
            line.detail.split_once(": ").unwrap().1.to_owned()
        })
        .collect();
    assert_eq!(words, ["tried again: stored", "restored", "discarded", "tried again: still broken"]);

    // The same bytes again, under limits that refuse them once more.
    let again = object(&world.centre, "a", 100, 9);
    let moved = ObjectRef { place: Place::parse("018f:8192"), ..again.object.clone() };
    assert_eq!(keep(catalog, &Quarantined { object: moved.clone(), ..again }).await, KeepOutcome::Kept);
    let back = catalog.quarantined_object(kept.id, &all).await.unwrap().unwrap();
    assert_eq!((back.state, back.object), (QuarantineState::Waiting, moved));
}

/// What was decided is forgotten after its time; what waits never is.
pub async fn decided_objects_are_forgotten(catalog: Arc<dyn Catalog>) {
    let world = keeping(catalog).await;
    let catalog = &world.catalog;
    let (waits, discarded, held) = (
        object(&world.centre, "a", 100, 1),
        object(&world.centre, "b", 100, 1),
        Quarantined {
            claim: Claim {
                sop_instance: Some(sop_uid("1.2.3.4")),
                ..object(&world.centre, "c", 100, 1).claim
            },
            way: Way::Upload,
            by: Actor::Person(world.reader).text(),
            ..object(&world.centre, "c", 100, 1)
        },
    );
    for object in [&waits, &discarded, &held] {
        assert_eq!(keep(catalog, object).await, KeepOutcome::Kept);
    }
    assert_eq!(open_tasks(catalog).await.len(), 2, "one for each sender");
    for (object, change) in [(&discarded, QuarantineChange::Discard), (&held, QuarantineChange::Conflict)] {
        let all = Scope::AllCentres;
        catalog.decide_quarantined(object.id, &all, &change, world.reader, at(10)).await.unwrap().unwrap();
    }
    assert_eq!(catalog.forget_quarantined(at(10), 10).await.unwrap(), 0);
    assert_eq!(catalog.forget_quarantined(at(11), 1).await.unwrap(), 1);
    assert_eq!(catalog.forget_quarantined(at(11), 10).await.unwrap(), 1);
    assert_eq!(catalog.forget_quarantined(at(1000), 10).await.unwrap(), 0);
    assert_eq!(listed(catalog, &Scope::AllCentres, true).await, std::slice::from_ref(&waits));
    assert!(!is_named(catalog, &discarded.object).await, "nothing names it, so it is swept");
    assert!(is_named(catalog, &waits.object).await);

    let silent = Centre { policy: domain::centre::CentrePolicy::default(), ..centre_named("north") };
    catalog.put_centre(&silent, &Actor::Operator, at(20)).await.unwrap();
    assert_eq!(
        listed(catalog, &Scope::AllCentres, false).await,
        [waits],
        "what is there stays to be decided"
    );
}
