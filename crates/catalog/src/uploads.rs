//! Uploads, what became of their files, and where a centre's studies stand.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    delivery::Transport,
    id::{UploadBatchId, UploadId, UploadSpoolId},
    journey::Journey,
    port::catalog::{BatchFilter, JourneyFilter, Known, Uploads},
    study::StudyKey,
    uid::StudyInstanceUid,
    upload::{
        BatchRefusal, BatchStudy, FileOutcome, PromisedImage, Upload, UploadBatch, UploadEnding, UploadName,
        UploadState, UploadedFile,
    },
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, snapshot, transact},
    error::Problem,
    images::row,
    readings::part_pattern,
    sql::{Columns as _, Sql, kept},
    trail::{Line, audit},
    wire::WireTransport,
};

const ARRIVING: &str = "arriving";
const WAITING: &str = "waiting";
const TAKEN_IN: &str = "taken_in";
const REFUSED: &str = "refused";
const EXPIRED: &str = "expired";
const WITHDRAWN: &str = "withdrawn";

const STORED: &str = "stored";
const ALREADY_STORED: &str = "already_stored";
const NOT_AN_IMAGE: &str = "not_an_image";
const NOT_STORED: &str = "not_stored";

fn ending_columns(ending: &UploadEnding) -> (&'static str, Option<&str>, Option<&str>) {
    match ending {
        UploadEnding::TakenIn => (TAKEN_IN, None, None),
        UploadEnding::Refused { reason, next_step } => (REFUSED, Some(reason), Some(next_step)),
        UploadEnding::Expired => (EXPIRED, None, None),
        UploadEnding::Withdrawn => (WITHDRAWN, None, None),
    }
}

fn state_of(row: &AnyRow) -> Result<UploadState, Problem> {
    let ended = |ending| {
        let at = row.time_maybe("ended")?.ok_or(Problem::Unreadable { column: "ended" })?;
        Ok(UploadState::Ended { ending, at })
    };
    match row.text("state")?.as_str() {
        ARRIVING => Ok(UploadState::Arriving),
        WAITING => Ok(UploadState::Waiting),
        TAKEN_IN => ended(UploadEnding::TakenIn),
        REFUSED => ended(UploadEnding::Refused {
            reason: row.text_maybe("reason")?.unwrap_or_default(),
            next_step: row.text_maybe("next_step")?.unwrap_or_default(),
        }),
        EXPIRED => ended(UploadEnding::Expired),
        WITHDRAWN => ended(UploadEnding::Withdrawn),
        _ => Err(Problem::Unreadable { column: "state" }),
    }
}

fn upload_of(row: &AnyRow) -> Result<Upload, Problem> {
    Ok(Upload {
        id: row.parsed("id", |text| UploadId::parse(text).ok())?,
        centre: row.centre("centre")?,
        batch: row.parsed("batch", |text| UploadBatchId::parse(text).ok())?,
        spool: row.parsed("spool", |text| UploadSpoolId::parse(text).ok())?,
        name: UploadName::new(&row.text("name")?),
        bytes: row.number("bytes")?,
        by: row.text("actor")?,
        created: row.time("created")?,
        expires: row.time("expires")?,
        state: state_of(row)?,
    })
}

