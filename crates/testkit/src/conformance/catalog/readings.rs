//! Claims and the worklist.

use std::sync::Arc;

use domain::{
    audit::Actor,
    id::PersonId,
    person::Scope,
    port::{
        Catalog, ChangeError,
        catalog::{WorklistEntry, WorklistFilter},
    },
    reading::{CLAIM_LEASE, Claim, ClaimChange, ClaimRefusal, ReadingState},
    report::{Draft, DraftContent},
    study::{ImageSet, StudyKey},
    text::{AccessionNumber, PatientId, PersonName},
    work::Lane,
};
use futures::future::join_all;

use super::world::{World, add_centre, add_person, at, image, new_delivery, order_for, study_uid, world};

fn all() -> WorklistFilter {
    WorklistFilter { scope: Scope::AllCentres, signed: true, text: None, limit: 100 }
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, ChangeError<ClaimRefusal>>) -> ClaimRefusal {
    match outcome.unwrap_err() {
        ChangeError::Refused(refusal) => refusal,
        ChangeError::Catalog(error) => panic!("{error}"),
    }
}

fn names(entries: &[WorklistEntry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {}", entry.study.key.centre, entry.study.key.uid)).collect()
}

/// Twenty who take one reading at once: one has it, the others hear who.
pub async fn one_of_twenty_claims_wins(catalog: Arc<dyn Catalog>) {
    let world = Arc::new(world(catalog).await);
    world.images("1.2", &["1.2.1"], 0).await;
    let takes = (0..20).map(|_| {
        let (world, by) = (Arc::clone(&world), PersonId::fresh());
        tokio::spawn(async move {
            let key = world.key("1.2");
            (by, world.catalog.change_claim(&key, ClaimChange::Take, by, at(1)).await)
        })
    });
    let takes: Vec<_> = join_all(takes).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<PersonId> = takes.iter().filter(|(_, take)| take.is_ok()).map(|(by, _)| *by).collect();
    assert_eq!(winners.len(), 1);
    for (_, take) in takes.into_iter().filter(|(_, take)| take.is_err()) {
        assert!(matches!(refusal(take), ClaimRefusal::HeldBy(claim) if claim.by == winners[0]));
    }
    let reading = world.catalog.reading(&world.key("1.2")).await.unwrap().unwrap();
    assert_eq!(reading.claim(at(2)).unwrap().by, winners[0]);
    let trail = world.catalog.study_trail(&world.key("1.2"), 50).await.unwrap();
    assert_eq!(trail.iter().filter(|line| line.action == "claim_changed").count(), 1);
}

/// Taking, renewing, giving back, taking over, running out; on a signed reading a claim is an addendum.
pub async fn claims_are_taken_released_and_taken_over(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let other = add_person(&world.catalog, "bob").await;
    world.images("1.2", &["1.2.1"], 0).await;
    let key = world.key("1.2");
    let change = |change, by, second| world.catalog.change_claim(&key, change, by, at(second));
    let taken = change(ClaimChange::Take, world.reader, 1).await.unwrap();
    let claim = Claim { by: world.reader, since: at(1), until: at(1) + CLAIM_LEASE };
    assert_eq!(taken.state, ReadingState::Claimed(claim.clone()));
    assert_eq!(world.catalog.reading(&key).await.unwrap(), Some(taken));
    assert_eq!(refusal(change(ClaimChange::Take, other, 2).await), ClaimRefusal::HeldBy(claim.clone()));
    assert_eq!(refusal(change(ClaimChange::Release, other, 2).await), ClaimRefusal::NotYours);
    let renewed = change(ClaimChange::Take, world.reader, 60).await.unwrap();
    let longer = Claim { until: at(60) + CLAIM_LEASE, ..claim };
    assert_eq!(renewed.state, ReadingState::Claimed(longer));
    let over = change(ClaimChange::TakeOver, other, 61).await.unwrap();
    assert_eq!(over.claim(at(62)).unwrap().by, other);
    assert_eq!(change(ClaimChange::Release, other, 63).await.unwrap().state, ReadingState::Unread);
    change(ClaimChange::Take, other, 64).await.unwrap();
    let after = 64 + CLAIM_LEASE.as_secs();
    let run_out = change(ClaimChange::Take, world.reader, after).await.unwrap();
    assert_eq!(run_out.claim(at(after)).unwrap().by, world.reader);
    let missing = world.catalog.change_claim(&world.key("9.9"), ClaimChange::Take, other, at(0)).await;
    assert_eq!(refusal(missing), ClaimRefusal::NotYours);

    let version = world.sign("1.2", 0, after + 1).await;
    let addendum = change(ClaimChange::Take, other, after + 2).await.unwrap();
    let ReadingState::Signed { version: 1, at: signed, generation: 1, addendum: Some(claim) } =
        addendum.state
    else {
        panic!("{addendum:?}")
    };
    assert_eq!((signed, claim.by), (version.signature.at, other));
    let trail = world.catalog.study_trail(&key, 50).await.unwrap();
    let claims: Vec<_> =
        trail.iter().filter(|line| line.action == "claim_changed").map(|line| line.actor.clone()).collect();
    let (ada, bob) = (Actor::Person(world.reader).text(), Actor::Person(other).text());
    assert_eq!(claims, [&ada, &bob, &bob, &bob, &ada, &bob].map(Clone::clone), "renewals are no changes");
}

async fn crowd(world: &World) {
    for (accession, lane) in [("STAT", Lane::Stat), ("URGENT", Lane::Urgent)] {
        let order = order_for(accession, "PAT-1", lane);
        world.catalog.put_order(&world.centre, &order, &Actor::Operator, at(0)).await.unwrap();
    }
    let south = add_centre(&world.catalog, "south").await;
    for (centre, study, accession, second) in [
        (&world.centre, "1.1", "X", 1),
        (&world.centre, "1.2", "STAT", 9),
        (&world.centre, "1.3", "URGENT", 8),
        (&world.centre, "1.4", "X", 3),
        (&south, "1.1", "STAT", 2),
    ] {
        let mut arrival = image(centre, study, &format!("{study}.1.1"), second);
        arrival.study.accession_number = AccessionNumber::new(accession);
        world.catalog.record_arrivals(&[arrival], at(second)).await.unwrap();
    }
}

/// By priority, then by arrival; signed ones behind all others, the latest first; only of the centres in scope; no more than asked for.
pub async fn the_worklist_is_in_order(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    crowd(&world).await;
    let list = async |filter: WorklistFilter| names(&world.catalog.worklist(&filter, at(100)).await.unwrap());
    let order = ["north 1.2", "north 1.3", "north 1.1", "south 1.1", "north 1.4"];
    assert_eq!(list(all()).await, order);
    let north = Scope::Centres(vec![world.centre.clone()]);
    assert_eq!(
        list(WorklistFilter { scope: north, ..all() }).await,
        ["north 1.2", "north 1.3", "north 1.1", "north 1.4"]
    );
    assert!(list(WorklistFilter { scope: Scope::Centres(Vec::new()), ..all() }).await.is_empty());
    assert_eq!(list(WorklistFilter { limit: 2, ..all() }).await, ["north 1.2", "north 1.3"]);
    world.sign("1.2", 0, 20).await;
    world.sign("1.1", 0, 21).await;
    assert_eq!(list(all()).await, ["north 1.3", "south 1.1", "north 1.4", "north 1.1", "north 1.2"]);
    assert_eq!(list(WorklistFilter { limit: 4, ..all() }).await.last().unwrap(), "north 1.1");
    let open = list(WorklistFilter { signed: false, ..all() }).await;
    assert_eq!(open, ["north 1.3", "south 1.1", "north 1.4"]);
}

/// Part of name, patient id or accession number, without case; signs of the database's patterns stand for themselves.
pub async fn the_worklist_is_searched(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    for (n, name, id, accession) in [
        (1, "Müller^Jürgen", "P_1", "A100%"),
        (2, "Doe^Jane", "PX1", "A100"),
        (3, "Yamada^Tarou=山田^太郎", "Q!2", "B"),
    ] {
        let mut arrival = image(&world.centre, &format!("1.{n}"), &format!("1.{n}.1.1"), n);
        arrival.study.patient_name = PersonName::new(name);
        arrival.study.patient_id = PatientId::new(id);
        arrival.study.accession_number = AccessionNumber::new(accession);
        world.catalog.record_arrivals(&[arrival], at(n)).await.unwrap();
    }
    for (text, expected) in [
        ("MÜLL", &["north 1.1"][..]),
        ("jürgen müller", &["north 1.1"]),
        ("doe^j", &["north 1.2"]),
        ("p_1", &["north 1.1"]),
        ("100%", &["north 1.1"]),
        ("!2", &["north 1.3"]),
        ("太郎", &["north 1.3"]),
        ("a1", &["north 1.1", "north 1.2"]),
        ("%", &["north 1.1"]),
        ("nobody", &[]),
        ("  ", &["north 1.1", "north 1.2", "north 1.3"]),
    ] {
        let filter = WorklistFilter { text: Some(text.to_owned()), ..all() };
        assert_eq!(names(&world.catalog.worklist(&filter, at(9)).await.unwrap()), expected, "{text:?}");
    }
}

/// A line says whose it is, who holds or signed it, of which images the draft is, and what is open.
pub async fn the_worklist_says_who_and_what(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key: StudyKey = world.signed("1.2").await;
    let line = async |second| world.catalog.worklist(&all(), at(second)).await.unwrap().remove(0);
    let found = line(2).await;
    assert_eq!(found.study.key.uid, study_uid("1.2"));
    assert_eq!((found.centre_name.as_str(), found.reader_name.as_deref()), ("Centre north", Some("Dr ada")));
    assert_eq!((found.draft_generation, found.open_tasks, found.deliveries), (None, 0, (0, 0)));

    let other = add_person(&world.catalog, "bob").await;
    world.catalog.change_claim(&key, ClaimChange::Take, other, at(3)).await.unwrap();
    let images: ImageSet = world.catalog.image_set(&key).await.unwrap().unwrap();
    let content = DraftContent { author: "x".into(), sections: vec![], quality: vec![], key_images: vec![] };
    world.catalog.put_draft(&Draft { study: key.clone(), images, at: at(3), content }).await.unwrap();
    world.images("1.2", &["1.2.9"], 4).await;
    let one = world.catalog.open_delivery(&new_delivery(&key, "a@x.example"), at(4)).await.unwrap();
    world.catalog.open_delivery(&new_delivery(&key, "b@x.example"), at(4)).await.unwrap();
    world.catalog.acknowledge(one.id, "Dr B", &Actor::Link(one.id), at(5)).await.unwrap();
    let found = line(6).await;
    assert_eq!(found.reader_name.as_deref(), Some("Dr bob"));
    assert_eq!((found.draft_generation, found.open_tasks, found.deliveries), (Some(1), 1, (2, 1)));
    let after = line(3 + CLAIM_LEASE.as_secs()).await;
    assert_eq!(after.reader_name.as_deref(), Some("Dr ada"), "the claim ran out");
}
