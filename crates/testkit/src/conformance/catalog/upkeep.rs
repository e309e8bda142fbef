//! Upkeep: what a row names, what is removed, how far a job is, what is damaged.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    Duration,
    digest::Sha256Digest,
    image::{Arrival, ArrivalOutcome},
    object::{ObjectName, ObjectRef, Place},
    person::Scope,
    port::{
        Catalog, ChangeError,
        catalog::{SignRequest, TaskFilter},
    },
    reading::ClaimChange,
    task::{Task, TaskKind},
    upkeep::{Damaged, Job, NamedObject, Progress, REMOVALS_KEPT, Tally},
};
use uuid::Uuid;

use super::{
    reports::{draft, key_image},
    world::{World, at, image, study_uid, with_other_bytes, world},
};

const DAY: i64 = 24 * 3600;

fn object_of(arrival: &Arrival) -> ObjectRef {
    arrival.instance.object.clone()
}

/// The same key elsewhere.
fn elsewhere(object: &ObjectRef) -> ObjectRef {
    ObjectRef { key: object.key.clone(), place: Place::parse("018f:8192") }
}

async fn tasks(catalog: &Arc<dyn Catalog>, kind: TaskKind) -> Vec<Task> {
    let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 100 };
    let mut tasks = catalog.tasks(&filter).await.unwrap();
    tasks.retain(|task| task.kind == kind);
    tasks
}

/// An image, a conflict, a draft with a key image, a signed version with its PDF; gives all objects that are named.
async fn everything(world: &World) -> Vec<ObjectRef> {
    let catalog = &world.catalog;
    let first = image(&world.centre, "1.2", "1.2.1", 0);
    let other = with_other_bytes(first.clone(), "other");
    let outcomes = catalog.record_arrivals(&[first.clone(), other.clone()], at(0)).await.unwrap();
    assert!(matches!(outcomes[..], [ArrivalOutcome::Stored, ArrivalOutcome::Conflict { .. }]));
    let key = world.key("1.2");
    let images = catalog.image_set(&key).await.unwrap().unwrap();
    catalog.put_draft(&draft(world, images, "Head.")).await.unwrap();
    catalog.change_claim(&key, ClaimChange::Take, world.reader, at(1)).await.unwrap();
    let request = SignRequest { key_images: vec![key_image(world)], ..world.to_sign("1.2", 0).await };
    catalog.sign(&request, at(2)).await.unwrap();
    let pdf = ObjectName::ReportPdf {
        centre: world.centre.clone(),
        study: study_uid("1.2"),
        version: 1,
        sha256: Sha256Digest::of(b"pdf"),
    };
    assert_eq!(catalog.put_pdf(&key, 1, &pdf.key()).await.unwrap(), Some(pdf.key()));
    vec![object_of(&first), object_of(&other), key_image(world).object.into(), pdf.key().into()]
}

/// Each kind of row names its objects, by key and place, and a conflict does so also once it is resolved.
pub async fn only_what_a_row_names_is_named(catalog: Arc<dyn Catalog>) {
    assert!(!catalog.knows_images().await.unwrap());
    let world = world(catalog).await;
    let catalog = &world.catalog;
    let named = everything(&world).await;
    assert!(catalog.knows_images().await.unwrap());
    let (mark, _) = ObjectName::mark(Uuid::nil(), 3);
    let mut asked = named.clone();
    asked.push(mark.key().into());
    assert_eq!(catalog.unnamed(&asked).await.unwrap(), []);

    let study = study_uid("1.2");
    let (centre, sha256) = (world.centre.clone(), Sha256Digest::of(b"nobody"));
    let strange: Vec<ObjectRef> = vec![
        elsewhere(&named[0]),
        object_of(&image(&world.centre, "1.2", "1.2.9", 0)),
        object_of(&image(&world.centre, "1.3", "1.2.1", 0)),
        object_of(&with_other_bytes(image(&world.centre, "1.2", "1.2.1", 0), "third")),
        ObjectName::KeyImage { centre: centre.clone(), study: study.clone(), sha256 }.key().into(),
        ObjectName::ReportPdf { centre, study, version: 1, sha256 }.key().into(),
    ];
    asked.splice(1..1, strange.iter().cloned());
    assert_eq!(catalog.unnamed(&asked).await.unwrap(), strange);

    let conflict = tasks(catalog, TaskKind::Conflict).await.remove(0);
    catalog.close_task(conflict.id, &Scope::AllCentres, world.reader, "seen", at(3)).await.unwrap();
    assert_eq!(catalog.unnamed(&named).await.unwrap(), [], "a resolved conflict keeps its bytes");
    assert_eq!(catalog.unnamed(&[]).await.unwrap(), []);
}

