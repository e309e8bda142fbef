//! Worklist, study, claim, working copy.

use axum::http::StatusCode;
use domain::Duration;
use serde_json::{Value, json};

use crate::world::{path, world};

#[tokio::test]
async fn the_worklist_is_sent_again_only_when_it_changed() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    let list = world.get(&ada, "/api/v1/worklist?signed=false&q=").await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text());
    let body = list.json();
    assert_eq!((&body["now"], &body["total"]), (&json!("2026-03-02T08:00:00Z"), &json!(1)));
    let entry = &body["entries"][0];
    assert_eq!(entry["centre_name"], "North Clinic");
    let patient = json!({"name": "Jane Roe", "id": "P-77", "birth_date": "1971-05-04", "sex": "F"});
    assert_eq!(entry["patient"], patient);
    assert_eq!((&entry["study_date"], &entry["study_time"]), (&json!("2026-03-02"), &json!("07:45:01")));
    assert_eq!(
        (&entry["state"], &entry["draft"], &entry["reader"]),
        (&json!("unread"), &json!("none"), &Value::Null)
    );
    assert_eq!(entry["completeness"]["state"], "arriving");
    assert_eq!((&entry["instance_count"], &entry["modalities"]), (&json!(2), &json!(["CT"])));

    let tag = list.header("etag").to_owned();
    world.clock.turn(Duration::from_secs(2));
    let poll = world.get_with(&ada, "/api/v1/worklist?signed=false&q=", &[("if-none-match", &tag)]).await;
    assert_eq!((poll.status, poll.body.len()), (StatusCode::NOT_MODIFIED, 0), "only the time is another");
    world.images_arrive([3]).await;
    let poll = world.get_with(&ada, "/api/v1/worklist?signed=false&q=", &[("if-none-match", &tag)]).await;
    assert_eq!(poll.status, StatusCode::OK);
    assert_eq!(poll.json()["entries"][0]["instance_count"], 3);
    for (search, found) in [("roe", 1), ("p-77", 1), ("acc-9", 1), ("nobody", 0)] {
        let list = world.get(&ada, &format!("/api/v1/worklist?q={search}")).await;
        assert_eq!(list.json()["total"], found, "{search}");
    }
}

#[tokio::test]
async fn one_reader_holds_a_study() {
    let world = world().await;
    let (ada, bo) = (world.sign_in("ada").await, world.sign_in("bo").await);
    let taken = world.claim(&ada, "take").await;
    let claim = json!({"by_name": "Dr Ada Moreau", "mine": true,
        "since": "2026-03-02T08:00:00Z", "until": "2026-03-02T08:15:00Z"});
    assert_eq!(taken.json()["claim"], claim);
    let refused = world.claim(&bo, "take").await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "held_by_other".to_owned()));
    let error = refused.json()["error"].clone();
    assert_eq!(
        (&error["by_name"], &error["until"]),
        (&json!("Dr Ada Moreau"), &json!("2026-03-02T08:15:00Z"))
    );
    let reader = world.study(&bo).await["entry"]["reader"].clone();
    assert_eq!((&reader["name"], &reader["mine"]), (&json!("Dr Ada Moreau"), &json!(false)));
    assert_eq!(world.claim(&bo, "release").await.code(), "not_yours");
    assert_eq!(world.claim(&bo, "take_over").await.json()["claim"]["mine"], true);
    assert_eq!(world.claim(&bo, "release").await.json()["claim"], Value::Null);
    assert_eq!(world.study(&ada).await["entry"]["state"], "unread");
    world.claim(&bo, "take").await;
    world.clock.turn(Duration::from_mins(15));
    let ada = world.sign_in("ada").await;
    assert_eq!(world.claim(&ada, "take").await.status, StatusCode::OK, "the lease ran out");
}

