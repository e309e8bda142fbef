//! Studies that were taken out. Everything that is known of one moves into tables of the same shape (`out_…`), in one transaction, so that
//! no query about studies, series or instances can find it, whoever writes that query; and moves back in one. Decision 19.
//!
//! A table whose rows belong to a study and must come back with it joins in [`MOVED`], and has its twin in the same migration.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    image::{Arrival, Source},
    object::{ObjectName, ObjectRef},
    person::Scope,
    port::{
        CatalogError, ChangeError,
        catalog::{BringBackRefusal, Known, TakeOut, TakeOutRefusal, TakenOut, TakenOutStudies},
    },
    study::{ImageSet, Study, StudyKey},
    uid::SopInstanceUid,
};
use sqlx::AnyConnection;

use crate::{
    SqlCatalog,
    database::{Change, read, snapshot, transact},
    documents,
    error::Problem,
    images::{image_set_of, row},
    orders, outbox,
    sql::{Columns as _, Sql, kept},
    trail::{audit_study, push_scope},
};

/// What a table's rows belong to.
#[derive(Clone, Copy)]
enum Of {
    /// Columns `centre` and `study`.
    Study,
    /// Columns `centre` and `sop_instance`, of an image of the study.
    Image,
}

/// Tables whose rows move, each before those that refer to it.
const MOVED: [(&str, Of); 12] = [
    ("study", Of::Study),
    ("series", Of::Study),
    ("series_procedure", Of::Study),
    ("instance", Of::Study),
    ("instance_frames", Of::Image),
    ("draft", Of::Study),
    ("working_copy", Of::Study),
    ("patient_conflict", Of::Study),
    ("patient_conflict_image", Of::Image),
    ("conflict", Of::Study),
    ("task", Of::Study),
    ("damaged_object", Of::Study),
];
/// Tables whose rows are made again.
const MADE_AGAIN: [&str; 3] = ["series_document", "document_due", "outbox"];
/// Values of one statement's list.
const LIST_MAX: usize = 100;
/// The actor of what happens when its time is over.
const UPKEEP: Actor = Actor::Role("upkeep");

/// A statement about the rows of a study in a table. `images` is the table in which its images are.
fn of_study(beginning: &str, table: &str, of: Of, images: &str, study: &StudyKey) -> Sql {
    let mut sql = Sql::new(format!("{beginning} {table} WHERE centre = "));
    sql.value(&study.centre);
    match of {
        Of::Study => {
            sql.push(" AND study = ").value(&study.uid);
        }
        Of::Image => {
            sql.push(&format!(" AND sop_instance IN (SELECT sop_instance FROM {images} WHERE centre = "));
            sql.value(&study.centre).push(" AND study = ").value(&study.uid).push(")");
        }
    }
    sql
}

/// Moves all rows of a study. Whole rows are copied by the order of their columns, so that a process of the version before a migration
/// loses nothing of a column that it does not know.
async fn move_rows(change: &mut Change, study: &StudyKey, from: &str, to: &str) -> Result<(), Problem> {
    let images = format!("{from}instance");
    for (table, of) in MOVED {
        let copy = format!("INSERT INTO {to}{table} SELECT * FROM");
        of_study(&copy, &format!("{from}{table}"), of, &images, study).execute(change).await?;
    }
    delete_rows(change, study, from).await
}

async fn delete_rows(change: &mut Change, study: &StudyKey, from: &str) -> Result<(), Problem> {
    let images = format!("{from}instance");
    // Those that say which images they are of go before the images.
    for (table, of) in MOVED.into_iter().rev() {
        of_study("DELETE FROM", &format!("{from}{table}"), of, &images, study).execute(change).await?;
    }
    Ok(())
}

