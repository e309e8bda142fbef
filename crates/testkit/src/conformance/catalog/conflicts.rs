//! Conflicts: how they are found, decided, and taken back.

use std::sync::Arc;

use domain::{
    conflict::{Choice, Conflict, ConflictId, Matter, OtherPatient},
    digest::ImageSetDigest,
    image::{Arrival, ArrivalOutcome, Instance},
    object::Place,
    person::Scope,
    port::{
        Catalog, ChangeError,
        catalog::{ConflictFilter, Ruling, RulingRefusal, TaskFilter},
    },
    study::{Study, StudyKey},
    task::{Task, TaskKind},
    text::{PatientId, PersonName},
    uid::SeriesInstanceUid,
};
use futures::future::join_all;

use super::world::{World, add_centre, add_person, at, image, sop_uid, study_uid, with_other_bytes, world};

async fn open_tasks(world: &World) -> Vec<Task> {
    let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 100 };
    world.catalog.tasks(&filter).await.unwrap()
}

async fn study(world: &World, uid: &str) -> Study {
    world.catalog.study(&world.key(uid)).await.unwrap().unwrap()
}

async fn list(world: &World, decided: bool) -> Vec<Conflict> {
    let filter = ConflictFilter { scope: Scope::AllCentres, study: None, decided, limit: 100 };
    world.catalog.conflicts(&filter).await.unwrap()
}

async fn only_open(world: &World) -> Conflict {
    let mut open = list(world, false).await;
    assert_eq!(open.len(), 1);
    open.pop().unwrap()
}

async fn again(world: &World, conflict: &Conflict) -> Conflict {
    world.catalog.conflict(&conflict.centre, &conflict.id).await.unwrap().unwrap()
}

async fn arrives(world: &World, arrival: &Arrival, second: i64) -> ArrivalOutcome {
    let mut outcomes =
        world.catalog.record_arrivals(std::slice::from_ref(arrival), at(second)).await.unwrap();
    outcomes.pop().unwrap()
}

fn contents(conflict: &Conflict) -> &domain::conflict::Contents {
    match &conflict.matter {
        Matter::Contents(contents) => contents,
        Matter::Patient(_) => panic!("{conflict:?}"),
    }
}

fn other_patient(conflict: &Conflict) -> &OtherPatient {
    match &conflict.matter {
        Matter::Patient(other) => other,
        Matter::Contents(_) => panic!("{conflict:?}"),
    }
}

/// What a person asks for who sees this conflict.
fn ruling(world: &World, conflict: &Conflict, choice: Option<Choice>) -> Ruling {
    let current_sha256 = match &conflict.matter {
        Matter::Contents(contents) => Some(contents.current_sha256),
        Matter::Patient(_) => None,
    };
    Ruling {
        centre: conflict.centre.clone(),
        id: conflict.id.clone(),
        choice,
        by: world.reader,
        reason: "asked the centre".to_owned(),
        revision: conflict.revision,
        current_sha256,
    }
}

async fn decide(world: &World, conflict: &Conflict, choice: Option<Choice>, second: i64) -> Conflict {
    world.catalog.decide_conflict(&ruling(world, conflict, choice), at(second)).await.unwrap()
}

