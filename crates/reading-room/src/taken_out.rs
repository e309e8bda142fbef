//! `GET /api/v1/taken-out`: studies that were taken out, of all centres that an administrator sees. Taking a study out and bringing it back
//! is not here: both are requests of DICOMweb (decision 19).

use std::collections::HashMap;

use axum::{extract::State, http::HeaderMap, response::Response};
use domain::{id::CentreId, person::Role, port::catalog::TakenOut};
use gate::{ErrorBody, Problem, SignedInPerson};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{bound::tagged, people::Names, room::Room, trail::actor_name, views::PatientView};

/// Most studies of one list, the latest; of older ones the audit tells.
const TAKEN_OUT_MAX: u32 = 500;

/// Studies that were taken out, the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TakenOutListView {
    studies: Vec<TakenOutView>,
    /// There are older ones.
    more: bool,
}

/// A study that was taken out.
#[derive(Debug, Serialize, ToSchema)]
struct TakenOutView {
    centre: String,
    centre_name: String,
    study_uid: String,
    patient: PatientView,
    accession_number: Option<String>,
    description: Option<String>,
    study_date: Option<String>,
    modalities: Vec<String>,
    series_count: u32,
    instance_count: u32,
    bytes: u64,
    taken_out: String,
    by_name: String,
    /// Why, in their words; it may name a patient.
    reason: String,
    /// Until when it can come back.
    until: String,
    /// It can come back now; otherwise it is being removed.
    can_come_back: bool,
    /// Images of it that came since and were refused.
    refused_count: u64,
    last_refused: Option<String>,
}

/// Studies that were taken out and can come back, or are being removed. For administrators.
#[utoipa::path(get, path = "/api/v1/taken-out", tag = "taken out", responses(
    (status = 200, body = TakenOutListView), (status = 304), (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody)))]
pub(crate) async fn taken_out(
    State(room): State<Room>,
    person: SignedInPerson,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    person.require_role(&[Role::Admin])?;
    room.note_list_viewed(&person, "taken out").await?;
    let mut found = room.catalog.taken_out(person.scope(), TAKEN_OUT_MAX + 1).await?;
    let more = found.len() > TAKEN_OUT_MAX as usize;
    found.truncate(TAKEN_OUT_MAX as usize);
    let centres: HashMap<CentreId, String> =
        room.catalog.centres().await?.into_iter().map(|centre| (centre.id, centre.name)).collect();
    let mut names = Names::new(&*room.catalog);
    let mut studies = Vec::with_capacity(found.len());
    for out in found {
        let by_name = actor_name(&*room.catalog, &out.by, &mut names).await?;
        let can_come_back = !out.is_over && out.until > room.clock.now();
        studies.push(TakenOutView::new(out, &centres, by_name, can_come_back));
    }
    let view = TakenOutListView { studies, more };
    tagged(&headers, &view, &view)
}

impl TakenOutView {
    fn new(out: TakenOut, centres: &HashMap<CentreId, String>, by_name: String, can_come_back: bool) -> Self {
        let TakenOut { study, at, until, by: _, reason, is_over: _, refused_count, last_refused } = out;
        let centre = &study.key.centre;
        let attributes = &study.attributes;
        Self {
            centre: centre.to_string(),
            centre_name: centres.get(centre).cloned().unwrap_or_else(|| centre.to_string()),
            study_uid: study.key.uid.to_string(),
            patient: PatientView::new(&study),
            accession_number: attributes.accession_number.as_ref().map(|number| number.as_str().to_owned()),
            description: attributes.description.clone(),
            study_date: attributes.study_date.map(|day| day.to_string()),
            series_count: study.series_count,
            instance_count: study.instance_count,
            bytes: study.bytes,
            taken_out: at.to_string(),
            by_name,
            reason,
            until: until.to_string(),
            can_come_back,
            refused_count,
            last_refused: last_refused.map(|at| at.to_string()),
            modalities: study.modalities,
        }
    }
}
