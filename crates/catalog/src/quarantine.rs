//! Objects that cannot be read and are kept for a person.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    digest::Sha256Digest,
    id::{CentreId, PersonId, QuarantineId},
    object::ObjectRef,
    person::Scope,
    port::catalog::{Known, Quarantine, QuarantineFilter},
    quarantine::{
        Claim, Decision, KeepOutcome, QuarantineChange, QuarantineLimits, QuarantineState, QuarantineUse,
        Quarantined, Way,
    },
    task::{Closure, NewTask, TaskKind},
    uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid},
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, snapshot, transact},
    error::Problem,
    orders::lock_centre,
    sql::{Columns as _, Sql, kept},
    trail::{Line, audit, close_subject, open_task, push_scope},
    upkeep::{take_removed, was_removed},
};

/// The words of [`QuarantineState::as_str`], as statements need them.
const WAITING: &str = "waiting";
const DISCARDED: &str = "discarded";
const STORED: &str = "stored";
const CONFLICT: &str = "conflict";

/// The subject of the task that says that there is no room.
const FULL: &str = "full";

fn state_of(row: &AnyRow) -> Result<QuarantineState, Problem> {
    let decision = || {
        Ok::<_, Problem>(Decision {
            by: row.parsed("decided_by", |text| PersonId::parse(text).ok())?,
            at: row.time("decided_at")?,
        })
    };
    match row.text("state")?.as_str() {
        WAITING => Ok(QuarantineState::Waiting),
        DISCARDED => Ok(QuarantineState::Discarded(decision()?)),
        STORED => Ok(QuarantineState::Stored { decision: decision()?, study: row.study_uid("study")? }),
        CONFLICT => Ok(QuarantineState::Conflict(decision()?)),
        _ => Err(Problem::Unreadable { column: "state" }),
    }
}

fn object_of(row: &AnyRow) -> Result<Quarantined, Problem> {
    Ok(Quarantined {
        id: row.parsed("id", |text| QuarantineId::parse(text).ok())?,
        centre: row.centre("centre")?,
        way: row.parsed("way", Way::parse)?,
        by: row.text("actor")?,
        claim: Claim {
            sop_class: row.parsed_maybe("sop_class", |text| SopClassUid::parse(text).ok())?,
            sop_instance: row.parsed_maybe("sop_instance", |text| SopInstanceUid::parse(text).ok())?,
            transfer_syntax: row.parsed("transfer_syntax", |text| TransferSyntaxUid::parse(text).ok())?,
        },
        reason: row.text("reason")?,
        next_step: row.text("next_step")?,
        object: row.parsed("object", ObjectRef::parse)?,
        bytes: row.number("bytes")?,
        data_set_bytes: row.number("data_set_bytes")?,
        sha256: row.digest("sha256")?,
        received: row.time("received")?,
        times: row.number("times")?,
        last_received: row.time("last_received")?,
        state: state_of(row)?,
    })
}

/// What a centre's quarantine holds; `None` when it keeps nothing.
async fn use_of(connection: &mut AnyConnection, centre: &CentreId) -> Result<Option<QuarantineUse>, Problem> {
    let setting = Sql::new("SELECT keeps_unreadable FROM centre WHERE id = $1").bind(centre);
    if !setting.first(connection).await?.map_or(Ok(false), |row| row.flag("keeps_unreadable"))? {
        return Ok(None);
    }
    let held = Sql::new(
        "SELECT COUNT(*) AS objects, CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM quarantine
         WHERE centre = $1 AND state IN ('waiting', 'discarded')",
    );
    let row = held.bind(centre).first(connection).await?.ok_or(Problem::Missing("count"))?;
    Ok(Some(QuarantineUse { objects: row.number("objects")?, bytes: row.number("bytes")? }))
}

