//! Storage commitments: what was asked, what was found, and whether the asker knows.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    commitment::{Asker, Commitment, Failure, FailureReason, KEPT, Reference, WAITING_MAX, next_try},
    event::Event,
    id::{CentreId, CommitmentId},
    port::catalog::{CommitmentOutcome, Commitments, Known, NewCommitment, ReportAttempt},
    task::NewTask,
    text::AeTitle,
    uid::{SopClassUid, SopInstanceUid, TransactionUid},
    work::Lane,
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, transact},
    error::Problem,
    outbox::{self, NewRow},
    sql::{Columns as _, Sql, json},
    trail::{CATALOG, Line, audit, open_task},
};

/// Reports of one peer that are hurried at a time; the others keep their time.
const HURRIED_MAX: u32 = 100;

/// [`Reference`]: class, instance.
type WireReference = (String, String);
/// [`Failure`]: class, instance, reason.
type WireFailure = (String, String, u16);

fn wire_references(references: &[Reference]) -> String {
    let wire = |one: &Reference| (one.sop_class.to_string(), one.sop_instance.to_string());
    json(&references.iter().map(wire).collect::<Vec<WireReference>>())
}

fn wire_failures(failures: &[Failure]) -> String {
    let wire = |one: &Failure| {
        let Reference { sop_class, sop_instance } = &one.reference;
        (sop_class.to_string(), sop_instance.to_string(), one.reason.code())
    };
    json(&failures.iter().map(wire).collect::<Vec<WireFailure>>())
}

fn reference(class: &str, instance: &str) -> Option<Reference> {
    Some(Reference {
        sop_class: SopClassUid::parse(class).ok()?,
        sop_instance: SopInstanceUid::parse(instance).ok()?,
    })
}

fn read_references(text: &str) -> Option<Vec<Reference>> {
    let wire: Vec<WireReference> = serde_json::from_str(text).ok()?;
    wire.iter().map(|(class, instance)| reference(class, instance)).collect()
}

fn read_failures(text: &str) -> Option<Vec<Failure>> {
    let wire: Vec<WireFailure> = serde_json::from_str(text).ok()?;
    let read = |(class, instance, code): &WireFailure| {
        let reason = FailureReason::of_code(*code)?;
        Some(Failure { reference: reference(class, instance)?, reason })
    };
    wire.iter().map(read).collect()
}

fn commitment_of(row: &AnyRow) -> Result<Commitment, Problem> {
    Ok(Commitment {
        id: row.parsed("id", |text| CommitmentId::parse(text).ok())?,
        centre: row.centre("centre")?,
        transaction: row.parsed("transaction_uid", |text| TransactionUid::parse(text).ok())?,
        by: row.parsed_maybe("ae", AeTitle::parse)?.map_or(Asker::Web, Asker::Peer),
        references: row.parsed("refs", read_references)?,
        asked: row.time("asked")?,
        is_duplicate: row.flag("is_duplicate")?,
        failures: row.parsed_maybe("failures", read_failures)?,
        failed_tries: row.number("failed_tries")?,
        reported: row.time_maybe("reported")?,
    })
}

async fn load(connection: &mut AnyConnection, sql: Sql) -> Result<Option<Commitment>, Problem> {
    sql.first(connection).await?.as_ref().map(commitment_of).transpose()
}

fn by_transaction(centre: &CentreId, transaction: &TransactionUid) -> Sql {
    Sql::new("SELECT * FROM commitment WHERE centre = $1 AND transaction_uid = $2 AND is_duplicate = 0")
        .bind(centre)
        .bind(transaction)
}

async fn lock(change: &mut Change, id: CommitmentId) -> Result<Option<Commitment>, Problem> {
    let mut sql = Sql::new("SELECT * FROM commitment WHERE id = $1").bind(id);
    sql.push(change.dialect.for_update());
    load(change, sql).await
}

async fn schedule(
    change: &mut Change,
    centre: &CentreId,
    id: CommitmentId,
    due: Timestamp,
) -> Result<(), Problem> {
    let event = Event::CommitmentDueV1 { centre: centre.to_string(), commitment: id.to_string() };
    outbox::write(change, NewRow { centre, study: None, lane: Lane::Routine, event, due }).await
}

async fn note(
    change: &mut Change,
    actor: &Actor,
    action: Action,
    commitment: (&CentreId, CommitmentId),
    what: &str,
    at: Timestamp,
) -> Result<(), Problem> {
    let (centre, id) = commitment;
    let detail = format!("commitment {id}: {what}");
    let line = Line { actor, action, centre: Some(centre), study: None, detail: &detail, at };
    audit(change, line).await
}

