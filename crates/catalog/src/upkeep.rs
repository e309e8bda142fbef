//! Upkeep of the store: which objects a row names, what was removed, how far a job is, what is damaged.
//!
//! A kind of row that names objects joins in [`named`], and in [`next_page`] when a scrub is to read its objects.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    digest::Sha256Digest,
    id::CentreId,
    object::{ObjectName, ObjectRef},
    port::{
        CatalogError,
        catalog::{Known, Upkeep},
    },
    study::StudyKey,
    task::{NewTask, TaskKind},
    uid::{SopInstanceUid, StudyInstanceUid},
    upkeep::{Damaged, Job, Mark, NamedBy, NamedObject, Progress, REMOVALS_KEPT, Tally},
};
use sqlx::{AnyConnection, any::AnyRow};
use uuid::Uuid;

use crate::{
    SqlCatalog,
    database::{Change, read, transact},
    error::Problem,
    quarantine,
    sql::{Columns as _, Sql, kept},
    taken_out,
    trail::{CATALOG, Line, audit, open_task},
    wire::{WireInstance, WireKeyImage},
};

/// Values of one statement's list.
const LIST_MAX: usize = 100;
/// Damaged objects of one study that have a task each; of more, one task speaks.
const TASKS_OF_STUDY_MAX: u32 = 10;
/// The actor of what upkeep does.
const UPKEEP: Actor = Actor::Role("upkeep");

/// Those of some objects that a row names, as texts. Of what is looked for, each kind of object has its rows.
async fn named(connection: &mut AnyConnection, objects: &[ObjectRef]) -> Result<BTreeSet<String>, Problem> {
    let mut images: BTreeMap<CentreId, BTreeMap<SopInstanceUid, Vec<String>>> = BTreeMap::new();
    let mut derived: BTreeMap<StudyKey, Vec<String>> = BTreeMap::new();
    let mut documents: BTreeMap<StudyKey, Vec<String>> = BTreeMap::new();
    let mut quarantined: BTreeMap<CentreId, Vec<Sha256Digest>> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for object in objects {
        let text = object.to_string();
        match object.key.name() {
            Some(ObjectName::Instance { centre, instance, .. }) => {
                images.entry(centre).or_default().entry(instance).or_default().push(text);
            }
            Some(
                ObjectName::KeyImage { centre, study, .. } | ObjectName::ReportPdf { centre, study, .. },
            ) => derived.entry(StudyKey { centre, uid: study }).or_default().push(text),
            Some(ObjectName::SeriesDocument { centre, study, .. }) => {
                documents.entry(StudyKey { centre, uid: study }).or_default().push(text);
            }
            Some(ObjectName::Quarantined { centre, sha256 }) => {
                quarantined.entry(centre).or_default().push(sha256);
            }
            // Nobody needs to name a mark: upkeep itself puts and removes it.
            Some(ObjectName::Mark { .. }) => {
                found.insert(text);
            }
            None => {}
        }
    }
    for (centre, images) in &images {
        named_images(connection, centre, images, &mut found).await?;
    }
    taken_out::named(connection, objects, &mut found).await?;
    for (study, objects) in &derived {
        named_in_reports(connection, study, objects, &mut found).await?;
    }
    for (study, objects) in &documents {
        for chunk in objects.chunks(LIST_MAX) {
            let mut current = Sql::new("SELECT object FROM series_document WHERE centre = ");
            current.value(&study.centre).push(" AND study = ").value(&study.uid);
            current.push(" AND object IN ").list(chunk);
            for row in current.all(connection).await? {
                found.insert(row.text("object")?);
            }
        }
    }
    for (centre, digests) in &quarantined {
        for chunk in digests.chunks(LIST_MAX) {
            found.extend(quarantine::named(connection, centre, chunk).await?);
        }
    }
    Ok(found)
}

