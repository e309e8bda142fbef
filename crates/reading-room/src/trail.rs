//! `GET /api/v1/studies/{centre}/{study}/trail`: who did or saw what.

use axum::{Json, extract::State};
use domain::{
    id::{DeliveryId, PersonId},
    port::Catalog,
};
use gate::{ErrorBody, PathPart, Problem, SignedInPerson};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{people::Names, room::Room};

/// Most events of one study shown, the oldest first.
const EVENTS_MAX: u32 = 2000;

/// The audit of a study, the oldest event first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrailView {
    events: Vec<EventView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct EventView {
    at: String,
    actor: String,
    action: String,
    detail: String,
}

/// Who did or saw what of a study.
#[utoipa::path(get, path = "/api/v1/studies/{centre}/{study}/trail", tag = "reading",
    params(("centre" = String, Path), ("study" = String, Path)), responses(
    (status = 200, body = TrailView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn trail(
    State(room): State<Room>,
    person: SignedInPerson,
    PathPart((centre, study)): PathPart<(String, String)>,
) -> Result<Json<TrailView>, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    room.note_study_viewed(&person, &study.key).await?;
    let mut names = Names::new(&*room.catalog);
    let mut events = Vec::new();
    for event in room.catalog.study_trail(&study.key, EVENTS_MAX).await? {
        events.push(EventView {
            at: event.at.to_string(),
            actor: actor_name(&*room.catalog, &event.actor, &mut names).await?,
            action: event.action,
            detail: event.detail,
        });
    }
    Ok(Json(TrailView { events }))
}

/// The actor, as a person reads it.
pub(crate) async fn actor_name(
    catalog: &dyn Catalog,
    actor: &str,
    names: &mut Names<'_>,
) -> Result<String, Problem> {
    let (kind, identity) = actor.split_once(':').unwrap_or((actor, ""));
    Ok(match kind {
        "person" => match PersonId::parse(identity) {
            Ok(id) => names.of(id).await?,
            Err(_) => actor.to_owned(),
        },
        "link" => {
            let delivery = match DeliveryId::parse(identity) {
                Ok(id) => catalog.delivery(id).await?,
                Err(_) => None,
            };
            match delivery {
                Some(delivery) => format!("{} (personal link)", delivery.recipient.name()),
                None => "holder of a personal link".to_owned(),
            }
        }
        "peer" => format!("DICOM peer {identity}"),
        "token" => format!("program with token {identity}"),
        "role" => format!("telerad ({identity})"),
        "operator" => "operator at the command line".to_owned(),
        _ => actor.to_owned(),
    })
}
