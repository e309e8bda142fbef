//! Studies that are taken out, come back, or end.

use std::sync::Arc;

use domain::{
    Timestamp,
    audit::{Action, Actor},
    conflict::{Choice, Matter},
    image::ArrivalOutcome,
    person::Scope,
    port::{
        Catalog, ChangeError,
        catalog::{
            BringBackRefusal, ConflictFilter, Ruling, StudyFilter, TakeOut, TakeOutRefusal, TakenOut,
            TaskFilter, WorklistFilter,
        },
    },
    reading::ClaimChange,
    study::StudyKey,
    text::AccessionNumber,
    work::Lane,
};

use super::{
    reports::{draft, key_image},
    world::{World, add_centre, at, image, later, order_for, sop_uid, with_other_bytes, world},
};

/// Until when studies here can come back, in seconds.
const UNTIL: i64 = 1000;

async fn wanted(world: &World, study: &str) -> TakeOut {
    let images = world.catalog.image_set(&world.key(study)).await.unwrap().unwrap();
    TakeOut {
        study: world.key(study),
        image_set: images.digest,
        by: Actor::Person(world.reader),
        reason: "sent by mistake".into(),
        until: at(UNTIL),
    }
}

async fn takes_out(world: &World, study: &str, now: Timestamp) -> TakenOut {
    world.catalog.take_out(&wanted(world, study).await, now).await.unwrap()
}

async fn refusal(world: &World, wanted: &TakeOut, now: Timestamp) -> TakeOutRefusal {
    let before = world.catalog.before_take_out(&wanted.study, now).await;
    match world.catalog.take_out(wanted, now).await {
        Err(ChangeError::Refused(refusal)) => {
            let is_asked_first = !matches!(refusal, TakeOutRefusal::Changed);
            assert_eq!(before.is_err(), is_asked_first, "{refusal:?}");
            refusal
        }
        other => panic!("expected a refusal, not {other:?}"),
    }
}

async fn back(world: &World, study: &str, now: Timestamp) -> Result<(), BringBackRefusal> {
    match world.catalog.bring_back(&world.key(study), &Actor::Person(world.reader), now).await {
        Ok(()) => Ok(()),
        Err(ChangeError::Refused(refusal)) => Err(refusal),
        Err(ChangeError::Catalog(error)) => panic!("{error:?}"),
    }
}

async fn listed(catalog: &Arc<dyn Catalog>) -> Vec<TakenOut> {
    catalog.taken_out(&Scope::AllCentres, 10).await.unwrap()
}

/// Everything that questions about a study say, as text.
async fn all_that_is_seen(world: &World, key: &StudyKey) -> String {
    let catalog = &world.catalog;
    let scope = Scope::AllCentres;
    let studies = StudyFilter { limit: 100, ..StudyFilter::default() };
    let worklist = WorklistFilter { scope: scope.clone(), signed: true, text: None, limit: 100 };
    let tasks = TaskFilter { scope: scope.clone(), study: None, closed: true, limit: 100 };
    let conflicts = |decided| ConflictFilter { scope: scope.clone(), study: None, decided, limit: 100 };
    let instances = catalog.instances(key, None).await.unwrap();
    let one = catalog.instance(&world.centre, &sop_uid("1.2.1")).await.unwrap();
    let kept = catalog.kept_instance(&world.centre, &sop_uid("1.2.1")).await.unwrap();
    format!(
        "{:#?}",
        (
            (catalog.study(key).await.unwrap(), catalog.studies(&studies).await.unwrap()),
            (catalog.series(key).await.unwrap(), instances, one, kept),
            (catalog.worklist(&worklist, later()).await.unwrap(), catalog.reading(key).await.unwrap()),
            (catalog.draft(key).await.unwrap(), catalog.working_copy(key).await.unwrap()),
            (catalog.tasks(&tasks).await.unwrap(), catalog.image_set(key).await.unwrap()),
            (
                catalog.conflicts(&conflicts(false)).await.unwrap(),
                catalog.conflicts(&conflicts(true)).await.unwrap()
            ),
            catalog.instances_after(None, 100).await.unwrap(),
        )
    )
}

