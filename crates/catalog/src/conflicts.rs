//! Conflicts: the part of the port, and reading them. How they come about and what a decision changes is in the modules below.

mod contents;
mod patients;
mod shown;

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    conflict::{Choice, Conflict, ConflictId, Decision},
    id::{CentreId, PatientConflictId, PersonId},
    port::catalog::{ConflictFilter, Conflicts, Known, Ruling, RulingRefusal},
    port::{CatalogError, ChangeError},
    study::StudyKey,
    task::{Closure, NewTask, PATIENT_CONFLICT, TaskKind},
    uid::StudyInstanceUid,
};
use sqlx::{AnyConnection, any::AnyRow};

pub(crate) use contents::hold;
pub(crate) use patients::note_patients;
pub(crate) use shown::SHOWN;

use crate::{
    SqlCatalog,
    database::{Change, snapshot, transact},
    error::Problem,
    sql::{Columns as _, Sql, kept},
    trail::{audit_study, close_tasks_about, open_task, push_scope},
};

/// What a row of either table says about its decision.
fn decision_of(row: &AnyRow, if_unsaid: Choice) -> Result<Option<Decision>, Problem> {
    let Some(at) = row.time_maybe("resolved_at")? else { return Ok(None) };
    Ok(Some(Decision {
        choice: row.parsed_maybe("choice", Choice::parse)?.unwrap_or(if_unsaid),
        by: row.parsed_maybe("decided_by", |text| PersonId::parse(text).ok())?,
        at,
        reason: row.text_maybe("reason")?.unwrap_or_default(),
    }))
}

/// Goes on with the values of the columns `resolved_at`, `choice`, `decided_by`, `reason` and `revision` as a ruling leaves them.
fn set_decision(sql: &mut Sql, ruling: &Ruling, at: Timestamp) {
    let made = ruling.choice.is_some();
    sql.push("resolved_at = ").value(made.then_some(at));
    sql.push(", choice = ").value(ruling.choice.map(Choice::as_str));
    sql.push(", decided_by = ").value(made.then_some(ruling.by));
    sql.push(", reason = ").value(made.then_some(ruling.reason.as_str()));
    sql.push(", revision = revision + 1");
}

/// Goes on with the condition that a row is open or decided, and in the scope, and with the order.
fn push_filter(sql: &mut Sql, filter: &ConflictFilter, opened: &str) {
    sql.push(if filter.decided { " WHERE resolved_at IS NOT NULL" } else { " WHERE resolved_at IS NULL" });
    push_scope(sql, "centre", &filter.scope);
    if let Some(key) = &filter.study {
        sql.push(" AND centre = ").value(&key.centre);
    }
    let order = if filter.decided { "resolved_at" } else { opened };
    match &filter.study {
        Some(key) if opened == "held_at" => {
            sql.push(" AND (study = ").value(&key.uid);
            sql.push(" OR current_study = ").value(&key.uid).push(")");
        }
        Some(key) => {
            sql.push(" AND study = ").value(&key.uid);
        }
        None => {}
    }
    sql.push(" ORDER BY ").push(order).push(" DESC LIMIT ").value(filter.limit);
}

async fn list(connection: &mut AnyConnection, filter: &ConflictFilter) -> Result<Vec<Conflict>, Problem> {
    let mut found = contents::list(connection, filter).await?;
    found.extend(patients::list(connection, filter).await?);
    let when =
        |conflict: &Conflict| conflict.decision.as_ref().map_or(conflict.opened, |decision| decision.at);
    found.sort_by_cached_key(|conflict| (std::cmp::Reverse(when(conflict)), conflict.id.to_string()));
    found.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    Ok(found)
}

async fn load(
    connection: &mut AnyConnection,
    centre: &CentreId,
    id: &ConflictId,
) -> Result<Option<Conflict>, Problem> {
    match id {
        ConflictId::Contents { .. } => contents::load(connection, centre, id).await,
        ConflictId::Patient(id) => patients::load(connection, centre, *id).await,
    }
}