/// Whether a study may go, with what would go.
async fn look(
    connection: &mut AnyConnection,
    row: Option<row::StudyRow>,
    now: Timestamp,
) -> Result<Result<(Study, ImageSet), TakeOutRefusal>, Problem> {
    let Some(row) = row else { return Ok(Err(TakeOutRefusal::Unknown)) };
    if row.signed_version() > 0 {
        return Ok(Err(TakeOutRefusal::Signed));
    }
    if let Some(claim) = row.reading.claim(now) {
        return Ok(Err(TakeOutRefusal::Held { until: claim.until }));
    }
    let key = &row.study.key;
    let elsewhere = Sql::new(
        "SELECT 1 AS found FROM conflict WHERE centre = $1 AND (study = $2 OR current_study = $2 OR replaced_study = $2)
             AND (study <> $2 OR current_study <> $2 OR COALESCE(replaced_study, $2) <> $2) LIMIT 1",
    )
    .bind(&key.centre)
    .bind(&key.uid);
    if row.study.conflict_count > 0 || elsewhere.first(connection).await?.is_some() {
        return Ok(Err(TakeOutRefusal::InConflict));
    }
    let images = image_set_of(connection, &row.study).await?;
    Ok(Ok((row.study, images)))
}

/// The study's row, which nobody may refer to until the transaction ends.
async fn lock_to_delete(change: &mut Change, study: &StudyKey) -> Result<Option<row::StudyRow>, Problem> {
    let mut sql =
        Sql::new("SELECT * FROM study WHERE centre = $1 AND study = $2").bind(&study.centre).bind(&study.uid);
    sql.push(change.dialect.for_delete());
    sql.first(change).await?.as_ref().map(row::read).transpose()
}

async fn take_out(
    change: &mut Change,
    wanted: &TakeOut,
    now: Timestamp,
) -> Result<Result<TakenOut, TakeOutRefusal>, Problem> {
    let key = &wanted.study;
    let row = lock_to_delete(change, key).await?;
    let (study, images) = match look(change, row, now).await? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if images.digest != wanted.image_set {
        return Ok(Err(TakeOutRefusal::Changed));
    }
    for table in MADE_AGAIN {
        of_study("DELETE FROM", table, Of::Study, "", key).execute(change).await?;
    }
    move_rows(change, key, "", "out_").await?;
    if let Some((order, _)) = study.order {
        orders::unlink(change, &key.centre, order).await?;
    }
    Sql::new(
        "INSERT INTO taken_out (centre, study, at, until, actor, reason, purging, refused_count)
         VALUES ($1, $2, $3, $4, $5, $6, 0, 0)",
    )
    .bind(&key.centre)
    .bind(&key.uid)
    .bind(now)
    .bind(wanted.until)
    .bind(wanted.by.text())
    .bind(&wanted.reason)
    .execute(change)
    .await?;
    let detail = format!(
        "{} series, {} images, {} bytes; it can come back until {}",
        study.series_count, study.instance_count, study.bytes, wanted.until
    );
    audit_study(change, &wanted.by, Action::StudyTakenOut, key, &detail, now).await?;
    Ok(Ok(TakenOut {
        study,
        at: now,
        until: kept(wanted.until),
        by: wanted.by.text(),
        reason: wanted.reason.clone(),
        is_over: false,
        refused_count: 0,
        last_refused: None,
    }))
}

async fn bring_back(
    change: &mut Change,
    key: &StudyKey,
    by: &Actor,
    now: Timestamp,
) -> Result<Result<(), BringBackRefusal>, Problem> {
    let mut sql = Sql::new("SELECT until, purging FROM taken_out WHERE centre = $1 AND study = $2")
        .bind(&key.centre)
        .bind(&key.uid);
    sql.push(change.dialect.for_delete());
    let Some(out) = sql.first(change).await? else { return Ok(Err(BringBackRefusal::Unknown)) };
    // It asks for removals, so that a sweep that looks for the names of objects meanwhile is over, or waits until they are back.
    let leaving = Sql::new(
        "SELECT 1 AS found FROM out_instance i JOIN removal r ON r.object = i.object WHERE i.centre = $1 AND i.study = $2 LIMIT 1",
    );
    let leaving = leaving.bind(&key.centre).bind(&key.uid).first(change).await?.is_some();
    if leaving || out.flag("purging")? || out.time("until")? <= now {
        return Ok(Err(BringBackRefusal::Over));
    }
    let elsewhere = Sql::new(
        "SELECT 1 AS found FROM out_instance o JOIN instance i ON i.centre = o.centre AND i.sop_instance = o.sop_instance
         WHERE o.centre = $1 AND o.study = $2 LIMIT 1",
    );
    if elsewhere.bind(&key.centre).bind(&key.uid).first(change).await?.is_some() {
        return Ok(Err(BringBackRefusal::ImageElsewhere));
    }
    orders::lock_centre(change, &key.centre).await?;
    forget(change, key).await?;
    // Frames are noted again, with an image that went elsewhere and was set aside there, say.
    for (table, of) in MOVED {
        if matches!(of, Of::Image) {
            of_study("DELETE FROM", table, of, "out_instance", key).execute(change).await?;
        }
    }
    move_rows(change, key, "out_", "").await?;
    let mut study = row::lock(change, key).await?.ok_or(Problem::Missing("study"))?.study;
    if let Some((order, _)) = study.order
        && !orders::take_again(change, &key.centre, order, &key.uid).await?
    {
        study.order = None;
        row::write_order(change, &study).await?;
    }
    outbox::study_stored(change, key, study.priority, now).await?;
    documents::want(change, key, now).await?;
    audit_study(change, by, Action::StudyBroughtBack, key, "", now).await?;
    Ok(Ok(()))
}

