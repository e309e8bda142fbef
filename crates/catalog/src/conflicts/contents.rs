//! Two contents under one SOP Instance UID: the second one is held, and a decision may exchange them. The row of `instance` is always the
//! content that counts; what was exchanged for it stands in the row of the conflict.

use std::collections::BTreeSet;

use domain::{
    Timestamp,
    audit::Action,
    conflict::{Choice, Conflict, ConflictId, Contents, Decision, Patient},
    digest::Sha256Digest,
    id::{CentreId, PatientConflictId},
    image::{Arrival, Instance, Source},
    object::ObjectRef,
    port::catalog::{ConflictFilter, Ruling, RulingRefusal},
    study::StudyKey,
    task::{Closure, NewTask, TaskKind},
    uid::{SopInstanceUid, StudyInstanceUid},
};
use sqlx::{AnyConnection, any::AnyRow};

use super::{count_open, decision_of, follow_up, patients, push_filter, set_decision, shown};
use crate::{
    database::Change,
    error::Problem,
    images::{add_series, quiet_period, row, study_for},
    sql::{Columns as _, Sql, json},
    trail::{CATALOG, audit_study, open_task},
    wire::{WireHeader, WireInstance, read_source, source_text},
};

/// A row of `conflict`.
struct Held {
    centre: CentreId,
    id: ConflictId,
    second: Instance,
    header: Option<WireHeader>,
    /// The study of the content that was current when this one came.
    current_study: StudyInstanceUid,
    /// The content that was current until this one was chosen.
    replaced: Option<Instance>,
    replaced_patient_conflict: Option<PatientConflictId>,
    opened: Timestamp,
    source: Option<Source>,
    seen_count: u32,
    last_seen: Timestamp,
    revision: u64,
    decision: Option<Decision>,
}

fn instance_of(row: &AnyRow, column: &'static str) -> Result<Option<Instance>, Problem> {
    if row.text_maybe(column)?.is_none() {
        return Ok(None);
    }
    row.json::<WireInstance>(column)?.read().ok_or(Problem::Unreadable { column }).map(Some)
}

fn held_of(row: &AnyRow) -> Result<Held, Problem> {
    let opened = row.time("held_at")?;
    let header = match row.text_maybe("header")? {
        Some(_) => Some(row.json("header")?),
        None => None,
    };
    Ok(Held {
        centre: row.centre("centre")?,
        id: ConflictId::Contents {
            study: row.study_uid("study")?,
            sop_instance: row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?,
            sha256: row.digest("data_set_sha256")?,
        },
        second: instance_of(row, "arrival")?.ok_or(Problem::Unreadable { column: "arrival" })?,
        header,
        current_study: row.study_uid("current_study")?,
        replaced: instance_of(row, "replaced")?,
        replaced_patient_conflict: row
            .parsed_maybe("replaced_patient_conflict", |text| PatientConflictId::parse(text).ok())?,
        opened,
        source: row.parsed_maybe("source", read_source)?,
        seen_count: row.number("seen_count")?,
        last_seen: row.time_maybe("last_seen")?.unwrap_or(opened),
        revision: row.number("revision")?,
        decision: decision_of(row, Choice::KeepFirst)?,
    })
}

impl Held {
    /// With what it stands against.
    async fn whole(self, connection: &mut AnyConnection) -> Result<Conflict, Problem> {
        let current = current(connection, &self.centre, &self.second.sop_instance).await?;
        let patient = self.header.map(|header| Patient::of(&header.read().0));
        let contents = Contents {
            current_sha256: current.file_sha256,
            first: self.replaced.unwrap_or(current),
            second: self.second,
            second_patient: patient,
        };
        Ok(Conflict {
            centre: self.centre,
            id: self.id,
            matter: domain::conflict::Matter::Contents(Box::new(contents)),
            opened: self.opened,
            source: self.source,
            seen_count: self.seen_count,
            last_seen: self.last_seen,
            revision: self.revision,
            decision: self.decision,
        })
    }

    fn choice(&self) -> Option<Choice> {
        self.decision.as_ref().map(|decision| decision.choice)
    }

    fn key(&self, study: &StudyInstanceUid) -> StudyKey {
        StudyKey { centre: self.centre.clone(), uid: study.clone() }
    }
}

async fn current(
    connection: &mut AnyConnection,
    centre: &CentreId,
    sop_instance: &SopInstanceUid,
) -> Result<Instance, Problem> {
    let sql = Sql::new("SELECT * FROM instance WHERE centre = $1 AND sop_instance = $2")
        .bind(centre)
        .bind(sop_instance);
    row::read_instance(&sql.first(connection).await?.ok_or(Problem::Missing("instance"))?)
}

