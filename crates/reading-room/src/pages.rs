//! The pages: our own UI, embedded in the executable, and the image viewer beside it.

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use gate::Problem;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::viewer::{self, Viewer};

/// The built UI. A checkout without it compiles too; its page then says how to build it.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Built;

/// First parts of addresses that are no pages of the UI.
const NOT_PAGES: [&str; 9] =
    ["api", "dicomweb", "fhir", "r", "viewer", "healthz", "readyz", "metrics", "assets"];

/// The pages. Everything that no other route answers ends here.
pub(crate) fn router(viewer: Viewer) -> Router {
    Router::new()
        .route(viewer::PAGE, get(|State(viewer): State<Viewer>, request: Request<Body>| async move {
            viewer.page(request).await
        }))
        .route(viewer::CONFIG, get(|| async { viewer::config() }))
        .fallback(page)
        .with_state(viewer)
}

async fn page(State(viewer): State<Viewer>, request: Request<Body>) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Problem::unknown().into_response();
    }
    let path = request.uri().path().trim_start_matches('/').to_owned();
    if path != "index.html"
        && let Some(file) = Built::get(&path)
    {
        return embedded(&path, &file, request.headers());
    }
    let request = match viewer.file(request).await {
        Ok(response) => return response,
        Err(request) => request,
    };
    let first = path.split('/').next().unwrap_or_default();
    if NOT_PAGES.contains(&first) || !accepts_html(request.headers()) {
        return Problem::unknown().into_response();
    }
    match Built::get("index.html") {
        Some(index) => embedded("index.html", &index, request.headers()),
        None => not_built(),
    }
}

fn embedded(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hexadecimal(&file.metadata.sha256_hash()[..12]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    // The build puts a digest into the names below `assets/` and nowhere else.
    let caching = match path.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let text = kind.type_() == "text" || kind.subtype() == "javascript" || kind.subtype() == "json";
    let kind = if text { format!("{}; charset=utf-8", kind.essence_str()) } else { kind.to_string() };
    let mut answer = HeaderMap::new();
    for (name, value) in [(header::ETAG, tag), (header::CONTENT_TYPE, kind)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.insert(name, value);
        }
    }
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    match known {
        true => (StatusCode::NOT_MODIFIED, answer).into_response(),
        false => (answer, file.data.clone().into_owned()).into_response(),
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    accepted.flat_map(|line| line.split(',')).any(|kind| {
        matches!(kind.split(';').next().unwrap_or_default().trim(), "text/html" | "application/xhtml+xml")
    })
}

fn not_built() -> Response {
    let page = concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>telerad</title>",
        "<h1>The reading room's pages are not built</h1>",
        "<p>Run <code>make web</code>, build the service again and start it. The API answers at ",
        "<a href=\"/api/v1/openapi.json\">/api/v1</a>.</p></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::NOT_FOUND, headers, page).into_response()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