/// Removes the row that says that a study is out.
async fn forget(change: &mut Change, study: &StudyKey) -> Result<(), Problem> {
    of_study("DELETE FROM", "taken_out", Of::Study, "", study).execute(change).await.map(drop)
}

/// Whether images of a study are refused since it was taken out; then they are counted, but those that a
/// rebuild found.
pub(crate) async fn refuse(
    change: &mut Change,
    study: &StudyKey,
    arrivals: &[&Arrival],
    at: Timestamp,
) -> Result<bool, Problem> {
    let sent = arrivals.iter().filter(|arrival| arrival.source != Source::Rebuild).count();
    let counted = Sql::new(
        "UPDATE taken_out SET refused_count = refused_count + $3,
             last_refused = CASE WHEN $3 > 0 THEN $4 ELSE last_refused END
         WHERE centre = $1 AND study = $2",
    )
    .bind(&study.centre)
    .bind(&study.uid)
    .bind(sent as u64)
    .bind(at);
    Ok(counted.execute(change).await? > 0)
}

/// Finds, of some objects, those that belong to studies that were taken out.
pub(crate) async fn named(
    connection: &mut AnyConnection,
    objects: &[ObjectRef],
    found: &mut BTreeSet<String>,
) -> Result<(), Problem> {
    let mut studies: BTreeSet<StudyKey> = BTreeSet::new();
    let of = |object: &ObjectRef| match object.key.name()? {
        ObjectName::Instance { centre, study, .. }
        | ObjectName::KeyImage { centre, study, .. }
        | ObjectName::ReportPdf { centre, study, .. }
        | ObjectName::SeriesDocument { centre, study, .. } => Some(StudyKey { centre, uid: study }),
        ObjectName::Quarantined { .. } | ObjectName::Mark { .. } => None,
    };
    for study in objects.iter().filter_map(of) {
        studies.insert(study);
    }
    let mut out = BTreeSet::new();
    for study in studies {
        let sql = Sql::new("SELECT 1 AS found FROM taken_out WHERE centre = $1 AND study = $2");
        if sql.bind(&study.centre).bind(&study.uid).first(connection).await?.is_some() {
            out.insert(study);
        }
    }
    for study in &out {
        let of_study = objects.iter().filter(|object| of(object).as_ref() == Some(study));
        // Of images, those that were refused since are leftovers.
        let (images, others): (Vec<_>, Vec<_>) =
            of_study.partition(|object| matches!(object.key.name(), Some(ObjectName::Instance { .. })));
        found.extend(others.into_iter().map(ToString::to_string));
        let images: Vec<String> = images.into_iter().map(ToString::to_string).collect();
        for chunk in images.chunks(LIST_MAX) {
            let mut current = Sql::new("SELECT object FROM out_instance WHERE object IN ");
            current.list(chunk);
            for row in current.all(connection).await? {
                found.insert(row.text("object")?);
            }
        }
        let held = Sql::new("SELECT arrival, replaced FROM out_conflict WHERE centre = $1 AND study = $2");
        for row in held.bind(&study.centre).bind(&study.uid).all(connection).await? {
            let words = row.text("arrival")? + &row.text_maybe("replaced")?.unwrap_or_default();
            found.extend(images.iter().filter(|object| words.contains(&format!("\"{object}\""))).cloned());
        }
    }
    Ok(())
}

