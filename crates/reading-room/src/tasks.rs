//! `/api/v1/tasks`: what waits for a person.

#![allow(unused_qualifications, reason = "utoipa::path writes full paths for query types")]

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use domain::{
    id::{CentreId, TaskId},
    person::Role,
    port::{Catalog, catalog::TaskFilter},
    task::{Task, TaskKind},
};
use gate::{ErrorBody, JsonBody, PathPart, Problem, QueryPart, SignedInPerson};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{bound::tagged, people::Names, room::Room};

/// Most tasks of one list.
const TASKS_MAX: u32 = 500;
/// Most characters of a note.
const NOTE_CHARS_MAX: usize = 2000;

/// Which tasks.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct TasksQuery {
    /// Also closed ones.
    #[serde(default)]
    closed: bool,
}

/// Tasks, open ones first, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TasksView {
    tasks: Vec<TaskView>,
}

/// Something that waits for a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskView {
    id: String,
    centre: String,
    centre_name: String,
    study_uid: Option<String>,
    kind: &'static str,
    reason: String,
    next_step: String,
    opened: String,
    closed: Option<ClosureView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ClosureView {
    /// Nobody when what the task spoke of was over by itself.
    by_name: Option<String>,
    at: String,
    note: String,
}

/// What was done about it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseInput {
    note: String,
}

/// What waits for a person.
#[utoipa::path(get, path = "/api/v1/tasks", tag = "tasks", params(TasksQuery), responses(
    (status = 200, body = TasksView), (status = 304), (status = 401, body = ErrorBody)))]
pub(crate) async fn tasks(
    State(room): State<Room>,
    person: SignedInPerson,
    headers: HeaderMap,
    QueryPart(query): QueryPart<TasksQuery>,
) -> Result<Response, Problem> {
    let filter =
        TaskFilter { scope: person.scope().clone(), study: None, closed: query.closed, limit: TASKS_MAX };
    let tasks = room.catalog.tasks(&filter).await?;
    let view =
        TasksView { tasks: task_views(&*room.catalog, &tasks, &mut Names::new(&*room.catalog)).await? };
    tagged(&headers, &view, &view)
}

/// Closes a task, with a note on what was done.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/close", tag = "tasks", request_body = CloseInput,
    params(("id" = String, Path)), responses(
    (status = 200, body = TaskView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 422, body = ErrorBody)))]
pub(crate) async fn close(
    State(room): State<Room>,
    person: SignedInPerson,
    PathPart(id): PathPart<String>,
    JsonBody(CloseInput { note }): JsonBody<CloseInput>,
) -> Result<Json<TaskView>, Problem> {
    let id = TaskId::parse(&id).map_err(|_| Problem::unknown())?;
    let note = note.trim();
    if note.is_empty() || note.chars().count() > NOTE_CHARS_MAX {
        let message = "Say in a sentence or two what was done.";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "note", message));
    }
    if person.person.role == Role::Reader {
        // Closing the task of a conflict decides it, and deciding is for those who answer for the images.
        let filter =
            TaskFilter { scope: person.scope().clone(), study: None, closed: false, limit: TASKS_MAX };
        let open = room.catalog.tasks(&filter).await?;
        if open.iter().any(|task| task.id == id && task.kind == TaskKind::Conflict) {
            return Err(Problem::forbidden());
        }
    }
    let (me, now) = (person.person.id, room.clock.now());
    let task = room.catalog.close_task(id, person.scope(), me, note, now).await?;
    let task = task.ok_or_else(Problem::unknown)?;
    let mut names = Names::new(&*room.catalog);
    let mut views = task_views(&*room.catalog, std::slice::from_ref(&task), &mut names).await?;
    views.pop().map(Json).ok_or_else(Problem::unknown)
}

/// Tasks with the names of centres and people.
pub(crate) async fn task_views(
    catalog: &dyn Catalog,
    tasks: &[Task],
    names: &mut Names<'_>,
) -> Result<Vec<TaskView>, Problem> {
    let mut centres: HashMap<CentreId, String> = HashMap::new();
    let mut views = Vec::with_capacity(tasks.len());
    for task in tasks {
        if !centres.contains_key(&task.centre) {
            let name = catalog.centre(&task.centre).await?.map(|centre| centre.name);
            centres.insert(task.centre.clone(), name.unwrap_or_else(|| task.centre.to_string()));
        }
        let closed = match &task.closed {
            Some(closure) => Some(ClosureView {
                by_name: match closure.by {
                    Some(by) => Some(names.of(by).await?),
                    None => None,
                },
                at: closure.at.to_string(),
                note: closure.note.clone(),
            }),
            None => None,
        };
        views.push(TaskView {
            id: task.id.to_string(),
            centre: task.centre.to_string(),
            centre_name: centres.get(&task.centre).cloned().unwrap_or_default(),
            study_uid: task.study.as_ref().map(ToString::to_string),
            kind: task.kind.as_str(),
            reason: task.reason.clone(),
            next_step: task.next_step.clone(),
            opened: task.opened.to_string(),
            closed,
        });
    }
    Ok(views)
}
