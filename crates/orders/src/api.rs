//! `/api/v1/orders`: send one, send a table, list.

#![allow(unused_qualifications, reason = "utoipa::path writes full paths for query types")]

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::StatusCode,
};
use domain::{
    audit::Action,
    id::{CentreId, PhysicianId},
    order::Order,
    person::{Physician, Role, Scope},
    port::{Catalog, Clock, catalog::OrderOutcome},
};
use gate::{Caller, ErrorBody, Gate, JsonBody, Problem, QueryPart, json_limits};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    import::{IMPORT_BYTES_MAX, ImportError, ImportReport, import_csv},
    place::{NewOrder, PlaceError, place},
};

/// Most orders of one list.
const LIST_MAX: u32 = 500;

/// What the routes need.
#[derive(Clone)]
pub struct Orders {
    /// Where orders are kept.
    pub catalog: Arc<dyn Catalog>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who may come in.
    pub gate: Gate,
}

/// What became of an order.
#[derive(Debug, Serialize, ToSchema)]
struct PlacedView {
    /// Identity.
    id: String,
    /// `created`, `changed` or `unchanged`.
    outcome: &'static str,
    /// The study that answers it, if one is here.
    linked_study: Option<String>,
}

/// Orders, the latest first.
#[derive(Debug, Serialize, ToSchema)]
struct OrdersView {
    orders: Vec<OrderView>,
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
struct OrderView {
    id: String,
    centre: String,
    accession_number: String,
    patient_id: String,
    patient_name: Option<String>,
    examination: Option<String>,
    reason: Option<String>,
    priority: &'static str,
    physician: Option<PhysicianView>,
    physician_name: Option<String>,
    scheduled: Option<String>,
    linked_study: Option<String>,
    received: String,
}

/// A physician of the centre's directory.
#[derive(Debug, Serialize, ToSchema)]
struct PhysicianView {
    id: String,
    name: String,
    email: Option<String>,
    phone: Option<String>,
}

/// Which centre.
#[derive(Debug, Deserialize, IntoParams)]
struct CentreQuery {
    /// The centre; a token's is its own, and a person who sees one centre only may leave it out.
    centre: Option<String>,
}

/// The routes of `/api/v1/orders`, behind the gate.
pub fn router(orders: Orders) -> Router {
    let gate = orders.gate.clone();
    let json = json_limits(json_routes().with_state(orders.clone()).into());
    let table: Router = table_routes().with_state(orders).into();
    gate.layer(json.merge(table.layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX))))
}

/// The description of these routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut api = json_routes().into_openapi();
    api.merge(table_routes().into_openapi());
    api
}

fn json_routes() -> OpenApiRouter<Orders> {
    OpenApiRouter::default().routes(routes!(list, send))
}

fn table_routes() -> OpenApiRouter<Orders> {
    OpenApiRouter::default().routes(routes!(send_table))
}

/// Sends an order. The same accession number again replaces what was asked.
#[utoipa::path(post, path = "/api/v1/orders", tag = "orders", request_body = NewOrder, responses(
    (status = 201, body = PlacedView), (status = 200, body = PlacedView), (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
async fn send(
    State(orders): State<Orders>,
    caller: Caller,
    JsonBody(order): JsonBody<NewOrder>,
) -> Result<(StatusCode, Json<PlacedView>), Problem> {
    let centre = orders.centre(&caller, order.centre.as_deref()).await?;
    let placed = place(&*orders.catalog, &centre, &order, &caller.actor(), orders.clock.now()).await;
    let placed = placed.map_err(|error| match error {
        PlaceError::Invalid(invalid) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_order",
            format!("In this order {invalid}."),
        ),
        PlaceError::Catalog(error) => error.into(),
    })?;
    let (status, outcome) = match &placed {
        OrderOutcome::Created(_) => (StatusCode::CREATED, "created"),
        OrderOutcome::Changed(_) => (StatusCode::OK, "changed"),
        OrderOutcome::Unchanged(_) => (StatusCode::OK, "unchanged"),
    };
    let order = placed.order();
    let linked_study = order.study.as_ref().map(ToString::to_string);
    Ok((status, Json(PlacedView { id: order.id.to_string(), outcome, linked_study })))
}