async fn list(connection: &mut AnyConnection, scope: &Scope, limit: u32) -> Result<Vec<TakenOut>, Problem> {
    let mut sql = Sql::new(
        "SELECT s.*, t.at AS out_at, t.until AS out_until, t.actor AS out_by, t.reason AS out_reason, t.purging AS out_over,
             t.refused_count, t.last_refused
         FROM taken_out t JOIN out_study s ON s.centre = t.centre AND s.study = t.study WHERE 1 = 1",
    );
    push_scope(&mut sql, "t.centre", scope);
    sql.push(" ORDER BY t.at DESC, t.study, t.centre LIMIT ").value(limit);
    let taken = |row: &sqlx::any::AnyRow| {
        Ok(TakenOut {
            study: row::read(row)?.study,
            at: row.time("out_at")?,
            until: row.time("out_until")?,
            by: row.text("out_by")?,
            reason: row.text("out_reason")?,
            is_over: row.flag("out_over")?,
            refused_count: row.number("refused_count")?,
            last_refused: row.time_maybe("last_refused")?,
        })
    };
    sql.all(connection).await?.iter().map(taken).collect()
}

async fn begin_purge(change: &mut Change, now: Timestamp) -> Result<Option<StudyKey>, Problem> {
    let mut sql = Sql::new(
        "SELECT centre, study, purging FROM taken_out WHERE until <= $1 ORDER BY until, study, centre LIMIT 1",
    )
    .bind(now);
    sql.push(change.dialect.for_update());
    let Some(row) = sql.first(change).await? else { return Ok(None) };
    let key = StudyKey { centre: row.centre("centre")?, uid: row.study_uid("study")? };
    if !row.flag("purging")? {
        Sql::new("UPDATE taken_out SET purging = 1 WHERE centre = $1 AND study = $2")
            .bind(&key.centre)
            .bind(&key.uid)
            .execute(change)
            .await?;
        audit_study(change, &UPKEEP, Action::StudyPurged, &key, "its time is over", now).await?;
    }
    Ok(Some(key))
}

async fn condemn(
    change: &mut Change,
    study: &StudyKey,
    after: Option<&SopInstanceUid>,
    limit: u32,
    at: Timestamp,
) -> Result<Vec<(SopInstanceUid, ObjectRef)>, Problem> {
    let mut sql = Sql::new("SELECT sop_instance, object FROM out_instance WHERE centre = ");
    sql.value(&study.centre).push(" AND study = ").value(&study.uid);
    if let Some(after) = after {
        sql.push(" AND sop_instance > ").value(after);
    }
    sql.push(
        " AND EXISTS (SELECT 1 FROM taken_out t WHERE t.centre = out_instance.centre AND t.study = out_instance.study
             AND t.purging = 1)",
    );
    sql.push(" ORDER BY sop_instance LIMIT ").value(limit);
    let read = |row: &sqlx::any::AnyRow| {
        let uid = row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?;
        Ok((uid, row.parsed("object", ObjectRef::parse)?))
    };
    let page: Vec<(SopInstanceUid, ObjectRef)> =
        sql.all(change).await?.iter().map(read).collect::<Result<_, Problem>>()?;
    for (_, object) in &page {
        Sql::new(
            "INSERT INTO removal (object, centre, condemned)
             SELECT CAST($1 AS TEXT), t.centre, CAST($2 AS BIGINT) FROM taken_out t
                 WHERE t.centre = $3 AND t.study = $4 AND t.purging = 1
             ON CONFLICT (object) DO UPDATE SET condemned = excluded.condemned, gone = NULL",
        )
        .bind(object.to_string())
        .bind(at)
        .bind(&study.centre)
        .bind(&study.uid)
        .execute(change)
        .await?;
    }
    Ok(page)
}

#[async_trait]
impl TakenOutStudies for SqlCatalog {
    async fn before_take_out(
        &self,
        study: &StudyKey,
        now: Timestamp,
    ) -> Result<(Study, ImageSet), ChangeError<TakeOutRefusal>> {
        let found: Result<_, CatalogError> =
            snapshot!(self, "looking at a study that is to be taken out", |connection| async {
                let row = row::load(connection, study).await?;
                look(connection, row, now).await
            });
        found?.map_err(ChangeError::Refused)
    }