/// A page as long as a sweep's, of which each second object is named.
pub async fn long_pages_are_asked_at_once(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let sops: Vec<String> = (0..500).map(|n| format!("1.2.{n}")).collect();
    let known: Vec<&str> = sops.iter().step_by(2).map(String::as_str).collect();
    world.images("1.2", &known, 0).await;
    let asked: Vec<ObjectRef> =
        sops.iter().map(|sop| object_of(&image(&world.centre, "1.2", sop, 0))).collect();
    let unnamed: Vec<ObjectRef> = asked.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(world.catalog.unnamed(&asked).await.unwrap(), unnamed);
    assert_eq!(world.catalog.condemn(&asked, at(1)).await.unwrap(), unnamed);
}

/// What is condemned cannot become known, others of the same batch can; once it is gone this is told once.
pub async fn condemned_objects_cannot_become_known(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    world.images("1.2", &["1.2.1"], 0).await;
    // The second time, the study is remembered, and the short way is tried.
    for (n, study) in [(2, "1.2"), (4, "1.2"), (6, "1.3")] {
        let (doomed, beside) = (
            image(&world.centre, study, &format!("1.2.{n}"), 1),
            image(&world.centre, "1.2", &format!("1.2.{}", n + 1), 1),
        );
        let object = object_of(&doomed);
        let both = [object.clone(), object_of(&image(&world.centre, "1.2", "1.2.1", 0))];
        let condemned = catalog.condemn(&both, at(1)).await.unwrap();
        assert_eq!(condemned, both[..1], "what is named is not condemned");
        assert_eq!(catalog.condemn(&both, at(2)).await.unwrap(), [], "it is condemned already");
        for _ in 0..2 {
            let outcomes = catalog.record_arrivals(&[doomed.clone(), beside.clone()], at(2)).await.unwrap();
            assert_eq!(outcomes[0], ArrivalOutcome::Swept);
            assert!(outcomes[1] != ArrivalOutcome::Swept);
            assert_eq!(catalog.instance(&world.centre, &doomed.instance.sop_instance).await.unwrap(), None);
        }
        assert_eq!(catalog.study(&world.key(study)).await.unwrap().is_some(), study == "1.2");
        catalog.removed(std::slice::from_ref(&object), at(3)).await.unwrap();
        let told = catalog.record_arrivals(std::slice::from_ref(&doomed), at(4)).await.unwrap();
        assert_eq!(told, [ArrivalOutcome::Swept], "who had the bytes in hand is told");
        let again = catalog.record_arrivals(std::slice::from_ref(&doomed), at(5)).await.unwrap();
        assert_eq!(again, [ArrivalOutcome::Stored], "who has put them again may go on");
        assert_eq!(catalog.unnamed(std::slice::from_ref(&object)).await.unwrap(), []);
        assert_eq!(catalog.condemn(&[object], at(6)).await.unwrap(), []);
    }
}

/// Drafts and PDFs meet a sweep as images do: refused while it removes, refused once when it has, and then kept.
pub async fn condemned_pictures_cannot_become_known(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    let key = world.signed("1.2").await;
    let images = catalog.image_set(&key).await.unwrap().unwrap();
    let (draft, object) = (draft(&world, images, "Head."), ObjectRef::from(key_image(&world).object));
    let pdf = ObjectName::ReportPdf {
        centre: key.centre.clone(),
        study: key.uid.clone(),
        version: 1,
        sha256: Sha256Digest::of(b"pdf"),
    }
    .key();
    let addendum = SignRequest { key_images: vec![key_image(&world)], ..world.to_sign("1.2", 1).await };
    let both = [object, pdf.clone().into()];
    assert_eq!(catalog.condemn(&both, at(1)).await.unwrap(), both);
    for _ in 0..2 {
        catalog.put_draft(&draft).await.unwrap_err();
        catalog.put_pdf(&key, 1, &pdf).await.unwrap_err();
    }
    let refused = catalog.sign(&addendum, at(2)).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Catalog(_)), "{refused}");
    catalog.removed(&both, at(2)).await.unwrap();
    catalog.put_draft(&draft).await.unwrap_err();
    catalog.put_pdf(&key, 1, &pdf).await.unwrap_err();
    catalog.put_draft(&draft).await.unwrap();
    assert_eq!(catalog.put_pdf(&key, 1, &pdf).await.unwrap(), Some(pdf));
    assert_eq!(catalog.condemn(&both, at(3)).await.unwrap(), []);
}

