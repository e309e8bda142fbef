//! `GET /api/v1/worklist`.

#![allow(unused_qualifications, reason = "utoipa::path writes full paths for query types")]

use axum::{extract::State, http::HeaderMap, response::Response};
use domain::port::catalog::WorklistFilter;
use gate::{ErrorBody, Problem, QueryPart, SignedInPerson};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{bound::tagged, room::Room, views::EntryView};

/// Most lines that are sent.
const ENTRIES_MAX: usize = 500;
/// Most lines that are counted.
const COUNTED_MAX: u32 = 2000;
/// Most characters of a search text.
const SEARCH_CHARS_MAX: usize = 200;

/// Which part of the worklist.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct WorklistQuery {
    /// Also signed ones.
    #[serde(default)]
    signed: bool,
    /// Part of patient name, patient id or accession number.
    #[serde(default)]
    q: String,
}

/// The worklist, the most urgent first, then in the order of arrival.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorklistView {
    /// The server's time; not part of the entity tag.
    now: String,
    /// How many there are; `entries` may hold the first of them only.
    total: usize,
    entries: Vec<EntryView>,
}

/// The worklist. Pages ask every two seconds with If-None-Match.
#[utoipa::path(get, path = "/api/v1/worklist", tag = "reading", params(WorklistQuery), responses(
    (status = 200, body = WorklistView), (status = 304), (status = 401, body = ErrorBody)))]
pub(crate) async fn worklist(
    State(room): State<Room>,
    person: SignedInPerson,
    headers: HeaderMap,
    QueryPart(query): QueryPart<WorklistQuery>,
) -> Result<Response, Problem> {
    let now = room.clock.now();
    let text: String = query.q.trim().chars().take(SEARCH_CHARS_MAX).collect();
    let filter = WorklistFilter {
        scope: person.scope().clone(),
        signed: query.signed,
        text: (!text.is_empty()).then_some(text),
        limit: COUNTED_MAX,
    };
    let found = room.catalog.worklist(&filter, now).await?;
    room.note_list_viewed(&person, "worklist").await?;
    let entry = |entry| EntryView::new(entry, person.person.id, now);
    let view = WorklistView {
        now: now.to_string(),
        total: found.len(),
        entries: found.iter().take(ENTRIES_MAX).map(entry).collect(),
    };
    tagged(&headers, &view, &(view.total, &view.entries))
}
