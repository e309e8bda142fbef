//! `/api/v1/session`: sign in, who am I, sign out.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::person::Person;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::{Caller, SignedInPerson},
    check::{ClientAddress, Confirmation, Gate, SESSION_COOKIE, foreign},
    manners::json_limits,
    origin::{Provenance, provenance},
    problem::{ErrorBody, JsonBody, Problem},
};

/// Most bytes of a login that are looked at.
const LOGIN_BYTES_MAX: usize = 256;

/// What somebody types to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// Compared without case.
    pub login: String,
    /// As it was set.
    pub password: String,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// Who signed in.
    pub person: PersonView,
}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonView {
    /// Identity.
    pub id: String,
    /// What they type to sign in.
    pub login: String,
    /// The name on pages and reports.
    pub name: String,
    /// What stands behind the name on a report.
    pub credentials: Option<String>,
    /// `centre`, `reader` or `admin`.
    pub role: &'static str,
}

impl From<&Person> for PersonView {
    fn from(person: &Person) -> Self {
        Self {
            id: person.id.to_string(),
            login: person.login.clone(),
            name: person.name.clone(),
            credentials: person.credentials.clone(),
            role: person.role.as_str(),
        }
    }
}

impl Gate {
    /// The routes of `/api/v1/session`, behind the gate.
    pub fn session_router(&self) -> Router {
        self.layer(json_limits(self.routes().into()))
    }

    /// The description of these routes.
    #[must_use]
    pub fn openapi(&self) -> utoipa::openapi::OpenApi {
        self.routes().into_openapi()
    }

    fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::default().routes(routes!(show, sign_in, sign_out)).with_state(self.clone())
    }

    fn set_cookie(&self, value: &str, lifetime: i64) -> HeaderValue {
        let secure = if self.config().secure_cookie { "; Secure" } else { "" };
        let cookie = format!(
            "{SESSION_COOKIE}={value}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Strict{secure}"
        );
        HeaderValue::try_from(cookie).expect("base64url and constants are a header value")
    }
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/v1/session", tag = "session", responses(
    (status = 200, body = SessionView), (status = 401, body = ErrorBody)))]
async fn show(SignedInPerson { person, .. }: SignedInPerson) -> Json<SessionView> {
    Json(SessionView { person: PersonView::from(&*person) })
}

/// Signs a person in; the answer sets the cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignIn, responses(
    (status = 200, body = SessionView), (status = 401, body = ErrorBody), (status = 429, body = ErrorBody)))]
async fn sign_in(
    State(gate): State<Gate>,
    address: ClientAddress,
    before: Option<Caller>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(SignIn { login, password }): JsonBody<SignIn>,
) -> Result<Response, Problem> {
    if provenance(&headers, &uri) == Provenance::Foreign {
        return Err(foreign());
    }
    if login.len() > LOGIN_BYTES_MAX {
        return Err(refused());
    }
    let person = match gate.confirm(login.trim(), &password, address).await? {
        Confirmation::Right(person) => person,
        Confirmation::Wrong => return Err(refused()),
        Confirmation::TooMany(rest) => return Err(rest.problem(gate.now())),
    };
    let value = gate.open_session(&person).await?;
    if let Some(Caller::Person(before)) = before {
        gate.catalog().close_session(before.session, gate.now()).await?;
    }
    let cookie = gate.set_cookie(&value, gate.config().absolute.as_secs());
    let view = SessionView { person: PersonView::from(&*person) };
    Ok(([(header::SET_COOKIE, cookie)], Json(view)).into_response())
}

/// Signs out; without a session it does nothing.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", responses((status = 204)))]
async fn sign_out(State(gate): State<Gate>, caller: Option<Caller>) -> Result<Response, Problem> {
    if let Some(Caller::Person(person)) = caller {
        gate.catalog().close_session(person.session, gate.now()).await?;
    }
    let cookie = gate.set_cookie("", 0);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

fn refused() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "sign_in_refused", "Login and password do not match.")
        .next_step("Try again; an administrator can set a new password.")
}
