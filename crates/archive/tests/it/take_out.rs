//! Taking a study out over HTTP, in two steps, and bringing it back.

use axum::{body::Body, http::StatusCode};
use domain::{
    Duration,
    audit::Actor,
    id::PersonId,
    person::{Person, Role, Scope},
    port::{
        Clock as _,
        catalog::{Directory as _, Readings as _},
    },
    reading::ClaimChange,
    study::StudyKey,
};
use serde_json::{Value, json};

use crate::support::{Answer, Bench, Who};

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

async fn delete(bench: &Bench, who: &Who, path: &str, confirmed: Option<(&str, &str)>) -> Answer {
    let body = confirmed.map_or(Body::empty(), |(confirmation, reason)| {
        json!({"confirmation": confirmation, "reason": reason}).to_string().into()
    });
    bench.send("DELETE", who, path, &[], body).await
}

fn confirmation(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::PRECONDITION_REQUIRED);
    body(answer)["error"]["confirmation"].as_str().unwrap().to_owned()
}

fn code(answer: &Answer) -> String {
    body(answer)["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_study_is_taken_out_in_two_steps_and_comes_back() {
    let bench = Bench::new().await;
    let stored = bench.store_head(&bench.north).await;
    let study = stored[0].instance.study.clone();
    let (series, sop) = (&stored[0].instance.series, &stored[0].instance.sop_instance);
    let admin = bench.program_of(&bench.north, Role::Admin).await;
    let reader = bench.program(&bench.north).await;
    let path = format!("/dicomweb/studies/{study}");
    let instance = format!("{path}/series/{series}/instances/{sop}");
    let seen = [
        path.clone(),
        format!("{path}/metadata"),
        format!("{path}/series"),
        format!("{path}/thumbnail"),
        instance.clone(),
        format!("{instance}/frames/1"),
        format!("{instance}/rendered"),
        format!("/dicomweb/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={sop}"),
    ];
    for path in &seen {
        assert_eq!(bench.get(&reader, path).await.status, StatusCode::OK, "{path}");
    }

    let first = delete(&bench, &admin, &path, None).await;
    let told = body(&first)["error"].clone();
    assert_eq!((&told["instances"], &told["signed"]), (&json!(28), &json!(false)));
    let bytes: u64 = stored.iter().map(|one| one.instance.bytes).sum();
    assert_eq!(told["bytes"], json!(bytes));
    assert_eq!(bench.get(&reader, &path).await.status, StatusCode::OK, "the first step takes nothing out");
    let confirmation = confirmation(&first);

    let done = delete(&bench, &admin, &path, Some((&confirmation, " sent to the wrong centre "))).await;
    assert_eq!((done.status, &body(&done)["instances"]), (StatusCode::OK, &json!(28)));
    for path in &seen {
        assert_eq!(bench.get(&reader, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for list in ["studies", "series", "instances"] {
        assert_eq!(body(&bench.get(&reader, &format!("/dicomweb/{list}")).await), json!([]), "{list}");
    }
    assert_eq!(delete(&bench, &admin, &path, None).await.status, StatusCode::NOT_FOUND);

    let listed = body(&bench.get(&admin, "/dicomweb/taken-out").await)["studies"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["study"], json!(study.as_str()));
    assert_eq!(listed[0]["reason"], json!("sent to the wrong centre"));
    assert_eq!(listed[0]["can_come_back"], json!(true));
    let south = bench.program_of(&bench.south, Role::Admin).await;
    assert_eq!(body(&bench.get(&south, "/dicomweb/taken-out").await), json!({"studies": []}));

    let back = format!("/dicomweb/taken-out/{study}/bring-back");
    for (who, status) in [
        (&reader, StatusCode::FORBIDDEN),
        (&south, StatusCode::NOT_FOUND),
        (&admin, StatusCode::NO_CONTENT),
        (&admin, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(bench.call("POST", who, &back, &[]).await.status, status);
    }
    for path in &seen {
        assert_eq!(bench.get(&reader, path).await.status, StatusCode::OK, "{path}");
    }
    let file = bench.accept(&reader, &instance, "application/dicom").await;
    assert_eq!(file.body, stored[0].file);
}

#[tokio::test]
async fn who_may_not_and_what_may_not_is_refused() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "ct-head-ge-28/01.dcm").await;
    let study = stored.instance.study.clone();
    let path = format!("/dicomweb/studies/{study}");
    let admin = bench.program_of(&bench.north, Role::Admin).await;
    let other = bench.program_of(&bench.north, Role::Admin).await;
    for role in [Role::Reader, Role::Centre] {
        let who = bench.program_of(&bench.north, role).await;
        assert_eq!(delete(&bench, &who, &path, None).await.status, StatusCode::FORBIDDEN, "{role:?}");
        assert_eq!(bench.get(&who, "/dicomweb/taken-out").await.status, StatusCode::FORBIDDEN, "{role:?}");
    }
    assert_eq!(delete(&bench, &Who::Nobody, &path, None).await.status, StatusCode::UNAUTHORIZED);
    let south = bench.program_of(&bench.south, Role::Admin).await;
    assert_eq!(delete(&bench, &south, &path, None).await.status, StatusCode::NOT_FOUND);

    let given = confirmation(&delete(&bench, &admin, &path, None).await);
    for (who, confirmation, reason, expected) in [
        (&admin, given.as_str(), "  ", "reason_missing"),
        (&admin, given.as_str(), &"x".repeat(501), "reason_missing"),
        (&other, given.as_str(), "mine", "confirmation_stale"),
        (&admin, "99999999999-0123456789ab", "guessed", "confirmation_stale"),
        (&admin, "", "none", "confirmation_stale"),
    ] {
        assert_eq!(code(&delete(&bench, who, &path, Some((confirmation, reason))).await), expected);
    }
    let nonsense = bench.send("DELETE", &admin, &path, &[], "yes".into()).await;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST);

    bench.store(&bench.north, "ct-head-ge-28/02.dcm").await;
    assert_eq!(code(&delete(&bench, &admin, &path, Some((&given, "late"))).await), "confirmation_stale");
    let given = confirmation(&delete(&bench, &admin, &path, None).await);
    bench.clock.turn(Duration::from_secs(601));
    assert_eq!(code(&delete(&bench, &admin, &path, Some((&given, "late"))).await), "confirmation_stale");

    let reader = Person {
        id: PersonId::fresh(),
        login: "ada".to_owned(),
        name: "Dr Ada Moreau".to_owned(),
        credentials: None,
        role: Role::Reader,
        scope: Scope::AllCentres,
        disabled: false,
    };
    let now = bench.clock.now();
    bench.catalog.put_person(&reader, Some("$argon2id$none"), &Actor::Operator, now).await.unwrap();
    let key = StudyKey { centre: bench.north.clone(), uid: study.clone() };
    bench.catalog.change_claim(&key, ClaimChange::Take, reader.id, now).await.unwrap();
    let held = delete(&bench, &admin, &path, None).await;
    assert_eq!((held.status, code(&held).as_str()), (StatusCode::CONFLICT, "study_held"));
    assert!(body(&held)["error"]["next_step"].is_string());
    assert_eq!(bench.get(&admin, &path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn after_its_time_it_does_not_come_back() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "ct-head-ge-28/01.dcm").await;
    let path = format!("/dicomweb/studies/{}", stored.instance.study);
    let admin = bench.program_of(&bench.north, Role::Admin).await;
    let given = confirmation(&delete(&bench, &admin, &path, None).await);
    assert_eq!(delete(&bench, &admin, &path, Some((&given, "old"))).await.status, StatusCode::OK);
    bench.clock.turn(Duration::from_hours(30 * 24));
    let back = format!("/dicomweb/taken-out/{}/bring-back", stored.instance.study);
    let over = bench.call("POST", &admin, &back, &[]).await;
    assert_eq!((over.status, code(&over).as_str()), (StatusCode::GONE, "time_over"));
    let listed = body(&bench.get(&admin, "/dicomweb/taken-out").await);
    assert_eq!(listed["studies"][0]["can_come_back"], json!(false));
}