async fn refusal(world: &World, ruling: &Ruling) -> RulingRefusal {
    match world.catalog.decide_conflict(ruling, at(90)).await {
        Err(ChangeError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn shown(world: &World, sop: &str) -> Option<Instance> {
    world.catalog.instance(&world.centre, &sop_uid(sop)).await.unwrap()
}

/// Two images, and the first one again with other bytes. Gives both contents of it.
async fn in_conflict(world: &World) -> (Arrival, Arrival) {
    world.images("1.2", &["1.2.1.1", "1.2.1.2"], 0).await;
    let first = image(&world.centre, "1.2", "1.2.1.1", 0);
    let mut second = with_other_bytes(image(&world.centre, "1.2", "1.2.1.1", 3), "other");
    second.instance.bytes = 5000;
    let outcome = arrives(world, &second, 3).await;
    assert_eq!(outcome, ArrivalOutcome::Conflict { object: second.instance.object.clone() });
    (first, second)
}

fn of_patient(mut arrival: Arrival, id: &str, name: &str) -> Arrival {
    arrival.study.patient_id = PatientId::new(id);
    arrival.study.patient_name = PersonName::new(name);
    arrival
}

/// Other bytes under a known name are held, counted and shown once, with all that a person needs; the first content stays.
pub async fn conflicts_are_held_once(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let (first, second) = in_conflict(&world).await;
    let mut elsewhere = second.clone();
    elsewhere.instance.object.place = Place::parse("elsewhere:1");
    let outcome = arrives(&world, &elsewhere, 4).await;
    assert_eq!(outcome, ArrivalOutcome::Conflict { object: second.instance.object.clone() });
    let found = study(&world, "1.2").await;
    assert_eq!((found.conflict_count, found.instance_count, found.generation), (1, 2, 2));
    assert_eq!(shown(&world, "1.2.1.1").await, Some(first.instance.clone()));

    let conflict = only_open(&world).await;
    assert_eq!(again(&world, &conflict).await, conflict);
    let found = contents(&conflict);
    assert_eq!((&found.first, &found.second), (&first.instance, &second.instance));
    assert_eq!(found.current_sha256, first.instance.file_sha256);
    assert_eq!(found.second_patient, Some(domain::conflict::Patient::of(&second.study)));
    assert_eq!((conflict.opened, conflict.last_seen, conflict.seen_count), (at(3), at(4), 2));
    assert_eq!((&conflict.source, conflict.revision), (&Some(second.source.clone()), 0));
    assert_eq!((conflict.study(), &conflict.decision), (&study_uid("1.2"), &None));
    let tasks = open_tasks(&world).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].kind, &tasks[0].study), (TaskKind::Conflict, &Some(study_uid("1.2"))));
    let trail = world.catalog.study_trail(&world.key("1.2"), 20).await.unwrap();
    assert_eq!(trail.iter().filter(|line| line.action == "conflict_held").count(), 1);
}

/// One SOP Instance UID in two studies: the first stays, both studies say so, and a study without any image of its own does not appear.
pub async fn one_instance_in_two_studies_is_held(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.9"], 0).await;
    let stray = image(&world.centre, "1.3", "1.9", 1);
    let object = stray.instance.object.clone();
    assert_eq!(arrives(&world, &stray, 1).await, ArrivalOutcome::Conflict { object });
    assert_eq!(world.catalog.study(&world.key("1.3")).await.unwrap(), None);
    assert_eq!(study(&world, "1.2").await.conflict_count, 1);
    let conflict = only_open(&world).await;
    let found = contents(&conflict);
    assert_eq!((&found.second.study, &found.first.study), (&study_uid("1.3"), &study_uid("1.2")));
    assert_eq!(open_tasks(&world).await.len(), 1);
    assert_eq!(world.outbox().await.len(), 1);

    let outcomes = world.images("1.4", &["1.9", "1.4.1.1"], 2).await;
    assert!(matches!(outcomes[..], [ArrivalOutcome::Conflict { .. }, ArrivalOutcome::Stored]));
    let (one, other) = (study(&world, "1.2").await, study(&world, "1.4").await);
    assert_eq!((one.conflict_count, other.conflict_count, other.instance_count), (2, 1, 1));
    let filter = |uid: &str| ConflictFilter {
        scope: Scope::AllCentres,
        study: Some(world.key(uid)),
        decided: false,
        limit: 10,
    };
    assert_eq!(world.catalog.conflicts(&filter("1.4")).await.unwrap().len(), 1);
    assert_eq!(world.catalog.conflicts(&filter("1.2")).await.unwrap().len(), 2);
    assert_eq!(shown(&world, "1.9").await.unwrap().study, study_uid("1.2"));
    // The study of the stray image gets images of its own, and the numbers stay right when all is decided.
    world.images("1.3", &["1.3.1.1"], 3).await;
    for conflict in list(&world, false).await {
        decide(&world, &conflict, Some(Choice::KeepFirst), 4).await;
    }
    for uid in ["1.2", "1.3", "1.4"] {
        assert_eq!(study(&world, uid).await.conflict_count, 0, "{uid}");
    }
}