pub(super) async fn list(
    connection: &mut AnyConnection,
    filter: &ConflictFilter,
) -> Result<Vec<Conflict>, Problem> {
    let mut sql = Sql::new("SELECT * FROM conflict");
    push_filter(&mut sql, filter, "held_at");
    let mut found = Vec::new();
    for row in sql.all(connection).await? {
        found.push(held_of(&row)?.whole(connection).await?);
    }
    Ok(found)
}

/// The condition that names a row, to stand behind `WHERE`.
fn push_id(sql: &mut Sql, centre: &CentreId, id: &ConflictId) {
    let ConflictId::Contents { study, sop_instance, sha256 } = id else {
        sql.push("1 = 0");
        return;
    };
    sql.push("centre = ").value(centre).push(" AND sop_instance = ").value(sop_instance);
    sql.push(" AND study = ").value(study).push(" AND data_set_sha256 = ").value(*sha256);
}

async fn held(
    connection: &mut AnyConnection,
    centre: &CentreId,
    id: &ConflictId,
    suffix: &str,
) -> Result<Option<Held>, Problem> {
    let mut sql = Sql::new("SELECT * FROM conflict WHERE ");
    push_id(&mut sql, centre, id);
    sql.push(suffix);
    sql.first(connection).await?.as_ref().map(held_of).transpose()
}

pub(super) async fn load(
    connection: &mut AnyConnection,
    centre: &CentreId,
    id: &ConflictId,
) -> Result<Option<Conflict>, Problem> {
    match held(connection, centre, id, "").await? {
        Some(held) => held.whole(connection).await.map(Some),
        None => Ok(None),
    }
}

/// Holds a content that came second, once: row, count, task, audit. What is held already, or was shown until another content was
/// chosen, is seen once more. Gives where the bytes that are kept rest.
pub(crate) async fn hold(
    change: &mut Change,
    arrival: &Arrival,
    current_study: &StudyInstanceUid,
    current_sha256: Sha256Digest,
    at: Timestamp,
) -> Result<ObjectRef, Problem> {
    let instance = &arrival.instance;
    if let Some(object) = seen_again(change, arrival, at).await? {
        return Ok(object);
    }
    Sql::new(
        "INSERT INTO conflict (centre, sop_instance, study, data_set_sha256, arrival, current_study,
             current_data_set_sha256, held_at, header, source, seen_count, last_seen)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $8)",
    )
    .bind(&instance.centre)
    .bind(&instance.sop_instance)
    .bind(&instance.study)
    .bind(instance.file_sha256)
    .bind(json(&WireInstance::new(instance)))
    .bind(current_study)
    .bind(current_sha256)
    .bind(at)
    .bind(json(&WireHeader::new(&arrival.study, &arrival.series)))
    .bind(source_text(&arrival.source))
    .execute(change)
    .await?;
    count_open(change, &instance.centre, &[&instance.study, current_study]).await?;
    open_task(change, &task(&instance.centre, instance, current_study), at).await?;
    let key = StudyKey { centre: instance.centre.clone(), uid: current_study.clone() };
    let detail = if instance.study == *current_study { "other contents" } else { "another study" };
    audit_study(change, &CATALOG, Action::ConflictHeld, &key, detail, at).await?;
    Ok(instance.object.clone())
}

async fn seen_again(
    change: &mut Change,
    arrival: &Arrival,
    at: Timestamp,
) -> Result<Option<ObjectRef>, Problem> {
    let instance = &arrival.instance;
    let times: i64 = match arrival.source {
        Source::Association(_) | Source::Web => 1,
        // It was not sent again, but found where it rests.
        Source::Rebuild => 0,
    };
    let id = ConflictId::Contents {
        study: instance.study.clone(),
        sop_instance: instance.sop_instance.clone(),
        sha256: instance.file_sha256,
    };
    let mut second = Sql::new("UPDATE conflict SET seen_count = seen_count + ");
    second.value(times).push(", last_seen = ").value(at);
    second.push(", source = COALESCE(source, ").value(source_text(&arrival.source));
    second.push("), header = COALESCE(header, ");
    second.value(json(&WireHeader::new(&arrival.study, &arrival.series))).push(") WHERE ");
    push_id(&mut second, &instance.centre, &id);
    second.push(" RETURNING arrival AS kept");
    let first = Sql::new(
        "UPDATE conflict SET seen_count = seen_count + $5, last_seen = $6
         WHERE centre = $1 AND sop_instance = $2 AND replaced_study = $3 AND replaced_sha256 = $4
         RETURNING replaced AS kept",
    )
    .bind(&instance.centre)
    .bind(&instance.sop_instance)
    .bind(&instance.study)
    .bind(instance.file_sha256)
    .bind(times)
    .bind(at);
    for sql in [second, first] {
        if let Some(row) = sql.first(change).await? {
            return Ok(instance_of(&row, "kept")?.map(|kept| kept.object));
        }
    }
    Ok(None)
}

