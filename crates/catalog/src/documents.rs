//! Metadata documents: which series has one, and which studies wait for theirs.

use async_trait::async_trait;
use domain::{
    Timestamp,
    document::{DocumentOf, SeriesDocument, StudyDocuments},
    object::ObjectKey,
    port::catalog::{DocumentDue, Documents, Known},
    study::StudyKey,
    text::CharacterSetRule,
    uid::SeriesInstanceUid,
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, transact},
    error::Problem,
    sql::{Columns as _, Sql, kept},
    upkeep::take_removed,
};

async fn documents(
    connection: &mut AnyConnection,
    study: &StudyKey,
    series: Option<&SeriesInstanceUid>,
) -> Result<Option<StudyDocuments>, Problem> {
    let mut sql = Sql::new(
        "SELECT s.generation AS now, r.series, r.character_set, d.generation, d.form, d.contents, d.object, d.bytes
         FROM study s LEFT JOIN series r ON r.centre = s.centre AND r.study = s.study AND r.instance_count > 0",
    );
    if let Some(series) = series {
        sql.push(" AND r.series = ").value(series);
    }
    sql.push(
        " LEFT JOIN series_document d ON d.centre = r.centre AND d.study = r.study AND d.series = r.series
         WHERE s.centre = ",
    );
    sql.value(&study.centre).push(" AND s.study = ").value(&study.uid).push(" ORDER BY r.series");
    let rows = sql.all(connection).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let generation = first.number("now")?;
    let series =
        rows.iter().filter_map(|row| document_of(study, row).transpose()).collect::<Result<_, _>>()?;
    Ok(Some(StudyDocuments { generation, series }))
}

/// A row without a series is that of a study without images.
fn document_of(study: &StudyKey, row: &AnyRow) -> Result<Option<DocumentOf>, Problem> {
    let Some(series) = row.parsed_maybe("series", |text| SeriesInstanceUid::parse(text).ok())? else {
        return Ok(None);
    };
    let character_set = row.parsed_maybe("character_set", CharacterSetRule::parse)?;
    let document = match row.parsed_maybe("object", ObjectKey::parse)? {
        None => None,
        Some(object) => Some(SeriesDocument {
            study: study.clone(),
            series: series.clone(),
            generation: row.number("generation")?,
            form: row.text("form")?,
            contents: row.digest("contents")?,
            object,
            bytes: row.number("bytes")?,
        }),
    };
    Ok(Some(DocumentOf { series, character_set, document }))
}

async fn put(change: &mut Change, document: &SeriesDocument, at: Timestamp) -> Result<bool, Problem> {
    let SeriesDocument { study, series, generation, form, contents, object, bytes } = document;
    if !take_removed(change, [object.to_string()]).await?.is_empty() {
        return Ok(false);
    }
    let written = Sql::new(
        "INSERT INTO series_document (centre, study, series, generation, form, contents, object, bytes, made)
         SELECT s.centre, s.study, $3, s.generation, $4, $5, $6, CAST($7 AS BIGINT), CAST($8 AS BIGINT) FROM study s
             WHERE s.centre = $1 AND s.study = $2 AND s.generation = $9
         ON CONFLICT (centre, study, series) DO UPDATE SET generation = excluded.generation,
             form = excluded.form, contents = excluded.contents, object = excluded.object, bytes = excluded.bytes, made = excluded.made",
    )
    .bind(&study.centre)
    .bind(&study.uid)
    .bind(series)
    .bind(form)
    .bind(*contents)
    .bind(object)
    .bind(*bytes)
    .bind(at)
    .bind(*generation);
    Ok(written.execute(change).await? == 1)
}

/// The documents of a study are to be made.
pub(crate) async fn want(change: &mut Change, study: &StudyKey, at: Timestamp) -> Result<(), Problem> {
    let row = Sql::new(
        "INSERT INTO document_due (centre, study, due, tries) VALUES ($1, $2, $3, 0)
         ON CONFLICT (centre, study) DO UPDATE SET due = excluded.due, tries = 0",
    );
    row.bind(&study.centre).bind(&study.uid).bind(at).execute(change).await.map(drop)
}

async fn take_due(
    change: &mut Change,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<DocumentDue>, Problem> {
    let mut next =
        Sql::new("SELECT centre, study, tries FROM document_due WHERE due <= $1 ORDER BY due LIMIT 1")
            .bind(now);
    next.push(change.dialect.for_update_skip_locked());
    let Some(row) = next.first(change).await? else { return Ok(None) };
    let study = StudyKey { centre: row.centre("centre")?, uid: row.study_uid("study")? };
    let tries = row.number::<u32>("tries")?.saturating_add(1);
    Sql::new("UPDATE document_due SET due = $3, tries = $4 WHERE centre = $1 AND study = $2")
        .bind(&study.centre)
        .bind(&study.uid)
        .bind(until)
        .bind(tries)
        .execute(change)
        .await?;
    Ok(Some(DocumentDue { study, until, tries }))
}

#[async_trait]
impl Documents for SqlCatalog {
    async fn documents(
        &self,
        study: &StudyKey,
        series: Option<&SeriesInstanceUid>,
    ) -> Known<Option<StudyDocuments>> {
        read!(self, "looking up documents", |connection| documents(connection, study, series))
    }

    async fn put_document(&self, document: &SeriesDocument, at: Timestamp) -> Known<bool> {
        transact!(self, "keeping a document", |change| put(change, document, kept(at)))
    }

    async fn take_document_due(&self, now: Timestamp, until: Timestamp) -> Known<Option<DocumentDue>> {
        let waits = Sql::new("SELECT 1 AS found FROM document_due WHERE due <= $1 LIMIT 1").bind(now);
        let waits = read!(self, "looking for documents to make", |connection| async {
            Ok(waits.first(connection).await?.is_some())
        })?;
        if !waits {
            return Ok(None);
        }
        let until = kept(until);
        transact!(self, "taking documents to make", |change| take_due(change, now, until))
    }

    async fn document_done(&self, due: &DocumentDue) -> Known<()> {
        let DocumentDue { study, until, .. } = due;
        transact!(self, "noting that documents are made", |change| async {
            let row = Sql::new("DELETE FROM document_due WHERE centre = $1 AND study = $2 AND due = $3");
            row.bind(&study.centre).bind(&study.uid).bind(*until).execute(change).await.map(drop)
        })
    }

    async fn documents_due(&self) -> Known<u64> {
        read!(self, "counting documents to make", |connection| async {
            let row = Sql::new("SELECT COUNT(*) AS waiting FROM document_due").first(connection).await?;
            row.map_or(Ok(0), |row| row.number("waiting"))
        })
    }
}