/// Keeping the first content changes nothing that is shown; the task closes, and opens again when the decision is taken back.
pub async fn the_first_content_is_kept(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let (first, _) = in_conflict(&world).await;
    let before = study(&world, "1.2").await;
    let seen = only_open(&world).await;
    let decided = decide(&world, &seen, Some(Choice::KeepFirst), 10).await;
    let decision = decided.decision.clone().unwrap();
    assert_eq!((decision.choice, decision.by, decision.at), (Choice::KeepFirst, Some(world.reader), at(10)));
    assert_eq!((decision.reason.as_str(), decided.revision), ("asked the centre", 1));
    assert_eq!(list(&world, false).await, []);
    assert_eq!(list(&world, true).await, std::slice::from_ref(&decided));
    assert_eq!(open_tasks(&world).await, []);
    let after = study(&world, "1.2").await;
    assert_eq!(after, Study { conflict_count: 0, ..before.clone() });
    assert_eq!(shown(&world, "1.2.1.1").await, Some(first.instance));
    // The same wish again, with what was seen first or with what is there now.
    assert_eq!(decide(&world, &seen, Some(Choice::KeepFirst), 11).await, decided);
    assert_eq!(decide(&world, &decided, Some(Choice::KeepFirst), 11).await, decided);

    let reopened = decide(&world, &decided, None, 12).await;
    assert_eq!((&reopened.decision, reopened.revision), (&None, 2));
    assert_eq!(study(&world, "1.2").await, before);
    assert_eq!(open_tasks(&world).await.len(), 1);
    assert_eq!(decide(&world, &decided, None, 13).await, reopened);
    let trail = world.catalog.study_trail(&world.key("1.2"), 20).await.unwrap();
    let told: Vec<_> = trail.iter().filter(|line| line.actor == format!("person:{}", world.reader)).collect();
    let actions: Vec<&str> = told.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["task_closed", "conflict_decided", "conflict_reopened"]);
    assert!(told.iter().all(|line| !line.detail.contains("asked")), "a reason may name a patient");
}

/// Using the second content makes it the current one in everything that is shown; taking that back brings the first one back.
pub async fn the_second_content_is_used_and_put_back(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let (first, second) = in_conflict(&world).await;
    let key = world.key("1.2");
    world.sign("1.2", 0, 5).await;
    world.publish_all().await;
    let seen = only_open(&world).await;
    let used = decide(&world, &seen, Some(Choice::UseSecond), 10).await;
    assert_eq!((&contents(&used).first, &contents(&used).second), (&first.instance, &second.instance));
    assert_eq!(contents(&used).current_sha256, second.instance.file_sha256);
    assert_eq!(shown(&world, "1.2.1.1").await, Some(second.instance.clone()));
    let found = study(&world, "1.2").await;
    assert_eq!((found.instance_count, found.series_count, found.bytes), (2, 1, 6000));
    assert_eq!((found.generation, found.conflict_count), (3, 0));
    let other = image(&world.centre, "1.2", "1.2.1.2", 0).instance;
    let set = world.catalog.image_set(&key).await.unwrap().unwrap();
    let expected = [&second.instance, &other].map(|one| (one.sop_instance.clone(), one.file_sha256));
    assert_eq!((set.digest, set.generation), (ImageSetDigest::of(expected), 3));
    let tasks = open_tasks(&world).await;
    assert_eq!(tasks.iter().map(|task| task.kind).collect::<Vec<_>>(), [TaskKind::ImagesAfterSignature]);
    assert_eq!(world.outbox().await.len(), 1, "a draft is asked for");
    let both = [&first, &second].map(|one| one.instance.object.clone());
    assert_eq!(world.catalog.unnamed(&both).await.unwrap(), [], "no sweep removes what was replaced");
    let mut named = Vec::new();
    let mut after = None;
    while let Some((end, objects)) = world.catalog.named_after(after.as_ref(), 1).await.unwrap() {
        named.extend(objects.into_iter().map(|object| object.object));
        after = Some(end);
    }
    assert!(both.iter().all(|object| named.contains(object)), "what was replaced is read again, too");
    let refused = refusal(&world, &ruling(&world, &used, Some(Choice::KeepFirst))).await;
    assert_eq!(refused, RulingRefusal::Changed, "one takes a decision back before making another");

    let back = decide(&world, &used, None, 20).await;
    assert_eq!((&back.decision, back.revision), (&None, 2));
    assert_eq!(shown(&world, "1.2.1.1").await, Some(first.instance.clone()));
    let found = study(&world, "1.2").await;
    assert_eq!((found.bytes, found.generation, found.conflict_count), (2000, 4, 1));
    let kinds: Vec<TaskKind> = open_tasks(&world).await.iter().map(|task| task.kind).collect();
    assert!(kinds.contains(&TaskKind::Conflict), "{kinds:?}");
    // And once more, so that nothing of the first time stays in the way.
    decide(&world, &back, Some(Choice::UseSecond), 30).await;
    assert_eq!(shown(&world, "1.2.1.1").await, Some(second.instance));
}