async fn keep(
    change: &mut Change,
    object: &Quarantined,
    limits: QuarantineLimits,
    actor: &Actor,
) -> Result<KeepOutcome, Problem> {
    // Two objects at one moment must not both take the last place.
    lock_centre(change, &object.centre).await?;
    let Some(held) = use_of(change, &object.centre).await? else { return Ok(KeepOutcome::NotWanted) };
    let known = Sql::new("SELECT * FROM quarantine WHERE centre = $1 AND sha256 = $2")
        .bind(&object.centre)
        .bind(object.sha256)
        .first(change)
        .await?;
    let known = known.as_ref().map(object_of).transpose()?;
    if let Some(known) = known.as_ref().filter(|known| known.state.has_bytes()) {
        Sql::new("UPDATE quarantine SET times = times + 1, last_received = $3 WHERE centre = $1 AND id = $2")
            .bind(&known.centre)
            .bind(known.id)
            .bind(object.received)
            .execute(change)
            .await?;
        let object = known.object.clone();
        return Ok(match known.state {
            QuarantineState::Discarded(_) => KeepOutcome::Discarded { object },
            QuarantineState::Waiting | QuarantineState::Stored { .. } | QuarantineState::Conflict(_) => {
                KeepOutcome::AlreadyKept { object }
            }
        });
    }
    if held.room(limits).is_none_or(|room| room < object.bytes) {
        full(change, &object.centre, object.received).await?;
        return Ok(KeepOutcome::Full);
    }
    match known {
        Some(known) => take_back(change, &known, object).await?,
        None => insert(change, object).await?,
    }
    let line = Line {
        actor,
        action: Action::Quarantined,
        centre: Some(&object.centre),
        study: None,
        detail: &format!("{}: {}", object.id, object.reason),
        at: object.received,
    };
    audit(change, line).await?;
    open_task(change, &waiting_task(&object.centre, &object.by), object.received).await?;
    Ok(KeepOutcome::Kept)
}

async fn insert(change: &mut Change, object: &Quarantined) -> Result<(), Problem> {
    Sql::new(
        "INSERT INTO quarantine (centre, id, way, actor, sop_class, sop_instance, transfer_syntax, reason,
             next_step, object, bytes, data_set_bytes, sha256, received, times, last_received, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, $14, 'waiting')",
    )
    .bind(&object.centre)
    .bind(object.id)
    .bind(object.way.as_str())
    .bind(&object.by)
    .bind(&object.claim.sop_class)
    .bind(&object.claim.sop_instance)
    .bind(&object.claim.transfer_syntax)
    .bind(&object.reason)
    .bind(&object.next_step)
    .bind(object.object.to_string())
    .bind(object.bytes)
    .bind(object.data_set_bytes)
    .bind(object.sha256)
    .bind(object.received)
    .execute(change)
    .await
    .map(drop)
}

/// Bytes that were an instance once, and cannot be read now: their row waits again.
async fn take_back(change: &mut Change, known: &Quarantined, object: &Quarantined) -> Result<(), Problem> {
    Sql::new(
        "UPDATE quarantine SET way = $3, actor = $4, reason = $5, next_step = $6, object = $7, times = times + 1,
             last_received = $8, state = 'waiting', decided_by = NULL, decided_at = NULL, study = NULL
         WHERE centre = $1 AND id = $2",
    )
    .bind(&known.centre)
    .bind(known.id)
    .bind(object.way.as_str())
    .bind(&object.by)
    .bind(&object.reason)
    .bind(&object.next_step)
    .bind(object.object.to_string())
    .bind(object.received)
    .execute(change)
    .await
    .map(drop)
}

/// One task speaks for everything of one sender, however much it sends.
fn waiting_task(centre: &CentreId, by: &str) -> NewTask {
    let reason = match by.strip_prefix("peer:") {
        Some(ae) => {
            format!("Objects that {ae} sent cannot be read. They are not stored, and kept in quarantine.")
        }
        None if by == Actor::Operator.text() => {
            "Objects that cannot be read were found in storage when the catalog was made again. They are kept in quarantine.".to_owned()
        }
        None => {
            "Files that were sent over the web cannot be read. They are not stored, and kept in quarantine."
                .to_owned()
        }
    };
    NewTask {
        centre: centre.clone(),
        study: None,
        kind: TaskKind::Quarantine,
        subject: subject(by),
        reason,
        next_step: "Open the quarantine, read what is wrong with each, and try again or discard.".to_owned(),
    }
}

fn subject(by: &str) -> String {
    format!("from {by}")
}

async fn full(change: &mut Change, centre: &CentreId, at: Timestamp) -> Result<(), Problem> {
    let task = NewTask {
        centre: centre.clone(),
        study: None,
        kind: TaskKind::Quarantine,
        subject: FULL.to_owned(),
        reason: "The quarantine is full: further objects that cannot be read are refused, and not kept.".to_owned(),
        next_step: "Decide about what is in quarantine. Discarded objects make room when their retention time is over; the operator \
            can raise the limits."
            .to_owned(),
    };
    open_task(change, &task, at).await.map(drop)
}