async fn begin(change: &mut Change, upload: &Upload, by: &Actor) -> Result<bool, Problem> {
    let made = Sql::new(
        "INSERT INTO upload_batch (centre, id, began, actor) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(&upload.centre)
    .bind(upload.batch)
    .bind(upload.created)
    .bind(&upload.by)
    .execute(change)
    .await?;
    if made == 0 {
        let known = Sql::new("SELECT id FROM upload_batch WHERE centre = $1 AND id = $2")
            .bind(&upload.centre)
            .bind(upload.batch);
        if known.first(change).await?.is_none() {
            return Ok(false);
        }
    } else {
        let detail = format!("batch {}", upload.batch);
        let line = Line {
            actor: by,
            action: Action::UploadBegun,
            centre: Some(&upload.centre),
            study: None,
            detail: &detail,
            at: upload.created,
        };
        audit(change, line).await?;
    }
    let state = match upload.state {
        UploadState::Arriving => ARRIVING,
        UploadState::Waiting | UploadState::Ended { .. } => WAITING,
    };
    Sql::new(
        "INSERT INTO upload (centre, id, batch, spool, name, bytes, actor, created, expires, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&upload.centre)
    .bind(upload.id)
    .bind(upload.batch)
    .bind(upload.spool)
    .bind(upload.name.as_str())
    .bind(upload.bytes)
    .bind(&upload.by)
    .bind(upload.created)
    .bind(upload.expires)
    .bind(state)
    .execute(change)
    .await?;
    Ok(true)
}

async fn keep(change: &mut Change, upload: &Upload, files: &[UploadedFile]) -> Result<(), Problem> {
    for file in files {
        let (outcome, study, reason, next_step) = match &file.outcome {
            FileOutcome::Stored { study } => (STORED, Some(study), None, None),
            FileOutcome::AlreadyStored { study } => (ALREADY_STORED, Some(study), None, None),
            FileOutcome::NotAnImage { what } => (NOT_AN_IMAGE, None, Some(what.as_str()), None),
            FileOutcome::NotStored { study, reason, next_step } => {
                (NOT_STORED, study.as_ref(), Some(reason.as_str()), Some(next_step.as_str()))
            }
        };
        Sql::new(
            "INSERT INTO upload_file (centre, upload, position, batch, name, outcome, study, reason, next_step)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (centre, upload, position) DO NOTHING",
        )
        .bind(&upload.centre)
        .bind(upload.id)
        .bind(file.position)
        .bind(upload.batch)
        .bind(file.name.as_str())
        .bind(outcome)
        .bind(study.map(StudyInstanceUid::as_str))
        .bind(reason)
        .bind(next_step)
        .execute(change)
        .await?;
    }
    Ok(())
}

async fn promise(change: &mut Change, upload: &Upload, promised: &[PromisedImage]) -> Result<(), Problem> {
    for image in promised {
        Sql::new(
            "INSERT INTO upload_promise (centre, upload, sop_instance, batch, name)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (centre, upload, sop_instance) DO NOTHING",
        )
        .bind(&upload.centre)
        .bind(upload.id)
        .bind(&image.sop_instance)
        .bind(upload.batch)
        .bind(image.name.as_str())
        .execute(change)
        .await?;
    }
    Ok(())
}

async fn end(
    change: &mut Change,
    upload: &Upload,
    files: &[UploadedFile],
    ending: &UploadEnding,
    at: Timestamp,
) -> Result<bool, Problem> {
    let (state, reason, next_step) = ending_columns(ending);
    let ended = Sql::new(
        "UPDATE upload SET state = $3, reason = $4, next_step = $5, ended = $6
         WHERE centre = $1 AND id = $2 AND ended IS NULL",
    )
    .bind(&upload.centre)
    .bind(upload.id)
    .bind(state)
    .bind(reason)
    .bind(next_step)
    .bind(at)
    .execute(change)
    .await?;
    if ended == 0 {
        return Ok(false);
    }
    keep(change, upload, files).await?;
    Ok(true)
}

async fn batches(connection: &mut AnyConnection, filter: &BatchFilter) -> Result<Vec<UploadBatch>, Problem> {
    let mut sql = Sql::new("SELECT * FROM upload_batch WHERE centre = ");
    sql.value(&filter.centre);
    if let Some(batch) = filter.batch {
        sql.push(" AND id = ").value(batch);
    }
    sql.push(" ORDER BY began DESC, id DESC LIMIT ").value(filter.limit);
    let mut batches = Vec::new();
    for row in sql.all(connection).await? {
        let mut batch = UploadBatch {
            id: row.parsed("id", |text| UploadBatchId::parse(text).ok())?,
            centre: row.centre("centre")?,
            began: row.time("began")?,
            by: row.text("actor")?,
            arriving: 0,
            waiting: 0,
            ended: 0,
            bytes: 0,
            studies: Vec::new(),
            not_images: 0,
            not_stored: 0,
            refusals: Vec::new(),
            promised: 0,
            missing: 0,
            missing_names: Vec::new(),
        };
        count_uploads(connection, &mut batch).await?;
        count_files(connection, &mut batch, filter.lines_max).await?;
        list_refusals(connection, &mut batch, filter.lines_max).await?;
        compare_with_promises(connection, &mut batch, filter.lines_max).await?;
        batches.push(batch);
    }
    Ok(batches)
}

async fn count_uploads(connection: &mut AnyConnection, batch: &mut UploadBatch) -> Result<(), Problem> {
    let rows = Sql::new(
        "SELECT state, COUNT(*) AS uploads, CAST(SUM(bytes) AS BIGINT) AS total FROM upload
         WHERE centre = $1 AND batch = $2 GROUP BY state",
    )
    .bind(&batch.centre)
    .bind(batch.id)
    .all(connection)
    .await?;
    for row in rows {
        let uploads: u64 = row.number("uploads")?;
        let bytes: u64 = row.number("total")?;
        match row.text("state")?.as_str() {
            ARRIVING => batch.arriving += uploads,
            WAITING => batch.waiting += uploads,
            REFUSED => {
                batch.ended += uploads;
                batch.not_stored += uploads;
            }
            _ => batch.ended += uploads,
        }
        batch.bytes += bytes;
    }
    Ok(())
}

async fn count_files(
    connection: &mut AnyConnection,
    batch: &mut UploadBatch,
    studies_max: u32,
) -> Result<(), Problem> {
    let rows = Sql::new(
        "SELECT outcome, study, COUNT(*) AS files FROM upload_file
         WHERE centre = $1 AND batch = $2 GROUP BY outcome, study",
    )
    .bind(&batch.centre)
    .bind(batch.id)
    .all(connection)
    .await?;
    for row in rows {
        let files: u64 = row.number("files")?;
        let study = row.parsed_maybe("study", |text| StudyInstanceUid::parse(text).ok())?;
        let outcome = row.text("outcome")?;
        match outcome.as_str() {
            NOT_AN_IMAGE => batch.not_images += files,
            NOT_STORED => batch.not_stored += files,
            _ => {}
        }
        let Some(study) = study else { continue };
        let place = batch.studies.iter().position(|known| known.study == study);
        let place = place.unwrap_or_else(|| {
            batch.studies.push(BatchStudy {
                study,
                attributes: None,
                modalities: Vec::new(),
                stored: 0,
                already_stored: 0,
                not_stored: 0,
            });
            batch.studies.len() - 1
        });
        let counted = &mut batch.studies[place];
        match outcome.as_str() {
            STORED => counted.stored += files,
            ALREADY_STORED => counted.already_stored += files,
            NOT_STORED => counted.not_stored += files,
            _ => {}
        }
    }
    let images = |study: &BatchStudy| study.stored + study.already_stored + study.not_stored;
    batch.studies.sort_by(|a, b| (images(b), &a.study).cmp(&(images(a), &b.study)));
    batch.studies.truncate(studies_max as usize);
    for counted in &mut batch.studies {
        let key = StudyKey { centre: batch.centre.clone(), uid: counted.study.clone() };
        if let Some(known) = row::load(connection, &key).await? {
            counted.attributes = Some(known.study.attributes);
            counted.modalities = known.study.modalities;
        }
    }
    Ok(())
}

async fn list_refusals(
    connection: &mut AnyConnection,
    batch: &mut UploadBatch,
    limit: u32,
) -> Result<(), Problem> {
    if batch.not_stored == 0 {
        return Ok(());
    }
    for table in [
        "SELECT name, reason, next_step FROM upload WHERE centre = $1 AND batch = $2 AND state = 'refused'
         ORDER BY id LIMIT $3",
        "SELECT name, reason, next_step FROM upload_file WHERE centre = $1 AND batch = $2 AND outcome = 'not_stored'
         ORDER BY upload, position LIMIT $3",
    ] {
        let rows = Sql::new(table).bind(&batch.centre).bind(batch.id).bind(limit).all(connection).await?;
        for row in rows {
            batch.refusals.push(BatchRefusal {
                name: UploadName::new(&row.text("name")?),
                reason: row.text_maybe("reason")?.unwrap_or_default(),
                next_step: row.text_maybe("next_step")?.unwrap_or_default(),
            });
        }
    }
    batch.refusals.truncate(limit as usize);
    Ok(())
}

/// Compares what the discs' directories name with what the centre has sent, now or ever.
async fn compare_with_promises(
    connection: &mut AnyConnection,
    batch: &mut UploadBatch,
    limit: u32,
) -> Result<(), Problem> {
    const OF_BATCH: &str = "FROM upload_promise p
        LEFT JOIN instance i ON i.centre = p.centre AND i.sop_instance = p.sop_instance
        WHERE p.centre = $1 AND p.batch = $2";
    let counts = Sql::new(format!("SELECT COUNT(*) AS promised, COUNT(i.sop_instance) AS here {OF_BATCH}"))
        .bind(&batch.centre)
        .bind(batch.id)
        .first(connection)
        .await?;
    let Some(counts) = counts else { return Ok(()) };
    batch.promised = counts.number("promised")?;
    let here: u64 = counts.number("here")?;
    batch.missing = batch.promised - here;
    if batch.missing == 0 {
        return Ok(());
    }
    let rows =
        Sql::new(format!("SELECT p.name {OF_BATCH} AND i.sop_instance IS NULL ORDER BY p.name LIMIT $3"))
            .bind(&batch.centre)
            .bind(batch.id)
            .bind(limit)
            .all(connection)
            .await?;
    for row in rows {
        batch.missing_names.push(UploadName::new(&row.text("name")?));
    }
    Ok(())
}

async fn forget(change: &mut Change, before: Timestamp, limit: u32) -> Result<u64, Problem> {
    let old = Sql::new(
        "SELECT centre, id FROM upload_batch b WHERE b.began < $1 AND NOT EXISTS (
             SELECT 1 FROM upload u WHERE u.centre = b.centre AND u.batch = b.id AND u.ended IS NULL)
         ORDER BY b.began LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .all(change)
    .await?;
    for row in &old {
        let (centre, id) = (row.centre("centre")?, row.text("id")?);
        for statement in [
            "DELETE FROM upload_promise WHERE centre = $1 AND batch = $2",
            "DELETE FROM upload_file WHERE centre = $1 AND batch = $2",
            "DELETE FROM upload WHERE centre = $1 AND batch = $2",
            "DELETE FROM upload_batch WHERE centre = $1 AND id = $2",
        ] {
            Sql::new(statement).bind(&centre).bind(&id).execute(change).await?;
        }
    }
    Ok(old.len() as u64)
}

/// What a line of a centre's list shows beside the study's own row, looked up by key for the lines that are shown.
const LINE: &str = "SELECT s.*,
    (SELECT MAX(d.generation) FROM draft d WHERE d.centre = s.centre AND d.study = s.study) AS draft_generation,
    (SELECT MAX(d.at) FROM draft d WHERE d.centre = s.centre AND d.study = s.study) AS draft_at,
    (SELECT COUNT(*) FROM outbox o WHERE o.centre = s.centre AND o.study = s.study) AS outbox_rows,
    (SELECT COUNT(*) FROM task t
        WHERE t.centre = s.centre AND t.study = s.study AND t.closed_at IS NULL) AS open_tasks
    FROM study s WHERE s.centre = ";

async fn journeys(connection: &mut AnyConnection, filter: &JourneyFilter) -> Result<Vec<Journey>, Problem> {
    let mut sql = Sql::new(LINE);
    sql.value(&filter.centre);
    if let Some(text) = filter.text.as_deref().filter(|text| !text.trim().is_empty()) {
        sql.push(" AND s.search LIKE ").value(part_pattern(text)).push(" ESCAPE '!'");
    }
    sql.push(" ORDER BY s.first_received DESC, s.study LIMIT ").value(filter.limit);
    sql.push(" OFFSET ").value(filter.offset);
    let mut journeys = Vec::new();
    for row in sql.all(connection).await? {
        let generation: Option<u64> = row.number_maybe("draft_generation")?;
        let found = row::read(&row)?;
        let signed = found.signed_version();
        let deliveries = match signed {
            0 => Vec::new(),
            version => deliveries(connection, &found.study.key, version).await?,
        };
        journeys.push(Journey {
            study: found.study,
            reading: found.reading,
            draft: generation.zip(row.time_maybe("draft_at")?),
            outbox_waits: row.int("outbox_rows")? > 0,
            open_tasks: row.number("open_tasks")?,
            deliveries,
        });
    }
    Ok(journeys)
}

async fn deliveries(
    connection: &mut AnyConnection,
    study: &StudyKey,
    version: u32,
) -> Result<Vec<(Option<Timestamp>, Option<Timestamp>)>, Problem> {
    let rows = Sql::new(
        "SELECT transport, acknowledged_at FROM delivery WHERE centre = $1 AND study = $2 AND version = $3",
    )
    .bind(&study.centre)
    .bind(&study.uid)
    .bind(version)
    .all(connection)
    .await?;
    let read = |row: &AnyRow| {
        let transport = row.json::<WireTransport>("transport")?.read();
        let taken = match transport.ok_or(Problem::Unreadable { column: "transport" })? {
            Transport::Accepted { at, .. } => Some(at),
            Transport::Waiting { .. } | Transport::Failed { .. } => None,
        };
        Ok((taken, row.time_maybe("acknowledged_at")?))
    };
    rows.iter().map(read).collect()
}

#[async_trait]
impl Uploads for SqlCatalog {
    async fn begin_upload(&self, upload: &Upload, by: &Actor) -> Known<bool> {
        let upload =
            &Upload { created: kept(upload.created), expires: kept(upload.expires), ..upload.clone() };
        transact!(self, "keeping an upload", |change| begin(change, upload, by))
    }

    async fn upload(&self, id: UploadId) -> Known<Option<Upload>> {
        read!(self, "looking up an upload", |connection| async {
            let row = Sql::new("SELECT * FROM upload WHERE id = $1").bind(id).first(connection).await?;
            row.as_ref().map(upload_of).transpose()
        })
    }

    async fn upload_arrived(&self, id: UploadId) -> Known<bool> {
        let changed = transact!(self, "noting that an upload is complete", |change| {
            Sql::new("UPDATE upload SET state = $2 WHERE id = $1 AND ended IS NULL")
                .bind(id)
                .bind(WAITING)
                .execute(change)
        });
        Ok(changed? > 0)
    }

    async fn open_uploads(
        &self,
        spool: UploadSpoolId,
        after: Option<UploadId>,
        limit: u32,
    ) -> Known<Vec<Upload>> {
        read!(self, "listing open uploads", |connection| async {
            let rows = Sql::new(
                "SELECT * FROM upload WHERE spool = $1 AND ended IS NULL AND id > $2 ORDER BY id LIMIT $3",
            )
            .bind(spool)
            .bind(after.map_or(String::new(), |id| id.to_string()))
            .bind(limit)
            .all(connection)
            .await?;
            rows.iter().map(upload_of).collect()
        })
    }

    async fn keep_uploaded(
        &self,
        upload: &Upload,
        files: &[UploadedFile],
        promised: &[PromisedImage],
    ) -> Known<()> {
        transact!(self, "keeping what became of an upload", |change| async {
            keep(change, upload, files).await?;
            promise(change, upload, promised).await
        })
    }

    async fn uploaded_positions(&self, upload: &Upload) -> Known<Vec<u32>> {
        read!(self, "listing what became of an upload", |connection| async {
            let rows = Sql::new(
                "SELECT position FROM upload_file WHERE centre = $1 AND upload = $2 ORDER BY position",
            )
            .bind(&upload.centre)
            .bind(upload.id)
            .all(connection)
            .await?;
            rows.iter().map(|row| row.number("position")).collect()
        })
    }

    async fn end_upload(
        &self,
        upload: &Upload,
        files: &[UploadedFile],
        ending: &UploadEnding,
        at: Timestamp,
    ) -> Known<bool> {
        transact!(self, "ending an upload", |change| end(change, upload, files, ending, kept(at)))
    }

    async fn upload_batches(&self, filter: &BatchFilter) -> Known<Vec<UploadBatch>> {
        snapshot!(self, "listing uploads", |connection| batches(connection, filter))
    }

    async fn forget_uploads(&self, before: Timestamp, limit: u32) -> Known<u64> {
        transact!(self, "forgetting old uploads", |change| forget(change, before, limit))
    }

    async fn journeys(&self, filter: &JourneyFilter) -> Known<Vec<Journey>> {
        snapshot!(self, "listing a centre's studies", |connection| journeys(connection, filter))
    }
}
