//! HTTP manners: request ids, spans without patient data, headers that keep browsers careful, limits on size and time.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use domain::port::Clock;
use tracing::Instrument as _;

use crate::problem::Problem;

/// Most bytes of a JSON body: a report has 7 sections of at most 64 KiB, escaped.
pub const JSON_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest time for a JSON request, far beyond what a healthy catalog needs.
pub const JSON_TIME_MAX: Duration = Duration::from_secs(30);
/// Names a request in our log and in the answer; one from outside is kept when it is short and plain.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Longest request id from outside that is kept.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// The id of a request.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// A Content-Security-Policy for a kind of page. A handler puts [`ContentPolicy::header`] on its answer; those that put
/// none get [`ContentPolicy::OwnPages`] from [`manners`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentPolicy {
    /// Our own pages: scripts only from files of ours, no frame of others.
    OwnPages,
    /// The image viewer: it compiles WebAssembly, builds functions at run time, starts workers from blobs, and shows PDF from blobs.
    Viewer,
}

impl ContentPolicy {
    /// The policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            // Inline styles: a mail shown in the mailbox stands in a sandboxed frame that inherits this policy.
            Self::OwnPages => {
                "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; \
                 base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
            }
            // A frame for PDF is empty at first, which is this page itself: one that is refused then shows nothing later either.
            Self::Viewer => {
                "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:; \
                 worker-src 'self' blob:; connect-src 'self' blob: data:; img-src 'self' data: blob:; \
                 media-src 'self' blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; \
                 object-src 'self' blob:; frame-src 'self' blob:; \
                 base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
            }
        }
    }

    /// The header.
    #[must_use]
    pub const fn header(self) -> (HeaderName, HeaderValue) {
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.as_str()))
    }
}

/// Puts request ids, spans, and careful headers around a whole service. What a handler set itself stays.
pub fn manners(router: Router, clock: Arc<dyn Clock>) -> Router {
    router.layer(from_fn(careful)).layer(from_fn_with_state(clock, trace))
}

/// Limits a router of JSON requests in size and time; a method that a route does not know is answered as a [`Problem`].
pub fn json_limits(router: Router) -> Router {
    let router = router.method_not_allowed_fallback(|| async {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong_method",
            "This address does not take that method.",
        )
        .next_step("See /api/v1/openapi.json.")
    });
    router.layer(from_fn(in_time)).layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(JSON_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_slow", "The service took too long.")
            .next_step("Look whether it was done after all, then try again.")
            .retry_after(5)
            .into_response(),
    }
}

async fn careful(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let (csp, policy) = ContentPolicy::OwnPages.header();
    let defaults = [
        (csp, policy),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
        // Not `no-referrer`: browsers then send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
    response
}

async fn trace(State(clock): State<Arc<dyn Clock>>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    // The template, not the path: paths hold study UIDs and secrets of personal links.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("http", request_id = %id.0, method = %request.method(), route);
    request.extensions_mut().insert(id.clone());
    async move {
        let began = clock.now();
        let mut response = next.run(request).await;
        let status = response.status();
        let elapsed_ms = clock.now().duration_since(began).as_millis();
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), elapsed_ms, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), elapsed_ms, "answered");
        }
        if let Ok(value) = HeaderValue::try_from(id.0) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        response
    }
    .instrument(span)
    .await
}

fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(REQUEST_ID_HEADER).and_then(|id| id.to_str().ok()).filter(|id| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    });
    RequestId(given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use testkit::clock::ManualClock;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str, id: Option<&str>) -> Response {
        let router = Router::new()
            .route("/plain", get(|| async { "x" }))
            .route("/own", get(|| async { ([(header::CACHE_CONTROL, "max-age=5")], "x") }));
        let router = manners(router, Arc::new(ManualClock::monday()));
        let mut request = axum::http::Request::get(path);
        if let Some(id) = id {
            request = request.header(REQUEST_ID_HEADER, id);
        }
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn answers_carry_careful_headers_and_an_id() {
        let plain = ask("/plain", Some("abc-1")).await;
        assert_eq!(plain.headers()[REQUEST_ID_HEADER], "abc-1");
        assert_eq!(plain.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(plain.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let policy = plain.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe-eval"), "{policy}");
        assert_eq!(ask("/own", None).await.headers()[header::CACHE_CONTROL], "max-age=5");
    }

    #[tokio::test]
    async fn a_strange_request_id_is_replaced() {
        for strange in ["", "a b", &"x".repeat(65), "<script>"] {
            let answer = ask("/plain", Some(strange)).await;
            let id = answer.headers()[REQUEST_ID_HEADER].to_str().unwrap();
            assert!(uuid::Uuid::try_parse(id).is_ok(), "{id}");
        }
    }
}