async fn list(
    connection: &mut AnyConnection,
    filter: &QuarantineFilter,
) -> Result<Vec<Quarantined>, Problem> {
    let mut found = Vec::new();
    for (states, order) in [("= 'waiting'", "last_received"), ("<> 'waiting'", "decided_at")] {
        let left = filter.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        let mut sql = Sql::new("SELECT * FROM quarantine WHERE state ");
        sql.push(states);
        push_scope(&mut sql, "centre", &filter.scope);
        sql.push(" ORDER BY ").push(order).push(" DESC, id DESC LIMIT ").value(left);
        for row in sql.all(connection).await? {
            found.push(object_of(&row)?);
        }
        if !filter.decided {
            break;
        }
    }
    Ok(found)
}

fn by_id(id: QuarantineId, scope: &Scope) -> Sql {
    let mut sql = Sql::new("SELECT * FROM quarantine WHERE id = ");
    sql.value(id);
    push_scope(&mut sql, "centre", scope);
    sql
}

async fn decide(
    change: &mut Change,
    id: QuarantineId,
    scope: &Scope,
    what: &QuarantineChange,
    decision: Decision,
) -> Result<Option<Quarantined>, Problem> {
    let mut sql = by_id(id, scope);
    sql.push(change.dialect.for_update());
    let Some(row) = sql.first(change).await? else { return Ok(None) };
    let mut object = object_of(&row)?;
    let (state, detail) = match (what, &object.state) {
        (QuarantineChange::Discard, QuarantineState::Waiting) => {
            (QuarantineState::Discarded(decision), "discarded".to_owned())
        }
        (QuarantineChange::Restore, QuarantineState::Discarded(_)) => {
            (QuarantineState::Waiting, "restored".to_owned())
        }
        (QuarantineChange::Stored { study }, state) if state.has_bytes() => {
            let study = study.clone();
            (QuarantineState::Stored { decision, study }, "tried again: stored".to_owned())
        }
        (QuarantineChange::Conflict, state) if state.has_bytes() => {
            (QuarantineState::Conflict(decision), "tried again: held as a conflict".to_owned())
        }
        (QuarantineChange::Refused { reason, next_step }, QuarantineState::Waiting) => {
            object.reason.clone_from(reason);
            object.next_step.clone_from(next_step);
            (QuarantineState::Waiting, format!("tried again: {reason}"))
        }
        (
            QuarantineChange::Discard
            | QuarantineChange::Restore
            | QuarantineChange::Stored { .. }
            | QuarantineChange::Conflict
            | QuarantineChange::Refused { .. },
            _,
        ) => return Ok(Some(object)),
    };
    object.state = state;
    write_state(change, &object).await?;
    let study = match &object.state {
        QuarantineState::Stored { study, .. } => Some(study),
        QuarantineState::Waiting | QuarantineState::Discarded(_) | QuarantineState::Conflict(_) => None,
    };
    let line = Line {
        actor: &Actor::Person(decision.by),
        action: Action::QuarantineDecided,
        centre: Some(&object.centre),
        study,
        detail: &format!("{id}: {detail}"),
        at: decision.at,
    };
    audit(change, line).await?;
    settle_task(change, &object, decision).await?;
    Ok(Some(object))
}

async fn write_state(change: &mut Change, object: &Quarantined) -> Result<(), Problem> {
    let decision = object.state.decision();
    let study = match &object.state {
        QuarantineState::Stored { study, .. } => Some(study.as_str()),
        QuarantineState::Waiting | QuarantineState::Discarded(_) | QuarantineState::Conflict(_) => None,
    };
    Sql::new(
        "UPDATE quarantine SET state = $3, decided_by = $4, decided_at = $5, study = $6, reason = $7, next_step = $8
         WHERE centre = $1 AND id = $2",
    )
    .bind(&object.centre)
    .bind(object.id)
    .bind(object.state.as_str())
    .bind(decision.map(|decision| decision.by))
    .bind(decision.map(|decision| decision.at))
    .bind(study)
    .bind(&object.reason)
    .bind(&object.next_step)
    .execute(change)
    .await
    .map(drop)
}

