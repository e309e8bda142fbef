//! The list of studies that were taken out: who sees it, and what it says.

use axum::http::StatusCode;
use domain::{
    Duration,
    audit::Actor,
    id::PersonId,
    person::{Person, Role, Scope},
    port::{
        Clock as _,
        catalog::{Directory as _, Images as _, TakeOut, TakenOutStudies as _, Trail as _},
    },
};
use gate::hash_password;
use serde_json::{Value, json};

use crate::world::{PASSWORD, World, centre, key, world};

const LIST: &str = "/api/v1/taken-out";

/// Takes the study out; it can come back for thirty days.
async fn take_out(world: &World, by: Actor) {
    let now = world.clock.now();
    let images = world.catalog.image_set(&key()).await.unwrap().unwrap();
    let wanted = TakeOut {
        study: key(),
        image_set: images.digest,
        by,
        reason: "Sent to the wrong centre.".to_owned(),
        until: now + Duration::from_hours(30 * 24),
    };
    world.catalog.take_out(&wanted, now).await.unwrap();
}

async fn id_of(world: &World, login: &str) -> PersonId {
    world.catalog.credentials(login).await.unwrap().unwrap().person.id
}

#[tokio::test]
async fn administrators_see_what_was_taken_out_by_whom_and_until_when() {
    let world = world().await;
    let eve = world.sign_in("eve").await;
    assert_eq!(world.get(&eve, LIST).await.json(), json!({"studies": [], "more": false}));
    take_out(&world, Actor::Person(id_of(&world, "eve").await)).await;
    world.clock.turn(Duration::from_mins(5));
    world.images_arrive(2..=4).await;

    let answer = world.get(&eve, LIST).await;
    let one = &answer.json()["studies"][0];
    let expected = json!({
        "centre": "north",
        "centre_name": "North Clinic",
        "study_uid": "1.2.3",
        "patient": {"name": "Jane Roe", "id": "P-77", "birth_date": "1971-05-04", "sex": "F"},
        "accession_number": "ACC-9",
        "description": "CT head",
        "study_date": "2026-03-02",
        "modalities": ["CT"],
        "series_count": 1,
        "instance_count": 2,
        "bytes": 2000,
        "taken_out": "2026-03-02T08:00:00Z",
        "by_name": "Eve Operator",
        "reason": "Sent to the wrong centre.",
        "until": "2026-04-01T08:00:00Z",
        "can_come_back": true,
        "refused_count": 3,
        "last_refused": "2026-03-02T08:05:00Z",
    });
    assert_eq!(*one, expected);
    let tag = answer.header("etag").to_owned();
    let again = world.get_with(&eve, LIST, &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    world.clock.turn(Duration::from_hours(30 * 24));
    let eve = world.sign_in("eve").await;
    assert_eq!(world.get(&eve, LIST).await.json()["studies"][0]["can_come_back"], false, "its time is over");
    let looks = world.catalog.trail(None, 1000).await.unwrap();
    let looks = looks.iter().filter(|event| event.action == "list_viewed" && event.detail == "taken out");
    assert_eq!(looks.count(), 2, "looking is written down, once per session");
}

#[tokio::test]
async fn nobody_else_sees_them() {
    let world = world().await;
    take_out(&world, Actor::Operator).await;
    let person = Person {
        id: PersonId::fresh(),
        login: "sue".to_owned(),
        name: "Sue South".to_owned(),
        credentials: None,
        role: Role::Admin,
        scope: Scope::Centres(vec![centre("south")]),
        disabled: false,
    };
    let hash = hash_password(PASSWORD).await.unwrap();
    world.catalog.put_person(&person, Some(&hash), &Actor::Operator, world.clock.now()).await.unwrap();
    let sue = world.sign_in("sue").await;
    assert_eq!(world.get(&sue, LIST).await.json()["studies"], Value::Array(Vec::new()), "another centre's");
    for (who, status) in
        [("ada", StatusCode::FORBIDDEN), ("dee", StatusCode::FORBIDDEN), ("eve", StatusCode::OK)]
    {
        let cookie = world.sign_in(who).await;
        assert_eq!(world.get(&cookie, LIST).await.status, status, "{who}");
    }
    let eve = world.sign_in("eve").await;
    assert_eq!(world.get(&eve, LIST).await.json()["studies"][0]["by_name"], "operator at the command line");
    assert_eq!(world.get("", LIST).await.status, StatusCode::UNAUTHORIZED);
    // Nothing of it is left elsewhere.
    assert_eq!(world.get(&eve, "/api/v1/worklist?signed=true").await.json()["total"], 0);
}
