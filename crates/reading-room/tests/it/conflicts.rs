//! Conflicts over the API: who sees them, who decides, and what a decision answers.

use axum::{body::Bytes, http::StatusCode};
use domain::{
    digest::Sha256Digest,
    image::{Arrival, ArrivalOutcome},
    object::ObjectName,
    port::{Clock as _, catalog::Images as _, storage::store_bytes},
    text::{PatientId, PersonName},
};
use serde_json::{Value, json};

use crate::world::{World, arrival, path, world};

const OTHER: &[u8] = b"other bytes";

/// The first image again with other bytes, which are there.
async fn conflicting(world: &World) -> Arrival {
    let mut again = arrival(1, world.clock.now());
    again.instance.file_sha256 = Sha256Digest::of(OTHER);
    again.instance.bytes = OTHER.len() as u64;
    let name = ObjectName::Instance {
        centre: again.instance.centre.clone(),
        study: again.instance.study.clone(),
        series: again.instance.series.clone(),
        instance: again.instance.sop_instance.clone(),
        sha256: again.instance.file_sha256,
    };
    again.instance.object = name.key().into();
    store_bytes(&*world.storage, &name.key(), Bytes::from_static(OTHER)).await.unwrap();
    let outcomes =
        world.catalog.record_arrivals(std::slice::from_ref(&again), world.clock.now()).await.unwrap();
    assert!(matches!(outcomes[..], [ArrivalOutcome::Conflict { .. }]));
    again
}

async fn only(world: &World, cookie: &str, decided: bool) -> Value {
    let list = world.get(cookie, &format!("/api/v1/conflicts?decided={decided}")).await.json();
    assert_eq!((list["conflicts"].as_array().unwrap().len(), &list["more"]), (1, &json!(false)), "{list}");
    list["conflicts"][0].clone()
}

fn address(conflict: &Value) -> String {
    format!("/api/v1/conflicts/north/{}", conflict["id"].as_str().unwrap())
}

fn ruling(conflict: &Value, choice: &str) -> Value {
    json!({
        "choice": choice, "reason": "The scanner was repaired.",
        "revision": conflict["revision"], "current_sha256": conflict["current_sha256"],
    })
}

#[tokio::test]
async fn a_conflict_is_shown_with_what_is_needed_to_decide() {
    let world = world().await;
    let second = conflicting(&world).await;
    let eve = world.sign_in("eve").await;
    let conflict = only(&world, &eve, false).await;
    assert_eq!((&conflict["kind"], &conflict["differs"]), (&json!("contents"), &json!(["other_bytes"])));
    assert_eq!(conflict["study"]["patient"]["name"], "Jane Roe");
    assert_eq!(
        (&conflict["study"]["accession_number"], &conflict["study"]["signed"]),
        (&json!("ACC-9"), &json!(false))
    );
    assert_eq!(
        (&conflict["object"]["kind"], &conflict["object"]["instance_number"]),
        (&json!("CT image"), &json!(1))
    );
    assert_eq!((&conflict["source"], &conflict["seen_count"]), (&json!("DICOMweb or upload"), &json!(1)));
    assert_eq!((&conflict["may_decide"], &conflict["decision"]), (&json!(true), &Value::Null));
    let compared = world.get(&eve, &address(&conflict)).await.json();
    assert_eq!(
        (&compared["first"]["is_current"], &compared["second"]["is_current"]),
        (&json!(true), &json!(false))
    );
    assert_eq!((&compared["first"]["kept"], &compared["second"]["kept"]), (&json!(false), &json!(true)));
    assert_eq!(compared["second"]["sha256"], second.instance.file_sha256.to_string());
    assert!(compared["second"]["file_url"].is_string());
    assert_eq!(compared["pixels"]["state"], "unknown");
    let differing = compared["rows"].as_array().unwrap().iter().filter(|row| row["differs"] == true).count();
    assert_eq!(differing, 0, "neither header can be read, so that nothing is made up: {compared}");
    let events = world.get(&eve, &path("/trail")).await.json();
    assert!(events.to_string().contains("study_viewed"), "looking is written down");
}

