//! I13: another centre's identifiers give what unknown ones give.

use axum::http::StatusCode;
use domain::{
    id::MailId,
    person::Scope,
    port::{
        Clock as _,
        catalog::{Deliveries as _, Mail, TaskFilter, Trail as _},
    },
    task::{NewTask, TaskKind},
    text::EmailAddress,
};
use serde_json::{Value, json};

use crate::world::{PASSWORD, STUDY, centre, key, path, world};

#[tokio::test]
async fn another_centres_study_is_answered_like_none() {
    let world = world().await;
    world.drafted(90).await;
    let ada = world.sign_in("ada").await;
    world.claim(&ada, "take").await;
    let signing = world.signing(&ada, "No haemorrhage.").await;
    assert_eq!(world.sign(&ada, &signing).await.status, StatusCode::OK);
    let cy = world.sign_in("cy").await;
    let save = json!({"based_on": 0, "sections": []});
    let sign = json!({"password": PASSWORD, "sections": [], "key_images": [], "after_version": 0,
        "image_set": "0".repeat(64)});
    for (method, rest, body) in [
        ("GET", "", None),
        ("GET", "/trail", None),
        ("GET", "/key-images/0", None),
        ("GET", "/versions/1/key-images/0", None),
        ("GET", "/versions/1/report.pdf", None),
        ("POST", "/claim", Some(json!({"action": "take_over"}))),
        ("PUT", "/report", Some(save)),
        ("POST", "/sign", Some(sign)),
    ] {
        let mut answers = Vec::new();
        for study in [
            path(rest),
            format!("/api/v1/studies/south/{STUDY}{rest}"),
            format!("/api/v1/studies/nowhere/{STUDY}{rest}"),
            format!("/api/v1/studies/north/9.9.9{rest}"),
            format!("/api/v1/studies/north/..%2F..{rest}"),
        ] {
            let answer = match &body {
                None => world.get(&cy, &study).await,
                Some(body) => world.change(&cy, method, &study, body).await,
            };
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {study}");
            answers.push(answer.text());
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{method} {rest}");
    }
    let list = world.get(&cy, "/api/v1/worklist?signed=true").await.json();
    assert_eq!(list["total"], 0);
}

#[tokio::test]
async fn tasks_and_mails_stay_within_their_centre() {
    let world = world().await;
    let now = world.clock.now();
    let task = NewTask {
        centre: centre("north"),
        study: Some(key().uid),
        kind: TaskKind::NoRecipient,
        subject: "study".to_owned(),
        reason: "Nobody is known to tell.".to_owned(),
        next_step: "Call.".to_owned(),
    };
    let id = world.catalog.open_task(&task, now).await.unwrap();
    let mail = Mail {
        id: MailId::fresh(),
        centre: centre("north"),
        to: EmailAddress::parse("b@practice.example").unwrap(),
        at: now,
        message: b"From: a@b.example\r\nSubject: A report is ready\r\n\r\nRead it.\r\n".to_vec(),
    };
    world.catalog.put_mail(&mail).await.unwrap();
    let (ada, cy) = (world.sign_in("ada").await, world.sign_in("cy").await);
    let close = format!("/api/v1/tasks/{id}/close");
    let note = json!({"note": "I called them."});
    assert_eq!(world.get(&cy, "/api/v1/tasks").await.json()["tasks"], json!([]));
    let foreign = world.change(&cy, "POST", &close, &note).await;
    let none = format!("/api/v1/tasks/{}/close", MailId::fresh());
    assert_eq!(
        (foreign.status, foreign.text()),
        (StatusCode::NOT_FOUND, { world.change(&cy, "POST", &none, &note).await.text() })
    );
    assert_eq!(world.get(&cy, "/api/v1/mailbox").await.json()["mails"], json!([]));
    assert_eq!(world.get(&cy, &format!("/api/v1/mailbox/{}", mail.id)).await.code(), "unknown");

    let open = world.get(&ada, "/api/v1/tasks").await.json()["tasks"][0].clone();
    assert_eq!((&open["kind"], &open["centre_name"]), (&json!("no_recipient"), &json!("North Clinic")));
    assert_eq!(world.change(&ada, "POST", &close, &json!({"note": " "})).await.code(), "note");
    let closed = world.change(&ada, "POST", &close, &note).await.json();
    assert_eq!(
        (&closed["closed"]["by_name"], &closed["closed"]["note"]),
        (&json!("Dr Ada Moreau"), &json!("I called them."))
    );
    assert_eq!(world.get(&ada, "/api/v1/tasks").await.json()["tasks"], json!([]));
    let filter = TaskFilter { scope: Scope::AllCentres, study: Some(key()), closed: true, limit: 10 };
    assert_eq!(world.catalog.tasks(&filter).await.unwrap().len(), 1);
    let read = world.get(&ada, &format!("/api/v1/mailbox/{}", mail.id)).await.json();
    assert_eq!((&read["subject"], &read["html"]), (&json!("A report is ready"), &Value::Null));
}
