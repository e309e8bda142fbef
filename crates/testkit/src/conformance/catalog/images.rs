//! Arrivals, completeness, questions.

use std::sync::Arc;

use domain::{
    Duration,
    digest::ImageSetDigest,
    event::Event,
    id::CentreId,
    image::{Arrival, ArrivalOutcome, Source},
    object::Place,
    person::Scope,
    port::{
        Catalog,
        catalog::{StudyFilter, StudyOrder, TaskFilter},
    },
    reading::ReadingState,
    study::{Belief, Evidence, Study, StudyKey},
    task::{Task, TaskKind},
    text::{AccessionNumber, PatientId, PersonName},
    uid::SeriesInstanceUid,
    work::Lane,
};
use futures::future::join_all;

use super::world::{
    QUIET, World, add_centre, ae, at, full_attributes, image, sop_uid, study_uid, with_other_bytes, world,
};

async fn open_tasks(catalog: &Arc<dyn Catalog>) -> Vec<Task> {
    let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 100 };
    catalog.tasks(&filter).await.unwrap()
}

async fn study(world: &World, uid: &str) -> Study {
    world.catalog.study(&world.key(uid)).await.unwrap().unwrap()
}

/// One image makes study, series, instance, reading, outbox row and audit, and all of it comes back as it was said.
pub async fn a_first_image_makes_everything(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let arrival = image(&world.centre, "1.2", "1.2.1.1", 5);
    let outcomes = world.catalog.record_arrivals(std::slice::from_ref(&arrival), at(5)).await.unwrap();
    assert_eq!(outcomes, [ArrivalOutcome::Stored]);
    let key = world.key("1.2");
    let found = study(&world, "1.2").await;
    assert_eq!(found.attributes, full_attributes());
    assert_eq!(found.modalities, ["CT"]);
    assert_eq!((found.series_count, found.instance_count, found.bytes, found.generation), (1, 1, 1000, 1));
    assert_eq!((found.first_received, found.last_received), (at(5), at(5)));
    assert_eq!(found.completeness.belief, Belief::Arriving { decide_at: at(5 + QUIET) });
    assert_eq!((found.order, found.priority, found.conflict_count), (None, Lane::Routine, 0));
    let series = world.catalog.series(&key).await.unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!((&series[0].attributes, series[0].instance_count), (&arrival.series, 1));
    assert_eq!(world.catalog.instances(&key, None).await.unwrap(), std::slice::from_ref(&arrival.instance));
    let sop = &arrival.instance.sop_instance;
    assert_eq!(world.catalog.instance(&world.centre, sop).await.unwrap(), Some(arrival.instance.clone()));
    assert_eq!(world.catalog.reading(&key).await.unwrap().unwrap().state, ReadingState::Unread);

    assert_eq!(world.catalog.due_outbox(at(5 + QUIET - 1), 10).await.unwrap(), []);
    let due = world.catalog.due_outbox(at(5 + QUIET), 10).await.unwrap();
    assert_eq!(due.len(), 1);
    let event = Event::StudyStoredV1 { centre: "north".into(), study: "1.2".into() };
    assert_eq!((&due[0].work.event, due[0].work.lane, due[0].due), (&event, Lane::Routine, at(5 + QUIET)));
    let trail = world.catalog.study_trail(&key, 10).await.unwrap();
    assert_eq!(trail.len(), 1);
    assert_eq!((trail[0].actor.as_str(), trail[0].action.as_str()), ("peer:CT_1", "images_stored"));
    assert_eq!((trail[0].at, &trail[0].centre, &trail[0].study), (at(5), &Some(key.centre), &Some(key.uid)));
    assert!(!trail[0].detail.contains("PAT-1"));
}