/// Current images, and contents of conflicts, decided or not, the held ones and those that were replaced: all stay for ever.
async fn named_images(
    connection: &mut AnyConnection,
    centre: &CentreId,
    images: &BTreeMap<SopInstanceUid, Vec<String>>,
    found: &mut BTreeSet<String>,
) -> Result<(), Problem> {
    let instances: Vec<&SopInstanceUid> = images.keys().collect();
    for chunk in instances.chunks(LIST_MAX) {
        let mut current = Sql::new("SELECT object FROM instance WHERE centre = ");
        current.value(centre).push(" AND sop_instance IN ").list(chunk.iter().copied());
        for row in current.all(connection).await? {
            found.insert(row.text("object")?);
        }
        let mut held = Sql::new("SELECT sop_instance, arrival, replaced FROM conflict WHERE centre = ");
        held.value(centre).push(" AND sop_instance IN ").list(chunk.iter().copied());
        for row in held.all(connection).await? {
            let instance = row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?;
            // As text, so that a form of these columns that this version cannot read names its object all the same.
            let words = row.text("arrival")? + &row.text_maybe("replaced")?.unwrap_or_default();
            let of_instance = images.get(&instance).into_iter().flatten();
            found.extend(of_instance.filter(|object| words.contains(&format!("\"{object}\""))).cloned());
        }
    }
    Ok(())
}

/// Key images of drafts, working copies and signed versions, and PDFs.
async fn named_in_reports(
    connection: &mut AnyConnection,
    study: &StudyKey,
    objects: &[String],
    found: &mut BTreeSet<String>,
) -> Result<(), Problem> {
    let rows = Sql::new(
        "SELECT content AS words FROM draft WHERE centre = $1 AND study = $2
         UNION ALL SELECT content AS words FROM working_copy WHERE centre = $1 AND study = $2
         UNION ALL SELECT key_images AS words FROM report_version WHERE centre = $1 AND study = $2
         UNION ALL SELECT object AS words FROM report_pdf WHERE centre = $1 AND study = $2",
    )
    .bind(&study.centre)
    .bind(&study.uid)
    .all(connection)
    .await?;
    for row in rows {
        let words = row.text("words")?;
        found.extend(objects.iter().filter(|object| words.contains(object.as_str())).cloned());
    }
    Ok(())
}

async fn unnamed(connection: &mut AnyConnection, objects: &[ObjectRef]) -> Result<Vec<ObjectRef>, Problem> {
    let named = named(connection, objects).await?;
    Ok(objects.iter().filter(|object| !named.contains(&object.to_string())).cloned().collect())
}

/// Those of some objects that a sweep has removed or is about to remove. Whoever writes an object's name asks this first in the same
/// transaction, and does not write it then. Of one that is gone it is told once: whoever finds that the object is there has put it again.
pub(crate) async fn take_removed(
    change: &mut Change,
    objects: impl IntoIterator<Item = String>,
) -> Result<BTreeSet<String>, Problem> {
    let objects: Vec<String> = objects.into_iter().collect();
    let mut removed = BTreeSet::new();
    for chunk in objects.chunks(LIST_MAX) {
        let mut sql = Sql::new("SELECT object FROM removal WHERE object IN ");
        sql.list(chunk);
        for row in sql.all(change).await? {
            removed.insert(row.text("object")?);
        }
    }
    if !removed.is_empty() {
        let mut sql = Sql::new("DELETE FROM removal WHERE gone IS NOT NULL AND object IN ");
        sql.list(&removed);
        sql.execute(change).await?;
    }
    Ok(removed)
}

/// What is told to who would name an object that a sweep removed.
pub(crate) fn was_removed(operation: &'static str) -> CatalogError {
    Problem::lost("a sweep took the object for a leftover; store it again").during(operation)
}

