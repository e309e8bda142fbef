//! The gate itself: from cookie or token to caller, with idle and absolute ends of sessions and a check of where a browser's
//! request comes from.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use domain::{
    Duration, Timestamp,
    audit::{Action, Actor},
    digest::Sha256Digest,
    person::{Credentials, Person, Session},
    port::{Catalog, Clock},
};

use crate::{
    attempts::{Attempts, TooMany},
    caller::{Caller, Identity, Program, SignedInPerson},
    origin::{self, Provenance},
    password::verify_password,
    problem::Problem,
    secret::fresh_secret,
};

/// The cookie of a signed-in browser.
pub const SESSION_COOKIE: &str = "telerad_session";
/// A session's end is moved by this much at least, so that a busy page does not write to the catalog with each request.
pub const EXTENSION_STEP: Duration = Duration::from_secs(60);
/// A page sends this header (any value) with requests that no person caused, such as the renewal of a claim: they do not keep
/// a session alive. Conditional requests (If-None-Match), which is how pages poll, do not either.
pub const BACKGROUND_HEADER: &str = "x-telerad-background";

/// Longest cookie value or token that is looked at.
const SECRET_CHARS_MAX: usize = 128;

/// How sessions live.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// Without a request by a person for so long, a session is over.
    pub idle: Duration,
    /// After so long it is over anyway.
    pub absolute: Duration,
    /// The service is reached over TLS: the cookie is sent over nothing else.
    pub secure_cookie: bool,
    /// Proxies whose `X-Forwarded-For` is believed (its last address).
    pub trusted_proxies: Vec<IpAddr>,
}

/// The gate. Clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

/// The address that a request comes from, if known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

/// Whether somebody knew a password.
#[derive(Debug)]
pub enum Confirmation {
    /// They did: who they are.
    Right(Box<Person>),
    /// They did not, or the login is unknown, or the person is disabled.
    Wrong,
    /// Nobody looked: too many failures before.
    TooMany(TooMany),
}

struct Inner {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    config: GateConfig,
    attempts: Mutex<Attempts>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(15),
            absolute: Duration::from_hours(12),
            secure_cookie: false,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Gate {
    /// A gate over a catalog.
    #[must_use]
    pub fn new(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, config: GateConfig) -> Self {
        Self { inner: Arc::new(Inner { catalog, clock, config, attempts: Mutex::default() }) }
    }

    /// Puts the gate before every route of a router. It refuses nobody for being unknown: the extractors do
    /// ([`Caller`], [`SignedInPerson`], [`crate::Reader`]). It refuses changes that somebody else's page makes with our cookie.
    pub fn layer<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        router.layer(axum::middleware::from_fn_with_state(self.clone(), identify))
    }

    /// How sessions live.
    #[must_use]
    pub fn config(&self) -> &GateConfig {
        &self.inner.config
    }