/// The same file again changes nothing and names the object that counts, whichever way it came.
pub async fn the_same_again_is_recognised(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    let before = study(&world, "1.2").await;
    let first = image(&world.centre, "1.2", "1.2.1.1", 0);
    let mut again = first.clone();
    again.instance.object.place = Place::parse("elsewhere:1");
    again.source = Source::Web;
    let outcomes = world.catalog.record_arrivals(&[again, first.clone()], at(9)).await.unwrap();
    let already = ArrivalOutcome::AlreadyStored { object: first.instance.object.clone() };
    assert_eq!(outcomes, [already.clone(), already]);
    assert_eq!(study(&world, "1.2").await, before);
    assert_eq!(world.catalog.study_trail(&world.key("1.2"), 10).await.unwrap().len(), 1);
    assert_eq!(world.outbox().await[0].work.revision, 1);
    assert_eq!(world.catalog.record_arrivals(&[], at(9)).await.unwrap(), []);
}

/// A batch may hold one instance twice, several series, several studies; outcomes stand in the order of the arrivals.
pub async fn a_batch_may_hold_one_instance_twice(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let one = image(&world.centre, "1.2", "1.2.1.1", 0);
    let mut scout = image(&world.centre, "1.2", "1.2.2.1", 0);
    scout.instance.series = SeriesInstanceUid::parse("1.2.2").unwrap();
    scout.series.modality = Some("SR".into());
    let batch = [
        image(&world.centre, "1.3", "1.3.1.1", 0),
        one.clone(),
        scout,
        one.clone(),
        with_other_bytes(one.clone(), "other"),
        image(&world.centre, "1.1", "1.1.1.1", 0),
    ];
    let outcomes = world.catalog.record_arrivals(&batch, at(0)).await.unwrap();
    let already = ArrivalOutcome::AlreadyStored { object: one.instance.object };
    let stored = ArrivalOutcome::Stored;
    let conflict = ArrivalOutcome::Conflict { object: batch[4].instance.object.clone() };
    assert_eq!(outcomes, [stored.clone(), stored.clone(), stored.clone(), already, conflict, stored]);
    let found = study(&world, "1.2").await;
    assert_eq!((found.instance_count, found.series_count, found.conflict_count), (2, 2, 1));
    assert_eq!(found.modalities, ["CT", "SR"]);
    assert_eq!(world.catalog.study_trail(&world.key("1.2"), 10).await.unwrap().len(), 3);
    assert_eq!(world.outbox().await.len(), 3);
}

/// When a batch names a centre that is not there, nothing of it is kept.
pub async fn an_unknown_centre_is_refused_whole(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let ghost = CentreId::parse("zz-ghost").unwrap();
    let batch = [image(&world.centre, "1.2", "1.2.1.1", 0), image(&ghost, "1.2", "1.2.1.1", 0)];
    assert!(world.catalog.record_arrivals(&batch, at(0)).await.is_err());
    assert_eq!(world.catalog.study(&world.key("1.2")).await.unwrap(), None);
    assert_eq!(world.catalog.outbox_depth().await.unwrap(), 0);
}

/// Sixteen who send the same instance at once: one row, counted once, one outbox row.
pub async fn racing_arrivals_of_one_instance_are_one(catalog: Arc<dyn Catalog>) {
    let world = Arc::new(world(catalog).await);
    let sends = (0..16).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.images("1.2", &["1.2.1.1"], 0).await })
    });
    let outcomes: Vec<_> = join_all(sends).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == ArrivalOutcome::Stored).count(), 1);
    assert!(!outcomes.iter().any(|outcome| matches!(outcome, ArrivalOutcome::Conflict { .. })));
    let found = study(&world, "1.2").await;
    assert_eq!((found.instance_count, found.series_count, found.generation, found.bytes), (1, 1, 1, 1000));
    assert_eq!(world.catalog.instances(&world.key("1.2"), None).await.unwrap().len(), 1);
    assert_eq!(world.catalog.series(&world.key("1.2")).await.unwrap()[0].instance_count, 1);
    assert_eq!(world.catalog.outbox_depth().await.unwrap(), 1);
}