/// Of a sweep and a sender that want the same object in the same moment, one wins and the other one sees it.
pub async fn racing_sweeps_and_arrivals_exclude_each_other(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.0"], 0).await;
    for n in 1..=40 {
        let arrival = image(&world.centre, "1.2", &format!("1.2.{n}"), 1);
        let object = object_of(&arrival);
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let sender = tokio::spawn({
            let (catalog, barrier) = (Arc::clone(&world.catalog), Arc::clone(&barrier));
            async move {
                barrier.wait().await;
                catalog.record_arrivals(&[arrival], at(1)).await.unwrap().remove(0)
            }
        });
        barrier.wait().await;
        let condemned = world.catalog.condemn(std::slice::from_ref(&object), at(1)).await.unwrap();
        let outcome = sender.await.unwrap();
        match condemned.as_slice() {
            [] => assert_eq!(outcome, ArrivalOutcome::Stored),
            _ => assert_eq!(outcome, ArrivalOutcome::Swept),
        }
        let is_named = world.catalog.unnamed(&[object]).await.unwrap().is_empty();
        assert_eq!(is_named, outcome == ArrivalOutcome::Stored);
    }
}

/// What was condemned and not removed is found again, may be pardoned, and is audited by number when it is gone.
pub async fn removals_are_taken_over_and_audited(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    let arrivals: Vec<Arrival> =
        (1..=4).map(|n| image(&world.centre, "1.2", &format!("1.2.{n}"), 0)).collect();
    let objects: Vec<ObjectRef> = arrivals.iter().map(object_of).collect();
    catalog.condemn(&objects[..2], at(1)).await.unwrap();
    catalog.condemn(&objects[2..], at(9)).await.unwrap();
    assert_eq!(catalog.condemned(at(9), 10).await.unwrap(), objects[..2]);
    assert_eq!(catalog.condemned(at(9), 1).await.unwrap(), objects[..1]);
    catalog.pardon(&objects[..1]).await.unwrap();
    catalog.removed(&objects[..2], at(10)).await.unwrap();
    assert_eq!(catalog.condemned(at(10), 10).await.unwrap(), objects[2..]);
    catalog.removed(&objects[2..], at(11)).await.unwrap();
    catalog.removed(&objects, at(12)).await.unwrap();
    let trail = catalog.trail(Some(&world.centre), 50).await.unwrap();
    let lines: Vec<&str> = trail
        .iter()
        .filter(|line| line.action == "leftovers_removed")
        .map(|line| line.detail.as_str())
        .collect();
    assert_eq!(lines, ["2 objects that no row names", "1 objects that no row names"]);
    let outcomes = catalog.record_arrivals(&arrivals[..2], at(13)).await.unwrap();
    assert_eq!(outcomes, [ArrivalOutcome::Stored, ArrivalOutcome::Swept], "one was pardoned");
    // At last, removals are forgotten.
    let much_later = at(14) + REMOVALS_KEPT;
    catalog.removed(&[], much_later).await.unwrap();
    let outcomes = catalog.record_arrivals(&arrivals[2..], much_later).await.unwrap();
    assert_eq!(outcomes, [ArrivalOutcome::Stored, ArrivalOutcome::Stored]);
}