/// What comes again is recognised whatever was decided: the current bytes are known, those set aside are refused and seen once more.
pub async fn what_is_set_aside_is_recognised(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let (first, second) = in_conflict(&world).await;
    let seen = only_open(&world).await;
    let already =
        |arrival: &Arrival| ArrivalOutcome::AlreadyStored { object: arrival.instance.object.clone() };
    let held = |arrival: &Arrival| ArrivalOutcome::Conflict { object: arrival.instance.object.clone() };
    let sent = |arrival: &Arrival| {
        let mut arrival = arrival.clone();
        arrival.instance.object.place = Place::parse("again:1");
        arrival
    };
    let kept = decide(&world, &seen, Some(Choice::KeepFirst), 10).await;
    assert_eq!(arrives(&world, &sent(&first), 11).await, already(&first));
    assert_eq!(arrives(&world, &sent(&second), 12).await, held(&second));
    let open = decide(&world, &kept, None, 13).await;
    let used = decide(&world, &open, Some(Choice::UseSecond), 14).await;
    assert_eq!(arrives(&world, &sent(&second), 15).await, already(&second));
    for second in [16, 17] {
        assert_eq!(arrives(&world, &sent(&first), second).await, held(&first));
    }
    assert_eq!((list(&world, false).await, open_tasks(&world).await), (vec![], vec![]));
    let now = again(&world, &used).await;
    assert_eq!((now.seen_count, now.last_seen, now.revision), (4, at(17), used.revision));
    assert_eq!(shown(&world, "1.2.1.1").await, Some(second.instance));
    let mut third = with_other_bytes(image(&world.centre, "1.2", "1.2.1.1", 18), "third");
    third.instance.received = at(18);
    assert_eq!(arrives(&world, &third, 18).await, held(&third));
    assert_eq!(contents(&only_open(&world).await).current_sha256, now_sha(&now));
}

fn now_sha(conflict: &Conflict) -> domain::digest::Sha256Digest {
    contents(conflict).current_sha256
}