/// Batches of one study that come at once, each with an instance that another one has too: every count is right.
pub async fn racing_batches_of_one_study_are_counted(catalog: Arc<dyn Catalog>) {
    let world = Arc::new(world(catalog).await);
    let sends = (0..8).map(|n| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let names: Vec<String> = (0..5).map(|m| format!("1.2.{}", n * 4 + m)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            world.images("1.2", &names, n).await
        })
    });
    let outcomes: Vec<_> = join_all(sends).await.into_iter().flat_map(Result::unwrap).collect();
    let stored = outcomes.iter().filter(|outcome| **outcome == ArrivalOutcome::Stored).count();
    assert_eq!((outcomes.len(), stored), (40, 33));
    let found = study(&world, "1.2").await;
    assert_eq!((found.instance_count, found.generation, found.bytes), (33, 33, 33_000));
    assert_eq!(world.catalog.instances(&world.key("1.2"), None).await.unwrap().len(), 33);
    assert_eq!(world.catalog.series(&world.key("1.2")).await.unwrap()[0].instance_count, 33);
}

/// The same Study Instance UID at two centres is two studies, and nothing of one shows in the other.
pub async fn centres_do_not_see_each_other(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let south = add_centre(&world.catalog, "south").await;
    world.images("1.2", &["1.2.1.1", "1.2.1.2"], 0).await;
    let theirs = image(&south, "1.2", "1.2.1.1", 5);
    let outcomes = world.catalog.record_arrivals(std::slice::from_ref(&theirs), at(5)).await.unwrap();
    assert_eq!(outcomes, [ArrivalOutcome::Stored]);
    let their_key = StudyKey { centre: south.clone(), uid: study_uid("1.2") };
    assert_eq!(study(&world, "1.2").await.instance_count, 2);
    assert_eq!(world.catalog.study(&their_key).await.unwrap().unwrap().instance_count, 1);
    assert_eq!(world.catalog.instance(&south, &sop_uid("1.2.1.1")).await.unwrap(), Some(theirs.instance));
    assert_eq!(world.catalog.instance(&south, &sop_uid("1.2.1.2")).await.unwrap(), None);
    let filter = StudyFilter { centres: vec![south.clone()], limit: 10, ..StudyFilter::default() };
    let found = world.catalog.studies(&filter).await.unwrap();
    assert_eq!(found.iter().map(|study| &study.key).collect::<Vec<_>>(), [&their_key]);
    assert_eq!(world.catalog.study_trail(&their_key, 10).await.unwrap().len(), 1);
    let (ours, theirs) = (
        world.catalog.image_set(&world.key("1.2")).await.unwrap(),
        world.catalog.image_set(&their_key).await.unwrap(),
    );
    assert_ne!(ours.unwrap().digest, theirs.unwrap().digest);
}

/// A quiet period completes a study; later images make it arrive again, with that as evidence, and give it an outbox row again.
pub async fn late_images_reopen_a_study(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    world.images("1.2", &["1.2.1.2"], 4).await;
    let rows = world.outbox().await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].work.revision, rows[0].due), (2, at(4 + QUIET)));
    let key = world.key("1.2");
    let early = world.catalog.decide_completeness(&key, at(13)).await.unwrap().unwrap();
    assert_eq!(early.completeness.belief, Belief::Arriving { decide_at: at(14) });
    world.publish_all().await;
    let decided = world.catalog.decide_completeness(&key, at(14)).await.unwrap().unwrap();
    assert_eq!(decided.completeness.belief, Belief::Complete { since: at(14) });
    assert_eq!(
        decided.completeness.evidence,
        [Evidence::QuietPeriod { quiet: Duration::from_secs(QUIET), at: at(14) }]
    );
    assert_eq!(study(&world, "1.2").await, decided);
    assert_eq!(world.catalog.decide_completeness(&key, at(20)).await.unwrap().unwrap(), decided);
    let trail = world.catalog.study_trail(&key, 10).await.unwrap();
    assert_eq!(trail.iter().filter(|line| line.action == "study_completed").count(), 1);
    assert_eq!(world.outbox().await, []);

    world.images("1.2", &["1.2.1.3"], 60).await;
    let found = study(&world, "1.2").await;
    assert_eq!(found.completeness.belief, Belief::Arriving { decide_at: at(60 + QUIET) });
    assert_eq!(found.completeness.evidence.last(), Some(&Evidence::LateImages { at: at(60) }));
    assert_eq!(world.outbox().await.len(), 1);
    assert_eq!(world.catalog.decide_completeness(&world.key("9.9"), at(0)).await.unwrap(), None);
}