async fn condemn(
    change: &mut Change,
    objects: &[ObjectRef],
    at: Timestamp,
) -> Result<Vec<ObjectRef>, Problem> {
    for statement in change.dialect.alone_with_removals() {
        Sql::new(*statement).execute(change).await?;
    }
    let candidates = unnamed(change, objects).await?;
    let mut condemned = BTreeSet::new();
    for chunk in candidates.chunks(LIST_MAX) {
        let mut sql = Sql::new("INSERT INTO removal (object, centre, condemned) VALUES ");
        for (n, object) in chunk.iter().enumerate() {
            sql.push(if n == 0 { "(" } else { ", (" });
            sql.value(object.to_string()).push(", ").value(centre_of(object)).push(", ").value(at).push(")");
        }
        // Of one that is condemned already nobody knows whether its removal is still on its way.
        sql.push(
            " ON CONFLICT (object) DO UPDATE SET condemned = excluded.condemned, gone = NULL
                 WHERE removal.gone IS NOT NULL
             RETURNING object",
        );
        for row in sql.all(change).await? {
            condemned.insert(row.text("object")?);
        }
    }
    Ok(candidates.into_iter().filter(|object| condemned.contains(&object.to_string())).collect())
}

/// Whose an object is; the empty text when its name says nothing.
fn centre_of(object: &ObjectRef) -> String {
    match object.key.name() {
        Some(
            ObjectName::Instance { centre, .. }
            | ObjectName::KeyImage { centre, .. }
            | ObjectName::ReportPdf { centre, .. }
            | ObjectName::SeriesDocument { centre, .. }
            | ObjectName::Quarantined { centre, .. },
        ) => centre.to_string(),
        Some(ObjectName::Mark { .. }) | None => String::new(),
    }
}

async fn removed(change: &mut Change, objects: &[ObjectRef], at: Timestamp) -> Result<(), Problem> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for chunk in objects.chunks(LIST_MAX) {
        let mut sql = Sql::new("UPDATE removal SET gone = ");
        sql.value(at).push(" WHERE gone IS NULL AND object IN ").list(chunk.iter().map(ToString::to_string));
        sql.push(" RETURNING centre");
        for row in sql.all(change).await? {
            *counts.entry(row.text("centre")?).or_default() += 1;
        }
    }
    for (centre, count) in counts {
        let centre = CentreId::parse(&centre).ok();
        let detail = format!("{count} objects that no row names");
        let action = Action::LeftoversRemoved;
        audit(
            change,
            Line { actor: &UPKEEP, action, centre: centre.as_ref(), study: None, detail: &detail, at },
        )
        .await?;
    }
    if let Ok(before) = at.checked_sub(REMOVALS_KEPT) {
        Sql::new("DELETE FROM removal WHERE gone < $1").bind(before).execute(change).await?;
    }
    Ok(())
}

async fn pardon(change: &mut Change, objects: &[ObjectRef]) -> Result<(), Problem> {
    for chunk in objects.chunks(LIST_MAX) {
        let mut sql = Sql::new("DELETE FROM removal WHERE gone IS NULL AND object IN ");
        sql.list(chunk.iter().map(ToString::to_string));
        sql.execute(change).await?;
    }
    Ok(())
}

