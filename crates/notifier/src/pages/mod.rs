//! The physician's pages: the report behind a personal link, its pictures, its PDF, and the button that says that it was read.
//!
//! Plain HTML without scripts, so that it works on any phone and prints. Looking never acknowledges, since mail scanners follow links;
//! a form does. A wrong link, a mistyped one and one that never was get the same answer. Each view is in the audit before it is shown.

mod guard;
mod view;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Form, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::FormRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use domain::{
    audit::{Action, Actor},
    delivery::Delivery,
    port::{Catalog, CatalogError, Clock, Storage, StorageError},
    report::ReportVersion,
};
use gate::ClientAddress;
use serde::Deserialize;

use self::{
    guard::UnknownLinks,
    view::{Page, STYLE, notice},
};
use crate::{
    config::Settings,
    facts::Facts,
    link,
    pdf::{PdfError, is_named_by_digest, key_image},
};

/// Most characters of the name that somebody gives.
pub const READER_NAME_CHARS_MAX: usize = 120;
/// Most bytes of the form: a name, percent-encoded.
const FORM_BYTES_MAX: usize = 4 * 1024;
/// Most bytes of a PDF that is held in memory to be checked and sent.
const PDF_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest time for one request, far beyond what a healthy catalog and store need.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// Nothing is loaded but our style and our pictures; nothing is sent but to us.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                              frame-ancestors 'none'";
/// A PDF is shown by the browser's own viewer, which brings styles and scripts of its own.
const PDF_CONTENT_POLICY: &str = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the pages work with.
#[derive(Clone)]
pub struct Pages {
    /// What is known.
    pub catalog: Arc<dyn Catalog>,
    /// Key images and PDFs.
    pub storage: Arc<dyn Storage>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Checked settings.
    pub settings: Arc<Settings>,
}

struct Shared {
    pages: Pages,
    unknown: Mutex<UnknownLinks>,
}

type Door = State<Arc<Shared>>;

/// What the form sends.
#[derive(Deserialize)]
struct Reader {
    name: String,
}

/// Why a page is not shown.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error("no such page")]
    Unknown,
    #[error("too many unknown links")]
    TooMany,
    #[error("the form came from another site")]
    Foreign,
    #[error("the PDF is not ready")]
    NotReady,
    #[error("a stored object cannot be read")]
    Storage(#[from] StorageError),
    #[error("a stored object does not match its digest")]
    Changed,
    #[error(transparent)]
    Picture(#[from] PdfError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the service took too long")]
    TooSlow,
}

/// An opened link.
struct Opened {
    delivery: Delivery,
    facts: Facts,
}

/// The pages below `/r`. To be put behind the gate, which tells the caller's address.
pub fn router(pages: Pages) -> Router {
    let shared = Arc::new(Shared { pages, unknown: Mutex::default() });
    Router::new()
        .route("/r/style.css", get(style))
        .route("/r/{secret}", get(report))
        .route("/r/{secret}/acknowledge", get(back).post(acknowledge))
        .route("/r/{secret}/report.pdf", get(report_pdf))
        .route("/r/{secret}/key-images/{number}", get(picture))
        .route("/r/{secret}/versions/{version}/key-images/{number}", get(picture_of_version))
        .route("/r/{secret}/{*rest}", get(nothing))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn(careful))
        .with_state(shared)
}

async fn report(
    State(shared): Door,
    Path(secret): Path<String>,
    address: ClientAddress,
) -> Result<Response, PageError> {
    let opened = shared.open(&secret, address).await?;
    shared.viewed(&opened, "page").await?;
    Ok(html(StatusCode::OK, shared.page(&opened, &secret, None).await?))
}

async fn acknowledge(
    State(shared): Door,
    Path(secret): Path<String>,
    address: ClientAddress,
    headers: HeaderMap,
    form: Result<Form<Reader>, FormRejection>,
) -> Result<Response, PageError> {
    let opened = shared.open(&secret, address).await?;
    if guard::is_foreign(&headers, &shared.pages.settings.authority) {
        return Err(PageError::Foreign);
    }
    let name = form.ok().and_then(|Form(reader)| reader_name(&reader.name));
    let Some(name) = name else {
        shared.viewed(&opened, "page").await?;
        let page = shared.page(&opened, &secret, Some("Please give your name.")).await?;
        return Ok(html(StatusCode::UNPROCESSABLE_ENTITY, page));
    };
    let (id, now) = (opened.delivery.id, shared.pages.clock.now());
    let acknowledged = shared.pages.catalog.acknowledge(id, &name, &Actor::Link(id), now).await?;
    acknowledged.ok_or(PageError::Unknown)?;
    metrics::counter!("notifier_acknowledgements_total").increment(1);
    tracing::info!(delivery = %id, "report acknowledged");
    Ok(to_page(&secret))
}

/// Somebody reloads the address of the form: back to the page, nothing acknowledged.
async fn back(Path(secret): Path<String>) -> Response {
    to_page(&secret)
}

async fn report_pdf(
    State(shared): Door,
    Path(secret): Path<String>,
    address: ClientAddress,
) -> Result<Response, PageError> {
    let opened = shared.open(&secret, address).await?;
    let (study, number) = (&opened.delivery.study, opened.delivery.version);
    let key = shared.pages.catalog.pdf(study, number).await?.ok_or(PageError::NotReady)?;
    let bytes = shared.pages.storage.read(&key.clone().into(), None).await?.collect(PDF_BYTES_MAX).await?;
    if !is_named_by_digest(&key, &bytes) {
        return Err(PageError::Changed);
    }
    shared.viewed(&opened, "pdf").await?;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf"),
        (header::CONTENT_DISPOSITION, "inline; filename=\"radiology-report.pdf\""),
        (header::CONTENT_SECURITY_POLICY, PDF_CONTENT_POLICY),
    ];
    Ok((headers, bytes).into_response())
}

