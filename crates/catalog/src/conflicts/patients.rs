//! Another patient in one study: images that name them are stored like any other, and belong to a conflict. Once people said that this is
//! not the study's patient, those images are set aside, and every later one of that patient with them.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Timestamp,
    audit::Action,
    conflict::{Choice, Conflict, ConflictId, Decision, Matter, OtherPatient, Patient, is_another_patient},
    digest::Sha256Digest,
    id::{CentreId, PatientConflictId},
    image::{Arrival, Instance, Source},
    port::catalog::{ConflictFilter, Ruling, RulingRefusal},
    study::{Study, StudyKey},
    task::{Closure, NewTask, TaskKind},
    uid::{SopInstanceUid, StudyInstanceUid},
};
use sqlx::{AnyConnection, any::AnyRow};

use super::{count_open, decision_of, follow_up, push_filter, set_decision, shown};
use crate::{
    database::Change,
    error::Problem,
    images::row,
    sql::{Columns as _, Sql, json},
    trail::{CATALOG, audit_study, close_tasks_about, open_task},
    wire::{WirePatient, read_source, source_text},
};

/// A row of `patient_conflict`.
struct Found {
    centre: CentreId,
    id: PatientConflictId,
    study: StudyInstanceUid,
    patient: Patient,
    source: Source,
    opened: Timestamp,
    seen_count: u32,
    last_seen: Timestamp,
    revision: u64,
    decision: Option<Decision>,
}

fn found_of(row: &AnyRow) -> Result<Found, Problem> {
    Ok(Found {
        centre: row.centre("centre")?,
        id: row.parsed("id", |text| PatientConflictId::parse(text).ok())?,
        study: row.study_uid("study")?,
        patient: row.json::<WirePatient>("patient")?.read(),
        source: row.parsed("source", read_source)?,
        opened: row.time("opened")?,
        seen_count: row.number("seen_count")?,
        last_seen: row.time("last_seen")?,
        revision: row.number("revision")?,
        decision: decision_of(row, Choice::SamePatient)?,
    })
}

impl Found {
    async fn whole(self, connection: &mut AnyConnection) -> Result<Conflict, Problem> {
        let count = Sql::new(
            "SELECT COUNT(*) AS images FROM patient_conflict_image WHERE centre = $1 AND patient_conflict = $2",
        );
        let count = count.bind(&self.centre).bind(self.id).first(connection).await?;
        let images = count.map_or(Ok(0), |row| row.number("images"))?;
        let own = Sql::new(
            "SELECT * FROM instance WHERE centre = $1 AND study = $2 AND NOT EXISTS (SELECT 1
                 FROM patient_conflict_image p
                 WHERE p.centre = instance.centre AND p.sop_instance = instance.sop_instance)
             ORDER BY sop_instance LIMIT 1",
        );
        let other = Sql::new(
            "SELECT i.* FROM patient_conflict_image p
             JOIN instance i ON i.centre = p.centre AND i.sop_instance = p.sop_instance
             WHERE p.centre = $1 AND p.patient_conflict = $2 ORDER BY p.sop_instance LIMIT 1",
        );
        let own = sample(connection, own.bind(&self.centre).bind(&self.study)).await?;
        let other = sample(connection, other.bind(&self.centre).bind(self.id)).await?;
        Ok(Conflict {
            centre: self.centre,
            id: ConflictId::Patient(self.id),
            matter: Matter::Patient(Box::new(OtherPatient {
                study: self.study,
                patient: self.patient,
                images,
                samples: (own, other),
            })),
            opened: self.opened,
            source: Some(self.source),
            seen_count: self.seen_count,
            last_seen: self.last_seen,
            revision: self.revision,
            decision: self.decision,
        })
    }

    fn choice(&self) -> Option<Choice> {
        self.decision.as_ref().map(|decision| decision.choice)
    }

    fn key(&self) -> StudyKey {
        StudyKey { centre: self.centre.clone(), uid: self.study.clone() }
    }
}

async fn sample(connection: &mut AnyConnection, sql: Sql) -> Result<Option<Instance>, Problem> {
    sql.first(connection).await?.as_ref().map(row::read_instance).transpose()
}

pub(super) async fn list(
    connection: &mut AnyConnection,
    filter: &ConflictFilter,
) -> Result<Vec<Conflict>, Problem> {
    let mut sql = Sql::new("SELECT * FROM patient_conflict");
    push_filter(&mut sql, filter, "opened");
    let mut found = Vec::new();
    for row in sql.all(connection).await? {
        found.push(found_of(&row)?.whole(connection).await?);
    }
    Ok(found)
}