#[tokio::test]
async fn centres_and_administrators_decide_and_readers_look() {
    let world = world().await;
    conflicting(&world).await;
    let (ada, dee, eve) =
        (world.sign_in("ada").await, world.sign_in("dee").await, world.sign_in("eve").await);
    let seen = only(&world, &ada, false).await;
    assert_eq!(seen["may_decide"], false);
    let compared = world.get(&ada, &address(&seen)).await;
    assert_eq!((compared.status, &compared.json()["second"]["file_url"]), (StatusCode::OK, &Value::Null));
    let decision = format!("{}/decision", address(&seen));
    let refused = world.change(&ada, "POST", &decision, &ruling(&seen, "keep_first")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let task = world.get(&ada, "/api/v1/tasks").await.json()["tasks"][0]["id"].as_str().unwrap().to_owned();
    let close =
        world.change(&ada, "POST", &format!("/api/v1/tasks/{task}/close"), &json!({"note": "Seen."})).await;
    assert_eq!(close.status, StatusCode::FORBIDDEN, "closing the task would decide it");

    let seen = only(&world, &dee, false).await;
    for (wrong, code) in [
        (json!({"choice": "use_second", "reason": " ", "revision": 0, "current_sha256": null}), "reason"),
        (json!({"choice": "both", "reason": "x", "revision": 0, "current_sha256": null}), "choice"),
        (json!({"choice": "other_patient", "reason": "x", "revision": 0, "current_sha256": null}), "choice"),
        (json!({"choice": "use_second", "reason": "x", "revision": 0, "current_sha256": "z"}), "digest"),
        (
            json!({"choice": "use_second", "reason": "x", "revision": 7, "current_sha256": seen["current_sha256"]}),
            "changed",
        ),
        (json!({"choice": "use_second", "reason": "x", "revision": 0, "current_sha256": null}), "changed"),
    ] {
        let answer = world.change(&dee, "POST", &decision, &wrong).await;
        assert_eq!(answer.code(), code, "{wrong}: {}", answer.text());
    }
    let decided = world.change(&dee, "POST", &decision, &ruling(&seen, "use_second")).await;
    assert_eq!(decided.status, StatusCode::OK, "{}", decided.text());
    let decided = decided.json();
    assert_eq!(
        (&decided["decision"]["choice"], &decided["decision"]["by_name"]),
        (&json!("use_second"), &json!("Dee North"))
    );
    let late = world.change(&eve, "POST", &decision, &ruling(&seen, "keep_first")).await;
    assert_eq!((late.status, late.code().as_str()), (StatusCode::CONFLICT, "changed"));
    let shown = only(&world, &ada, true).await;
    assert_eq!(shown["decision"]["reason"], "The scanner was repaired.");
    let compared = world.get(&eve, &address(&shown)).await.json();
    assert_eq!(
        (&compared["first"]["is_current"], &compared["second"]["is_current"]),
        (&json!(false), &json!(true))
    );
    // The first content's bytes are not in this storage: the page says that it cannot come back, and so does the answer.
    assert_eq!(compared["can_undo"], false);
    assert!(compared["cannot_undo_because"].as_str().unwrap().contains("not kept"));
    let undo = world.change(&eve, "POST", &decision, &ruling(&shown, "undo")).await;
    assert_eq!((undo.status, undo.code().as_str()), (StatusCode::CONFLICT, "gone"));
}

#[tokio::test]
async fn another_patient_is_decided_and_taken_back() {
    let world = world().await;
    let mut stray = arrival(3, world.clock.now());
    stray.study.patient_id = PatientId::new("P-99");
    stray.study.patient_name = PersonName::new("Doe^John");
    world.catalog.record_arrivals(&[stray], world.clock.now()).await.unwrap();
    let dee = world.sign_in("dee").await;
    let seen = only(&world, &dee, false).await;
    assert_eq!(
        (&seen["kind"], &seen["images"], &seen["object"]),
        (&json!("patient"), &json!(1), &Value::Null)
    );
    assert_eq!(
        (&seen["other_patient"]["name"], &seen["other_patient"]["id"]),
        (&json!("John Doe"), &json!("P-99"))
    );
    let decision = format!("{}/decision", address(&seen));
    let count = async || world.study(&dee).await["image_set"]["count"].clone();
    assert_eq!(count().await, 3);
    let aside = world.change(&dee, "POST", &decision, &ruling(&seen, "other_patient")).await.json();
    assert_eq!((count().await, &aside["decision"]["choice"]), (json!(2), &json!("other_patient")));
    let compared = world.get(&dee, &address(&aside)).await.json();
    assert_eq!((&compared["second"]["is_current"], &compared["can_undo"]), (&json!(false), &json!(true)));
    let back = world.change(&dee, "POST", &decision, &ruling(&aside, "undo")).await.json();
    assert_eq!((count().await, &back["decision"]), (json!(3), &Value::Null));
}

#[tokio::test]
async fn another_centres_conflicts_are_answered_like_none() {
    let world = world().await;
    conflicting(&world).await;
    let (ada, cy) = (world.sign_in("ada").await, world.sign_in("cy").await);
    let seen = only(&world, &ada, false).await;
    let id = seen["id"].as_str().unwrap();
    assert_eq!(world.get(&cy, "/api/v1/conflicts").await.json()["conflicts"], json!([]));
    let mut answers = Vec::new();
    for conflict in [
        format!("/api/v1/conflicts/north/{id}"),
        format!("/api/v1/conflicts/south/{id}"),
        format!("/api/v1/conflicts/nowhere/{id}"),
        "/api/v1/conflicts/north/nothing".to_owned(),
        "/api/v1/conflicts/south/..%2F..".to_owned(),
    ] {
        let answer = world.get(&cy, &conflict).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{conflict}");
        answers.push(answer.text());
        let answer =
            world.change(&cy, "POST", &format!("{conflict}/decision"), &ruling(&seen, "keep_first")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{conflict}");
        answers.push(answer.text());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    let study = world.get(&cy, "/api/v1/conflicts?centre=north&study=1.2.3").await;
    assert_eq!(study.status, StatusCode::NOT_FOUND);
    let own = world.get(&ada, "/api/v1/conflicts?centre=north&study=1.2.3").await.json();
    assert_eq!(own["conflicts"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&ada, "/api/v1/conflicts?study=1.2.3").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.get("", "/api/v1/conflicts").await.status, StatusCode::UNAUTHORIZED);
}
