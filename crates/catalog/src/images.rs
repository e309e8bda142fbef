//! Studies, series and instances: the part of the port, completeness, and reading back.

mod arrivals;
mod filter;
mod remembered;
pub(crate) mod row;

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::Action,
    digest::ImageSetDigest,
    id::CentreId,
    image::{Arrival, ArrivalOutcome, Instance},
    port::catalog::{Images, Known, StudyFilter},
    study::{Belief, Evidence, ImageSet, Series, Study, StudyKey},
    task::{NewTask, TaskKind},
    uid::{SeriesInstanceUid, SopInstanceUid},
};
use sqlx::{AnyConnection, any::AnyRow};

pub(crate) use arrivals::{add_series, quiet_period, study_for};
pub(crate) use remembered::Remembered;

use crate::{
    SqlCatalog,
    conflicts::SHOWN,
    database::{Change, read, snapshot, transact},
    documents,
    error::Problem,
    outbox,
    sql::{Columns as _, Sql, kept},
    trail::{CATALOG, audit_study, open_task},
};

/// The digest of a study's images, with what its row says.
pub(crate) async fn image_set_of(connection: &mut AnyConnection, study: &Study) -> Result<ImageSet, Problem> {
    let mut sql = Sql::new("SELECT sop_instance, file_sha256 FROM instance WHERE centre = $1 AND study = $2")
        .bind(&study.key.centre)
        .bind(&study.key.uid);
    sql.push(SHOWN);
    let rows = sql.all(connection).await?;
    let read = |row: &AnyRow| {
        let uid = row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?;
        Ok((uid, row.digest("file_sha256")?))
    };
    let images = rows.iter().map(read).collect::<Result<Vec<_>, Problem>>()?;
    let count = u32::try_from(images.len()).unwrap_or(u32::MAX);
    Ok(ImageSet { generation: study.generation, digest: ImageSetDigest::of(images), count })
}

async fn image_set(connection: &mut AnyConnection, key: &StudyKey) -> Result<Option<ImageSet>, Problem> {
    let Some(row) = row::load(connection, key).await? else { return Ok(None) };
    image_set_of(connection, &row.study).await.map(Some)
}

async fn sender_said(change: &mut Change, key: &StudyKey, evidence: &Evidence) -> Result<(), Problem> {
    let Some(row::StudyRow { mut study, .. }) = row::lock(change, key).await? else { return Ok(()) };
    let at = evidence.at();
    let before = study.completeness.belief;
    study.completeness = study.completeness.clone().sender_said(evidence.clone(), study.instance_count);
    row::write_completeness(change, &study).await?;
    match (before, study.completeness.belief) {
        (_, Belief::Arriving { decide_at }) if study.completeness.belief != before => {
            outbox::study_stored(change, key, study.priority, decide_at).await
        }
        (Belief::Short { .. }, Belief::Complete { .. }) => {
            audit_study(change, &CATALOG, Action::StudyCompleted, key, &belief_detail(&study), at).await?;
            outbox::study_stored(change, key, study.priority, at).await
        }
        (_, Belief::Arriving { .. } | Belief::Complete { .. } | Belief::Short { .. }) => Ok(()),
    }
}

fn belief_detail(study: &Study) -> String {
    let here = study.instance_count;
    match study.completeness.belief {
        Belief::Arriving { .. } => format!("{here} instances, more may come"),
        Belief::Complete { .. } => format!("{here} instances, taken as complete"),
        Belief::Short { expected, .. } => {
            format!("{here} instances, the sender said {expected}; waiting is over")
        }
    }
}