/// A decision holds for what the person saw: the revision, and the content that was current.
pub async fn a_decision_holds_only_for_what_was_seen(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let (_, second) = in_conflict(&world).await;
    let third = with_other_bytes(image(&world.centre, "1.2", "1.2.1.1", 4), "third");
    arrives(&world, &third, 4).await;
    let open = list(&world, false).await;
    let of =
        |arrival: &Arrival| open.iter().find(|one| contents(one).second == arrival.instance).unwrap().clone();
    let (two, three) = (of(&second), of(&third));
    decide(&world, &two, Some(Choice::UseSecond), 10).await;
    let stale = ruling(&world, &three, Some(Choice::UseSecond));
    assert_eq!(refusal(&world, &stale).await, RulingRefusal::Changed);
    let unseen =
        Ruling { current_sha256: None, ..ruling(&world, &again(&world, &three).await, stale.choice) };
    assert_eq!(refusal(&world, &unseen).await, RulingRefusal::Changed);
    let used = decide(&world, &again(&world, &three).await, Some(Choice::UseSecond), 11).await;
    // The second one can only come back from under the third one in order.
    let below = again(&world, &two).await;
    assert_eq!(refusal(&world, &ruling(&world, &below, None)).await, RulingRefusal::Superseded);
    decide(&world, &used, None, 12).await;
    assert_eq!(shown(&world, "1.2.1.1").await, Some(second.instance.clone()));
    let below = again(&world, &two).await;
    let unfit = Ruling { choice: Some(Choice::OtherPatient), ..ruling(&world, &below, None) };
    assert_eq!(refusal(&world, &unfit).await, RulingRefusal::Unfit);
    decide(&world, &below, None, 13).await;
    assert_eq!(study(&world, "1.2").await.conflict_count, 2);
    let nowhere = ConflictId::Contents {
        study: study_uid("1.2"),
        sop_instance: sop_uid("9.9"),
        sha256: second.instance.file_sha256,
    };
    let unknown = Ruling { id: nowhere, ..ruling(&world, &below, None) };
    assert_eq!(refusal(&world, &unknown).await, RulingRefusal::Unknown);
}

/// Three contents of one instance are one task, which closes with the last decision.
pub async fn three_contents_are_one_task(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    in_conflict(&world).await;
    let third = with_other_bytes(image(&world.centre, "1.2", "1.2.1.1", 4), "third");
    arrives(&world, &third, 4).await;
    let open = list(&world, false).await;
    assert_eq!((open.len(), open_tasks(&world).await.len()), (2, 1));
    decide(&world, &open[0], Some(Choice::KeepFirst), 10).await;
    assert_eq!(open_tasks(&world).await.len(), 1);
    let last = decide(&world, &open[1], Some(Choice::KeepFirst), 11).await;
    assert_eq!(open_tasks(&world).await, []);
    decide(&world, &last, None, 12).await;
    assert_eq!(open_tasks(&world).await.len(), 1);
}

/// Whoever closes the task has looked and leaves things as they are.
pub async fn a_task_that_is_closed_decides(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    in_conflict(&world).await;
    arrives(&world, &of_patient(image(&world.centre, "1.2", "1.2.1.3", 4), "PAT-2", "Doe^Jane"), 4).await;
    let close = async || {
        for task in open_tasks(&world).await {
            let scope = Scope::AllCentres;
            world.catalog.close_task(task.id, &scope, world.reader, "looked", at(5)).await.unwrap();
        }
    };
    close().await;
    let decided = list(&world, true).await;
    assert_eq!((decided.len(), study(&world, "1.2").await.conflict_count), (2, 0));
    for conflict in &decided {
        let decision = conflict.decision.as_ref().unwrap();
        let expected = match conflict.id {
            ConflictId::Contents { .. } => Choice::KeepFirst,
            ConflictId::Patient(_) => Choice::SamePatient,
        };
        assert_eq!((decision.choice, decision.by), (expected, Some(world.reader)));
        assert_eq!((decision.reason.as_str(), conflict.revision), ("looked", 1));
    }
    assert_eq!(shown(&world, "1.2.1.3").await.unwrap().study, study_uid("1.2"));
}