#[tokio::test]
async fn two_windows_do_not_overwrite_each_other() {
    let world = world().await;
    let (ada, bo) = (world.sign_in("ada").await, world.sign_in("bo").await);
    let text = |text: &str, based_on: u64| json!({"based_on": based_on, "sections": [{"kind": "findings", "text": text}]});
    let save = path("/report");
    assert_eq!(world.change(&ada, "PUT", &save, &text("a", 0)).await.code(), "not_yours");
    world.claim(&ada, "take").await;
    let first = world.change(&ada, "PUT", &save, &text("a", 0)).await;
    assert_eq!(first.json(), json!({"revision": 1, "at": "2026-03-02T08:00:00Z"}));
    assert_eq!(world.change(&ada, "PUT", &save, &text("b", 1)).await.json()["revision"], 2);
    let late = world.change(&ada, "PUT", &save, &text("c", 1)).await;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "changed_elsewhere".to_owned()));
    assert_eq!(late.json()["error"]["revision"], 2);
    assert_eq!(world.change(&bo, "PUT", &save, &text("d", 2)).await.code(), "not_yours");
    let disorder = json!({"based_on": 2, "sections": [
        {"kind": "impression", "text": "x"}, {"kind": "findings", "text": "y"}]});
    let disorder = world.change(&ada, "PUT", &save, &disorder).await;
    assert_eq!((disorder.status, disorder.code()), (StatusCode::UNPROCESSABLE_ENTITY, "content".to_owned()));

    let copy = world.study(&bo).await["working_copy"].clone();
    assert_eq!((&copy["by_name"], &copy["mine"]), (&json!("Dr Ada Moreau"), &json!(false)));
    let kinds: Vec<_> = copy["sections"].as_array().unwrap().iter().map(|s| s["kind"].clone()).collect();
    let all = ["examination", "indication", "technique", "dose", "comparison", "findings", "impression"];
    assert_eq!(kinds, all);
    assert_eq!(copy["sections"][5]["text"], "b");
}

#[tokio::test]
async fn a_study_shows_its_draft_with_origins_and_pictures() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    let png = world.drafted(90).await;
    let study = world.study(&ada).await;
    let sentence = json!({"text": "CT of the head.",
        "origin": {"label": "Image headers", "detail": "KVP of series 2"}});
    assert_eq!(study["draft"]["sections"][0]["sentences"][0], sentence);
    assert_eq!((&study["draft"]["stale"], &study["entry"]["draft"]), (&json!(false), &json!("current")));
    assert_eq!(study["viewer_url"], "/viewer?StudyInstanceUIDs=1.2.3&centre=north");
    let url = study["draft"]["key_images"][0]["url"].as_str().unwrap().to_owned();
    let picture = world.get(&ada, &url).await;
    assert_eq!((picture.header("content-type"), &picture.body[..]), ("image/png", png.as_slice()));
    world.images_arrive([3]).await;
    let study = world.study(&ada).await;
    assert_eq!((&study["draft"]["stale"], &study["entry"]["draft"]), (&json!(true), &json!("stale")));
    world.drafted(30).await;
    assert_eq!(world.get(&ada, &url).await.status, StatusCode::NOT_FOUND, "that picture is of the old draft");
}

#[tokio::test]
async fn people_of_a_centre_look_but_do_not_read() {
    let world = world().await;
    let (ada, dee) = (world.sign_in("ada").await, world.sign_in("dee").await);
    world.drafted(90).await;
    world.claim(&ada, "take").await;
    let text = json!({"based_on": 0, "sections": [{"kind": "findings", "text": "x"}]});
    world.change(&ada, "PUT", &path("/report"), &text).await;
    let study = world.study(&dee).await;
    assert_eq!((&study["draft"], &study["working_copy"]), (&Value::Null, &Value::Null));
    assert_eq!(study["entry"]["draft"], "current");
    assert_eq!(world.claim(&dee, "take").await.code(), "forbidden");
    assert_eq!(world.get(&dee, &path("/key-images/0")).await.code(), "forbidden");
    assert_eq!(world.get(&dee, "/api/v1/mailbox").await.code(), "forbidden");
}