/// One holder at a time does a job; the next one goes on where it was.
pub async fn a_job_has_one_holder(catalog: Arc<dyn Catalog>) {
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(catalog.job(Job::Scrub).await.unwrap(), Progress::default());
    let taken = catalog.take_job(Job::Scrub, one, at(0), at(60)).await.unwrap();
    assert_eq!(taken, Some(Progress::default()));
    assert_eq!(catalog.take_job(Job::Scrub, other, at(59), at(119)).await.unwrap(), None);
    assert!(catalog.take_job(Job::Sweep, other, at(59), at(119)).await.unwrap().is_some(), "another job");
    let progress = Progress {
        began: Some(at(1)),
        position: Some("instance c1 1.2".into()),
        now: Tally { objects: 3, bytes: 5_000_000_000, found: 1 },
        bytes_in_all: 7_000_000_000,
        rounds: 2,
        last: Some((at(-9), at(-5))),
        before: Tally { objects: 2, bytes: 1, found: 0 },
        halted: Some("It is so.".into()),
    };
    assert!(!catalog.keep_job(Job::Scrub, other, &progress, at(90)).await.unwrap());
    assert!(catalog.keep_job(Job::Scrub, one, &progress, at(90)).await.unwrap());
    assert_eq!(catalog.job(Job::Scrub).await.unwrap(), progress);
    assert_eq!(catalog.take_job(Job::Scrub, other, at(89), at(200)).await.unwrap(), None, "it was prolonged");
    let taken = catalog.take_job(Job::Scrub, other, at(90), at(200)).await.unwrap();
    assert_eq!(taken, Some(progress.clone()), "whoever takes it goes on");
    assert!(!catalog.keep_job(Job::Scrub, one, &Progress::default(), at(300)).await.unwrap());
    assert_eq!(catalog.job(Job::Scrub).await.unwrap(), progress);
}

/// The mark goes up and belongs to one catalog.
pub async fn marks_go_up(catalog: Arc<dyn Catalog>) {
    let first = catalog.mark().await.unwrap();
    assert_eq!((first.number, first.at), (0, None));
    let next = catalog.next_mark(0, at(1)).await.unwrap();
    assert_eq!((next.catalog, next.number, next.at), (first.catalog, 1, Some(at(1))));
    assert_eq!(catalog.next_mark(7, at(2)).await.unwrap().number, 8);
    assert_eq!(catalog.next_mark(3, at(3)).await.unwrap().number, 9);
    assert_eq!(catalog.mark().await.unwrap().number, 9);
}

/// Every named object is walked over once, whatever the pages.
pub async fn named_objects_are_walked(catalog: Arc<dyn Catalog>) {
    assert_eq!(catalog.named_after(None, 5).await.unwrap(), None);
    let world = world(catalog).await;
    let expected: BTreeSet<ObjectRef> = everything(&world).await.into_iter().collect();
    // Signed and without PDF and key image: a row that names nothing.
    world.signed("1.3").await;
    let more = object_of(&image(&world.centre, "1.3", "1.3.1.1", 0));
    let expected: BTreeSet<ObjectRef> = expected.into_iter().chain([more]).collect();
    for rows in [1, 2, 100] {
        let mut seen: Vec<NamedObject> = Vec::new();
        let mut last = None;
        while let Some((end, objects)) = world.catalog.named_after(last.as_ref(), rows).await.unwrap() {
            assert!(last.is_none_or(|last| last < end), "it goes on");
            last = Some(end);
            seen.extend(objects);
            assert!(seen.len() <= expected.len(), "pages overlap");
        }
        for object in &seen {
            assert_eq!(object.object.key.name().unwrap().sha256(), object.sha256);
            assert_eq!(object.study.centre, world.centre);
        }
        let seen: BTreeSet<ObjectRef> = seen.into_iter().map(|named| named.object).collect();
        assert_eq!(seen, expected);
    }
    assert_eq!(world.catalog.bytes_in_all().await.unwrap(), 2000);
}

fn damaged(world: &World, n: u32, second: i64) -> Damaged {
    Damaged {
        object: object_of(&image(&world.centre, "1.2", &format!("1.2.{n}"), 0)),
        study: world.key("1.2"),
        how: "is missing".into(),
        found: at(second),
    }
}