/// The second content may belong to another study, which may not be there yet; the instance goes there and comes back.
pub async fn an_instance_goes_to_another_study(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.9", "1.2.1.1"], 0).await;
    let mut stray = image(&world.centre, "1.3", "1.9", 1);
    stray.series.modality = Some("SR".into());
    arrives(&world, &stray, 1).await;
    world.publish_all().await;
    let seen = only_open(&world).await;
    let used = decide(&world, &seen, Some(Choice::UseSecond), 10).await;
    assert_eq!(shown(&world, "1.9").await, Some(stray.instance.clone()));
    let (one, other) = (study(&world, "1.2").await, study(&world, "1.3").await);
    assert_eq!((one.instance_count, one.generation, one.conflict_count), (1, 3, 0));
    assert_eq!((other.instance_count, other.series_count, other.conflict_count), (1, 1, 0));
    assert_eq!((other.modalities, &other.attributes), (vec!["SR".to_owned()], &stray.study));
    assert_eq!(world.catalog.series(&world.key("1.3")).await.unwrap()[0].attributes, stray.series);
    assert_eq!(world.outbox().await.len(), 2, "both studies are drafted");
    let back = image(&world.centre, "1.2", "1.9", 2);
    let object = contents(&used).first.object.clone();
    assert_eq!(arrives(&world, &back, 2).await, ArrivalOutcome::Conflict { object });

    decide(&world, &used, None, 20).await;
    assert_eq!(shown(&world, "1.9").await.unwrap().study, study_uid("1.2"));
    let (one, other) = (study(&world, "1.2").await, study(&world, "1.3").await);
    assert_eq!((one.instance_count, one.conflict_count), (2, 1));
    assert_eq!((other.instance_count, other.series_count, other.conflict_count), (0, 0, 1));
    assert_eq!(other.modalities, Vec::<String>::new());
    assert_eq!(world.catalog.series(&world.key("1.3")).await.unwrap(), []);
    // Images of its own bring the study back as any other.
    let outcomes = world.images("1.3", &["1.3.1.1", "1.3.1.2"], 30).await;
    assert_eq!(outcomes, [ArrivalOutcome::Stored, ArrivalOutcome::Stored]);
    let other = study(&world, "1.3").await;
    assert_eq!((other.instance_count, other.series_count), (2, 1));
}

/// Sixteen who decide at once, half of them otherwise than the others: one decision holds, and the numbers are right.
pub async fn one_of_racing_decisions_wins(catalog: Arc<dyn Catalog>) {
    let world = Arc::new(world(catalog).await);
    let (first, second) = in_conflict(&world).await;
    let seen = only_open(&world).await;
    let decisions = (0..16).map(|n| {
        let (world, seen) = (Arc::clone(&world), seen.clone());
        tokio::spawn(async move {
            let choice = if n % 2 == 0 { Choice::UseSecond } else { Choice::KeepFirst };
            if n % 4 == 3 {
                let fresh = image(&world.centre, "1.2", &format!("1.2.1.{}", 100 + n), 5);
                arrives(&world, &fresh, 5).await;
            }
            let decided = world.catalog.decide_conflict(&ruling(&world, &seen, Some(choice)), at(10)).await;
            match decided {
                Ok(conflict) => {
                    assert_eq!(conflict.decision.unwrap().choice, choice);
                    true
                }
                Err(ChangeError::Refused(refusal)) => {
                    assert_eq!(refusal, RulingRefusal::Changed);
                    false
                }
                Err(error) => panic!("{error:?}"),
            }
        })
    });
    let won = join_all(decisions).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    assert_eq!(won, 8);
    let now = again(&world, &seen).await;
    assert_eq!(now.revision, 1);
    let (expected, exchanges) = match now.decision.unwrap().choice {
        Choice::UseSecond => (second, 1),
        _ => (first, 0),
    };
    assert_eq!(shown(&world, "1.2.1.1").await, Some(expected.instance));
    let found = study(&world, "1.2").await;
    assert_eq!((found.instance_count, found.generation, found.conflict_count), (6, 6 + exchanges, 0));
    assert_eq!(open_tasks(&world).await, []);
}

