//! `GET /api/v1/status`: which limits are in force, how much of them is in use, what was refused. For administrators.

use axum::{Json, extract::State};
use domain::{
    Timestamp,
    limit::{Limit, Section, Tally},
    person::Role,
    port::Broker,
    upkeep::{Job, Progress},
    work::Queue,
};
use gate::{ErrorBody, Problem, SignedInPerson};
use serde::Serialize;
use utoipa::ToSchema;

use crate::room::Room;

/// Damaged objects that the page names; `telerad verify` lists all.
const DAMAGED_SHOWN_MAX: u32 = 20;

/// The parts of this process, and the queues that it shares with others.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusView {
    at: String,
    sections: Vec<SectionView>,
    queues: Vec<QueueView>,
    sweep: JobView,
    scrub: JobView,
    damaged: DamagedView,
}

/// A job of upkeep: the round that is under way, and the last one that ended. Of a scrub `found` are bad objects, of a sweep those that
/// it removed.
#[derive(Debug, Serialize, ToSchema)]
struct JobView {
    began: Option<String>,
    objects: u64,
    bytes: u64,
    found: u64,
    /// Share of all bytes, from 0 to 1, while a scrub is under way.
    share: Option<f64>,
    bytes_per_second: Option<u64>,
    last_ended: Option<String>,
    last_objects: u64,
    last_found: u64,
    halted: Option<String>,
}

/// Objects that are missing or not what was stored, the first of them by name.
#[derive(Debug, Serialize, ToSchema)]
struct DamagedView {
    count: u64,
    objects: Vec<DamagedObjectView>,
}

/// One of them; `how` is a clause that follows "it".
#[derive(Debug, Serialize, ToSchema)]
struct DamagedObjectView {
    object: String,
    how: String,
    found: String,
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
    let (now, catalog) = (room.clock.now(), &room.catalog);
    let damaged = catalog.damaged(DAMAGED_SHOWN_MAX).await?.into_iter().map(|one| DamagedObjectView {
        object: one.object.to_string(),
        how: one.how,
        found: one.found.to_string(),
    });
    let damaged = DamagedView { count: catalog.damaged_count().await?, objects: damaged.collect() };
    let sweep = job(catalog.job(Job::Sweep).await?, now);
    let scrub = job(catalog.job(Job::Scrub).await?, now);
    Ok(Json(StatusView { at: now.to_string(), sections, queues, sweep, scrub, damaged }))
}

fn job(progress: Progress, now: Timestamp) -> JobView {
    let began = progress.began;
    let seconds =
        began.map(|began| now.duration_since(began).as_secs()).and_then(|time| u64::try_from(time).ok());
    let share = |_| (progress.now.bytes as f64 / progress.bytes_in_all as f64).min(1.0);
    JobView {
        began: began.map(|at| at.to_string()),
        objects: progress.now.objects,
        bytes: progress.now.bytes,
        found: progress.now.found,
        share: began.filter(|_| progress.bytes_in_all > 0).map(share),
        bytes_per_second: seconds.and_then(|seconds| progress.now.bytes.checked_div(seconds)),
        last_ended: progress.last.map(|(_, ended)| ended.to_string()),
        last_objects: progress.before.objects,
        last_found: progress.before.found,
        halted: progress.halted,
    }
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