/// A study with all that can hang on it: two images, one with frames, a decided conflict, a draft, a task.
async fn full_study(world: &World) -> StudyKey {
    let catalog = &world.catalog;
    let key = world.key("1.2");
    let first = image(&world.centre, "1.2", "1.2.1", 0);
    let other = with_other_bytes(first.clone(), "other");
    let second = image(&world.centre, "1.2", "1.2.2", 0);
    let outcomes = catalog.record_arrivals(&[first, second, other], at(0)).await.unwrap();
    assert!(matches!(outcomes[2], ArrivalOutcome::Conflict { .. }));
    let open = ConflictFilter { scope: Scope::AllCentres, study: None, decided: false, limit: 10 };
    let conflict = catalog.conflicts(&open).await.unwrap().remove(0);
    let Matter::Contents(contents) = &conflict.matter else { panic!("{:?}", conflict.matter) };
    let ruling = Ruling {
        centre: world.centre.clone(),
        id: conflict.id.clone(),
        choice: Some(Choice::KeepFirst),
        by: world.reader,
        reason: "the first".into(),
        revision: conflict.revision,
        current_sha256: Some(contents.current_sha256),
    };
    catalog.decide_conflict(&ruling, at(1)).await.unwrap();
    let images = catalog.image_set(&key).await.unwrap().unwrap();
    catalog.put_draft(&draft(world, images, "Head.")).await.unwrap();
    key
}

/// Nothing finds it, its objects stay named, and all of it comes back as it was.
pub async fn a_study_goes_and_comes_back_whole(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    let key = full_study(&world).await;
    let order = order_for("ACC-1", "PAT-1", Lane::Urgent);
    catalog.put_order(&world.centre, &order, &Actor::Operator, at(1)).await.unwrap();
    let nothing = all_that_is_seen(&world, &world.key("1.9")).await;
    let before = all_that_is_seen(&world, &key).await;
    assert!(before.contains("1.2.1") && nothing != before);
    let objects: Vec<_> = [
        image(&world.centre, "1.2", "1.2.1", 0),
        with_other_bytes(image(&world.centre, "1.2", "1.2.1", 0), "other"),
    ]
    .into_iter()
    .map(|arrival| arrival.instance.object)
    .chain([key_image(&world).object.into()])
    .collect();
    let images = catalog.image_set(&key).await.unwrap().unwrap();
    let (study, shown) = catalog.before_take_out(&key, at(2)).await.unwrap();
    assert_eq!((study.instance_count, shown), (2, images));

    let out = takes_out(&world, "1.2", at(2)).await;
    assert_eq!(listed(catalog).await, [out]);
    let seen = all_that_is_seen(&world, &key).await;
    assert!(!seen.contains("1.2.1") && !seen.contains("PAT-1"), "{seen}");
    assert_eq!(world.outbox().await.len(), 0);
    assert_eq!(catalog.orders(&world.centre, 10).await.unwrap()[0].study, None);
    assert_eq!(catalog.unnamed(&objects).await.unwrap(), []);
    assert_eq!(catalog.condemn(&objects, later()).await.unwrap(), []);
    assert_eq!(
        refusal(&world, &TakeOut { study: key.clone(), ..wanted_again(&world) }, at(3)).await,
        TakeOutRefusal::Unknown
    );

    back(&world, "1.2", at(3)).await.unwrap();
    assert_eq!(all_that_is_seen(&world, &key).await, before);
    assert_eq!(listed(catalog).await, []);
    assert_eq!(catalog.orders(&world.centre, 10).await.unwrap()[0].study, Some(key.uid.clone()));
    assert_eq!(world.outbox().await.len(), 1, "what waits for images that came waits again");
    assert_eq!(catalog.documents_due().await.unwrap(), 1);
    assert_eq!(back(&world, "1.2", at(4)).await, Err(BringBackRefusal::Unknown));
    let trail = catalog.study_trail(&key, 50).await.unwrap();
    for action in [Action::StudyTakenOut, Action::StudyBroughtBack] {
        assert_eq!(trail.iter().filter(|line| line.action == action.as_str()).count(), 1, "{action:?}");
    }
    assert!(trail.iter().all(|line| !line.detail.contains("mistake")), "a reason may name a patient");
}