/// Images that name another patient are stored like any other; one conflict and one task tell people.
pub async fn another_patient_is_found(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    world.images("1.2", &["1.2.1.2"], 1).await;
    let others: Vec<Arrival> = ["1.2.1.3", "1.2.1.4"]
        .map(|sop| of_patient(image(&world.centre, "1.2", sop, 2), "PAT-2", "Doe^Jane"))
        .into();
    for (second, other) in (2..).zip(&others) {
        assert_eq!(arrives(&world, other, second).await, ArrivalOutcome::Stored);
    }
    let found = study(&world, "1.2").await;
    assert_eq!((found.instance_count, found.generation, found.conflict_count), (4, 4, 1));
    assert_eq!(found.attributes.patient_id, PatientId::new("PAT-1"), "the study stays that of its patient");
    let conflict = only_open(&world).await;
    let other = other_patient(&conflict);
    assert_eq!((&other.study, other.images), (&study_uid("1.2"), 2));
    assert_eq!(other.patient, domain::conflict::Patient::of(&others[0].study));
    let own = image(&world.centre, "1.2", "1.2.1.1", 0).instance;
    assert_eq!(other.samples, (Some(own), Some(others[0].instance.clone())));
    assert_eq!((conflict.opened, conflict.seen_count, conflict.last_seen), (at(2), 2, at(3)));
    let tasks = open_tasks(&world).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].kind, &tasks[0].study), (TaskKind::Conflict, &Some(study_uid("1.2"))));
    let said: Vec<&String> = tasks.iter().flat_map(|task| [&task.reason, &task.next_step]).collect();
    assert!(said.iter().all(|text| !text.contains("Doe") && !text.contains("PAT-2")));

    let decided = decide(&world, &conflict, Some(Choice::SamePatient), 10).await;
    assert_eq!((open_tasks(&world).await, study(&world, "1.2").await.conflict_count), (vec![], 0));
    assert_eq!(study(&world, "1.2").await.generation, 4, "nothing that is shown changed");
    let more = of_patient(image(&world.centre, "1.2", "1.2.1.5", 11), "PAT-2", "DOE^JANE^^");
    assert_eq!(arrives(&world, &more, 11).await, ArrivalOutcome::Stored);
    assert_eq!((list(&world, false).await, open_tasks(&world).await), (vec![], vec![]), "asked once");
    assert_eq!(shown(&world, "1.2.1.5").await, Some(more.instance));
    let third = of_patient(image(&world.centre, "1.2", "1.2.1.6", 12), "PAT-3", "Roe^Rick");
    assert_eq!(arrives(&world, &third, 12).await, ArrivalOutcome::Stored);
    assert_eq!(other_patient(&only_open(&world).await).images, 1, "a third patient is a question of its own");
    let reopened = decide(&world, &again(&world, &decided).await, None, 13).await;
    assert_eq!((reopened.decision.is_none(), open_tasks(&world).await.len()), (true, 2));
}

/// Case, order and prefixes of a name, and what is left out, make no other patient.
pub async fn spelling_is_no_other_patient(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    for (n, (id, name)) in
        (2..).zip([("PAT-1", "MÜLLER^JÜRGEN^^Dr"), ("PAT-1", "Jürgen Müller"), ("", ""), ("PAT-1", "")])
    {
        let image = of_patient(image(&world.centre, "1.2", &format!("1.2.1.{n}"), n), id, name);
        assert_eq!(arrives(&world, &image, n).await, ArrivalOutcome::Stored);
    }
    assert_eq!(list(&world, false).await, []);
    assert_eq!(study(&world, "1.2").await.instance_count, 5);
}