async fn decide(change: &mut Change, key: &StudyKey, now: Timestamp) -> Result<Option<Study>, Problem> {
    let Some(row::StudyRow { mut study, .. }) = row::lock(change, key).await? else { return Ok(None) };
    let decided = study.completeness.clone().decide(now, study.instance_count, study.last_received);
    let Some(completeness) = decided else {
        // What it shows may have changed all the same: people decided about a conflict.
        if !matches!(study.completeness.belief, Belief::Arriving { .. }) {
            documents::want(change, key, now).await?;
        }
        return Ok(Some(study));
    };
    documents::want(change, key, now).await?;
    study.completeness = completeness;
    row::write_completeness(change, &study).await?;
    audit_study(change, &CATALOG, Action::StudyCompleted, key, &belief_detail(&study), now).await?;
    match study.completeness.belief {
        Belief::Arriving { .. } | Belief::Complete { .. } => {}
        Belief::Short { expected, .. } => {
            let task = missing_images(&study, expected);
            open_task(change, &task, now).await?;
        }
    }
    Ok(Some(study))
}

fn missing_images(study: &Study, expected: u32) -> NewTask {
    NewTask {
        centre: study.key.centre.clone(),
        study: Some(study.key.uid.clone()),
        kind: TaskKind::MissingImages,
        subject: study.key.uid.to_string(),
        reason: format!("The sender said {expected} images, {} came.", study.instance_count),
        next_step: "Ask the centre to send the study again; what is here already is recognised.".to_owned(),
    }
}

async fn series(connection: &mut AnyConnection, study: &StudyKey) -> Result<Vec<Series>, Problem> {
    let sql = Sql::new(
        "SELECT series.*, p.performed_date, p.performed_time, p.requests FROM series
         LEFT JOIN series_procedure p
             ON p.centre = series.centre AND p.study = series.study AND p.series = series.series
         WHERE series.centre = $1 AND series.study = $2 AND series.instance_count > 0",
    );
    let sql = sql.bind(&study.centre).bind(&study.uid);
    let rows = sql.all(connection).await?;
    let mut series = rows.iter().map(row::read_series).collect::<Result<Vec<_>, _>>()?;
    series.sort_by(|a, b| {
        (a.attributes.number.is_none(), a.attributes.number, &a.uid).cmp(&(
            b.attributes.number.is_none(),
            b.attributes.number,
            &b.uid,
        ))
    });
    Ok(series)
}

fn instances_sql(study: &StudyKey, series: Option<&SeriesInstanceUid>) -> Sql {
    let mut sql = Sql::new("SELECT * FROM instance WHERE centre = $1 AND study = $2")
        .bind(&study.centre)
        .bind(&study.uid);
    sql.push(SHOWN);
    if let Some(series) = series {
        sql.push(" AND series = ").value(series);
    }
    sql
}

/// In the order of series and numbers.
fn in_order(mut instances: Vec<Instance>) -> Vec<Instance> {
    instances.sort_by(|a, b| {
        (&a.series, a.attributes.number.is_none(), a.attributes.number, &a.sop_instance).cmp(&(
            &b.series,
            b.attributes.number.is_none(),
            b.attributes.number,
            &b.sop_instance,
        ))
    });
    instances
}

async fn some_instances(connection: &mut AnyConnection, sql: Sql) -> Result<Vec<Instance>, Problem> {
    sql.all(connection).await?.iter().map(row::read_instance).collect()
}

fn instances_after_sql(after: Option<(&CentreId, &SopInstanceUid)>, limit: u32) -> Sql {
    let mut sql = Sql::new("SELECT * FROM instance");
    if let Some((centre, uid)) = after {
        sql.push(" WHERE (centre, sop_instance) > (").value(centre).push(", ").value(uid).push(")");
    }
    sql.push(" ORDER BY centre, sop_instance LIMIT ").value(limit);
    sql
}

fn instance_sql(centre: &CentreId, sop_instance: &SopInstanceUid) -> Sql {
    Sql::new("SELECT * FROM instance WHERE centre = $1 AND sop_instance = $2").bind(centre).bind(sop_instance)
}