async fn found(
    connection: &mut AnyConnection,
    centre: &CentreId,
    id: PatientConflictId,
    suffix: &str,
) -> Result<Option<Found>, Problem> {
    let mut sql =
        Sql::new("SELECT * FROM patient_conflict WHERE centre = $1 AND id = $2").bind(centre).bind(id);
    sql.push(suffix);
    sql.first(connection).await?.as_ref().map(found_of).transpose()
}

pub(super) async fn load(
    connection: &mut AnyConnection,
    centre: &CentreId,
    id: PatientConflictId,
) -> Result<Option<Conflict>, Problem> {
    match found(connection, centre, id, "").await? {
        Some(found) => found.whole(connection).await.map(Some),
        None => Ok(None),
    }
}

/// Makes those images of a study part of a conflict that name another patient, and gives those of them that are set aside. The study is
/// locked, and the images are known.
pub(crate) async fn note_patients(
    change: &mut Change,
    study: &Study,
    images: &[&Arrival],
    at: Timestamp,
) -> Result<BTreeSet<SopInstanceUid>, Problem> {
    let mut patients: BTreeMap<Sha256Digest, Vec<&Arrival>> = BTreeMap::new();
    for image in images.iter().filter(|image| is_another_patient(&study.attributes, &image.study)) {
        patients.entry(Patient::of(&image.study).digest()).or_default().push(image);
    }
    let mut aside = BTreeSet::new();
    for (digest, images) in patients {
        let id = conflict_for(change, study, digest, images[0], at).await?;
        let named: Vec<&SopInstanceUid> = images.iter().map(|image| &image.instance.sop_instance).collect();
        let count = u32::try_from(images.len()).unwrap_or(u32::MAX);
        Sql::new(
            "UPDATE patient_conflict SET seen_count = seen_count + $3, last_seen = $4 WHERE centre = $1 AND id = $2",
        )
        .bind(&study.key.centre)
        .bind(id)
        .bind(count)
        .bind(at)
        .execute(change)
        .await?;
        if join(change, &study.key.centre, id, &named, at).await? {
            aside.extend(named.into_iter().cloned());
            open_task(change, &more_came(study, id), at).await?;
            let detail = format!("{count} images of another patient set aside, as decided before");
            audit_study(change, &CATALOG, Action::PatientConflictFound, &study.key, &detail, at).await?;
        }
    }
    Ok(aside)
}

/// The conflict of a study and a patient, opened when there is none.
async fn conflict_for(
    change: &mut Change,
    study: &Study,
    patient_sha256: Sha256Digest,
    first: &Arrival,
    at: Timestamp,
) -> Result<PatientConflictId, Problem> {
    let known =
        Sql::new("SELECT id FROM patient_conflict WHERE centre = $1 AND study = $2 AND patient_sha256 = $3")
            .bind(&study.key.centre)
            .bind(&study.key.uid)
            .bind(patient_sha256)
            .first(change)
            .await?;
    if let Some(row) = known {
        return row.parsed("id", |text| PatientConflictId::parse(text).ok());
    }
    let id = PatientConflictId::fresh();
    Sql::new(
        "INSERT INTO patient_conflict (centre, id, study, patient_sha256, patient, source, opened, seen_count, last_seen,
             revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $7, 0)",
    )
    .bind(&study.key.centre)
    .bind(id)
    .bind(&study.key.uid)
    .bind(patient_sha256)
    .bind(json(&WirePatient::new(&Patient::of(&first.study))))
    .bind(source_text(&first.source))
    .bind(at)
    .execute(change)
    .await?;
    count_open(change, &study.key.centre, &[&study.key.uid]).await?;
    open_task(change, &task(&study.key, id), at).await?;
    let detail = "another patient in the study";
    audit_study(change, &CATALOG, Action::PatientConflictFound, &study.key, detail, at).await?;
    Ok(id)
}

/// Makes images part of a conflict, and says whether they are set aside with it.
pub(super) async fn join(
    change: &mut Change,
    centre: &CentreId,
    id: PatientConflictId,
    images: &[&SopInstanceUid],
    at: Timestamp,
) -> Result<bool, Problem> {
    let found = found(change, centre, id, "").await?.ok_or(Problem::Missing("conflict"))?;
    let is_aside = found.choice() == Some(Choice::OtherPatient);
    for image in images {
        Sql::new(
            "INSERT INTO patient_conflict_image (centre, sop_instance, patient_conflict, aside) VALUES ($1, $2, $3, $4)
             ON CONFLICT (centre, sop_instance)
                 DO UPDATE SET patient_conflict = excluded.patient_conflict, aside = excluded.aside",
        )
        .bind(centre)
        .bind(*image)
        .bind(id)
        .bind(is_aside.then_some(at))
        .execute(change)
        .await?;
    }
    Ok(is_aside)
}