/// A damaged object has one task, not one each round; good again, its task is closed; of many of a study one task speaks.
pub async fn damage_is_told_once_and_ends(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    world.images("1.2", &["1.2.1"], 0).await;
    let first = damaged(&world, 1, 1);
    assert!(catalog.found_damaged(&first, "Bring it back.").await.unwrap());
    let altered = Damaged { how: "is not what was stored".into(), found: at(DAY), ..first.clone() };
    assert!(!catalog.found_damaged(&altered, "Bring it back.").await.unwrap());
    let open = tasks(catalog, TaskKind::ObjectDamaged).await;
    assert_eq!(open.len(), 1);
    assert!(open[0].reason.contains(&first.object.to_string()) && open[0].next_step == "Bring it back.");
    assert_eq!(open[0].study, Some(study_uid("1.2")));
    catalog.close_task(open[0].id, &Scope::AllCentres, world.reader, "known", at(2)).await.unwrap();
    assert!(!catalog.found_damaged(&altered, "Bring it back.").await.unwrap());
    assert_eq!(tasks(catalog, TaskKind::ObjectDamaged).await, [], "a person has seen it");
    let list = catalog.damaged(10).await.unwrap();
    assert_eq!(
        list,
        [Damaged { how: altered.how.clone(), ..first.clone() }],
        "since when, and how it is now"
    );
    assert_eq!(catalog.damaged_seen_before(at(DAY), 10).await.unwrap(), []);
    assert_eq!(catalog.damaged_seen_before(at(DAY + 1), 10).await.unwrap().len(), 1);

    for n in 2..=15 {
        catalog.found_damaged(&damaged(&world, n, 3), "Bring it back.").await.unwrap();
    }
    assert_eq!(catalog.damaged_count().await.unwrap(), 15);
    assert_eq!(
        tasks(catalog, TaskKind::ObjectDamaged).await.len(),
        10,
        "nine of their own, one for the others"
    );
    let objects: Vec<ObjectRef> = (1..=14).map(|n| damaged(&world, n, 0).object).collect();
    assert_eq!(catalog.found_good(&objects, at(4)).await.unwrap(), 14);
    assert_eq!(catalog.found_good(&objects, at(5)).await.unwrap(), 0);
    assert_eq!(tasks(catalog, TaskKind::ObjectDamaged).await.len(), 1, "one is still damaged");
    catalog.forget_damage_before(at(3), at(6)).await.unwrap();
    assert_eq!(catalog.damaged_count().await.unwrap(), 1);
    catalog.forget_damage_before(at(4), at(6)).await.unwrap();
    assert_eq!(catalog.damaged_count().await.unwrap(), 0);
    assert_eq!(tasks(catalog, TaskKind::ObjectDamaged).await, []);
    let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: true, limit: 100 };
    let closed = catalog.tasks(&filter).await.unwrap();
    let by_itself =
        closed.iter().filter(|task| task.closed.as_ref().is_some_and(|closure| closure.by.is_none()));
    assert_eq!(by_itself.count(), 10);
    let trail = catalog.study_trail(&world.key("1.2"), 100).await.unwrap();
    let count = |action: &str| trail.iter().filter(|line| line.action == action).count();
    assert_eq!((count("object_damaged"), count("object_restored")), (15, 15));
}

/// What a task of upkeep spoke of is over at every centre.
pub async fn tasks_are_settled(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let south = super::world::add_centre(&world.catalog, "south").await;
    for centre in [&world.centre, &south] {
        let task = domain::task::NewTask {
            centre: centre.clone(),
            study: None,
            kind: TaskKind::UpkeepHalted,
            subject: "sweep".into(),
            reason: "It is so.".into(),
            next_step: "Do.".into(),
        };
        world.catalog.open_task(&task, at(1)).await.unwrap();
        world
            .catalog
            .open_task(&domain::task::NewTask { subject: "scrub".into(), ..task }, at(1))
            .await
            .unwrap();
    }
    world.catalog.settle_tasks(TaskKind::UpkeepHalted, "sweep", "It is over.", at(2)).await.unwrap();
    assert_eq!(tasks(&world.catalog, TaskKind::UpkeepHalted).await.len(), 2);
    world
        .catalog
        .settle_tasks(TaskKind::UpkeepHalted, "sweep", "It is over.", at(2) + Duration::from_secs(1))
        .await
        .unwrap();
    world.catalog.settle_tasks(TaskKind::UpkeepHalted, "scrub", "It is over.", at(3)).await.unwrap();
    assert_eq!(tasks(&world.catalog, TaskKind::UpkeepHalted).await, []);
}