const fn actor_of(by: &Asker) -> Option<&AeTitle> {
    match by {
        Asker::Peer(ae) => Some(ae),
        Asker::Web => None,
    }
}

async fn request(
    change: &mut Change,
    new: &NewCommitment,
    at: Timestamp,
) -> Result<CommitmentOutcome, Problem> {
    forget(change, &new.centre, at).await?;
    let mut known = by_transaction(&new.centre, &new.transaction);
    known.push(change.dialect.for_update());
    let known = load(change, known).await?;
    let is_duplicate = match (&known, &new.by) {
        (None, _) => false,
        (Some(_), Asker::Web) => return Ok(CommitmentOutcome::InUse),
        (Some(known), Asker::Peer(_)) if known.by == new.by && known.references == new.references => {
            return again(change, known, &new.actor, at).await;
        }
        (Some(_), Asker::Peer(_)) => true,
    };
    let waiting =
        Sql::new("SELECT COUNT(*) AS waiting FROM commitment WHERE centre = $1 AND finished IS NULL")
            .bind(&new.centre)
            .first(change)
            .await?;
    if waiting.map_or(Ok(0), |row| row.number::<u32>("waiting"))? >= WAITING_MAX {
        return Ok(CommitmentOutcome::TooMany);
    }
    Sql::new(
        "INSERT INTO commitment (centre, id, transaction_uid, ae, refs, asked, is_duplicate, failed_tries)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
    )
    .bind(&new.centre)
    .bind(new.id)
    .bind(&new.transaction)
    .bind(actor_of(&new.by).map(AeTitle::as_str))
    .bind(wire_references(&new.references))
    .bind(at)
    .bind(is_duplicate)
    .execute(change)
    .await?;
    schedule(change, &new.centre, new.id, at).await?;
    let what = format!("{} objects are asked for", new.references.len());
    note(change, &new.actor, Action::CommitmentRequested, (&new.centre, new.id), &what, at).await?;
    Ok(if is_duplicate { CommitmentOutcome::InUse } else { CommitmentOutcome::Accepted(new.id) })
}

/// The same request again: its objects are looked at anew, since they may have come meanwhile.
async fn again(
    change: &mut Change,
    known: &Commitment,
    actor: &Actor,
    at: Timestamp,
) -> Result<CommitmentOutcome, Problem> {
    Sql::new(
        "UPDATE commitment SET failures = NULL, failed_tries = 0, reported = NULL, finished = NULL, asked = $3
         WHERE centre = $1 AND id = $2",
    )
    .bind(&known.centre)
    .bind(known.id)
    .bind(at)
    .execute(change)
    .await?;
    schedule(change, &known.centre, known.id, at).await?;
    let what = "asked for again";
    note(change, actor, Action::CommitmentRequested, (&known.centre, known.id), what, at).await?;
    Ok(CommitmentOutcome::Repeated(known.id))
}

async fn forget(change: &mut Change, centre: &CentreId, at: Timestamp) -> Result<(), Problem> {
    let Ok(before) = at.checked_sub(KEPT) else { return Ok(()) };
    Sql::new("DELETE FROM commitment WHERE centre = $1 AND finished < $2")
        .bind(centre)
        .bind(before)
        .execute(change)
        .await?;
    Ok(())
}

async fn conclude(
    change: &mut Change,
    id: CommitmentId,
    failures: &[Failure],
    tasks: &[NewTask],
    at: Timestamp,
) -> Result<(), Problem> {
    let Some(known) = lock(change, id).await? else { return Ok(()) };
    if known.failures.is_some() {
        return Ok(());
    }
    let finished = match &known.by {
        Asker::Peer(_) => None,
        Asker::Web => Some(at),
    };
    Sql::new("UPDATE commitment SET failures = $3, finished = $4 WHERE centre = $1 AND id = $2")
        .bind(&known.centre)
        .bind(id)
        .bind(wire_failures(failures))
        .bind(finished)
        .execute(change)
        .await?;
    for task in tasks {
        open_task(change, task, at).await?;
    }
    let what = format!("{} of {} objects are not committed", failures.len(), known.references.len());
    note(change, &CATALOG, Action::CommitmentChecked, (&known.centre, id), &what, at).await
}

