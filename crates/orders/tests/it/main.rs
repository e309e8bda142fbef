//! Orders over HTTP and from tables, before a real catalog.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not the helpers beside them")]

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use catalog::SqlCatalog;
use domain::{
    audit::Actor,
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    id::{CentreId, TokenId},
    image::{Arrival, Instance, InstanceAttributes, SeriesAttributes, Source, StudyAttributes},
    object::ObjectName,
    person::{Role, Token},
    port::{
        Clock as _,
        catalog::{Directory as _, Images as _, Orders as _},
    },
    text::{AccessionNumber, PatientId},
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};
use gate::{Gate, GateConfig, fresh_token};
use http_body_util::BodyExt as _;
use orders::{Orders, RowOutcome, import_csv};
use serde_json::{Value, json};
use testkit::clock::ManualClock;
use tower::ServiceExt as _;

struct World {
    catalog: Arc<SqlCatalog>,
    clock: ManualClock,
    router: Router,
    _folder: tempfile::TempDir,
}

fn north() -> CentreId {
    CentreId::parse("north").unwrap()
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Arc::new(SqlCatalog::open_sqlite(folder.path().join("catalog.sqlite")).await.unwrap());
    let clock = ManualClock::monday();
    for id in ["north", "south"] {
        let centre = Centre {
            id: CentreId::parse(id).unwrap(),
            name: id.to_owned(),
            address: Vec::new(),
            phone: None,
            contact: None,
            policy: CentrePolicy::default(),
        };
        catalog.put_centre(&centre, &Actor::Operator, clock.now()).await.unwrap();
    }
    let gate = Gate::new(catalog.clone(), Arc::new(clock.clone()), GateConfig::default());
    let router = orders::router(Orders { catalog: catalog.clone(), clock: Arc::new(clock.clone()), gate });
    World { catalog, clock, router, _folder: folder }
}

impl World {
    async fn token(&self, role: Role) -> String {
        let (text, secret) = fresh_token();
        let created = self.clock.now();
        let token = Token { id: TokenId::fresh(), secret, centre: north(), role, created, revoked: false };
        self.catalog.put_token(&token, &Actor::Operator).await.unwrap();
        format!("Bearer {text}")
    }