async fn take_job(
    change: &mut Change,
    job: Job,
    holder: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Progress>, Problem> {
    Sql::new(
        "INSERT INTO upkeep_job (job, holder, leased_until, objects, bytes, found, bytes_in_all, rounds, last_objects,
             last_bytes, last_found)
         VALUES ($1, '', 0, 0, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT (job) DO NOTHING",
    )
    .bind(job.as_str())
    .execute(change)
    .await?;
    let taken = Sql::new(
        "UPDATE upkeep_job SET holder = $2, leased_until = $3 WHERE job = $1 AND (holder = $2 OR leased_until <= $4)",
    )
    .bind(job.as_str())
    .bind(holder.to_string())
    .bind(until)
    .bind(now)
    .execute(change)
    .await?;
    if taken == 0 {
        return Ok(None);
    }
    progress(change, job).await.map(Some)
}

async fn progress(connection: &mut AnyConnection, job: Job) -> Result<Progress, Problem> {
    let row =
        Sql::new("SELECT * FROM upkeep_job WHERE job = $1").bind(job.as_str()).first(connection).await?;
    let Some(row) = row else { return Ok(Progress::default()) };
    let last = row.time_maybe("last_began")?.zip(row.time_maybe("last_ended")?);
    let tally = |objects, bytes, found| {
        Ok::<_, Problem>(Tally {
            objects: row.number(objects)?,
            bytes: row.number(bytes)?,
            found: row.number(found)?,
        })
    };
    Ok(Progress {
        began: row.time_maybe("began")?,
        position: row.text_maybe("position")?,
        now: tally("objects", "bytes", "found")?,
        bytes_in_all: row.number("bytes_in_all")?,
        rounds: row.number("rounds")?,
        last,
        before: tally("last_objects", "last_bytes", "last_found")?,
        halted: row.text_maybe("halted")?,
    })
}

async fn keep_job(
    change: &mut Change,
    job: Job,
    holder: Uuid,
    progress: &Progress,
    until: Timestamp,
) -> Result<bool, Problem> {
    let kept = Sql::new(
        "UPDATE upkeep_job SET leased_until = $3, began = $4, position = $5, objects = $6, bytes = $7, found = $8,
             bytes_in_all = $9, rounds = $10, last_began = $11, last_ended = $12, last_objects = $13, last_bytes = $14,
             last_found = $15, halted = $16
         WHERE job = $1 AND holder = $2",
    )
    .bind(job.as_str())
    .bind(holder.to_string())
    .bind(until)
    .bind(progress.began)
    .bind(&progress.position)
    .bind(progress.now.objects)
    .bind(progress.now.bytes)
    .bind(progress.now.found)
    .bind(progress.bytes_in_all)
    .bind(progress.rounds)
    .bind(progress.last.map(|(began, _)| began))
    .bind(progress.last.map(|(_, ended)| ended))
    .bind(progress.before.objects)
    .bind(progress.before.bytes)
    .bind(progress.before.found)
    .bind(&progress.halted)
    .execute(change)
    .await?;
    Ok(kept == 1)
}

async fn mark(connection: &mut AnyConnection) -> Result<Option<Mark>, Problem> {
    let row = Sql::new("SELECT catalog, number, at FROM catalog_mark WHERE id = 1").first(connection).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Mark {
        catalog: row.parsed("catalog", |text| Uuid::try_parse(text).ok())?,
        number: row.number("number")?,
        at: row.time_maybe("at")?,
    }))
}

async fn next_mark(change: &mut Change, beyond: u64, at: Option<Timestamp>) -> Result<Mark, Problem> {
    Sql::new("INSERT INTO catalog_mark (id, catalog, number) VALUES (1, $1, 0) ON CONFLICT (id) DO NOTHING")
        .bind(Uuid::new_v4().to_string())
        .execute(change)
        .await?;
    if let Some(at) = at {
        let before = mark(change).await?.ok_or(Problem::Missing("mark"))?.number;
        Sql::new("UPDATE catalog_mark SET number = $1, at = $2 WHERE id = 1")
            .bind(before.max(beyond) + 1)
            .bind(at)
            .execute(change)
            .await?;
    }
    mark(change).await?.ok_or(Problem::Missing("mark"))
}

