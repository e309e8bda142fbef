//! `GET …/versions/{n}/report.pdf`: a signed version on paper, made when asked for and kept for a while.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use documents::{
    RenderError, Renderer, ReportSheet, Warning,
    signed::{SignedReport, sheet},
};
use domain::{
    audit::Action, centre::Centre, digest::Sha256Digest, order::Order, report::ReportVersion, study::Study,
};
use gate::{ErrorBody, PathPart, Problem, SignedInPerson};
use tokio::sync::Semaphore;

use crate::{
    pictures::read_picture,
    room::{RENDER_WAIT_MAX, Room},
};

/// PDFs made at once: each takes a processor for up to seconds.
const RENDERINGS_AT_ONCE: usize = 2;
/// Most PDFs kept.
const SHELF_FILES_MAX: usize = 64;
/// Most bytes of PDFs kept.
const SHELF_BYTES_MAX: usize = 64 * 1024 * 1024;

/// PDFs that were made lately.
pub(crate) struct PdfShelf {
    renderer: Arc<Renderer>,
    turns: Arc<Semaphore>,
    files: Mutex<VecDeque<(Sha256Digest, Bytes)>>,
}

/// What a sheet is made of, read from the catalog.
struct Facts {
    study: Study,
    centre: Centre,
    order: Option<Order>,
    physician: Option<String>,
    versions: Vec<ReportVersion>,
    /// Where the version stands among them.
    place: usize,
}

impl Facts {
    fn version(&self) -> &ReportVersion {
        &self.versions[self.place]
    }

    fn sheet(&self, key_images: Vec<Vec<u8>>) -> ReportSheet {
        sheet(&SignedReport {
            study: &self.study,
            centre: &self.centre,
            order: self.order.as_ref(),
            physician: self.physician.as_deref(),
            version: self.version(),
            earlier: &self.versions[..self.place],
            key_images,
        })
    }

    /// Two sheets with the same words and the same pictures are one PDF.
    fn identity(&self) -> Sha256Digest {
        let pictures: Vec<&str> =
            self.version().key_images.iter().map(|image| image.object.as_str()).collect();
        Sha256Digest::of(format!("{:?} {pictures:?}", self.sheet(Vec::new())).as_bytes())
    }
}

/// A signed version as PDF.
#[utoipa::path(get, path = "/api/v1/studies/{centre}/{study}/versions/{number}/report.pdf", tag = "reading",
    params(("centre" = String, Path), ("study" = String, Path), ("number" = u32, Path)), responses(
    (status = 200, content_type = "application/pdf"), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub(crate) async fn report(
    State(room): State<Room>,
    person: SignedInPerson,
    PathPart((centre, study, number)): PathPart<(String, String, u32)>,
) -> Result<Response, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    let key = study.key.clone();
    let facts = room.facts(study, number).await?;
    let pdf = room.pdf(facts).await?;
    let detail = format!("version {number} as PDF");
    room.catalog.record(&person.actor(), Action::ReportViewed, Some(&key), &detail, room.clock.now()).await?;
    let name = HeaderValue::try_from(format!("inline; filename=\"report-version-{number}.pdf\""))
        .map_err(|error| Problem::internal(&error))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/pdf")),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from(pdf)).into_response())
}

impl Room {
    async fn facts(&self, study: Study, number: u32) -> Result<Facts, Problem> {
        let versions = self.catalog.versions(&study.key).await?;
        let place = versions.iter().position(|version| version.number == number);
        let place = place.ok_or_else(Problem::unknown)?;
        let centre = self.catalog.centre(&study.key.centre).await?.ok_or_else(Problem::unknown)?;
        let order = match study.order {
            Some((id, _)) => self.catalog.order(&centre.id, id).await?,
            None => None,
        };
        let physician = match &order {
            Some(order) => self.ordering_physician(&study.key, &order.request).await?,
            None => None,
        };
        Ok(Facts { study, centre, order, physician, versions, place })
    }

    async fn pdf(&self, facts: Facts) -> Result<Bytes, Problem> {
        let identity = facts.identity();
        if let Some(pdf) = self.pdfs.get(identity) {
            return Ok(pdf);
        }
        let turn = tokio::time::timeout(RENDER_WAIT_MAX, self.pdfs.turns.clone().acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Err(busy()) };
        // Somebody else may have made it while we waited for our turn.
        if let Some(pdf) = self.pdfs.get(identity) {
            return Ok(pdf);
        }
        let mut pictures = Vec::new();
        for image in &facts.version().key_images {
            pictures.push(read_picture(&*self.storage, image).await?);
        }
        let renderer = self.pdfs.renderer.clone();
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            renderer.render(&facts.sheet(pictures))
        });
        let pdf = made.await.map_err(|error| Problem::internal(&error))?;
        let pdf = pdf.map_err(|error: RenderError| Problem::internal(&error))?;
        let missing =
            pdf.warnings.iter().filter(|warning| matches!(warning, Warning::MissingCharacter { .. }));
        let missing = missing.count();
        if missing > 0 {
            tracing::warn!(
                missing,
                "no font shows some characters of a report: install fonts for its script"
            );
        }
        let bytes = Bytes::from(pdf.bytes);
        self.pdfs.put(identity, bytes.clone());
        Ok(bytes)
    }
}

impl PdfShelf {
    pub(crate) fn new(renderer: Arc<Renderer>) -> Self {
        Self { renderer, turns: Arc::new(Semaphore::new(RENDERINGS_AT_ONCE)), files: Mutex::default() }
    }

    fn get(&self, identity: Sha256Digest) -> Option<Bytes> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let place = files.iter().position(|(known, _)| *known == identity)?;
        let found = files.remove(place)?;
        let bytes = found.1.clone();
        files.push_back(found);
        Some(bytes)
    }

    fn put(&self, identity: Sha256Digest, bytes: Bytes) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|(known, _)| *known != identity);
        files.push_back((identity, bytes));
        let held =
            |files: &VecDeque<(Sha256Digest, Bytes)>| files.iter().map(|(_, file)| file.len()).sum::<usize>();
        while files.len() > SHELF_FILES_MAX || held(&files) > SHELF_BYTES_MAX {
            if files.pop_front().is_none() {
                return;
            }
        }
    }
}

fn busy() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many documents are being made.")
        .next_step("Try again in a moment.")
        .retry_after(5)
}