/// Orders of a centre, the latest first.
#[utoipa::path(get, path = "/api/v1/orders", tag = "orders", params(CentreQuery), responses(
    (status = 200, body = OrdersView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn list(
    State(orders): State<Orders>,
    caller: Caller,
    QueryPart(query): QueryPart<CentreQuery>,
) -> Result<Json<OrdersView>, Problem> {
    let centre = orders.centre(&caller, query.centre.as_deref()).await?;
    let list = orders.catalog.orders(&centre, LIST_MAX).await?;
    let physicians = orders.catalog.physicians(&centre).await?;
    let physicians = physicians.into_iter().map(|physician| (physician.id, physician)).collect();
    let detail = format!("orders of centre {centre}");
    orders.catalog.record(&caller.actor(), Action::ListViewed, None, &detail, orders.clock.now()).await?;
    Ok(Json(OrdersView { orders: list.iter().map(|order| view(order, &physicians)).collect() }))
}

/// Sends a table of orders: CSV with a header row. Each row has its own answer.
#[utoipa::path(post, path = "/api/v1/orders/import", tag = "orders", params(CentreQuery),
    request_body(content = String, content_type = "text/csv"), responses(
    (status = 200, body = ImportReport), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 413, body = ErrorBody), (status = 422, body = ErrorBody)))]
async fn send_table(
    State(orders): State<Orders>,
    caller: Caller,
    QueryPart(query): QueryPart<CentreQuery>,
    table: Result<Bytes, BytesRejection>,
) -> Result<Json<ImportReport>, Problem> {
    let centre = orders.centre(&caller, query.centre.as_deref()).await?;
    let too_large = || {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The table is larger than 4 MiB.")
            .next_step("Send it in parts.")
    };
    let table = table.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Problem::bad_request("The table broke off."),
    })?;
    let report = import_csv(&*orders.catalog, &*orders.clock, &centre, &table, &caller.actor()).await;
    report.map(Json).map_err(|error| match error {
        ImportError::TooLarge => too_large(),
        ImportError::Catalog(error) => error.into(),
        refusal @ (ImportError::TooManyRows
        | ImportError::NotUtf8
        | ImportError::ColumnMissing(_)
        | ImportError::ColumnUnknown(_)) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_table",
            format!("Nothing was imported: {refusal}."),
        )
        .next_step(
            "Columns are accession_number, patient_id, patient_name, examination, reason, priority, \
                            physician_name, physician_email, physician_phone, scheduled.",
        ),
    })
}

impl Orders {
    /// The centre that a request is about, if the caller may send and see orders there.
    async fn centre(&self, caller: &Caller, asked: Option<&str>) -> Result<CentreId, Problem> {
        let asked = asked.map(CentreId::parse).transpose().map_err(|_| Problem::unknown())?;
        let centre = match (caller, asked) {
            (Caller::Program(program), asked) => {
                caller.require_role(&[Role::Centre, Role::Admin])?;
                asked.unwrap_or_else(|| program.token.centre.clone())
            }
            (Caller::Person(_), Some(asked)) => asked,
            (Caller::Person(person), None) => self.only_centre(person.scope()).await?,
        };
        caller.require_centre(&centre)?;
        match self.catalog.centre(&centre).await? {
            Some(_) => Ok(centre),
            None => Err(Problem::unknown()),
        }
    }

    async fn only_centre(&self, scope: &Scope) -> Result<CentreId, Problem> {
        let centres = match scope {
            Scope::Centres(centres) => centres.clone(),
            Scope::AllCentres => self.catalog.centres().await?.into_iter().map(|centre| centre.id).collect(),
        };
        match centres.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "centre_missing", "Say which centre.")
                .next_step("Name it in `centre`.")),
        }
    }
}

fn view(order: &Order, physicians: &HashMap<PhysicianId, Physician>) -> OrderView {
    let request = &order.request;
    let physician = request.physician.and_then(|id| physicians.get(&id)).map(|physician| PhysicianView {
        id: physician.id.to_string(),
        name: physician.name.display(),
        email: physician.email.as_ref().map(|email| email.as_str().to_owned()),
        phone: physician.phone.clone(),
    });
    OrderView {
        id: order.id.to_string(),
        centre: order.centre.to_string(),
        accession_number: request.accession_number.as_str().to_owned(),
        patient_id: request.patient_id.as_str().to_owned(),
        patient_name: request.patient_name.as_ref().map(domain::text::PersonName::display),
        examination: request.examination.clone(),
        reason: request.reason.clone(),
        priority: request.priority.as_str(),
        physician,
        physician_name: request.physician_name.as_ref().map(domain::text::PersonName::display),
        scheduled: request.scheduled.map(|day| day.to_string()),
        linked_study: order.study.as_ref().map(ToString::to_string),
        received: order.received.to_string(),
    }
}