/// Rows after a row, kind by kind; `None` when there are no more.
async fn next_page(
    connection: &mut AnyConnection,
    after: Option<&NamedBy>,
    rows: u32,
) -> Result<Option<(NamedBy, Vec<NamedObject>)>, Problem> {
    let (instance, held, report) = match after {
        None => (Some(None), None, None),
        Some(NamedBy::Instance(centre, instance)) => (Some(Some((centre, instance))), None, None),
        Some(NamedBy::Held(centre, instance, study, sha256)) => {
            (None, Some((centre.as_str(), instance.as_str(), study.as_str(), sha256.as_str())), None)
        }
        Some(NamedBy::Report(centre, study, number)) => {
            (None, None, Some((centre.as_str(), study.as_str(), *number)))
        }
    };
    let mut page = Vec::new();
    if let Some(after) = instance {
        let mut sql =
            Sql::new("SELECT centre, sop_instance, study, object, bytes, file_sha256 FROM instance");
        if let Some((centre, uid)) = after {
            sql.push(" WHERE (centre, sop_instance) > (").value(centre).push(", ").value(uid).push(")");
        }
        sql.push(" ORDER BY centre, sop_instance LIMIT ").value(rows);
        page = sql.all(connection).await?.iter().map(current).collect::<Result<_, _>>()?;
    }
    if page.is_empty() && report.is_none() {
        let mut sql =
            Sql::new("SELECT centre, sop_instance, study, data_set_sha256, arrival, replaced FROM conflict");
        if let Some((centre, uid, study, sha256)) = held {
            sql.push(" WHERE (centre, sop_instance, study, data_set_sha256) > (")
                .value(centre)
                .push(", ")
                .value(uid);
            sql.push(", ").value(study).push(", ").value(sha256).push(")");
        }
        sql.push(" ORDER BY centre, sop_instance, study, data_set_sha256 LIMIT ").value(rows);
        page = sql.all(connection).await?.iter().map(held_of).collect::<Result<_, _>>()?;
    }
    if page.is_empty() {
        let mut sql = Sql::new(
            "SELECT v.centre, v.study, v.number, v.key_images, p.object AS pdf FROM report_version v
             LEFT JOIN report_pdf p ON p.centre = v.centre AND p.study = v.study AND p.number = v.number",
        );
        if let Some((centre, study, number)) = report {
            sql.push(" WHERE (v.centre, v.study, v.number) > (").value(centre).push(", ").value(study);
            sql.push(", ").value(number).push(")");
        }
        sql.push(" ORDER BY v.centre, v.study, v.number LIMIT ").value(rows);
        page = sql.all(connection).await?.iter().map(of_report).collect::<Result<_, _>>()?;
    }
    let Some((end, _)) = page.last() else { return Ok(None) };
    let end = end.clone();
    Ok(Some((end, page.into_iter().flat_map(|(_, objects)| objects).collect())))
}

type Row = Result<(NamedBy, Vec<NamedObject>), Problem>;

fn current(row: &AnyRow) -> Row {
    let centre = row.centre("centre")?;
    let by = NamedBy::Instance(
        centre.clone(),
        row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?,
    );
    let object = NamedObject {
        by: by.clone(),
        study: StudyKey { centre, uid: row.study_uid("study")? },
        object: row.parsed("object", ObjectRef::parse)?,
        bytes: Some(row.number("bytes")?),
        sha256: row.digest("file_sha256")?,
    };
    Ok((by, vec![object]))
}

fn held_of(row: &AnyRow) -> Row {
    let centre = row.centre("centre")?;
    let by = NamedBy::Held(
        centre.clone(),
        row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?,
        row.text("study")?,
        row.text("data_set_sha256")?,
    );
    let mut objects = Vec::new();
    for column in ["arrival", "replaced"] {
        if row.text_maybe(column)?.is_none() {
            continue;
        }
        let instance = row.json::<WireInstance>(column)?.read().ok_or(Problem::Unreadable { column })?;
        objects.push(NamedObject {
            by: by.clone(),
            study: StudyKey { centre: centre.clone(), uid: instance.study },
            object: instance.object,
            bytes: Some(instance.bytes),
            sha256: instance.file_sha256,
        });
    }
    Ok((by, objects))
}

fn of_report(row: &AnyRow) -> Row {
    let (centre, study) = (row.centre("centre")?, row.study_uid("study")?);
    let by = NamedBy::Report(centre.clone(), study.to_string(), row.number("number")?);
    let key_images = row.json::<Vec<WireKeyImage>>("key_images")?.into_iter().map(WireKeyImage::read);
    let key_images: Option<Vec<_>> = key_images.collect();
    let key_images = key_images.ok_or(Problem::Unreadable { column: "key_images" })?;
    let pdf = row.parsed_maybe("pdf", domain::object::ObjectKey::parse)?;
    let study = StudyKey { centre, uid: study };
    let keys = key_images.into_iter().map(|image| image.object).chain(pdf);
    let objects = keys.filter_map(|key| {
        let sha256 = key.name()?.sha256();
        Some(NamedObject { by: by.clone(), study: study.clone(), object: key.into(), bytes: None, sha256 })
    });
    let objects = objects.collect();
    Ok((by, objects))
}