/// A request boundary makes the outbox row due soon: a moment later, the next request may have begun.
pub async fn request_boundaries_decide(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    let key = world.key("1.2");
    let boundary = Evidence::RequestBoundary { instances: 1, at: at(2) };
    world.catalog.sender_said(&key, &boundary).await.unwrap();
    let rows = world.outbox().await;
    assert_eq!((rows.len(), rows[0].work.revision, rows[0].due), (1, 2, at(4)));
    assert_eq!(world.catalog.next_outbox_due().await.unwrap(), Some(at(4)));
    let decided = world.catalog.decide_completeness(&key, at(4)).await.unwrap().unwrap();
    assert_eq!(decided.completeness.belief, Belief::Complete { since: at(4) });
    assert_eq!(decided.completeness.evidence, std::slice::from_ref(&boundary));
    world.catalog.sender_said(&world.key("9.9"), &boundary).await.unwrap();
    assert_eq!(world.catalog.outbox_depth().await.unwrap(), 1);
}

/// Fewer images than the sender said: the study waits, is short, and a person hears of it; the missing ones make it complete.
pub async fn a_sender_s_count_is_believed(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    let key = world.key("1.2");
    let said = Evidence::SenderCount { expected: 3, at: at(1) };
    world.catalog.sender_said(&key, &said).await.unwrap();
    assert_eq!(world.outbox().await[0].due, at(QUIET), "it goes on waiting");
    world.publish_all().await;
    let decided = world.catalog.decide_completeness(&key, at(QUIET)).await.unwrap().unwrap();
    assert_eq!(decided.completeness.belief, Belief::Short { since: at(QUIET), expected: 3 });
    let tasks = open_tasks(&world.catalog).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].kind, &tasks[0].study), (TaskKind::MissingImages, &Some(key.uid.clone())));
    assert!(tasks[0].reason.contains('3'));

    world.images("1.2", &["1.2.1.2", "1.2.1.3"], 20).await;
    assert_eq!(world.outbox().await[0].due, at(20 + QUIET));
    let decided = world.catalog.decide_completeness(&key, at(20 + QUIET)).await.unwrap().unwrap();
    assert_eq!(decided.completeness.belief, Belief::Complete { since: at(20 + QUIET) });
    assert_eq!(open_tasks(&world.catalog).await.len(), 1, "a person closes it");
}

/// Images after sign-off change nothing that was signed and open one task.
pub async fn late_images_after_signature_open_a_task(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.signed("1.2").await;
    let signed = world.catalog.reading(&key).await.unwrap().unwrap();
    world.images("1.2", &["1.2.1.2"], 5).await;
    world.images("1.2", &["1.2.1.3"], 6).await;
    assert_eq!(world.catalog.reading(&key).await.unwrap().unwrap(), signed);
    let ReadingState::Signed { generation, .. } = signed.state else { panic!("{signed:?}") };
    assert!(study(&world, "1.2").await.generation > generation);
    let tasks = open_tasks(&world.catalog).await;
    assert_eq!(tasks.iter().map(|task| task.kind).collect::<Vec<_>>(), [TaskKind::ImagesAfterSignature]);
    assert_eq!(world.outbox().await.len(), 1, "a new draft follows");
}

/// The digest of a set of images depends on the images alone.
pub async fn image_sets_do_not_depend_on_order(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    assert_eq!(world.catalog.image_set(&world.key("1.2")).await.unwrap(), None);
    world.images("1.2", &["1.2.1.2", "1.2.1.1"], 0).await;
    world.images("1.2", &["1.2.1.3"], 0).await;
    let set = world.catalog.image_set(&world.key("1.2")).await.unwrap().unwrap();
    let expected = ["1.2.1.1", "1.2.1.2", "1.2.1.3"].map(|sop| {
        let instance = image(&world.centre, "1.2", sop, 0).instance;
        (instance.sop_instance, instance.file_sha256)
    });
    assert_eq!((set.generation, set.count, set.digest), (3, 3, ImageSetDigest::of(expected)));
}