    async fn take_out(
        &self,
        wanted: &TakeOut,
        now: Timestamp,
    ) -> Result<TakenOut, ChangeError<TakeOutRefusal>> {
        let taken: Result<_, CatalogError> =
            transact!(self, "taking a study out", |change| take_out(change, wanted, kept(now)));
        taken?.map_err(ChangeError::Refused)
    }

    async fn bring_back(
        &self,
        study: &StudyKey,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), ChangeError<BringBackRefusal>> {
        let back: Result<_, CatalogError> =
            transact!(self, "bringing a study back", |change| bring_back(change, study, by, kept(now)));
        back?.map_err(ChangeError::Refused)
    }

    async fn taken_out(&self, scope: &Scope, limit: u32) -> Known<Vec<TakenOut>> {
        read!(self, "listing studies that were taken out", |connection| list(connection, scope, limit))
    }

    async fn begin_purge(&self, now: Timestamp) -> Known<Option<StudyKey>> {
        transact!(self, "looking for studies whose time is over", |change| begin_purge(change, kept(now)))
    }

    async fn condemn_to_purge(
        &self,
        study: &StudyKey,
        after: Option<&SopInstanceUid>,
        limit: u32,
        at: Timestamp,
    ) -> Known<Vec<(SopInstanceUid, ObjectRef)>> {
        transact!(self, "condemning objects of a study whose time is over", |change| condemn(
            change,
            study,
            after,
            limit,
            kept(at)
        ))
    }

    async fn end_purge(&self, study: &StudyKey, now: Timestamp) -> Known<()> {
        transact!(self, "forgetting a study whose time is over", |change| async {
            let over = Sql::new("SELECT 1 AS found FROM taken_out WHERE centre = $1 AND study = $2 AND purging = 1 AND until <= $3")
                .bind(&study.centre)
                .bind(&study.uid)
                .bind(now);
            if over.first(change).await?.is_none() {
                return Ok(());
            }
            delete_rows(change, study, "out_").await?;
            forget(change, study).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables that speak of a study and stay when it goes: what happened, and what is not the study's own. That of signed reports keeps it.
    const STAYS: [&str; 9] = [
        "audit",
        "commitment",
        "delivery",
        "exam_order",
        "quarantine",
        "report_pdf",
        "report_version",
        "taken_out",
        "upload_file",
    ];

    async fn columns(connection: &mut AnyConnection, table: &str) -> Vec<(String, String, i64)> {
        let sql =
            Sql::new("SELECT name, type, \"notnull\" AS needed FROM pragma_table_info($1) ORDER BY cid");
        let rows = sql.bind(table).all(connection).await.unwrap();
        let column = |row: &sqlx::any::AnyRow| {
            (row.text("name").unwrap(), row.text("type").unwrap(), row.int("needed").unwrap())
        };
        rows.iter().map(column).collect()
    }

    /// A table or a column that is new cannot be forgotten here.
    #[tokio::test]
    async fn every_table_of_a_study_goes_or_stays_on_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap();
        let mut reader = catalog.reader().await.unwrap();
        let tables = Sql::new("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
        for row in tables.all(&mut reader).await.unwrap() {
            let table = row.text("name").unwrap();
            let columns = columns(&mut reader, &table).await;
            let of_study = columns.iter().any(|(name, _, _)| name == "study" || name == "sop_instance");
            let known = MOVED.iter().any(|(moved, _)| *moved == table)
                || MADE_AGAIN.contains(&table.as_str())
                || STAYS.contains(&table.as_str())
                || table == "upload_promise"
                || table
                    .strip_prefix("out_")
                    .is_some_and(|twin| MOVED.iter().any(|(moved, _)| *moved == twin));
            assert!(!of_study || known, "{table}: what becomes of its rows when a study is taken out?");
        }
        for (table, _) in MOVED {
            let twin = columns(&mut reader, &format!("out_{table}")).await;
            assert_eq!(columns(&mut reader, table).await, twin, "{table}");
        }
    }
}