fn damaged_of(row: &AnyRow) -> Result<Damaged, Problem> {
    Ok(Damaged {
        object: row.parsed("object", ObjectRef::parse)?,
        study: StudyKey { centre: row.centre("centre")?, uid: row.study_uid("study")? },
        how: row.text("how")?,
        found: row.time("found")?,
    })
}

/// What an object is to a person.
fn what(object: &ObjectRef) -> &'static str {
    match object.key.name() {
        Some(ObjectName::Instance { .. }) => "A stored image",
        Some(ObjectName::KeyImage { .. }) => "A key image of a signed report",
        Some(ObjectName::ReportPdf { .. }) => "The PDF of a signed report",
        Some(
            ObjectName::SeriesDocument { .. } | ObjectName::Quarantined { .. } | ObjectName::Mark { .. },
        )
        | None => "A stored object",
    }
}

/// What tells the task of a damaged object from others.
fn subject_of(object: &str) -> String {
    format!("object {object}")
}

fn subject_of_study(study: &StudyInstanceUid) -> String {
    format!("objects of study {study}")
}

async fn damaged_of_study(connection: &mut AnyConnection, study: &StudyKey) -> Result<u32, Problem> {
    let row = Sql::new("SELECT COUNT(*) AS known FROM damaged_object WHERE centre = $1 AND study = $2")
        .bind(&study.centre)
        .bind(&study.uid)
        .first(connection)
        .await?;
    row.map_or(Ok(0), |row| row.number("known"))
}

async fn found_damaged(change: &mut Change, damaged: &Damaged, next_step: &str) -> Result<bool, Problem> {
    let Damaged { object, study, how, found } = damaged;
    let known = Sql::new("UPDATE damaged_object SET how = $2, seen = $3 WHERE object = $1")
        .bind(object.to_string())
        .bind(how)
        .bind(*found)
        .execute(change)
        .await?;
    if known > 0 {
        return Ok(false);
    }
    Sql::new("INSERT INTO damaged_object (object, centre, study, how, found, seen) VALUES ($1, $2, $3, $4, $5, $5)")
        .bind(object.to_string())
        .bind(&study.centre)
        .bind(&study.uid)
        .bind(how)
        .bind(*found)
        .execute(change)
        .await?;
    let (subject, reason) = if damaged_of_study(change, study).await? <= TASKS_OF_STUDY_MAX {
        (subject_of(&object.to_string()), format!("{} {how}: {object}", what(object)))
    } else {
        let reason = format!(
            "More than {TASKS_OF_STUDY_MAX} stored objects of this study are missing or not what was stored; one more is {object}, \
             which {how}."
        );
        (subject_of_study(&study.uid), reason)
    };
    let task = NewTask {
        centre: study.centre.clone(),
        study: Some(study.uid.clone()),
        kind: TaskKind::ObjectDamaged,
        subject,
        reason,
        next_step: next_step.to_owned(),
    };
    open_task(change, &task, *found).await?;
    let detail = format!("{object} {how}");
    let line = Line::of_study(&UPKEEP, Action::ObjectDamaged, study, &detail, *found);
    audit(change, line).await?;
    Ok(true)
}

async fn are_damaged(connection: &mut AnyConnection, objects: &[ObjectRef]) -> Result<Vec<Damaged>, Problem> {
    let mut damaged = Vec::new();
    for chunk in objects.chunks(LIST_MAX) {
        let mut sql = Sql::new("SELECT * FROM damaged_object WHERE object IN ");
        sql.list(chunk.iter().map(ToString::to_string));
        for row in sql.all(connection).await? {
            damaged.push(damaged_of(&row)?);
        }
    }
    Ok(damaged)
}