/// Instances stand by series, number and UID; series by number; all instances can be walked through in pages.
pub async fn instances_stand_in_order(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let numbered = |series: &str, series_number, sop: &str, number| {
        let mut arrival = image(&world.centre, "1.2", sop, 0);
        arrival.instance.series = SeriesInstanceUid::parse(series).unwrap();
        arrival.series.number = series_number;
        arrival.instance.attributes.number = number;
        arrival
    };
    let batch = [
        numbered("1.2.1", Some(9), "1.5", Some(10)),
        numbered("1.2.1", Some(9), "1.4", None),
        numbered("1.2.1", Some(9), "1.7", Some(9)),
        numbered("1.2.1", Some(9), "1.6", Some(9)),
        numbered("1.2.2", Some(3), "1.1", Some(1)),
        numbered("1.2.3", None, "1.2", Some(1)),
    ];
    world.catalog.record_arrivals(&batch, at(0)).await.unwrap();
    let key = world.key("1.2");
    let names = |instances: Vec<domain::image::Instance>| {
        instances.into_iter().map(|instance| instance.sop_instance.to_string()).collect::<Vec<_>>()
    };
    let all = world.catalog.instances(&key, None).await.unwrap();
    assert_eq!(names(all), ["1.6", "1.7", "1.5", "1.4", "1.1", "1.2"]);
    let second = SeriesInstanceUid::parse("1.2.2").unwrap();
    assert_eq!(names(world.catalog.instances(&key, Some(&second)).await.unwrap()), ["1.1"]);
    let series: Vec<String> =
        world.catalog.series(&key).await.unwrap().into_iter().map(|series| series.uid.to_string()).collect();
    assert_eq!(series, ["1.2.2", "1.2.1", "1.2.3"]);

    let south = add_centre(&world.catalog, "south").await;
    world.catalog.record_arrivals(&[image(&south, "1.2", "1.1", 0)], at(0)).await.unwrap();
    let mut walked = Vec::new();
    let mut after: Option<(CentreId, domain::uid::SopInstanceUid)> = None;
    loop {
        let borrowed = after.as_ref().map(|(centre, uid)| (centre, uid));
        let page = world.catalog.instances_after(borrowed, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.centre.clone(), last.sop_instance.clone()));
        walked.extend(page.into_iter().map(|found| format!("{} {}", found.centre, found.sop_instance)));
    }
    let expected =
        ["north 1.1", "north 1.2", "north 1.4", "north 1.5", "north 1.6", "north 1.7", "south 1.1"];
    assert_eq!(walked, expected);
}

struct Seen<'a> {
    study: &'a str,
    patient: &'a str,
    name: &'a str,
    accession: &'a str,
    description: &'a str,
    date: Option<&'a str>,
    modality: &'a str,
}

const SEEN: [Seen<'static>; 6] = [
    Seen {
        study: "1.1",
        patient: "100%",
        name: "Müller^Jürgen",
        accession: "A_1",
        description: "CT [Kopf]",
        date: Some("2026-03-01"),
        modality: "CT",
    },
    Seen {
        study: "1.2",
        patient: "100X",
        name: "MÜLLER^Anna",
        accession: "AX1",
        description: "CT K",
        date: Some("2026-03-02"),
        modality: "CT",
    },
    Seen {
        study: "1.3",
        patient: "p!a",
        name: "Muller^Bob",
        accession: "A*1",
        description: "MR Knie",
        date: Some("2026-03-03"),
        modality: "MR",
    },
    Seen {
        study: "1.4",
        patient: "P!A",
        name: "doe^jane^^",
        accession: "a_1",
        description: "ct kopf",
        date: None,
        modality: "CT",
    },
    Seen {
        study: "1.5",
        patient: "PP",
        name: "Doe^Janet",
        accession: "B2",
        description: "CT Kopf",
        date: Some("2026-03-03"),
        modality: "US",
    },
    Seen {
        study: "1.6",
        patient: "山田",
        name: "Yamada^Tarou=山田^太郎",
        accession: "C\\3",
        description: "CT ?",
        date: Some("2025-12-31"),
        modality: "CT",
    },
];