/// Takes an image out of its conflict, and says which that was.
pub(super) async fn leave(
    change: &mut Change,
    centre: &CentreId,
    image: &SopInstanceUid,
) -> Result<Option<PatientConflictId>, Problem> {
    let sql = Sql::new(
        "DELETE FROM patient_conflict_image WHERE centre = $1 AND sop_instance = $2 RETURNING patient_conflict",
    );
    let left = sql.bind(centre).bind(image).first(change).await?;
    left.map(|row| row.parsed("patient_conflict", |text| PatientConflictId::parse(text).ok())).transpose()
}

fn task(study: &StudyKey, id: PatientConflictId) -> NewTask {
    NewTask {
        centre: study.centre.clone(),
        study: Some(study.uid.clone()),
        kind: TaskKind::Conflict,
        subject: NewTask::conflict_subject(&ConflictId::Patient(id)),
        reason: "Images of this study name another patient.".to_owned(),
        next_step:
            "Compare both on the page of conflicts and decide whether it is the same person. Until then the \
                    images are shown."
                .to_owned(),
    }
}

/// The subject of the task about images that came after the decision.
fn more_subject(id: PatientConflictId) -> String {
    format!("more of {}", NewTask::conflict_subject(&ConflictId::Patient(id)))
}

fn more_came(study: &Study, id: PatientConflictId) -> NewTask {
    NewTask {
        centre: study.key.centre.clone(),
        study: Some(study.key.uid.clone()),
        kind: TaskKind::Conflict,
        subject: more_subject(id),
        reason: "More images came of a patient who is not this study's, as somebody decided. They are kept and not shown."
            .to_owned(),
        next_step: "Ask the centre why it sends them. If the decision was wrong, take it back on the page of conflicts."
            .to_owned(),
    }
}

pub(super) async fn decide(
    change: &mut Change,
    ruling: &Ruling,
    id: PatientConflictId,
    at: Timestamp,
) -> Result<Result<(), RulingRefusal>, Problem> {
    let Some(seen) = found(change, &ruling.centre, id, "").await? else {
        return Ok(Err(RulingRefusal::Unknown));
    };
    row::lock(change, &seen.key()).await?;
    let for_update = change.dialect.for_update();
    let Some(found) = found(change, &ruling.centre, id, for_update).await? else {
        return Ok(Err(RulingRefusal::Unknown));
    };
    if found.choice() == ruling.choice {
        return Ok(Ok(()));
    }
    if found.revision != ruling.revision || (found.choice().is_some() && ruling.choice.is_some()) {
        return Ok(Err(RulingRefusal::Changed));
    }
    let mut sql = Sql::new("UPDATE patient_conflict SET ");
    set_decision(&mut sql, ruling, at);
    sql.push(" WHERE centre = ").value(&ruling.centre).push(" AND id = ").value(id);
    sql.execute(change).await?;
    let key = found.key();
    if [found.choice(), ruling.choice].contains(&Some(Choice::OtherPatient)) {
        let aside = (ruling.choice == Some(Choice::OtherPatient)).then_some(at);
        let sql = Sql::new(
            "UPDATE patient_conflict_image SET aside = $3 WHERE centre = $1 AND patient_conflict = $2",
        );
        if sql.bind(&ruling.centre).bind(id).bind(aside).execute(change).await? > 0 {
            shown::shown_anew(change, &key, at).await?;
        }
    }
    let closure = Closure { by: Some(ruling.by), at, note: ruling.reason.clone() };
    close_tasks_about(change, &ruling.centre, TaskKind::Conflict, &more_subject(id), &closure).await?;
    let task = ruling.choice.is_none().then(|| task(&key, id));
    follow_up(change, ruling, &[&key.uid], task.as_ref(), at).await?;
    Ok(Ok(()))
}

/// Takes an open conflict as decided for the same patient.
pub(super) async fn resolve(
    change: &mut Change,
    centre: &CentreId,
    id: PatientConflictId,
    closure: &Closure,
) -> Result<(), Problem> {
    let resolved = Sql::new(
        "UPDATE patient_conflict SET resolved_at = $3, choice = $4, decided_by = $5, reason = $6,
             revision = revision + 1
         WHERE centre = $1 AND id = $2 AND resolved_at IS NULL
         RETURNING study",
    )
    .bind(centre)
    .bind(id)
    .bind(closure.at)
    .bind(Choice::SamePatient.as_str())
    .bind(closure.by)
    .bind(&closure.note)
    .first(change)
    .await?;
    match resolved {
        Some(row) => count_open(change, centre, &[&row.study_uid("study")?]).await,
        None => Ok(()),
    }
}
