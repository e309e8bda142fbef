//! Tasks and audit: the part of the port, and what other changes write with them.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    id::{CentreId, PersonId, TaskId},
    person::Scope,
    port::catalog::{Known, TaskFilter, Trail},
    study::StudyKey,
    task::{Closure, NewTask, Task, TaskKind},
    uid::StudyInstanceUid,
};
use sqlx::{AnyConnection, any::AnyRow};
use uuid::Uuid;

use crate::{
    SqlCatalog, conflicts,
    database::{Change, read, transact},
    error::Problem,
    sql::{Columns as _, Sql, kept},
};

/// The actor of what the catalog concludes by itself.
pub(crate) const CATALOG: Actor = Actor::Role("catalog");

/// A line of the audit to be written.
pub(crate) struct Line<'a> {
    pub(crate) actor: &'a Actor,
    pub(crate) action: Action,
    pub(crate) centre: Option<&'a CentreId>,
    pub(crate) study: Option<&'a StudyInstanceUid>,
    /// Without patient data.
    pub(crate) detail: &'a str,
    pub(crate) at: Timestamp,
}

impl<'a> Line<'a> {
    /// A line about a study.
    pub(crate) const fn of_study(
        actor: &'a Actor,
        action: Action,
        study: &'a StudyKey,
        detail: &'a str,
        at: Timestamp,
    ) -> Self {
        Self { actor, action, centre: Some(&study.centre), study: Some(&study.uid), detail, at }
    }
}