#[async_trait]
impl Images for SqlCatalog {
    async fn record_arrivals(&self, arrivals: &[Arrival], at: Timestamp) -> Known<Vec<ArrivalOutcome>> {
        if arrivals.is_empty() {
            return Ok(Vec::new());
        }
        let short = remembered::record(self, arrivals, kept(at)).await;
        if let Some(outcomes) = short.map_err(|problem| problem.during("recording arrivals"))? {
            return Ok(outcomes);
        }
        let recorded =
            transact!(self, "recording arrivals", |change| arrivals::record(change, arrivals, kept(at)))?;
        self.remembered().keep(recorded.memories);
        Ok(recorded.outcomes)
    }

    async fn sender_said(&self, study: &StudyKey, evidence: &Evidence) -> Known<()> {
        transact!(self, "noting what the sender said", |change| sender_said(change, study, evidence))
    }

    async fn decide_completeness(&self, study: &StudyKey, now: Timestamp) -> Known<Option<Study>> {
        transact!(self, "deciding on completeness", |change| decide(change, study, kept(now)))
    }

    async fn study(&self, key: &StudyKey) -> Known<Option<Study>> {
        let row = read!(self, "looking up a study", |connection| row::load(connection, key));
        Ok(row?.map(|row| row.study))
    }

    async fn studies(&self, filter: &StudyFilter) -> Known<Vec<Study>> {
        if filter.limit == 0 {
            return Ok(Vec::new());
        }
        let sql = || filter::statement(self.dialect(), filter);
        if let Some(glance) = self.glance()
            && let Ok(found) = glance.all(sql(), |found| Ok(row::read(found)?.study)).await
        {
            return Ok(found);
        }
        read!(self, "searching studies", |connection| async {
            let found = sql().all(connection).await?;
            found.iter().map(|found| Ok(row::read(found)?.study)).collect()
        })
    }

    async fn series(&self, study: &StudyKey) -> Known<Vec<Series>> {
        read!(self, "listing series", |connection| series(connection, study))
    }

    async fn instances(&self, study: &StudyKey, series: Option<&SeriesInstanceUid>) -> Known<Vec<Instance>> {
        let sql = || instances_sql(study, series);
        if let Some(glance) = self.glance()
            && let Ok(found) = glance.all(sql(), |found| row::read_instance(found)).await
        {
            return Ok(in_order(found));
        }
        let found = read!(self, "listing instances", |connection| some_instances(connection, sql()));
        found.map(in_order)
    }

    async fn instance(&self, centre: &CentreId, sop_instance: &SopInstanceUid) -> Known<Option<Instance>> {
        let sql = || {
            // With where its frames are, if that is known of this content: a frame is then one look-up and one read.
            let mut sql = Sql::new(
                "SELECT instance.*, f.layout FROM instance LEFT JOIN instance_frames f ON f.centre = instance.centre
                     AND f.sop_instance = instance.sop_instance AND f.file_sha256 = instance.file_sha256
                 WHERE instance.centre = $1 AND instance.sop_instance = $2",
            )
            .bind(centre)
            .bind(sop_instance);
            sql.push(SHOWN);
            sql
        };
        if let Some(Ok(found)) =
            self.glance().map(|glance| glance.first(sql(), |found| row::read_instance_with_frames(found)))
        {
            return Ok(found);
        }
        read!(self, "looking up an instance", |connection| async {
            let row = sql().first(connection).await?;
            row.as_ref().map(row::read_instance_with_frames).transpose()
        })
    }

    async fn kept_instance(
        &self,
        centre: &CentreId,
        sop_instance: &SopInstanceUid,
    ) -> Known<Option<Instance>> {
        let sql = instance_sql(centre, sop_instance);
        let found = read!(self, "looking up an instance", |connection| some_instances(connection, sql));
        Ok(found?.into_iter().next())
    }

    async fn image_set(&self, study: &StudyKey) -> Known<Option<ImageSet>> {
        snapshot!(self, "digesting the images of a study", |connection| image_set(connection, study))
    }

    async fn instances_after(
        &self,
        after: Option<(&CentreId, &SopInstanceUid)>,
        limit: u32,
    ) -> Known<Vec<Instance>> {
        let sql = instances_after_sql(after, limit);
        read!(self, "walking through instances", |connection| some_instances(connection, sql))
    }
}