async fn attempted(
    change: &mut Change,
    id: CommitmentId,
    attempt: &ReportAttempt,
    at: Timestamp,
) -> Result<Option<Commitment>, Problem> {
    let Some(mut known) = lock(change, id).await? else { return Ok(None) };
    if known.reported.is_some() {
        return Ok(Some(known));
    }
    let (what, finished) = match attempt {
        ReportAttempt::Confirmed => {
            known.reported = Some(at);
            ("reported".to_owned(), Some(at))
        }
        ReportAttempt::Failed { reason, task } => {
            known.failed_tries = known.failed_tries.saturating_add(1);
            match next_try(known.failed_tries, at) {
                Some(due) => {
                    schedule(change, &known.centre, id, due).await?;
                    (format!("not reported: {reason}"), None)
                }
                None => {
                    open_task(change, task, at).await?;
                    (format!("given up: {reason}"), Some(at))
                }
            }
        }
    };
    Sql::new(
        "UPDATE commitment SET failed_tries = $3, reported = $4, finished = $5 WHERE centre = $1 AND id = $2",
    )
    .bind(&known.centre)
    .bind(id)
    .bind(known.failed_tries)
    .bind(known.reported)
    .bind(finished)
    .execute(change)
    .await?;
    note(change, &CATALOG, Action::CommitmentReported, (&known.centre, id), &what, at).await?;
    Ok(Some(known))
}

fn untold(centre: &CentreId, ae: &AeTitle) -> Sql {
    Sql::new(
        "SELECT id FROM commitment
         WHERE centre = $1 AND ae = $2 AND finished IS NULL AND failures IS NOT NULL ORDER BY asked, id LIMIT $3",
    )
    .bind(centre)
    .bind(ae)
    .bind(HURRIED_MAX)
}

async fn hurry(change: &mut Change, centre: &CentreId, ae: &AeTitle, at: Timestamp) -> Result<u32, Problem> {
    let rows = untold(centre, ae).all(change).await?;
    for row in &rows {
        let id = row.parsed("id", |text| CommitmentId::parse(text).ok())?;
        schedule(change, centre, id, at).await?;
    }
    Ok(u32::try_from(rows.len()).unwrap_or(HURRIED_MAX))
}

#[async_trait]
impl Commitments for SqlCatalog {
    async fn request_commitment(&self, new: &NewCommitment, at: Timestamp) -> Known<CommitmentOutcome> {
        transact!(self, "keeping a storage commitment request", |change| request(change, new, at))
    }

    async fn commitment(&self, id: CommitmentId) -> Known<Option<Commitment>> {
        let sql = Sql::new("SELECT * FROM commitment WHERE id = $1").bind(id);
        read!(self, "looking up a storage commitment", |connection| load(connection, sql))
    }

    async fn commitment_of_transaction(
        &self,
        centre: &CentreId,
        transaction: &TransactionUid,
    ) -> Known<Option<Commitment>> {
        let sql = by_transaction(centre, transaction);
        read!(self, "looking up a storage commitment", |connection| load(connection, sql))
    }

    async fn conclude_commitment(
        &self,
        id: CommitmentId,
        failures: &[Failure],
        tasks: &[NewTask],
        at: Timestamp,
    ) -> Known<()> {
        transact!(self, "keeping the result of a storage commitment", |change| {
            conclude(change, id, failures, tasks, at)
        })
    }

    async fn report_attempted(
        &self,
        id: CommitmentId,
        attempt: &ReportAttempt,
        at: Timestamp,
    ) -> Known<Option<Commitment>> {
        transact!(self, "keeping a report of a storage commitment", |change| attempted(
            change, id, attempt, at
        ))
    }

    async fn hurry_reports(&self, centre: &CentreId, ae: &AeTitle, at: Timestamp) -> Known<u32> {
        // Most peers wait for nothing, and to find that out nobody needs to be held up.
        let waits = read!(self, "looking for reports of storage commitments", |connection| async {
            Ok(untold(centre, ae).first(connection).await?.is_some())
        });
        if !waits? {
            return Ok(0);
        }
        transact!(self, "hurrying reports of storage commitments", |change| hurry(change, centre, ae, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_are_pinned() {
        let one = reference("1.2", "1.3").unwrap();
        let failure = Failure { reference: one.clone(), reason: FailureReason::NoSuchInstance };
        let (references, failures) = (r#"[["1.2","1.3"]]"#, r#"[["1.2","1.3",274]]"#);
        assert_eq!(wire_references(std::slice::from_ref(&one)), references);
        assert_eq!(wire_failures(std::slice::from_ref(&failure)), failures);
        assert_eq!(read_references(references), Some(vec![one]));
        assert_eq!(read_failures(failures), Some(vec![failure]));
        assert_eq!(read_failures(r#"[["1.2","1.3",1]]"#), None);
    }
}
