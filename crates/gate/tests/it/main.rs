//! The gate before a real catalog: sign-in, sessions, tokens, origins, centres.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not the helpers beside them")]

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, Method, Request, StatusCode, header},
    routing::{get, post},
};
use catalog::SqlCatalog;
use domain::{
    Duration,
    audit::Actor,
    centre::{Centre, CentrePolicy},
    id::{CentreId, PersonId, TokenId},
    person::{Person, Role, Scope, Token},
    port::{
        Clock as _,
        catalog::{Directory as _, Trail as _},
    },
};
use gate::{
    ATTEMPT_WINDOW, ATTEMPTS_PER_LOGIN_MAX, BACKGROUND_HEADER, Caller, Gate, GateConfig, Problem, Reader,
    SignedInPerson, fresh_token, hash_password,
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use testkit::clock::ManualClock;
use tower::ServiceExt as _;

const PASSWORD: &str = "correct horse battery";

struct World {
    catalog: Arc<SqlCatalog>,
    clock: ManualClock,
    router: Router,
    ada: Person,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    fn cookie(&self) -> String {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

fn centre(id: &str) -> CentreId {
    CentreId::parse(id).unwrap()
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Arc::new(SqlCatalog::open_sqlite(folder.path().join("catalog.sqlite")).await.unwrap());
    let clock = ManualClock::monday();
    for id in ["north", "south"] {
        let centre = Centre {
            id: centre(id),
            name: id.to_owned(),
            address: Vec::new(),
            phone: None,
            contact: None,
            policy: CentrePolicy::default(),
        };
        catalog.put_centre(&centre, &Actor::Operator, clock.now()).await.unwrap();
    }
    let ada = Person {
        id: PersonId::fresh(),
        login: "ada".to_owned(),
        name: "Dr Ada Moreau".to_owned(),
        credentials: Some("Consultant Radiologist".to_owned()),
        role: Role::Reader,
        scope: Scope::Centres(vec![centre("north")]),
        disabled: false,
    };
    let hash = hash_password(PASSWORD).await.unwrap();
    catalog.put_person(&ada, Some(&hash), &Actor::Operator, clock.now()).await.unwrap();
    let gate = Gate::new(catalog.clone(), Arc::new(clock.clone()), GateConfig::default());
    let routes = Router::new()
        .route("/who", get(|caller: Caller| async move { caller.actor().text() }))
        .route("/person", get(|person: SignedInPerson| async move { person.person.login.clone() }))
        .route("/change", post(|reader: Reader| async move { reader.0.person.login.clone() }))
        .route("/as-program", post(|caller: Caller| async move { caller.role().as_str() }))
        .route(
            "/centres/{centre}",
            get(|caller: Caller, Path(id): Path<String>| async move {
                let id = CentreId::parse(&id).map_err(|_| Problem::unknown())?;
                caller.require_centre(&id)?;
                Ok::<_, Problem>(id.to_string())
            }),
        );
    let router = gate.layer(routes).merge(gate.session_router());
    World { catalog, clock, router, ada, _folder: folder }
}

impl World {
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "pacs.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.ask(Method::GET, path, &[("cookie", cookie)]).await
    }

    async fn sign_in(&self, login: &str, password: &str) -> Answer {
        let body = json!({"login": login, "password": password}).to_string();
        let request = Request::post("/api/v1/session").header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn token(&self, role: Role, revoked: bool) -> String {
        let (text, secret) = fresh_token();
        let token = Token {
            id: TokenId::fresh(),
            secret,
            centre: centre("north"),
            role,
            created: self.clock.now(),
            revoked,
        };
        self.catalog.put_token(&token, &Actor::Operator).await.unwrap();
        format!("Bearer {text}")
    }

    async fn actions(&self) -> Vec<String> {
        let trail = self.catalog.trail(None, 100).await.unwrap();
        trail.into_iter().map(|event| event.action).collect()
    }
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let world = world().await;
    assert_eq!(world.get("/api/v1/session", "").await.code(), "not_signed_in");
    let answer = world.sign_in(" ADA ", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let expected = json!({"person": {
        "id": world.ada.id.to_string(), "login": "ada", "name": "Dr Ada Moreau",
        "credentials": "Consultant Radiologist", "role": "reader",
    }});
    assert_eq!(answer.json(), expected);
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["telerad_session=", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = answer.cookie();
    assert_eq!(world.get("/api/v1/session", &cookie).await.json(), expected);
    assert_eq!(world.get("/who", &cookie).await.body, format!("person:{}", world.ada.id));
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let out = world.ask(Method::DELETE, "/api/v1/session", &own).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/who", &cookie).await.status, StatusCode::UNAUTHORIZED);
    let actions = world.actions().await;
    assert!(actions.contains(&"signed_in".to_owned()) && actions.contains(&"signed_out".to_owned()));
}

#[tokio::test]
async fn wrong_password_and_unknown_login_are_answered_alike() {
    let world = world().await;
    let wrong = world.sign_in("ada", "wrong horse battery").await;
    let unknown = world.sign_in("nobody", PASSWORD).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::UNAUTHORIZED, "sign_in_refused".to_owned()));
    assert_eq!((wrong.status, wrong.body), (unknown.status, unknown.body));
    let disabled = Person { disabled: true, ..world.ada.clone() };
    world.catalog.put_person(&disabled, None, &Actor::Operator, world.clock.now()).await.unwrap();
    assert_eq!(world.sign_in("ada", PASSWORD).await.code(), "sign_in_refused");
    let refusals = world.actions().await.into_iter().filter(|action| action == "sign_in_refused");
    assert_eq!(refusals.count(), 3);
}

#[tokio::test]
async fn a_login_rests_after_too_many_wrong_passwords() {
    let world = world().await;
    for _ in 0..ATTEMPTS_PER_LOGIN_MAX {
        assert_eq!(world.sign_in("ada", "wrong horse battery").await.code(), "sign_in_refused");
    }
    let locked = world.sign_in("ada", PASSWORD).await;
    assert_eq!(
        (locked.status, locked.code()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts".to_owned())
    );
    assert_eq!(locked.headers[header::RETRY_AFTER], "900");
    world.clock.turn(ATTEMPT_WINDOW);
    assert_eq!(world.sign_in("ada", PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_ends_when_idle_and_after_a_working_day() {
    let world = world().await;
    let cookie = world.sign_in("ada", PASSWORD).await.cookie();
    world.clock.turn(Duration::from_mins(14));
    assert_eq!(world.get("/who", &cookie).await.status, StatusCode::OK, "extends it");
    world.clock.turn(Duration::from_mins(14));
    for header in [("if-none-match", "\"x\""), (BACKGROUND_HEADER, "1")] {
        let answer = world.ask(Method::GET, "/who", &[("cookie", &cookie), header]).await;
        assert_eq!(answer.status, StatusCode::OK, "does not extend it");
    }
    world.clock.turn(Duration::from_mins(1));
    assert_eq!(world.get("/who", &cookie).await.status, StatusCode::UNAUTHORIZED);

    let cookie = world.sign_in("ada", PASSWORD).await.cookie();
    for _ in 0..71 {
        world.clock.turn(Duration::from_mins(10));
        assert_eq!(world.get("/who", &cookie).await.status, StatusCode::OK);
    }
    world.clock.turn(Duration::from_mins(10));
    assert_eq!(world.get("/who", &cookie).await.status, StatusCode::UNAUTHORIZED, "twelve hours");
}

#[tokio::test]
async fn a_disabled_person_is_out_at_once() {
    let world = world().await;
    let cookie = world.sign_in("ada", PASSWORD).await.cookie();
    let disabled = Person { disabled: true, ..world.ada.clone() };
    world.catalog.put_person(&disabled, None, &Actor::Operator, world.clock.now()).await.unwrap();
    assert_eq!(world.get("/who", &cookie).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_cookie_changes_nothing_from_somebody_elses_page() {
    let world = world().await;
    let cookie = world.sign_in("ada", PASSWORD).await.cookie();
    for (headers, status) in [
        (vec![("sec-fetch-site", "same-origin")], StatusCode::OK),
        (vec![("sec-fetch-site", "none")], StatusCode::OK),
        (vec![("origin", "http://pacs.example")], StatusCode::OK),
        (vec![], StatusCode::FORBIDDEN),
        (vec![("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (vec![("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (vec![("origin", "http://evil.example")], StatusCode::FORBIDDEN),
        (vec![("origin", "null")], StatusCode::FORBIDDEN),
        (vec![("origin", "http://pacs.example"), ("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
    ] {
        let with_cookie: Vec<_> = [("cookie", cookie.as_str())].into_iter().chain(headers.clone()).collect();
        let answer = world.ask(Method::POST, "/change", &with_cookie).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == StatusCode::FORBIDDEN {
            assert_eq!(answer.code(), "foreign_origin");
        }
    }
    let look =
        world.ask(Method::GET, "/person", &[("cookie", &cookie), ("sec-fetch-site", "cross-site")]).await;
    assert_eq!(look.status, StatusCode::OK, "looking changes nothing");
    let foreign = Request::post("/api/v1/session")
        .header(header::CONTENT_TYPE, "application/json")
        .header("sec-fetch-site", "cross-site")
        .body(Body::from(json!({"login": "ada", "password": PASSWORD}).to_string()))
        .unwrap();
    assert_eq!(world.send(foreign).await.code(), "foreign_origin", "nor does it sign anybody in");
}

#[tokio::test]
async fn tokens_are_for_programs() {
    let world = world().await;
    let good = world.token(Role::Centre, false).await;
    let revoked = world.token(Role::Centre, true).await;
    let answer = world.ask(Method::POST, "/as-program", &[("authorization", &good)]).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "centre"), "no origin needed");
    assert_eq!(world.ask(Method::GET, "/person", &[("authorization", &good)]).await.code(), "people_only");
    for bad in [revoked.as_str(), "Bearer telerad_x", "Bearer ", &format!("Bearer {}", "x".repeat(4000))] {
        let answer = world.ask(Method::GET, "/who", &[("authorization", bad)]).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "bad_token".to_owned()));
        let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains("invalid_token"), "{challenge}");
    }
}

#[tokio::test]
async fn another_centre_is_answered_like_no_centre() {
    let world = world().await;
    let cookie = world.sign_in("ada", PASSWORD).await.cookie();
    let token = world.token(Role::Centre, false).await;
    for credential in [("cookie", cookie.as_str()), ("authorization", token.as_str())] {
        let mut bodies = Vec::new();
        for path in ["/centres/south", "/centres/nowhere", "/centres/..%2Fx", "/centres/SOUTH"] {
            let answer = world.ask(Method::GET, path, &[credential]).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
            bodies.push(answer.body);
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert_eq!(world.ask(Method::GET, "/centres/north", &[credential]).await.status, StatusCode::OK);
    }
}