async fn seen(world: &World) {
    for (n, seen) in (0_i64..).zip(SEEN) {
        let mut arrival: Arrival = image(&world.centre, seen.study, &format!("{}.1.1", seen.study), n);
        arrival.study.patient_id = PatientId::new(seen.patient);
        arrival.study.patient_name = PersonName::new(seen.name);
        arrival.study.accession_number = AccessionNumber::new(seen.accession);
        arrival.study.description = Some(seen.description.to_owned());
        arrival.study.referring_physician = PersonName::new(seen.name);
        arrival.study.study_id = Some(seen.patient.to_owned());
        arrival.study.study_date = seen.date.map(|date| date.parse().unwrap());
        arrival.study.study_time = (seen.study != "1.3").then(|| "120000".to_owned());
        arrival.series.modality = Some(seen.modality.to_owned());
        arrival.source = Source::Association(ae("CT_1"));
        world.catalog.record_arrivals(&[arrival], at(n)).await.unwrap();
    }
}

async fn assert_finds(world: &World, filter: StudyFilter, expected: &[&str]) {
    let filter = StudyFilter { limit: 50, order: StudyOrder::ArrivalFirst, ..filter };
    let found = world.catalog.studies(&filter).await.unwrap();
    let found: Vec<&str> = found.iter().map(|study| study.key.uid.as_str()).collect();
    assert_eq!(found, expected, "{filter:?}");
}

/// `*` and `?` are wild cards, every other sign stands for itself; names match without case, other texts exactly.
pub async fn filters_match_as_qido_has_it(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    seen(&world).await;
    let none = StudyFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let all = ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"];
    assert_finds(&world, none(), &all).await;
    for (id, expected) in [
        ("100%", &["1.1"][..]),
        ("100*", &["1.1", "1.2"]),
        ("100?", &["1.1", "1.2"]),
        ("p!a", &["1.3"]),
        ("p!*", &["1.3"]),
        ("%", &[]),
        ("P_", &[]),
        ("P?", &["1.5"]),
        ("?田", &["1.6"]),
        ("*", &all),
        ("", &all),
        ("100", &[]),
    ] {
        assert_finds(&world, StudyFilter { patient_id: text(id), ..none() }, expected).await;
        assert_finds(&world, StudyFilter { study_id: text(id), ..none() }, expected).await;
    }
    for (name, expected) in [
        ("müller*", &["1.1", "1.2"][..]),
        ("MÜLLER^JÜRGEN", &["1.1"]),
        ("m?ller^*", &["1.1", "1.2", "1.3"]),
        ("Doe^Jane", &["1.4"]),
        ("doe^jane*", &["1.4", "1.5"]),
        ("*太郎", &["1.6"]),
        ("Doe", &[]),
    ] {
        assert_finds(&world, StudyFilter { patient_name: text(name), ..none() }, expected).await;
        assert_finds(&world, StudyFilter { referring_physician: text(name), ..none() }, expected).await;
    }
    for (accession, expected) in [
        ("A_1", &["1.1"][..]),
        ("A?1", &["1.1", "1.2", "1.3"]),
        ("a*", &["1.4"]),
        ("C\\3", &["1.6"]),
        ("C\\*", &["1.6"]),
    ] {
        assert_finds(&world, StudyFilter { accession_number: text(accession), ..none() }, expected).await;
    }
    for (description, expected) in [
        ("CT Kopf", &["1.5"][..]),
        ("CT [*", &["1.1"]),
        ("CT [Kopf]", &["1.1"]),
        ("CT K*", &["1.2", "1.5"]),
        ("CT ?", &["1.2", "1.6"]),
    ] {
        assert_finds(&world, StudyFilter { description: text(description), ..none() }, expected).await;
    }
    filters_by_list_and_range(&world).await;
}