/// Forgets that an object was damaged, and closes its task.
async fn forget_damage(
    change: &mut Change,
    damaged: &Damaged,
    note: &str,
    at: Timestamp,
) -> Result<(), Problem> {
    let Damaged { object, study, .. } = damaged;
    let text = object.to_string();
    Sql::new("DELETE FROM damaged_object WHERE object = $1").bind(&text).execute(change).await?;
    let kind = TaskKind::ObjectDamaged;
    settle_tasks(change, kind, &subject_of(&text), note, at).await?;
    if damaged_of_study(change, study).await? == 0 {
        settle_tasks(change, kind, &subject_of_study(&study.uid), note, at).await?;
    }
    let detail = format!("{object}: {note}");
    audit(change, Line::of_study(&UPKEEP, Action::ObjectRestored, study, &detail, at)).await
}

async fn settle_tasks(
    change: &mut Change,
    kind: TaskKind,
    subject: &str,
    note: &str,
    at: Timestamp,
) -> Result<(), Problem> {
    let closed = Sql::new(
        "UPDATE task SET closed_at = $3, closed_note = $4 WHERE kind = $1 AND subject = $2 AND closed_at IS NULL
         RETURNING centre, study",
    )
    .bind(kind.as_str())
    .bind(subject)
    .bind(at)
    .bind(note)
    .all(change)
    .await?;
    for row in closed {
        let centre = row.centre("centre")?;
        let study = row.parsed_maybe("study", |text| StudyInstanceUid::parse(text).ok())?;
        let line = Line {
            actor: &CATALOG,
            action: Action::TaskClosed,
            centre: Some(&centre),
            study: study.as_ref(),
            detail: kind.as_str(),
            at,
        };
        audit(change, line).await?;
    }
    Ok(())
}

async fn number(connection: &mut AnyConnection, question: &'static str) -> Result<u64, Problem> {
    Sql::new(question).first(connection).await?.map_or(Ok(0), |row| row.number("found"))
}

#[async_trait]
impl Upkeep for SqlCatalog {
    async fn unnamed(&self, objects: &[ObjectRef]) -> Known<Vec<ObjectRef>> {
        read!(self, "looking for objects that no row names", |connection| unnamed(connection, objects))
    }

    async fn knows_images(&self) -> Known<bool> {
        read!(self, "looking for any image", |connection| async {
            // A study that was taken out is known too, also when it is the only one.
            let any =
                Sql::new("SELECT 1 AS found FROM instance UNION ALL SELECT 1 FROM out_instance LIMIT 1");
            Ok(any.first(connection).await?.is_some())
        })
    }

    async fn condemn(&self, objects: &[ObjectRef], at: Timestamp) -> Known<Vec<ObjectRef>> {
        transact!(self, "noting what is to be removed", |change| condemn(change, objects, kept(at)))
    }

    async fn condemned(&self, before: Timestamp, limit: u32) -> Known<Vec<ObjectRef>> {
        let sql = Sql::new(
            "SELECT object FROM removal WHERE gone IS NULL AND condemned < $1 ORDER BY condemned, object LIMIT $2",
        )
        .bind(before)
        .bind(limit);
        read!(self, "listing what is to be removed", |connection| async {
            sql.all(connection).await?.iter().map(|row| row.parsed("object", ObjectRef::parse)).collect()
        })
    }

    async fn removed(&self, objects: &[ObjectRef], at: Timestamp) -> Known<()> {
        transact!(self, "noting what was removed", |change| removed(change, objects, kept(at)))
    }

    async fn pardon(&self, objects: &[ObjectRef]) -> Known<()> {
        transact!(self, "keeping what was to be removed", |change| pardon(change, objects))
    }

