//! What became of signed reports.

use domain::{
    Duration,
    audit::Actor,
    delivery::{AttemptOutcome, Recipient},
    digest::Sha256Digest,
    id::{DeliveryId, PhysicianId},
    port::{
        Clock as _,
        catalog::{Deliveries as _, NewDelivery},
    },
    text::EmailAddress,
};
use reading_room::Viewer;
use serde_json::{Value, json};

use crate::world::{key, world, world_with};

#[tokio::test]
async fn deliveries_show_transport_and_acknowledgement_apart() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    world.claim(&ada, "take").await;
    let signing = world.signing(&ada, "No haemorrhage.").await;
    world.sign(&ada, &signing).await;
    let now = world.clock.now();
    let new = NewDelivery {
        id: DeliveryId::fresh(),
        study: key(),
        version: 1,
        recipient: Recipient::Physician { id: PhysicianId::fresh(), name: "Dr Jane Doe".to_owned() },
        address: EmailAddress::parse("doe@practice.example").unwrap(),
        link: Sha256Digest::of(b"secret"),
        accept_by: now + Duration::from_mins(30),
        acknowledge_by: now + Duration::from_hours(24),
    };
    let id = world.catalog.open_delivery(&new, now).await.unwrap().id;
    let accepted = AttemptOutcome::Accepted { by: "250 ok".to_owned() };
    world.catalog.record_attempt(id, &accepted, now).await.unwrap();
    let list = world.get(&ada, "/api/v1/deliveries?unacknowledged=true").await.json();
    let one = &list["deliveries"][0];
    assert_eq!(
        one["transport"],
        json!({"state": "accepted", "at": "2026-03-02T08:00:00Z", "detail": "250 ok"})
    );
    assert_eq!((&one["patient_name"], &one["acknowledged"]), (&json!("Jane Roe"), &Value::Null));
    assert_eq!(one["recipient"], json!({"kind": "physician", "name": "Dr Jane Doe"}));
    let counts = |study: &Value| study["entry"]["deliveries"].clone();
    assert_eq!(counts(&world.study(&ada).await), json!({"total": 1, "acknowledged": 0}));
    world.catalog.acknowledge(id, "J. Doe", &Actor::Link(id), now).await.unwrap();
    let list = world.get(&ada, "/api/v1/deliveries?unacknowledged=true").await.json();
    assert_eq!(list["deliveries"], json!([]));
    assert_eq!(counts(&world.study(&ada).await), json!({"total": 1, "acknowledged": 1}));
    let in_list = world.get(&ada, "/api/v1/worklist?signed=true").await.json();
    assert_eq!(in_list["entries"][0]["deliveries"], json!({"total": 1, "acknowledged": 1}));
}

#[tokio::test]
async fn the_mailbox_says_when_mails_are_sent_instead() {
    let world = world_with(Viewer::default(), true).await;
    let ada = world.sign_in("ada").await;
    assert_eq!(world.get(&ada, "/api/v1/mailbox").await.json(), json!({"sending": true, "mails": []}));
}

#[tokio::test]
async fn the_description_names_every_route() {
    let world = world().await;
    let description = world.get("", "/api/v1/openapi.json").await.json();
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
    for path in [
        "/api/v1/session",
        "/api/v1/worklist",
        "/api/v1/studies/{centre}/{study}",
        "/api/v1/studies/{centre}/{study}/claim",
        "/api/v1/studies/{centre}/{study}/report",
        "/api/v1/studies/{centre}/{study}/sign",
        "/api/v1/studies/{centre}/{study}/trail",
        "/api/v1/studies/{centre}/{study}/key-images/{index}",
        "/api/v1/studies/{centre}/{study}/marked-images",
        "/api/v1/studies/{centre}/{study}/marked-images/{instance}/{frame}",
        "/api/v1/studies/{centre}/{study}/versions/{number}/key-images/{index}",
        "/api/v1/studies/{centre}/{study}/versions/{number}/report.pdf",
        "/api/v1/taken-out",
        "/api/v1/deliveries",
        "/api/v1/tasks",
        "/api/v1/tasks/{id}/close",
        "/api/v1/mailbox",
        "/api/v1/mailbox/{id}",
        "/api/v1/openapi.json",
    ] {
        assert!(paths.iter().any(|known| *known == path), "{path} in {paths:?}");
    }
    assert!(description["components"]["schemas"]["StudyView"]["properties"]["entry"].is_object());
}

#[tokio::test]
async fn administrators_see_limits_and_their_use() {
    let world = world().await;
    for (login, expected) in [("ada", 403), ("dee", 403), ("eve", 200)] {
        let cookie = world.sign_in(login).await;
        assert_eq!(world.get(&cookie, "/api/v1/status").await.status.as_u16(), expected, "{login}");
    }
    assert_eq!(world.get("", "/api/v1/status").await.status.as_u16(), 401);
    let cookie = world.sign_in("eve").await;
    let status = world.get(&cookie, "/api/v1/status").await.json();
    let door = &status["sections"][0];
    assert_eq!(door["title"], "Door");
    let limit = &door["limits"][0];
    assert_eq!((&limit["value"], &limit["in_use"], &limit["unit"]), (&json!(3), &json!(2), &json!("count")));
    assert_eq!(limit["setting"], "door.guests_max");
    assert_eq!(door["refused"][0]["count"], 7);
}