fn wanted_again(world: &World) -> TakeOut {
    TakeOut {
        study: world.key("1.2"),
        image_set: domain::digest::ImageSetDigest::of(Vec::new()),
        by: Actor::Operator,
        reason: "again".into(),
        until: at(UNTIL),
    }
}

/// What people rely on stays, and what is not as it was shown.
pub async fn what_is_in_use_stays(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    world.images("1.2", &["1.2.1"], 0).await;
    let shown = wanted(&world, "1.2").await;
    world.images("1.2", &["1.2.2"], 1).await;
    assert_eq!(refusal(&world, &shown, at(2)).await, TakeOutRefusal::Changed);

    catalog.change_claim(&world.key("1.2"), ClaimChange::Take, world.reader, at(2)).await.unwrap();
    let shown = wanted(&world, "1.2").await;
    assert!(matches!(refusal(&world, &shown, at(3)).await, TakeOutRefusal::Held { until } if until > at(3)));

    let other = with_other_bytes(image(&world.centre, "1.3", "1.2.1", 2), "other");
    let beside = image(&world.centre, "1.3", "1.3.1", 2);
    catalog.record_arrivals(&[beside, other], at(2)).await.unwrap();
    let with_conflict = wanted(&world, "1.3").await;
    assert_eq!(refusal(&world, &with_conflict, at(3)).await, TakeOutRefusal::InConflict);

    world.images("1.4", &["1.4.1"], 4).await;
    world.sign("1.4", 0, 5).await;
    let signed = wanted(&world, "1.4").await;
    assert_eq!(refusal(&world, &signed, at(100_000)).await, TakeOutRefusal::Signed);
    assert_eq!(listed(catalog).await, []);
}

/// An image that comes is refused and counted, whichever way it takes, and makes nothing. Another centre's study of that name is another
/// study.
pub async fn what_comes_meanwhile_is_refused(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    world.images("1.2", &["1.2.1"], 0).await;
    takes_out(&world, "1.2", at(1)).await;
    // The study is remembered still from its last image.
    for (sops, second) in [(&["1.2.2"][..], 2), (&["1.2.1", "1.2.3"][..], 3)] {
        let outcomes = world.images("1.2", sops, second).await;
        assert!(outcomes.iter().all(|outcome| *outcome == ArrivalOutcome::TakenOut), "{outcomes:?}");
    }
    let both = [image(&world.centre, "1.2", "1.2.4", 4), image(&world.centre, "1.3", "1.3.1", 4)];
    let outcomes = catalog.record_arrivals(&both, at(4)).await.unwrap();
    assert_eq!(outcomes, [ArrivalOutcome::TakenOut, ArrivalOutcome::Stored]);
    assert_eq!(catalog.study(&world.key("1.2")).await.unwrap(), None);
    let out = listed(catalog).await.remove(0);
    assert_eq!((out.refused_count, out.last_refused), (4, Some(at(4))));

    let south = add_centre(catalog, "south").await;
    let elsewhere = catalog.record_arrivals(&[image(&south, "1.2", "1.2.1", 5)], at(5)).await.unwrap();
    assert_eq!(elsewhere, [ArrivalOutcome::Stored]);
    assert_eq!(catalog.taken_out(&Scope::Centres(vec![south]), 10).await.unwrap(), []);
    back(&world, "1.2", at(6)).await.unwrap();
    assert_eq!(world.images("1.2", &["1.2.2"], 7).await, [ArrivalOutcome::Stored]);
    assert_eq!(catalog.study(&world.key("1.2")).await.unwrap().unwrap().instance_count, 2);
}