async fn filters_by_list_and_range(world: &World) {
    let none = StudyFilter::default;
    let day = |day: &str| Some(day.parse().unwrap());
    assert_finds(world, StudyFilter { from: day("2026-03-02"), ..none() }, &["1.2", "1.3", "1.5"]).await;
    assert_finds(world, StudyFilter { to: day("2026-03-01"), ..none() }, &["1.1", "1.6"]).await;
    let one_day = StudyFilter { from: day("2026-03-02"), to: day("2026-03-02"), ..none() };
    assert_finds(world, one_day, &["1.2"]).await;
    let modalities = vec!["MR".to_owned(), "US".to_owned()];
    assert_finds(world, StudyFilter { modalities, ..none() }, &["1.3", "1.5"]).await;
    let study_uids = vec![study_uid("1.4"), study_uid("1.1"), study_uid("7.7")];
    assert_finds(world, StudyFilter { study_uids, ..none() }, &["1.1", "1.4"]).await;
    let both = StudyFilter {
        patient_name: Some("m*".to_owned()),
        modalities: vec!["CT".to_owned()],
        centres: vec![world.centre.clone()],
        ..none()
    };
    assert_finds(world, both, &["1.1", "1.2"]).await;
    let elsewhere = StudyFilter { centres: vec![CentreId::parse("south").unwrap()], ..none() };
    assert_finds(world, elsewhere, &[]).await;

    let latest = StudyFilter { limit: 50, ..none() };
    let names =
        |studies: Vec<Study>| studies.into_iter().map(|study| study.key.uid.to_string()).collect::<Vec<_>>();
    let found = names(world.catalog.studies(&latest).await.unwrap());
    assert_eq!(found, ["1.5", "1.3", "1.2", "1.1", "1.6", "1.4"], "what has no date or time stands last");
    let page = StudyFilter { limit: 2, offset: 1, ..latest.clone() };
    assert_eq!(names(world.catalog.studies(&page).await.unwrap()), ["1.3", "1.2"]);
    assert_eq!(world.catalog.studies(&StudyFilter { limit: 0, ..latest }).await.unwrap(), []);
}

/// Two processes, each with a catalog of its own on one database, take turns with the images of a study: what one remembers of it is
/// never trusted when the other changed it, and nothing is counted twice or lost.
pub async fn processes_take_turns(one: Arc<dyn Catalog>, other: Arc<dyn Catalog>) {
    let world = world(one).await;
    let mut count = 0;
    for (turn, catalog) in
        [&world.catalog, &world.catalog, &other, &other, &world.catalog, &other].into_iter().enumerate()
    {
        let second = i64::try_from(turn).unwrap();
        let batch: Vec<Arrival> = (0..3)
            .map(|n| image(&world.centre, "1.2", &format!("1.2.1.{}", 10 * turn + n + 1), second))
            .collect();
        let outcomes = catalog.record_arrivals(&batch, at(second)).await.unwrap();
        assert_eq!(
            outcomes,
            [ArrivalOutcome::Stored, ArrivalOutcome::Stored, ArrivalOutcome::Stored],
            "turn {turn}"
        );
        count += 3;
        let found = study(&world, "1.2").await;
        assert_eq!(
            (found.instance_count, found.generation, found.bytes),
            (count, u64::from(count), 1000 * u64::from(count))
        );
        assert_eq!((found.series_count, found.last_received), (1, at(second)));
        assert_eq!(found.completeness.belief, Belief::Arriving { decide_at: at(second + QUIET) });
    }
    let key = world.key("1.2");
    let series = world.catalog.series(&key).await.unwrap();
    assert_eq!(series.iter().map(|series| series.instance_count).collect::<Vec<_>>(), [count]);
    assert_eq!(world.catalog.study_trail(&key, 100).await.unwrap().len(), 6, "a line for each batch");
    assert_eq!(world.outbox().await[0].work.revision, 6);
    // Known images among new ones: the plain way is not enough, and nothing of it stays.
    let known = image(&world.centre, "1.2", "1.2.1.1", 0);
    let fresh = image(&world.centre, "1.2", "1.2.1.99", 9);
    let outcomes = world.catalog.record_arrivals(&[known.clone(), fresh], at(9)).await.unwrap();
    let already = ArrivalOutcome::AlreadyStored { object: known.instance.object };
    assert_eq!(outcomes, [already, ArrivalOutcome::Stored]);
    assert_eq!(study(&world, "1.2").await.instance_count, count + 1);
    // Signed in between: the task must open.
    world.sign("1.2", 0, 10).await;
    let late = image(&world.centre, "1.2", "1.2.1.100", 11);
    world.catalog.record_arrivals(&[late], at(11)).await.unwrap();
    assert_eq!(open_tasks(&world.catalog).await[0].kind, TaskKind::ImagesAfterSignature);
}
