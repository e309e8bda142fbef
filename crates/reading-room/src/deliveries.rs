//! `GET /api/v1/deliveries`: what became of signed reports.

#![allow(unused_qualifications, reason = "utoipa::path writes full paths for query types")]

use std::collections::{BTreeSet, HashMap};

use axum::{extract::State, http::HeaderMap, response::Response};
use domain::{
    delivery::Delivery,
    port::{
        Catalog,
        catalog::{DeliveryFilter, StudyFilter},
    },
    study::StudyKey,
};
use gate::{ErrorBody, Problem, QueryPart, SignedInPerson};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{bound::tagged, room::Room, views::DeliveryView};

/// Most deliveries of one list.
const DELIVERIES_MAX: u32 = 500;

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct DeliveriesQuery {
    /// Only those that nobody acknowledged.
    #[serde(default)]
    unacknowledged: bool,
}

/// Deliveries, the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveriesView {
    deliveries: Vec<DeliveryView>,
}

/// What became of signed reports, the latest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "results", params(DeliveriesQuery), responses(
    (status = 200, body = DeliveriesView), (status = 304), (status = 401, body = ErrorBody)))]
pub(crate) async fn deliveries(
    State(room): State<Room>,
    person: SignedInPerson,
    headers: HeaderMap,
    QueryPart(query): QueryPart<DeliveriesQuery>,
) -> Result<Response, Problem> {
    let filter = DeliveryFilter {
        scope: person.scope().clone(),
        study: None,
        unacknowledged: query.unacknowledged,
        limit: DELIVERIES_MAX,
    };
    let found = room.catalog.deliveries(&filter).await?;
    room.note_list_viewed(&person, "deliveries").await?;
    let patients = patient_names(&*room.catalog, &found).await?;
    let view = |one: &Delivery| DeliveryView::new(one, patients.get(&one.study).cloned());
    let view = DeliveriesView { deliveries: found.iter().map(view).collect() };
    tagged(&headers, &view, &view)
}

async fn patient_names(
    catalog: &dyn Catalog,
    deliveries: &[Delivery],
) -> Result<HashMap<StudyKey, String>, Problem> {
    let centres: BTreeSet<_> = deliveries.iter().map(|one| one.study.centre.clone()).collect();
    let uids: BTreeSet<_> = deliveries.iter().map(|one| one.study.uid.clone()).collect();
    if uids.is_empty() {
        return Ok(HashMap::new());
    }
    // The same Study Instance UID may stand at several centres.
    let most = uids.len().saturating_mul(centres.len());
    let filter = StudyFilter {
        centres: centres.into_iter().collect(),
        study_uids: uids.into_iter().collect(),
        limit: u32::try_from(most).unwrap_or(u32::MAX),
        ..StudyFilter::default()
    };
    let studies = catalog.studies(&filter).await?;
    let named = |study: domain::study::Study| Some((study.key, study.attributes.patient_name?.display()));
    Ok(studies.into_iter().filter_map(named).collect())
}