/// The task about a sender is open while something of it waits.
async fn settle_task(change: &mut Change, object: &Quarantined, decision: Decision) -> Result<(), Problem> {
    if object.state == QuarantineState::Waiting {
        return open_task(change, &waiting_task(&object.centre, &object.by), decision.at).await.map(drop);
    }
    let waits =
        Sql::new("SELECT id FROM quarantine WHERE centre = $1 AND actor = $2 AND state = 'waiting' LIMIT 1");
    if waits.bind(&object.centre).bind(&object.by).first(change).await?.is_some() {
        return Ok(());
    }
    let closure = Closure {
        by: Some(decision.by),
        at: decision.at,
        note: "Everything of this sender in the quarantine is decided.".to_owned(),
    };
    close_subject(change, &object.centre, TaskKind::Quarantine, &subject(&object.by), &closure).await
}

async fn forget(change: &mut Change, before: Timestamp, limit: u32) -> Result<u64, Problem> {
    let old = Sql::new(
        "SELECT id FROM quarantine WHERE decided_at IS NOT NULL AND decided_at < $1 ORDER BY decided_at LIMIT $2",
    );
    let mut forgotten = 0;
    for row in old.bind(before).bind(limit).all(change).await? {
        // Who restored it meanwhile keeps it.
        let gone =
            Sql::new("DELETE FROM quarantine WHERE id = $1 AND decided_at IS NOT NULL AND decided_at < $2");
        forgotten += gone.bind(row.text("id")?).bind(before).execute(change).await?;
    }
    Ok(forgotten)
}

/// The objects, by key and place, that rows of the quarantine name among those with these digests.
pub(crate) async fn named(
    connection: &mut AnyConnection,
    centre: &CentreId,
    digests: &[Sha256Digest],
) -> Result<Vec<String>, Problem> {
    let mut rows = Sql::new("SELECT object FROM quarantine WHERE centre = ");
    rows.value(centre)
        .push(" AND state IN ('waiting', 'discarded') AND sha256 IN ")
        .list(digests.iter().copied());
    rows.all(connection).await?.iter().map(|row| row.text("object")).collect()
}

#[async_trait]
impl Quarantine for SqlCatalog {
    async fn quarantine_use(&self, centre: &CentreId) -> Known<Option<QuarantineUse>> {
        snapshot!(self, "measuring a quarantine", |connection| use_of(connection, centre))
    }

    async fn quarantine(
        &self,
        object: &Quarantined,
        limits: QuarantineLimits,
        actor: &Actor,
    ) -> Known<KeepOutcome> {
        let kept = transact!(self, "keeping an object in quarantine", |change| async {
            if !take_removed(change, [object.object.to_string()]).await?.is_empty() {
                return Ok(None);
            }
            keep(change, object, limits, actor).await.map(Some)
        })?;
        kept.ok_or_else(|| was_removed("keeping an object in quarantine"))
    }

    async fn quarantine_full(&self, centre: &CentreId, at: Timestamp) -> Known<()> {
        transact!(self, "saying that a quarantine is full", |change| full(change, centre, at))
    }

    async fn quarantined_objects(&self, filter: &QuarantineFilter) -> Known<Vec<Quarantined>> {
        read!(self, "listing what is in quarantine", |connection| list(connection, filter))
    }

    async fn quarantined_object(&self, id: QuarantineId, scope: &Scope) -> Known<Option<Quarantined>> {
        let sql = || by_id(id, scope);
        read!(self, "looking up an object in quarantine", |connection| async {
            sql().first(connection).await?.as_ref().map(object_of).transpose()
        })
    }

    async fn decide_quarantined(
        &self,
        id: QuarantineId,
        scope: &Scope,
        change: &QuarantineChange,
        by: PersonId,
        at: Timestamp,
    ) -> Known<Option<Quarantined>> {
        let decision = Decision { by, at: kept(at) };
        transact!(self, "deciding about an object in quarantine", |transaction| decide(
            transaction,
            id,
            scope,
            change,
            decision
        ))
    }

    async fn note_quarantined(
        &self,
        object: &Quarantined,
        by: &Actor,
        action: Action,
        at: Timestamp,
    ) -> Known<()> {
        let detail = object.id.to_string();
        let line =
            || Line { actor: by, action, centre: Some(&object.centre), study: None, detail: &detail, at };
        transact!(self, "writing the audit of the quarantine", |change| audit(change, line()))
    }

    async fn forget_quarantined(&self, before: Timestamp, limit: u32) -> Known<u64> {
        transact!(self, "forgetting what was in quarantine", |change| forget(change, before, limit))
    }
}
