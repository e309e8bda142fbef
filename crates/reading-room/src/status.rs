//! `GET /api/v1/status`: which limits are in force, how much of them is in use, what was refused. For administrators.

use axum::{Json, extract::State};
use domain::{
    limit::{Limit, Section, Tally},
    person::Role,
    port::Broker,
    work::Queue,
};
use gate::{ErrorBody, Problem, SignedInPerson};
use serde::Serialize;
use utoipa::ToSchema;

use crate::room::Room;

/// The parts of this process, and the queues that it shares with others.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusView {
    at: String,
    sections: Vec<SectionView>,
    queues: Vec<QueueView>,
}

/// One part: its limits, and what it refused since the process started.
#[derive(Debug, Serialize, ToSchema)]
struct SectionView {
    title: &'static str,
    limits: Vec<LimitView>,
    refused: Vec<RefusedView>,
}

/// A limit; `setting` is the key that changes it, `in_use` is what is taken of it now.
#[derive(Debug, Serialize, ToSchema)]
struct LimitView {
    name: &'static str,
    value: u64,
    unit: &'static str,
    setting: Option<&'static str>,
    in_use: Option<u64>,
}

/// What was refused for one reason since the process started.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedView {
    reason: &'static str,
    count: u64,
}

/// Work that waits; no numbers when the broker does not answer.
#[derive(Debug, Serialize, ToSchema)]
struct QueueView {
    name: &'static str,
    waiting: Option<u64>,
    in_hand: Option<u64>,
}

/// The limits that are in force, their use, and what was refused since the start. For administrators.
#[utoipa::path(get, path = "/api/v1/status", tag = "service", responses(
    (status = 200, body = StatusView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn status(
    State(room): State<Room>,
    person: SignedInPerson,
) -> Result<Json<StatusView>, Problem> {
    person.require_role(&[Role::Admin])?;
    let mut queues = Vec::new();
    if let Some(broker) = &room.overview.broker {
        for queue in Queue::ALL {
            queues.push(depth_of(&**broker, queue).await);
        }
    }
    let sections = room.overview.parts.iter().map(|part| section(part.section())).collect();
    Ok(Json(StatusView { at: room.clock.now().to_string(), sections, queues }))
}

fn section(Section { title, limits, refused }: Section) -> SectionView {
    let limits = limits
        .into_iter()
        .map(|Limit { name, value, unit, setting, in_use }| LimitView {
            name,
            value,
            unit: unit.as_str(),
            setting,
            in_use,
        })
        .collect();
    let refused =
        refused.into_iter().map(|Tally { name, count }| RefusedView { reason: name, count }).collect();
    SectionView { title, limits, refused }
}

async fn depth_of(broker: &dyn Broker, queue: Queue) -> QueueView {
    let name = match queue {
        Queue::Draft => "Drafts",
        Queue::Notify => "Notifications",
        Queue::Commit => "Storage commitments",
    };
    match broker.depth(queue).await {
        Ok(depth) => QueueView { name, waiting: Some(depth.ready), in_hand: Some(depth.in_hand) },
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the depth of a queue is not known");
            QueueView { name, waiting: None, in_hand: None }
        }
    }
}