    async fn ask(
        &self,
        token: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: String,
    ) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, token)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn post(&self, token: &str, order: Value) -> (StatusCode, Value) {
        let (status, body) =
            self.ask(token, "POST", "/api/v1/orders", "application/json", order.to_string()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn study_arrives(&self, uid: &str, accession: &str, patient: &str) {
        let file = Sha256Digest::of(uid.as_bytes());
        let study = StudyInstanceUid::parse(uid).unwrap();
        let series = SeriesInstanceUid::parse(&format!("{uid}.1")).unwrap();
        let instance = SopInstanceUid::parse(&format!("{uid}.1.1")).unwrap();
        let name = ObjectName::Instance {
            centre: north(),
            study: study.clone(),
            series: series.clone(),
            instance: instance.clone(),
            sha256: file,
        };
        let arrival = Arrival {
            instance: Instance {
                centre: north(),
                study,
                series,
                sop_instance: instance,
                sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
                object: name.key().into(),
                bytes: 1,
                file_sha256: file,
                attributes: InstanceAttributes::default(),
                received: self.clock.now(),
            },
            study: StudyAttributes {
                accession_number: AccessionNumber::new(accession),
                patient_id: PatientId::new(patient),
                ..StudyAttributes::default()
            },
            series: SeriesAttributes::default(),
            source: Source::Web,
        };
        self.catalog.record_arrivals(&[arrival], self.clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn an_order_is_created_once_and_meets_its_study() {
    let world = world().await;
    let token = world.token(Role::Centre).await;
    world.study_arrives("1.2.3", "A1", "p1").await;
    let order = json!({"accession_number": "A1", "patient_id": "p1", "patient_name": "Jane Roe", "priority": "stat",
        "physician": {"name": "Dr Jane Doe", "email": "doe@practice.example"}});
    let (status, created) = world.post(&token, order.clone()).await;
    assert_eq!((status, &created["outcome"]), (StatusCode::CREATED, &json!("created")));
    assert_eq!(created["linked_study"], "1.2.3");
    let (status, again) = world.post(&token, order.clone()).await;
    assert_eq!((status, &again["outcome"]), (StatusCode::OK, &json!("unchanged")));
    assert_eq!(again["id"], created["id"]);
    let mut other = order;
    other["reason"] = json!("Headache");
    assert_eq!(world.post(&token, other).await.1["outcome"], "changed");

    let (_, waits) = world.post(&token, json!({"accession_number": "A2", "patient_id": "p2"})).await;
    assert_eq!(waits["linked_study"], Value::Null);
    world.study_arrives("1.2.4", "A2", "p2").await;
    let (_, list) = world.ask(&token, "GET", "/api/v1/orders", "", String::new()).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    let of = |accession: &str| {
        let orders = list["orders"].as_array().unwrap();
        orders.iter().find(|order| order["accession_number"] == accession).unwrap().clone()
    };
    assert_eq!(of("A2")["linked_study"], "1.2.4");
    assert_eq!((&of("A1")["reason"], &of("A1")["priority"]), (&json!("Headache"), &json!("stat")));
    assert_eq!(of("A1")["physician"]["email"], "doe@practice.example");
    assert_eq!(of("A1")["physician"]["name"], "Dr Jane Doe");
    assert_eq!(of("A1")["patient_name"], "Jane Roe");
}

#[tokio::test]
async fn a_token_orders_for_its_own_centre_only() {
    let world = world().await;
    let order =
        |centre: Option<&str>| json!({"accession_number": "A1", "patient_id": "p1", "centre": centre});
    let centre = world.token(Role::Centre).await;
    let admin = world.token(Role::Admin).await;
    let reader = world.token(Role::Reader).await;
    let foreign = world.post(&centre, order(Some("south"))).await;
    assert_eq!(foreign.0, StatusCode::NOT_FOUND);
    assert_eq!(foreign, world.post(&centre, order(Some("nowhere"))).await, "as if there were none");
    assert_eq!(world.post(&reader, order(None)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.post(&admin, order(Some("north"))).await.0, StatusCode::CREATED);
    assert_eq!(world.post("Bearer telerad_none", order(None)).await.0, StatusCode::UNAUTHORIZED);
    let south = CentreId::parse("south").unwrap();
    assert!(world.catalog.orders(&south, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_order_that_is_none_is_refused_without_its_contents() {
    let world = world().await;
    let token = world.token(Role::Centre).await;
    for (order, code) in [
        (json!({"accession_number": "", "patient_id": "secret-1"}), "invalid_order"),
        (json!({"accession_number": "A", "patient_id": "secret-1", "priority": "secret-2"}), "invalid_order"),
        (json!({"accession_number": "A", "patient_id": 7, "patient_name": "secret-1"}), "wrong_fields"),
        (json!({"accession_number": "A", "patient_id": "secret-1", "secret-3": 1}), "wrong_fields"),
    ] {
        let (status, body) = world.post(&token, order).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)));
        assert!(!body.to_string().contains("secret"), "{body}");
    }
    let large = format!("{{\"reason\":\"{}\"}}", "x".repeat(gate::JSON_BODY_BYTES_MAX));
    let (status, _) = world.ask(&token, "POST", "/api/v1/orders", "application/json", large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn physicians_are_found_or_added_but_never_guessed() {
    let world = world().await;
    let token = world.token(Role::Centre).await;
    let mut number = 0;
    for (name, email, phone, expected) in [
        ("Dr Jane Doe", None, None, None),
        ("Dr Jane Doe", None, Some("+49 1"), Some((1, None))),
        ("Doe^Jane", Some("doe@a.example"), None, Some((1, Some("doe@a.example")))),
        ("Jane Doe", Some("DOE@a.example"), None, Some((1, Some("doe@a.example")))),
        ("Doe, Jane", None, None, Some((1, Some("doe@a.example")))),
        ("Jane Doe", Some("doe@b.example"), None, Some((2, Some("doe@b.example")))),
        ("Jane Doe", None, None, None),
        ("John Roe", Some("doe@a.example"), None, Some((3, Some("doe@a.example")))),
    ] {
        number += 1;
        let physician = json!({"name": name, "email": email, "phone": phone});
        let order =
            json!({"accession_number": number.to_string(), "patient_id": "p", "physician": physician});
        assert_eq!(world.post(&token, order).await.0, StatusCode::CREATED);
        let order = world.catalog.orders(&north(), 100).await.unwrap().into_iter();
        let order = order
            .into_iter()
            .find(|order| order.request.accession_number.as_str() == number.to_string())
            .unwrap();
        let directory = world.catalog.physicians(&north()).await.unwrap();
        let found = order.request.physician.map(|id| {
            let physician = directory.iter().find(|known| known.id == id).unwrap();
            (directory.len(), physician.email.as_ref().map(|email| email.as_str().to_owned()))
        });
        let expected = expected.map(|(known, email)| (known, email.map(str::to_owned)));
        assert_eq!(found, expected, "order {number} of {name}");
    }
}

#[tokio::test]
async fn a_table_answers_row_by_row() {
    let world = world().await;
    let token = world.token(Role::Centre).await;
    let table = concat!(
        "accession_number,patient_id,patient_name,examination,reason,priority,physician_name,physician_email,",
        "physician_phone,scheduled\n",
        "A1,p1,Roe^Jane,CT head,\"Fall, headache\",urgent,Dr Jane Doe,doe@a.example,,2026-03-02\n",
        "A2,,Roe^Jane,,,,,,,\n",
        "A3,p3,,,,,,,,\n",
    );
    let (status, body) =
        world.ask(&token, "POST", "/api/v1/orders/import", "text/csv", table.to_owned()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        [&report["created"], &report["changed"], &report["unchanged"], &report["refused"]],
        [2, 0, 0, 1]
    );
    assert_eq!(report["rows"][1]["line"], 3);
    assert_eq!(report["rows"][1]["error"], "patient_id is missing");
    let report = import_csv(&*world.catalog, &world.clock, &north(), table.as_bytes(), &Actor::Operator)
        .await
        .unwrap();
    let outcomes: Vec<_> = report.rows.iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [RowOutcome::Unchanged, RowOutcome::Refused, RowOutcome::Unchanged]);
    let order = world.catalog.orders(&north(), 10).await.unwrap();
    let order = order.iter().find(|order| order.request.accession_number.as_str() == "A1").unwrap();
    assert_eq!(order.request.reason.as_deref(), Some("Fall, headache"));
    let (status, body) =
        world.ask(&token, "POST", "/api/v1/orders/import", "text/csv", "patient\np\n".to_owned()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let huge = "x".repeat(orders::IMPORT_BYTES_MAX + 1);
    let (status, _) = world.ask(&token, "POST", "/api/v1/orders/import", "text/csv", huge).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