/// When its time is over it cannot come back, its objects may go, and afterwards its name is free.
pub async fn its_time_ends(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    world.images("1.2", &["1.2.1", "1.2.2"], 0).await;
    takes_out(&world, "1.2", at(1)).await;
    let key = world.key("1.2");
    assert!(catalog.knows_images().await.unwrap(), "or no sweep would get as far as its end");
    assert_eq!(catalog.begin_purge(at(UNTIL - 1)).await.unwrap(), None);
    assert_eq!(catalog.condemn_to_purge(&key, None, 10, later()).await.unwrap(), []);
    catalog.end_purge(&key, later()).await.unwrap();
    assert_eq!(listed(catalog).await.len(), 1, "nothing ends that was not begun");
    assert_eq!(back(&world, "1.2", at(UNTIL)).await, Err(BringBackRefusal::Over));
    for _ in 0..2 {
        assert_eq!(catalog.begin_purge(at(UNTIL)).await.unwrap(), Some(key.clone()), "until it is done");
    }
    assert!(listed(catalog).await[0].is_over);
    assert_eq!(back(&world, "1.2", at(UNTIL - 1)).await, Err(BringBackRefusal::Over));
    let page = catalog.condemn_to_purge(&key, None, 1, at(UNTIL)).await.unwrap();
    let rest = catalog.condemn_to_purge(&key, Some(&page[0].0), 10, at(UNTIL)).await.unwrap();
    let objects: Vec<_> = page.into_iter().chain(rest).map(|(_, object)| object).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(catalog.unnamed(&objects).await.unwrap(), [], "a sweep counts none of them as a leftover");
    assert_eq!(catalog.condemned(later(), 10).await.unwrap().len(), 2);
    catalog.removed(&objects, at(UNTIL)).await.unwrap();
    assert_eq!(world.images("1.2", &["1.2.3"], UNTIL).await, [ArrivalOutcome::TakenOut]);
    catalog.end_purge(&key, at(UNTIL)).await.unwrap();
    assert_eq!(listed(catalog).await, []);
    assert_eq!(catalog.begin_purge(later()).await.unwrap(), None);
    let trail = catalog.study_trail(&key, 50).await.unwrap();
    assert_eq!(trail.iter().filter(|line| line.action == Action::StudyPurged.as_str()).count(), 1);
    assert_eq!(world.images("1.2", &["1.2.3"], UNTIL + 1).await, [ArrivalOutcome::Stored]);
}

/// What was free to be used by others meanwhile is not taken from them.
pub async fn what_others_took_meanwhile_is_theirs(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    let order = order_for("ACC-1", "PAT-1", Lane::Stat);
    catalog.put_order(&world.centre, &order, &Actor::Operator, at(0)).await.unwrap();
    world.images("1.2", &["1.2.1"], 0).await;
    takes_out(&world, "1.2", at(1)).await;
    world.images("1.3", &["1.3.1"], 2).await;
    let held = catalog.orders(&world.centre, 10).await.unwrap().remove(0);
    assert_eq!(held.study, Some(world.key("1.3").uid));
    back(&world, "1.2", at(3)).await.unwrap();
    let study = catalog.study(&world.key("1.2")).await.unwrap().unwrap();
    assert_eq!((study.order, study.attributes.accession_number), (None, AccessionNumber::new("ACC-1")));
    assert_eq!(catalog.orders(&world.centre, 10).await.unwrap().remove(0), held);

    takes_out(&world, "1.2", at(4)).await;
    let stray = image(&world.centre, "1.3", "1.2.1", 5);
    assert_eq!(catalog.record_arrivals(&[stray], at(5)).await.unwrap(), [ArrivalOutcome::Stored]);
    assert_eq!(back(&world, "1.2", at(6)).await, Err(BringBackRefusal::ImageElsewhere));
    assert_eq!(listed(catalog).await.len(), 1);
}

/// Of those who take a study out at once, one does; and an image that comes at the same time is in the study or refused.
pub async fn racing_with_arrivals(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    for round in 0..8 {
        let study = format!("1.2.{round}");
        world.images(&study, &[&format!("{study}.1")], 0).await;
        let wanted = wanted(&world, &study).await;
        let sop = format!("{study}.2");
        let sops = [sop.as_str()];
        let (one, other, outcomes) = tokio::join!(
            world.catalog.take_out(&wanted, at(1)),
            world.catalog.take_out(&wanted, at(1)),
            world.images(&study, &sops, 1)
        );
        let taken = [one, other].iter().filter(|outcome| outcome.is_ok()).count();
        let seen = world.catalog.study(&world.key(&study)).await.unwrap();
        match outcomes[..] {
            [ArrivalOutcome::Stored] => {
                assert_eq!((taken, seen.map(|study| study.instance_count)), (0, Some(2)));
            }
            [ArrivalOutcome::TakenOut] => assert_eq!((taken, seen), (1, None)),
            _ => panic!("{outcomes:?}"),
        }
    }
}