async fn picture(
    State(shared): Door,
    Path((secret, number)): Path<(String, String)>,
    address: ClientAddress,
) -> Result<Response, PageError> {
    let opened = shared.open(&secret, address).await?;
    shared.picture(&opened, &opened.facts.version, &number).await
}

async fn picture_of_version(
    State(shared): Door,
    Path((secret, version, number)): Path<(String, String, String)>,
    address: ClientAddress,
) -> Result<Response, PageError> {
    let opened = shared.open(&secret, address).await?;
    let facts = &opened.facts;
    let mut others = facts.earlier.iter().chain(&facts.later);
    let version = others.find(|other| other.number.to_string() == version).ok_or(PageError::Unknown)?;
    shared.picture(&opened, version, &number).await
}

async fn nothing(
    State(shared): Door,
    Path((secret, _)): Path<(String, String)>,
    address: ClientAddress,
) -> Result<Response, PageError> {
    shared.open(&secret, address).await?;
    Err(PageError::Unknown)
}

async fn style() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, STYLE).into_response()
}

impl Shared {
    /// Opens a link. Whatever the secret looks like, it takes one digest and one look-up; only digests are compared.
    async fn open(&self, secret: &str, address: ClientAddress) -> Result<Opened, PageError> {
        let now = self.pages.clock.now();
        if self.unknown().is_resting(address.0, now) {
            return Err(PageError::TooMany);
        }
        let catalog = &*self.pages.catalog;
        let Some(delivery) = catalog.delivery_by_link(link::digest(secret)).await? else {
            self.unknown().count(address.0, now);
            return Err(PageError::Unknown);
        };
        let facts =
            Facts::load(catalog, &delivery.study, delivery.version).await?.ok_or(PageError::Unknown)?;
        Ok(Opened { delivery, facts })
    }

    async fn page(
        &self,
        opened: &Opened,
        secret: &str,
        complaint: Option<&'static str>,
    ) -> Result<String, PageError> {
        let Opened { delivery, facts } = opened;
        let has_pdf = self.pages.catalog.pdf(&delivery.study, delivery.version).await?.is_some();
        Ok(view::report(&Page { delivery, facts, secret, has_pdf, complaint }))
    }

    async fn picture(
        &self,
        opened: &Opened,
        version: &ReportVersion,
        number: &str,
    ) -> Result<Response, PageError> {
        let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let image = index.and_then(|index| version.key_images.get(index)).ok_or(PageError::Unknown)?;
        let png = key_image(&*self.pages.storage, image).await?;
        self.viewed(opened, "key image").await?;
        Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
    }

    async fn viewed(&self, opened: &Opened, what: &str) -> Result<(), CatalogError> {
        let delivery = &opened.delivery;
        let detail = format!("{what} of version {}", delivery.version);
        let (actor, now) = (Actor::Link(delivery.id), self.pages.clock.now());
        self.pages.catalog.record(&actor, Action::ReportViewed, Some(&delivery.study), &detail, now).await
    }

    fn unknown(&self) -> std::sync::MutexGuard<'_, UnknownLinks> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, words) = match &self {
            Self::Unknown => (
                StatusCode::NOT_FOUND,
                "There is no such page",
                "Please check that the whole link from the mail is in the address line. If it is, telephone the imaging \
                 centre named in the mail.",
            ),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong links",
                "Many wrong links were opened from your network. Please wait a minute and try again.",
            ),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "This was not sent from our page",
                "Please open the link from the mail and use the button there.",
            ),
            Self::NotReady => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The PDF is being prepared",
                "Please go back, read the report on its page, and try again in a minute.",
            ),
            Self::Storage(_) | Self::Changed | Self::Picture(_) | Self::Catalog(_) | Self::TooSlow => {
                tracing::warn!(error = %self, "a physician's page could not be shown");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "This cannot be shown just now",
                    "Please try again in a minute. If you need the result at once, telephone the imaging centre named in \
                     the mail.",
                )
            }
        };
        let mut response = html(status, notice(title, words));
        let wait = match status {
            StatusCode::TOO_MANY_REQUESTS => Some("60"),
            StatusCode::SERVICE_UNAVAILABLE => Some("10"),
            _ => None,
        };
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}

/// Puts the time limit and the headers around every answer; what a handler set itself stays.
async fn careful(request: Request<Body>, next: Next) -> Response {
    let answered = tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| PageError::TooSlow.into_response());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        // Not `no-referrer`: browsers would send `Origin: null` with our own form. No other site hears of the link either way.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn html(status: StatusCode, page: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// Back to the page of a link. The secret may be any text here, so it is encoded anew.
fn to_page(secret: &str) -> Response {
    let mut encoded = String::with_capacity(secret.len());
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Redirect::to(&format!("/r/{encoded}#acknowledgement")).into_response()
}

fn reader_name(text: &str) -> Option<String> {
    let name = domain::text::bounded(text);
    (!name.is_empty() && name.chars().count() <= READER_NAME_CHARS_MAX).then_some(name)
}