    async fn take_job(
        &self,
        job: Job,
        holder: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Known<Option<Progress>> {
        transact!(self, "taking a job of upkeep", |change| take_job(change, job, holder, now, until))
    }

    async fn keep_job(&self, job: Job, holder: Uuid, progress: &Progress, until: Timestamp) -> Known<bool> {
        transact!(self, "keeping where a job of upkeep stands", |change| {
            keep_job(change, job, holder, progress, until)
        })
    }

    async fn job(&self, job: Job) -> Known<Progress> {
        read!(self, "asking where a job of upkeep stands", |connection| progress(connection, job))
    }

    async fn named_after(
        &self,
        after: Option<&NamedBy>,
        rows: u32,
    ) -> Known<Option<(NamedBy, Vec<NamedObject>)>> {
        read!(self, "walking through named objects", |connection| next_page(connection, after, rows))
    }

    async fn mark(&self) -> Known<Mark> {
        match read!(self, "reading the mark", |connection| mark(connection))? {
            Some(mark) => Ok(mark),
            None => transact!(self, "making the first mark", |change| next_mark(change, 0, None)),
        }
    }

    async fn next_mark(&self, beyond: u64, at: Timestamp) -> Known<Mark> {
        transact!(self, "moving the mark on", |change| next_mark(change, beyond, Some(kept(at))))
    }

    async fn bytes_in_all(&self) -> Known<u64> {
        let question = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS found FROM study";
        read!(self, "adding up bytes", |connection| number(connection, question))
    }

    async fn found_damaged(&self, damaged: &Damaged, next_step: &str) -> Known<bool> {
        transact!(self, "keeping that an object is damaged", |change| found_damaged(
            change, damaged, next_step
        ))
    }

    async fn found_good(&self, objects: &[ObjectRef], at: Timestamp) -> Known<u32> {
        let damaged =
            read!(self, "looking for damaged objects", |connection| are_damaged(connection, objects))?;
        for one in &damaged {
            let note = "It was read again and is what was stored.";
            transact!(self, "keeping that an object is good", |change| {
                forget_damage(change, one, note, kept(at))
            })?;
        }
        Ok(u32::try_from(damaged.len()).unwrap_or(u32::MAX))
    }

    async fn forget_damage_before(&self, before: Timestamp, at: Timestamp) -> Known<()> {
        let sql = || Sql::new("SELECT * FROM damaged_object WHERE seen < $1").bind(before);
        let gone = read!(self, "looking for damaged objects", |connection| async {
            sql().all(connection).await?.iter().map(damaged_of).collect::<Result<Vec<_>, _>>()
        })?;
        for one in &gone {
            let note = "No row names it any more.";
            transact!(self, "forgetting a damaged object", |change| forget_damage(
                change,
                one,
                note,
                kept(at)
            ))?;
        }
        Ok(())
    }

    async fn damaged_seen_before(&self, before: Timestamp, limit: u32) -> Known<Vec<Damaged>> {
        let sql = Sql::new("SELECT * FROM damaged_object WHERE seen < $1 ORDER BY seen, object LIMIT $2");
        let sql = sql.bind(before).bind(limit);
        read!(self, "listing damaged objects", |connection| async {
            sql.all(connection).await?.iter().map(damaged_of).collect()
        })
    }

    async fn damaged(&self, limit: u32) -> Known<Vec<Damaged>> {
        let sql = Sql::new("SELECT * FROM damaged_object ORDER BY found, object LIMIT $1").bind(limit);
        read!(self, "listing damaged objects", |connection| async {
            sql.all(connection).await?.iter().map(damaged_of).collect()
        })
    }

    async fn damaged_count(&self) -> Known<u64> {
        let question = "SELECT COUNT(*) AS found FROM damaged_object";
        read!(self, "counting damaged objects", |connection| number(connection, question))
    }

    async fn settle_tasks(&self, kind: TaskKind, subject: &str, note: &str, at: Timestamp) -> Known<()> {
        let open =
            "SELECT 1 AS found FROM task WHERE closed_at IS NULL AND kind = $1 AND subject = $2 LIMIT 1";
        let sql = Sql::new(open).bind(kind.as_str()).bind(subject);
        let is_open = read!(self, "looking for a task", |connection| async {
            Ok(sql.first(connection).await?.is_some())
        })?;
        if !is_open {
            return Ok(());
        }
        transact!(self, "closing a task", |change| settle_tasks(change, kind, subject, note, kept(at)))
    }
}