    pub(crate) fn catalog(&self) -> &dyn Catalog {
        &*self.inner.catalog
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Checks a login and a password, within the limits on attempts, with a record of each refusal. An unknown login takes as long
    /// as a known one.
    ///
    /// # Errors
    /// When the catalog is away, or too many others are being checked.
    pub async fn confirm(
        &self,
        login: &str,
        password: &str,
        address: ClientAddress,
    ) -> Result<Confirmation, Problem> {
        if let Err(too_many) = self.attempts().begin(login, address.0, self.now()) {
            return Ok(Confirmation::TooMany(too_many));
        }
        let known = self.catalog().credentials(login).await?;
        let hash = known.as_ref().map(|known| known.password_hash.as_str());
        let right = verify_password(hash, password).await?;
        let actor = known.as_ref().map_or(Actor::Role("gate"), |known| Actor::Person(known.person.id));
        match known {
            Some(Credentials { person, .. }) if right && !person.disabled => {
                self.attempts().succeeded(login, address.0);
                Ok(Confirmation::Right(Box::new(person)))
            }
            known => {
                // What was typed stays out of the record: it may be a password in the wrong field.
                let detail = match known {
                    Some(Credentials { person, .. }) if person.disabled => "the person is disabled",
                    Some(_) => "wrong password",
                    None => "unknown login",
                };
                self.catalog().record(&actor, Action::SignInRefused, None, detail, self.now()).await?;
                Ok(Confirmation::Wrong)
            }
        }
    }

    /// Opens a session; gives the cookie's value.
    ///
    /// # Errors
    /// When the catalog is away.
    pub async fn open_session(&self, person: &Person) -> Result<String, Problem> {
        let (value, secret) = fresh_secret();
        let since = self.now();
        let session = Session { secret, person: person.id, since, expires: self.end(since, since) };
        self.catalog().open_session(&session).await?;
        Ok(value)
    }

    fn end(&self, since: Timestamp, now: Timestamp) -> Timestamp {
        (now + self.inner.config.idle).min(since + self.inner.config.absolute)
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.inner.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn identity(&self, parts: &Parts) -> Result<Identity, Problem> {
        let headers = &parts.headers;
        if let Some(token) = bearer(headers) {
            let Some(token) = token.filter(|token| token.len() <= SECRET_CHARS_MAX) else {
                return Ok(Identity::BadToken);
            };
            let token = self.catalog().token(Sha256Digest::of(token.as_bytes())).await?;
            return Ok(token
                .filter(|token| !token.revoked)
                .map_or(Identity::BadToken, |token| Identity::Known(Caller::Program(Program::new(token)))));
        }
        let Some(value) = cookie(headers, SESSION_COOKIE).filter(|value| value.len() <= SECRET_CHARS_MAX)
        else {
            return Ok(Identity::Nobody);
        };
        let secret = Sha256Digest::of(value.as_bytes());
        let now = self.now();
        let Some((session, person)) = self.catalog().session(secret, now).await? else {
            return Ok(Identity::Nobody);
        };
        if now >= session.expires || now >= session.since + self.inner.config.absolute || person.disabled {
            return Ok(Identity::Nobody);
        }
        if origin::is_unsafe(&parts.method) && origin::provenance(headers, &parts.uri) != Provenance::Own {
            return Err(foreign());
        }
        if is_by_a_person(&parts.method, headers) {
            let end = self.end(session.since, now);
            if end.duration_since(session.expires) >= EXTENSION_STEP {
                self.catalog().extend_session(secret, end).await?;
            }
        }
        Ok(Identity::Known(Caller::Person(SignedInPerson { person: Arc::new(person), session: secret })))
    }

    fn address(&self, parts: &Parts) -> ClientAddress {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let Some(peer) = peer else { return ClientAddress(None) };
        if !self.inner.config.trusted_proxies.contains(&peer.to_canonical()) {
            return ClientAddress(Some(peer));
        }
        let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let last = forwarded.and_then(|value| value.to_str().ok()).and_then(|value| value.rsplit(',').next());
        ClientAddress(last.and_then(|address| address.trim().parse().ok()).or(Some(peer)))
    }
}

/// The refusal of a request that somebody else's page made.
pub(crate) fn foreign() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "foreign_origin",
        "This request does not come from a page of this service.",
    )
    .next_step("Open the page at its own address; programs use a token instead of a cookie.")
}

async fn identify(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match gate.identity(&parts).await {
        Ok(identity) => {
            let address = gate.address(&parts);
            parts.extensions.insert(identity);
            parts.extensions.insert(address);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn is_by_a_person(method: &Method, headers: &HeaderMap) -> bool {
    let poll = *method == Method::GET && headers.contains_key(header::IF_NONE_MATCH);
    !poll && !headers.contains_key(BACKGROUND_HEADER)
}

/// `None` without a bearer token, `Some(None)` with one that is not text.
fn bearer(headers: &HeaderMap) -> Option<Option<&str>> {
    let value = headers.get(header::AUTHORIZATION)?;
    let Ok(text) = value.to_str() else { return Some(None) };
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Some(token.trim()))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_and_tokens_are_found() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; xtelerad_session=no"));
        headers.append(header::COOKIE, HeaderValue::from_static("telerad_session=yes; c=d"));
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("yes"));
        for (value, expected) in [
            ("Bearer abc", Some(Some("abc"))),
            ("bearer  abc ", Some(Some("abc"))),
            ("Basic abc", None),
            ("Bearer", None),
        ] {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(bearer(&headers), expected, "{value}");
        }
    }
}