async fn decide(
    change: &mut Change,
    ruling: &Ruling,
    at: Timestamp,
) -> Result<Result<Conflict, RulingRefusal>, Problem> {
    if ruling.choice.is_some_and(|choice| !choice.fits(&ruling.id)) {
        return Ok(Err(RulingRefusal::Unfit));
    }
    let decided = match &ruling.id {
        ConflictId::Contents { .. } => contents::decide(change, ruling, at).await?,
        ConflictId::Patient(id) => patients::decide(change, ruling, *id, at).await?,
    };
    if let Err(refusal) = decided {
        return Ok(Err(refusal));
    }
    Ok(load(change, &ruling.centre, &ruling.id).await?.ok_or(RulingRefusal::Unknown))
}

/// What follows every decision: the numbers of open conflicts, the task, the audit.
async fn follow_up(
    change: &mut Change,
    ruling: &Ruling,
    studies: &[&StudyInstanceUid],
    task: Option<&NewTask>,
    at: Timestamp,
) -> Result<(), Problem> {
    count_open(change, &ruling.centre, studies).await?;
    let subject = NewTask::conflict_subject(&ruling.id);
    match task {
        Some(task) => drop(open_task(change, task, at).await?),
        None => {
            let closure = Closure { by: Some(ruling.by), at, note: ruling.reason.clone() };
            close_tasks_about(change, &ruling.centre, TaskKind::Conflict, &subject, &closure).await?;
        }
    }
    let (action, detail) = match ruling.choice {
        Some(choice) => (Action::ConflictDecided, format!("{}, {subject}", choice.as_str())),
        None => (Action::ConflictReopened, subject),
    };
    let actor = Actor::Person(ruling.by);
    for study in studies {
        let key = StudyKey { centre: ruling.centre.clone(), uid: (*study).clone() };
        audit_study(change, &actor, action, &key, &detail, at).await?;
    }
    Ok(())
}

/// Writes how many open conflicts touch these studies.
async fn count_open(
    change: &mut Change,
    centre: &CentreId,
    studies: &[&StudyInstanceUid],
) -> Result<(), Problem> {
    let mut sql = Sql::new(
        "UPDATE study SET conflict_count =
             (SELECT COUNT(*) FROM conflict c WHERE c.centre = study.centre AND c.resolved_at IS NULL
                 AND (c.study = study.study OR c.current_study = study.study))
             + (SELECT COUNT(*) FROM patient_conflict p WHERE p.centre = study.centre AND p.study = study.study
                 AND p.resolved_at IS NULL)
         WHERE centre = ",
    );
    sql.value(centre).push(" AND study IN ").list(studies.iter().copied());
    sql.execute(change).await.map(drop)
}

/// A conflict's task was closed: whoever did that looked, and left things as they are.
pub(crate) async fn resolve_by_task(
    change: &mut Change,
    centre: &CentreId,
    subject: &str,
    closure: &Closure,
) -> Result<(), Problem> {
    match subject.strip_prefix(PATIENT_CONFLICT).map(PatientConflictId::parse) {
        Some(Ok(id)) => patients::resolve(change, centre, id, closure).await,
        Some(Err(_)) => Ok(()),
        // The task about more images of a patient names no instance, so that nothing is decided by closing it.
        None => contents::resolve(change, centre, subject, closure).await,
    }
}

#[async_trait]
impl Conflicts for SqlCatalog {
    async fn conflicts(&self, filter: &ConflictFilter) -> Known<Vec<Conflict>> {
        snapshot!(self, "listing conflicts", |connection| list(connection, filter))
    }

    async fn conflict(&self, centre: &CentreId, id: &ConflictId) -> Known<Option<Conflict>> {
        snapshot!(self, "looking up a conflict", |connection| load(connection, centre, id))
    }

    async fn decide_conflict(
        &self,
        ruling: &Ruling,
        at: Timestamp,
    ) -> Result<Conflict, ChangeError<RulingRefusal>> {
        let decided: Result<_, CatalogError> =
            transact!(self, "deciding a conflict", |change| decide(change, ruling, kept(at)));
        decided?.map_err(ChangeError::Refused)
    }
}
