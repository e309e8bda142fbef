//! `GET …/versions/{n}/report.pdf`: a signed version on paper, as it was made when it was signed. It is never made here: another machine
//! has other fonts, and a signed version never changes.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::audit::Action;
use gate::{ErrorBody, PathPart, Problem, SignedInPerson};

use crate::{pictures::read_object, room::Room};

/// Most bytes of one PDF; a renderer is bounded in pages and pictures, which stay far below this.
const PDF_BYTES_MAX: usize = 256 << 20;
/// Seconds after which a page may ask again for a PDF that is being made.
const RETRY_AFTER_SECONDS: u32 = 2;

/// A signed version as PDF.
#[utoipa::path(get, path = "/api/v1/studies/{centre}/{study}/versions/{number}/report.pdf", tag = "reading",
    params(("centre" = String, Path), ("study" = String, Path), ("number" = u32, Path)), responses(
    (status = 200, content_type = "application/pdf"), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 503, body = ErrorBody, description = "It is being made")))]
pub(crate) async fn report(
    State(room): State<Room>,
    person: SignedInPerson,
    PathPart((centre, study, number)): PathPart<(String, String, u32)>,
) -> Result<Response, Problem> {
    let study = room.study(&person, &centre, &study).await?.key;
    if room.catalog.versions(&study).await?.iter().all(|version| version.number != number) {
        return Err(Problem::unknown());
    }
    let object = room.catalog.pdf(&study, number).await?.ok_or_else(being_made)?;
    let pdf = read_object(&*room.storage, &object, PDF_BYTES_MAX).await?;
    let detail = format!("version {number} as PDF");
    room.catalog
        .record(&person.actor(), Action::ReportViewed, Some(&study), &detail, room.clock.now())
        .await?;
    let name = HeaderValue::try_from(format!("inline; filename=\"report-version-{number}.pdf\""))
        .map_err(|error| Problem::internal(&error))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/pdf")),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from(pdf)).into_response())
}

fn being_made() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "being_made",
        "The PDF of this version is still being made.",
    )
    .next_step("Open it again in a moment. If it does not come, look at the page of what needs attention.")
    .retry_after(RETRY_AFTER_SECONDS)
}