/// Images of somebody else are taken out of everything that is shown, also those that come later, and come back whole.
pub async fn another_patient_is_set_aside(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.key("1.2");
    world.images("1.2", &["1.2.1.1"], 0).await;
    let other = |sop: &str, second| {
        let mut arrival = of_patient(image(&world.centre, "1.2", sop, second), "PAT-2", "Doe^Jane");
        arrival.instance.series = SeriesInstanceUid::parse("1.2.2").unwrap();
        arrival.series.modality = Some("MR".into());
        arrival
    };
    let (one, two) = (other("1.2.2.1", 1), other("1.2.2.2", 1));
    world.catalog.record_arrivals(&[one.clone(), two], at(1)).await.unwrap();
    world.sign("1.2", 0, 2).await;
    world.publish_all().await;
    let before = study(&world, "1.2").await;
    let set = world.catalog.image_set(&key).await.unwrap().unwrap();
    let seen = only_open(&world).await;
    let aside = decide(&world, &seen, Some(Choice::OtherPatient), 10).await;
    let found = study(&world, "1.2").await;
    assert_eq!((found.instance_count, found.series_count, found.bytes), (1, 1, 1000));
    assert_eq!((found.generation, found.modalities), (4, vec!["CT".to_owned()]));
    assert_eq!(world.catalog.instances(&key, None).await.unwrap().len(), 1);
    assert_eq!(world.catalog.series(&key).await.unwrap().len(), 1);
    assert_eq!(world.catalog.image_set(&key).await.unwrap().unwrap().count, 1);
    assert_eq!(shown(&world, "1.2.2.1").await, None);
    let kept = world.catalog.kept_instance(&world.centre, &one.instance.sop_instance).await.unwrap();
    assert_eq!(kept, Some(one.instance.clone()));
    assert_eq!(
        world.catalog.instances_after(None, 10).await.unwrap().len(),
        3,
        "all that is kept is verified"
    );
    let kinds: Vec<TaskKind> = open_tasks(&world).await.iter().map(|task| task.kind).collect();
    assert_eq!(kinds, [TaskKind::ImagesAfterSignature]);
    assert_eq!(world.outbox().await.len(), 1);

    // The same bytes are known; more of that patient are kept, not shown, and people hear of it.
    let known = ArrivalOutcome::AlreadyStored { object: one.instance.object.clone() };
    assert_eq!(arrives(&world, &one, 11).await, known);
    let later = other("1.2.2.3", 12);
    assert_eq!(arrives(&world, &later, 12).await, ArrivalOutcome::Stored);
    assert_eq!((shown(&world, "1.2.2.3").await, study(&world, "1.2").await.generation), (None, 4));
    assert_eq!(other_patient(&again(&world, &aside).await).images, 3);
    let tasks = open_tasks(&world).await;
    let kinds: Vec<TaskKind> = tasks.iter().map(|task| task.kind).collect();
    assert_eq!(kinds, [TaskKind::ImagesAfterSignature, TaskKind::Conflict]);
    world.catalog.close_task(tasks[1].id, &Scope::AllCentres, world.reader, "called", at(13)).await.unwrap();
    assert_eq!(again(&world, &aside).await.decision, aside.decision, "that task decides nothing");

    let back = decide(&world, &again(&world, &aside).await, None, 20).await;
    assert_eq!((back.decision.is_none(), shown(&world, "1.2.2.3").await), (true, Some(later.instance)));
    let found = study(&world, "1.2").await;
    assert_eq!((found.instance_count, found.series_count, found.generation), (4, 2, 5));
    assert_eq!((found.modalities, found.conflict_count), (before.modalities, 1));
    assert_eq!(set.count, 3);
}

/// A conflict is found by its centre and its id together.
pub async fn conflicts_stay_within_their_centre(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    in_conflict(&world).await;
    let south = add_centre(&world.catalog, "south").await;
    let theirs = image(&south, "1.2", "1.2.1.1", 0);
    arrives(&world, &theirs, 0).await;
    arrives(&world, &of_patient(image(&south, "1.2", "1.2.1.2", 0), "PAT-2", "Doe^Jane"), 1).await;
    let bob = add_person(&world.catalog, "bob").await;
    for conflict in list(&world, false).await {
        let elsewhere = if conflict.centre == south { &world.centre } else { &south };
        assert_eq!(world.catalog.conflict(elsewhere, &conflict.id).await.unwrap(), None);
        let mut ruling = ruling(&world, &conflict, None);
        (ruling.centre, ruling.by) = (elsewhere.clone(), bob);
        assert_eq!(refusal(&world, &ruling).await, RulingRefusal::Unknown);
    }
    let of = async |scope: Scope| {
        let filter = ConflictFilter { scope, study: None, decided: false, limit: 10 };
        let found = world.catalog.conflicts(&filter).await.unwrap();
        found.into_iter().map(|conflict| conflict.centre.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of(Scope::Centres(vec![south.clone()])).await, ["south"]);
    assert_eq!(of(Scope::Centres(Vec::new())).await, Vec::<String>::new());
    assert_eq!(of(Scope::AllCentres).await, ["north", "south"]);
    let key = StudyKey { centre: south, uid: study_uid("1.2") };
    assert_eq!(world.catalog.study(&key).await.unwrap().unwrap().conflict_count, 1);
    assert_eq!(study(&world, "1.2").await.conflict_count, 1);
}