/// The statement that writes a line of the audit.
pub(crate) fn line(line: &Line<'_>) -> Sql {
    Sql::new(
        "INSERT INTO audit (centre, id, at, actor, action, study, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(line.centre.map_or("", CentreId::as_str))
    .bind(Uuid::now_v7().to_string())
    .bind(line.at)
    .bind(line.actor.text())
    .bind(line.action.as_str())
    .bind(line.study.map(StudyInstanceUid::as_str))
    .bind(line.detail)
}

/// Writes a line of the audit.
pub(crate) async fn audit(connection: &mut AnyConnection, of: Line<'_>) -> Result<(), Problem> {
    line(&of).execute(connection).await.map(drop)
}

/// Writes a line of the audit about a study.
pub(crate) async fn audit_study(
    connection: &mut AnyConnection,
    actor: &Actor,
    action: Action,
    study: &StudyKey,
    detail: &str,
    at: Timestamp,
) -> Result<(), Problem> {
    audit(connection, Line::of_study(actor, action, study, detail, at)).await
}

/// Opens a task with its audit, unless one of the same centre, kind and subject is open.
pub(crate) async fn open_task(
    connection: &mut AnyConnection,
    task: &NewTask,
    at: Timestamp,
) -> Result<TaskId, Problem> {
    let id = TaskId::fresh();
    let opened = Sql::new(
        "INSERT INTO task (centre, id, study, kind, subject, reason, next_step, opened)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (centre, kind, subject) WHERE closed_at IS NULL DO NOTHING",
    )
    .bind(&task.centre)
    .bind(id)
    .bind(&task.study)
    .bind(task.kind.as_str())
    .bind(&task.subject)
    .bind(&task.reason)
    .bind(&task.next_step)
    .bind(at)
    .execute(connection)
    .await?;
    if opened == 0 {
        return open_task_id(connection, task).await;
    }
    let line = Line {
        actor: &CATALOG,
        action: Action::TaskOpened,
        centre: Some(&task.centre),
        study: task.study.as_ref(),
        detail: task.kind.as_str(),
        at,
    };
    audit(connection, line).await?;
    Ok(id)
}

async fn open_task_id(connection: &mut AnyConnection, task: &NewTask) -> Result<TaskId, Problem> {
    let open = Sql::new(
        "SELECT id FROM task WHERE centre = $1 AND kind = $2 AND subject = $3 AND closed_at IS NULL",
    )
    .bind(&task.centre)
    .bind(task.kind.as_str())
    .bind(&task.subject)
    .first(connection)
    .await?;
    let row = open.ok_or_else(|| Problem::lost("the open task was closed meanwhile"))?;
    row.parsed("id", |text| TaskId::parse(text).ok())
}

/// Goes on with the condition that `column` is a centre of the scope.
pub(crate) fn push_scope(sql: &mut Sql, column: &str, scope: &Scope) {
    match scope {
        Scope::AllCentres => {}
        Scope::Centres(centres) if centres.is_empty() => {
            sql.push(" AND 1 = 0");
        }
        Scope::Centres(centres) => {
            sql.push(" AND ").push(column).push(" IN ").list(centres);
        }
    }
}

fn task_of(row: &AnyRow) -> Result<Task, Problem> {
    let closed = match row.time_maybe("closed_at")? {
        None => None,
        Some(at) => Some(Closure {
            by: row.parsed_maybe("closed_by", |text| PersonId::parse(text).ok())?,
            at,
            note: row.text_maybe("closed_note")?.unwrap_or_default(),
        }),
    };
    Ok(Task {
        id: row.parsed("id", |text| TaskId::parse(text).ok())?,
        centre: row.centre("centre")?,
        study: row.parsed_maybe("study", |text| StudyInstanceUid::parse(text).ok())?,
        kind: row.parsed("kind", TaskKind::parse)?,
        reason: row.text("reason")?,
        next_step: row.text("next_step")?,
        opened: row.time("opened")?,
        closed,
    })
}

async fn tasks_where(
    connection: &mut AnyConnection,
    filter: &TaskFilter,
    closed: bool,
    limit: u32,
) -> Result<Vec<Task>, Problem> {
    let mut sql = Sql::new("SELECT * FROM task WHERE closed_at IS ");
    sql.push(if closed { "NOT NULL" } else { "NULL" });
    push_scope(&mut sql, "centre", &filter.scope);
    if let Some(study) = &filter.study {
        sql.push(" AND centre = ").value(&study.centre).push(" AND study = ").value(&study.uid);
    }
    sql.push(" ORDER BY opened, id LIMIT ").value(limit);
    sql.all(connection).await?.iter().map(task_of).collect()
}

async fn tasks(connection: &mut AnyConnection, filter: &TaskFilter) -> Result<Vec<Task>, Problem> {
    let mut tasks = tasks_where(connection, filter, false, filter.limit).await?;
    let left = filter.limit.saturating_sub(u32::try_from(tasks.len()).unwrap_or(u32::MAX));
    if filter.closed && left > 0 {
        tasks.extend(tasks_where(connection, filter, true, left).await?);
    }
    Ok(tasks)
}

/// Closes the open task of a centre, kind and subject, if there is one: what it asked for was done elsewhere.
pub(crate) async fn close_tasks_about(
    change: &mut Change,
    centre: &CentreId,
    kind: TaskKind,
    subject: &str,
    closure: &Closure,
) -> Result<(), Problem> {
    let closed = Sql::new(
        "UPDATE task SET closed_at = $4, closed_by = $5, closed_note = $6
         WHERE centre = $1 AND kind = $2 AND subject = $3 AND closed_at IS NULL RETURNING study",
    )
    .bind(centre)
    .bind(kind.as_str())
    .bind(subject)
    .bind(closure.at)
    .bind(closure.by)
    .bind(&closure.note)
    .all(change)
    .await?;
    for row in closed {
        let study = row.parsed_maybe("study", |text| StudyInstanceUid::parse(text).ok())?;
        let line = Line {
            actor: &closure.by.map_or(CATALOG, Actor::Person),
            action: Action::TaskClosed,
            centre: Some(centre),
            study: study.as_ref(),
            detail: kind.as_str(),
            at: closure.at,
        };
        audit(change, line).await?;
    }
    Ok(())
}

/// Closes a task. A conflict whose task is closed counts as decided: a person has looked and left things as they are.
async fn close_task(
    change: &mut Change,
    id: TaskId,
    scope: &Scope,
    closure: Closure,
) -> Result<Option<Task>, Problem> {
    let mut sql = Sql::new("SELECT * FROM task WHERE closed_at IS NULL AND id = ");
    sql.value(id);
    push_scope(&mut sql, "centre", scope);
    sql.push(change.dialect.for_update());
    let Some(row) = sql.first(change).await? else { return Ok(None) };
    let task = Task { closed: Some(closure.clone()), ..task_of(&row)? };
    close(change, &task, &closure).await?;
    match task.kind {
        TaskKind::Conflict => {
            conflicts::resolve_by_task(change, &task.centre, &row.text("subject")?, &closure).await?;
        }
        TaskKind::WorkFailed
        | TaskKind::NoRecipient
        | TaskKind::Undelivered
        | TaskKind::MissingImages
        | TaskKind::ImagesAfterSignature
        | TaskKind::ObjectDamaged
        | TaskKind::CommitmentUnreported
        | TaskKind::Quarantine
        | TaskKind::UpkeepHalted => {}
    }
    Ok(Some(task))
}

/// Closes a task with its audit.
async fn close(connection: &mut AnyConnection, task: &Task, closure: &Closure) -> Result<(), Problem> {
    Sql::new(
        "UPDATE task SET closed_at = $3, closed_by = $4, closed_note = $5 WHERE centre = $1 AND id = $2",
    )
    .bind(&task.centre)
    .bind(task.id)
    .bind(closure.at)
    .bind(closure.by)
    .bind(&closure.note)
    .execute(connection)
    .await?;
    let line = Line {
        actor: &closure.by.map_or(CATALOG, Actor::Person),
        action: Action::TaskClosed,
        centre: Some(&task.centre),
        study: task.study.as_ref(),
        detail: task.kind.as_str(),
        at: closure.at,
    };
    audit(connection, line).await
}

/// Closes the open task of a subject, if there is one: what it asked for was done elsewhere.
pub(crate) async fn close_subject(
    connection: &mut AnyConnection,
    centre: &CentreId,
    kind: TaskKind,
    subject: &str,
    closure: &Closure,
) -> Result<(), Problem> {
    let open =
        Sql::new("SELECT * FROM task WHERE centre = $1 AND kind = $2 AND subject = $3 AND closed_at IS NULL");
    match open.bind(centre).bind(kind.as_str()).bind(subject).first(connection).await? {
        Some(row) => close(connection, &task_of(&row)?, closure).await,
        None => Ok(()),
    }
}

fn audit_of(row: &AnyRow) -> Result<AuditEvent, Problem> {
    Ok(AuditEvent {
        at: row.time("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        centre: Some(row.text("centre")?)
            .filter(|centre| !centre.is_empty())
            .map(|centre| CentreId::parse(&centre).map_err(|_| Problem::Unreadable { column: "centre" }))
            .transpose()?,
        study: row.parsed_maybe("study", |text| StudyInstanceUid::parse(text).ok())?,
        detail: row.text("detail")?,
    })
}

async fn lines(connection: &mut AnyConnection, sql: Sql) -> Result<Vec<AuditEvent>, Problem> {
    sql.all(connection).await?.iter().map(audit_of).collect()
}

async fn check(change: &mut Change) -> Result<(), Problem> {
    match Sql::new("UPDATE catalog_check SET checks = checks + 1 WHERE id = 1").execute(change).await? {
        1 => Ok(()),
        _ => Err(Problem::Missing("row to check with")),
    }
}

#[async_trait]
impl Trail for SqlCatalog {
    async fn open_task(&self, task: &NewTask, at: Timestamp) -> Known<TaskId> {
        transact!(self, "opening a task", |change| open_task(change, task, at))
    }

    async fn tasks(&self, filter: &TaskFilter) -> Known<Vec<Task>> {
        read!(self, "listing tasks", |connection| tasks(connection, filter))
    }

    async fn close_task(
        &self,
        id: TaskId,
        scope: &Scope,
        by: PersonId,
        note: &str,
        at: Timestamp,
    ) -> Known<Option<Task>> {
        let closure = || Closure { by: Some(by), at: kept(at), note: note.to_owned() };
        transact!(self, "closing a task", |change| close_task(change, id, scope, closure()))
    }

    async fn record(
        &self,
        actor: &Actor,
        action: Action,
        study: Option<&StudyKey>,
        detail: &str,
        at: Timestamp,
    ) -> Known<()> {
        let line = || Line {
            actor,
            action,
            centre: study.map(|study| &study.centre),
            study: study.map(|study| &study.uid),
            detail,
            at,
        };
        transact!(self, "writing the audit", |change| audit(change, line()))
    }

    async fn study_trail(&self, study: &StudyKey, limit: u32) -> Known<Vec<AuditEvent>> {
        let sql = Sql::new("SELECT * FROM audit WHERE centre = $1 AND study = $2 ORDER BY at, id LIMIT $3")
            .bind(&study.centre)
            .bind(&study.uid)
            .bind(limit);
        read!(self, "reading the audit of a study", |connection| lines(connection, sql))
    }

    async fn trail(&self, centre: Option<&CentreId>, limit: u32) -> Known<Vec<AuditEvent>> {
        let sql = Sql::new("SELECT * FROM audit WHERE centre = $1 ORDER BY at DESC, id DESC LIMIT $2")
            .bind(centre.map_or("", CentreId::as_str))
            .bind(limit);
        read!(self, "reading the audit", |connection| lines(connection, sql))
    }

    async fn check(&self) -> Known<()> {
        transact!(self, "checking the catalog", |change| check(change))
    }
}
