//! All routes in one router, and their description.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use gate::{Gate, SESSION_COOKIE, json_limits};
use utoipa::openapi::{
    Components, Info, OpenApi,
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    conflicts, deliveries, mailbox, marks, memory::RecentlySeen, pages, pdf, pictures, report,
    room::ReadingRoom, room::Room, status, study, taken_out, tasks, trail, worklist,
};

/// Everything below `/api/v1` but orders, the pages of the UI, and the viewer. Its fallback answers every address that nothing else
/// does, so merge other routers into it, not it into others that have one.
pub fn router(room: ReadingRoom) -> Router {
    let described = describe(&room.gate, room.also_described);
    let state = Room {
        catalog: room.catalog,
        storage: room.storage,
        pixels: room.pixels,
        clock: room.clock,
        gate: room.gate.clone(),
        mail_configured: room.mail_configured,
        overview: room.overview,
        seen: Arc::new(RecentlySeen::default()),
        openapi: described.to_json().unwrap_or_default().into(),
    };
    let api: Router = routes().with_state(state).into();
    room.gate.layer(json_limits(api)).merge(room.gate.session_router()).merge(pages::router(room.viewer))
}

/// The description of these routes alone.
#[must_use]
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<Room> {
    OpenApiRouter::default()
        .routes(routes!(worklist::worklist))
        .routes(routes!(study::study))
        .routes(routes!(report::claim))
        .routes(routes!(report::save))
        .routes(routes!(report::sign))
        .routes(routes!(pictures::of_draft))
        .routes(routes!(pictures::of_version))
        .routes(routes!(marks::marked))
        .routes(routes!(marks::picture))
        .routes(routes!(pdf::report))
        .routes(routes!(trail::trail))
        .routes(routes!(deliveries::deliveries))
        .routes(routes!(tasks::tasks))
        .routes(routes!(tasks::close))
        .routes(routes!(conflicts::conflicts))
        .routes(routes!(conflicts::conflict))
        .routes(routes!(conflicts::decide))
        .routes(routes!(taken_out::taken_out))
        .routes(routes!(mailbox::mailbox))
        .routes(routes!(mailbox::mail))
        .routes(routes!(status::status))
        .routes(routes!(description))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "service", security(()),
    responses((status = 200, content_type = "application/json")))]
async fn description(State(room): State<Room>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], room.openapi.to_string()).into_response()
}

fn describe(gate: &Gate, others: Vec<OpenApi>) -> OpenApi {
    let mut whole = openapi();
    whole.merge(gate.openapi());
    for other in others {
        whole.merge(other);
    }
    let mut info = Info::new("telerad", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Reading room, results and orders. People sign in and get a cookie; programs send a bearer token."
            .to_owned(),
    );
    whole.info = info;
    let components = whole.components.get_or_insert_with(Components::default);
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(SESSION_COOKIE))),
    );
    components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let nothing: [&str; 0] = [];
    whole.security =
        Some(vec![SecurityRequirement::new("session", nothing), SecurityRequirement::new("token", nothing)]);
    whole
}