fn task(centre: &CentreId, second: &Instance, current_study: &StudyInstanceUid) -> NewTask {
    let reason = if second.study == *current_study {
        "An image came again under the same identifier with other contents."
    } else {
        "An image came under an identifier that another study uses already."
    };
    NewTask {
        centre: centre.clone(),
        study: Some(current_study.clone()),
        kind: TaskKind::Conflict,
        subject: second.sop_instance.to_string(),
        reason: reason.to_owned(),
        next_step: "Compare both on the page of conflicts and decide. Until then the first one stays in use."
            .to_owned(),
    }
}

pub(super) async fn decide(
    change: &mut Change,
    ruling: &Ruling,
    at: Timestamp,
) -> Result<Result<(), RulingRefusal>, Problem> {
    let Some(seen) = held(change, &ruling.centre, &ruling.id, "").await? else {
        return Ok(Err(RulingRefusal::Unknown));
    };
    // Studies are locked in the order of their names, as arrivals lock them; what was read before may have changed.
    let sop_instance = seen.second.sop_instance.clone();
    let shown_in = current(change, &ruling.centre, &sop_instance).await?.study;
    let named = [Some(&seen.second.study), Some(&seen.current_study), Some(&shown_in)];
    let replaced = seen.replaced.as_ref().map(|replaced| &replaced.study);
    let studies: BTreeSet<StudyInstanceUid> =
        named.into_iter().chain([replaced]).flatten().cloned().collect();
    for study in &studies {
        row::lock(change, &seen.key(study)).await?;
    }
    let for_update = change.dialect.for_update();
    let Some(held) = held(change, &ruling.centre, &ruling.id, for_update).await? else {
        return Ok(Err(RulingRefusal::Unknown));
    };
    let current = current(change, &ruling.centre, &sop_instance).await?;
    if !studies.contains(&current.study) {
        return Err(Problem::lost("the instance went to another study"));
    }
    if held.choice() == ruling.choice {
        return Ok(Ok(()));
    }
    if held.revision != ruling.revision || ruling.current_sha256 != Some(current.file_sha256) {
        return Ok(Err(RulingRefusal::Changed));
    }
    let exchanged = match (held.choice(), ruling.choice) {
        (None, Some(Choice::UseSecond)) => use_second(change, &held, &current, at).await?,
        (Some(Choice::UseSecond), None) => put_back(change, &held, &current, at).await?,
        (None, Some(_)) | (Some(_), None) => Ok(Exchanged::default()),
        (Some(_), Some(_)) | (None, None) => Err(RulingRefusal::Changed),
    };
    let exchanged = match exchanged {
        Ok(exchanged) => exchanged,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut sql = Sql::new("UPDATE conflict SET ");
    set_decision(&mut sql, ruling, at);
    let replaced = exchanged.replaced.as_ref();
    sql.push(", replaced = ").value(replaced.map(|instance| json(&WireInstance::new(instance))));
    sql.push(", replaced_study = ").value(replaced.map(|instance| instance.study.as_str()));
    sql.push(", replaced_sha256 = ").value(replaced.map(|instance| instance.file_sha256.to_string()));
    sql.push(", replaced_patient_conflict = ").value(exchanged.patient_conflict);
    sql.push(" WHERE ");
    push_id(&mut sql, &ruling.centre, &ruling.id);
    sql.execute(change).await?;
    settle(change, ruling, &held, &studies, at).await?;
    Ok(Ok(()))
}

/// The task stays open as long as one content of the instance waits for a decision.
async fn settle(
    change: &mut Change,
    ruling: &Ruling,
    held: &Held,
    studies: &BTreeSet<StudyInstanceUid>,
    at: Timestamp,
) -> Result<(), Problem> {
    let open = Sql::new(
        "SELECT COUNT(*) AS waiting FROM conflict
         WHERE centre = $1 AND sop_instance = $2 AND resolved_at IS NULL",
    )
    .bind(&held.centre)
    .bind(&held.second.sop_instance);
    let waiting = open.first(change).await?.map_or(Ok(0), |row| row.int("waiting"))?;
    let task = (waiting > 0).then(|| task(&held.centre, &held.second, &held.current_study));
    let studies: Vec<&StudyInstanceUid> = studies.iter().collect();
    follow_up(change, ruling, &studies, task.as_ref(), at).await
}

/// What a decision took out of the row of the instance.
#[derive(Default)]
struct Exchanged {
    replaced: Option<Instance>,
    patient_conflict: Option<PatientConflictId>,
}

async fn use_second(
    change: &mut Change,
    held: &Held,
    current: &Instance,
    at: Timestamp,
) -> Result<Result<Exchanged, RulingRefusal>, Problem> {
    let second = &held.second;
    if second.file_sha256 == current.file_sha256 && second.study == current.study {
        return Ok(Err(RulingRefusal::Changed));
    }
    let Some(header) = held.header.clone() else {
        // Held by a version that did not write the header down: it may go where its series is known.
        if !has_series(change, second).await? {
            return Ok(Err(RulingRefusal::SendAgain));
        }
        let patient_conflict = patients::leave(change, &held.centre, &second.sop_instance).await?;
        remove(change, current).await?;
        insert(change, second).await?;
        show(change, [&current.study, &second.study], held, at).await?;
        return Ok(Ok(Exchanged { replaced: Some(current.clone()), patient_conflict }));
    };
    let (study, series) = header.read();
    let source = held.source.clone().unwrap_or(Source::Web);
    let arrival = Arrival { instance: second.clone(), study, series, source };
    let quiet = quiet_period(change, &held.centre).await?;
    let (study, _) = study_for(change, &held.key(&second.study), &arrival, quiet, at).await?;
    let patient_conflict = patients::leave(change, &held.centre, &second.sop_instance).await?;
    remove(change, current).await?;
    insert(change, second).await?;
    add_series(change, &arrival).await?;
    patients::note_patients(change, &study.study, &[&arrival], at).await?;
    show(change, [&current.study, &second.study], held, at).await?;
    Ok(Ok(Exchanged { replaced: Some(current.clone()), patient_conflict }))
}

async fn put_back(
    change: &mut Change,
    held: &Held,
    current: &Instance,
    at: Timestamp,
) -> Result<Result<Exchanged, RulingRefusal>, Problem> {
    let Some(replaced) = &held.replaced else { return Ok(Err(RulingRefusal::Superseded)) };
    if current.file_sha256 != held.second.file_sha256 || current.study != held.second.study {
        return Ok(Err(RulingRefusal::Superseded));
    }
    patients::leave(change, &held.centre, &current.sop_instance).await?;
    remove(change, current).await?;
    insert(change, replaced).await?;
    if let Some(id) = held.replaced_patient_conflict {
        patients::join(change, &held.centre, id, &[&replaced.sop_instance], at).await?;
    }
    show(change, [&current.study, &replaced.study], held, at).await?;
    Ok(Ok(Exchanged::default()))
}

async fn show(
    change: &mut Change,
    studies: [&StudyInstanceUid; 2],
    held: &Held,
    at: Timestamp,
) -> Result<(), Problem> {
    for study in BTreeSet::from(studies) {
        shown::shown_anew(change, &held.key(study), at).await?;
    }
    Ok(())
}

async fn remove(change: &mut Change, instance: &Instance) -> Result<(), Problem> {
    let sql = Sql::new("DELETE FROM instance WHERE centre = $1 AND sop_instance = $2");
    sql.bind(&instance.centre).bind(&instance.sop_instance).execute(change).await.map(drop)
}

async fn insert(change: &mut Change, instance: &Instance) -> Result<(), Problem> {
    match row::insert_instances([instance]).execute(change).await? {
        1 => Ok(()),
        _ => Err(Problem::lost("the instance came again meanwhile")),
    }
}

async fn has_series(change: &mut Change, instance: &Instance) -> Result<bool, Problem> {
    let sql = Sql::new("SELECT series FROM series WHERE centre = $1 AND study = $2 AND series = $3");
    let sql = sql.bind(&instance.centre).bind(&instance.study).bind(&instance.series);
    Ok(sql.first(change).await?.is_some())
}

/// Takes the open conflicts of an instance as decided for the first content.
pub(super) async fn resolve(
    change: &mut Change,
    centre: &CentreId,
    sop_instance: &str,
    closure: &Closure,
) -> Result<(), Problem> {
    let resolved = Sql::new(
        "UPDATE conflict SET resolved_at = $3, choice = $4, decided_by = $5, reason = $6, revision = revision + 1
         WHERE centre = $1 AND sop_instance = $2 AND resolved_at IS NULL
         RETURNING study, current_study",
    )
    .bind(centre)
    .bind(sop_instance)
    .bind(closure.at)
    .bind(Choice::KeepFirst.as_str())
    .bind(closure.by)
    .bind(&closure.note)
    .all(change)
    .await?;
    for row in resolved {
        count_open(change, centre, &[&row.study_uid("study")?, &row.study_uid("current_study")?]).await?;
    }
    Ok(())
}
