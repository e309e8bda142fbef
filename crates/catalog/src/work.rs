//! The outbox as a relay sees it, and the table of work that the embedded broker hands out.
//!
//! A published row is removed: what happened is in the audit, and the table stays as small as what waits.

use async_trait::async_trait;
use domain::{
    Timestamp,
    event::Event,
    id::EventId,
    port::catalog::{Known, LeasedWork, WorkStore},
    work::{DELIVERIES_MAX, Depth, OutboxRow, Queue, Work},
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, transact},
    error::Problem,
    sql::{Columns as _, Sql},
};

fn work_of(row: &AnyRow) -> Result<Work, Problem> {
    Ok(Work {
        id: row.parsed("id", |text| EventId::parse(text).ok())?,
        revision: row.number("revision")?,
        centre: row.centre("centre")?,
        lane: row.lane("lane")?,
        event: row.parsed("event", |text| Event::from_json(text).ok())?,
    })
}

async fn due(connection: &mut AnyConnection, now: Timestamp, limit: u32) -> Result<Vec<OutboxRow>, Problem> {
    let rows = Sql::new("SELECT * FROM outbox WHERE due <= $1 ORDER BY lane, due, id LIMIT $2")
        .bind(now)
        .bind(limit)
        .all(connection)
        .await?;
    rows.iter().map(|row| Ok(OutboxRow { work: work_of(row)?, due: row.time("due")? })).collect()
}

async fn put_work(change: &mut Change, work: &Work, at: Timestamp) -> Result<(), Problem> {
    Sql::new(
        "INSERT INTO work (centre, id, revision, queue, lane, event, available_at, leased, dead, delivery_count)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0) ON CONFLICT (centre, id, revision) DO NOTHING",
    )
    .bind(&work.centre)
    .bind(work.id)
    .bind(work.revision)
    .bind(work.event.queue().as_str())
    .bind(work.lane)
    .bind(work.event.to_json())
    .bind(at)
    .execute(change)
    .await?;
    Ok(())
}

/// Which work may be handed out: of a queue, or dead.
#[derive(Clone, Copy)]
enum Pick {
    Queue(Queue),
    Dead,
}

fn next_sql(from: Pick, now: Timestamp) -> Sql {
    let mut sql = Sql::new("SELECT * FROM work WHERE ");
    match from {
        Pick::Queue(queue) => sql.push("dead = 0 AND queue = ").value(queue.as_str()),
        Pick::Dead => sql.push("dead = 1"),
    };
    sql.push(" AND available_at <= ").value(now);
    sql.push(match from {
        Pick::Queue(_) => " ORDER BY lane, available_at, id LIMIT 1",
        Pick::Dead => " ORDER BY available_at, id LIMIT 1",
    });
    sql
}

/// Leases the next piece of work. What was handed out too often becomes dead on the way.
async fn lease(
    change: &mut Change,
    from: Pick,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<LeasedWork>, Problem> {
    match from {
        Pick::Queue(queue) => bury(change, queue, now).await?,
        Pick::Dead => {}
    }
    let mut sql = next_sql(from, now);
    sql.push(change.dialect.for_update_skip_locked());
    let Some(row) = sql.first(change).await? else { return Ok(None) };
    let leased = LeasedWork {
        work: work_of(&row)?,
        delivery_count: row.number::<u32>("delivery_count")?.saturating_add(1),
        last_reason: row.text_maybe("last_reason")?,
    };
    Sql::new(
        "UPDATE work SET leased = 1, delivery_count = $4, available_at = $5
         WHERE centre = $1 AND id = $2 AND revision = $3",
    )
    .bind(&leased.work.centre)
    .bind(leased.work.id)
    .bind(leased.work.revision)
    .bind(leased.delivery_count)
    .bind(until)
    .execute(change)
    .await?;
    Ok(Some(leased))
}

async fn bury(change: &mut Change, queue: Queue, now: Timestamp) -> Result<(), Problem> {
    Sql::new(
        "UPDATE work SET dead = 1, leased = 0, available_at = $2
         WHERE dead = 0 AND queue = $1 AND available_at <= $2 AND delivery_count >= $3",
    )
    .bind(queue.as_str())
    .bind(now)
    .bind(DELIVERIES_MAX)
    .execute(change)
    .await?;
    Ok(())
}

async fn finish(change: &mut Change, leased: &LeasedWork) -> Result<bool, Problem> {
    let removed = Sql::new(
        "DELETE FROM work WHERE centre = $1 AND id = $2 AND revision = $3 AND delivery_count = $4 AND leased = 1",
    )
    .bind(&leased.work.centre)
    .bind(leased.work.id)
    .bind(leased.work.revision)
    .bind(leased.delivery_count)
    .execute(change)
    .await?;
    Ok(removed == 1)
}

async fn extend(change: &mut Change, leased: &LeasedWork, until: Timestamp) -> Result<bool, Problem> {
    let extended = Sql::new(
        "UPDATE work SET available_at = $5
         WHERE centre = $1 AND id = $2 AND revision = $3 AND delivery_count = $4 AND leased = 1",
    )
    .bind(&leased.work.centre)
    .bind(leased.work.id)
    .bind(leased.work.revision)
    .bind(leased.delivery_count)
    .bind(until)
    .execute(change)
    .await?;
    Ok(extended == 1)
}

async fn give_back(
    change: &mut Change,
    leased: &LeasedWork,
    ready_at: Timestamp,
    reason: &str,
) -> Result<bool, Problem> {
    let given = Sql::new(
        "UPDATE work SET leased = 0, available_at = $5, last_reason = $6
         WHERE centre = $1 AND id = $2 AND revision = $3 AND delivery_count = $4 AND leased = 1",
    )
    .bind(&leased.work.centre)
    .bind(leased.work.id)
    .bind(leased.work.revision)
    .bind(leased.delivery_count)
    .bind(ready_at)
    .bind(reason)
    .execute(change)
    .await?;
    Ok(given == 1)
}

async fn depth(connection: &mut AnyConnection, queue: Queue) -> Result<Depth, Problem> {
    let rows =
        Sql::new("SELECT dead, leased, COUNT(*) AS pieces FROM work WHERE queue = $1 GROUP BY dead, leased")
            .bind(queue.as_str())
            .all(connection)
            .await?;
    let mut depth = Depth::default();
    for row in rows {
        let pieces: u64 = row.number("pieces")?;
        match (row.flag("dead")?, row.flag("leased")?) {
            (true, _) => depth.dead += pieces,
            (false, true) => depth.in_hand += pieces,
            (false, false) => depth.ready += pieces,
        }
    }
    Ok(depth)
}

impl SqlCatalog {
    /// Leases work. It looks first without a lock, so that workers who find nothing never hold up whoever writes.
    async fn lease(&self, from: Pick, now: Timestamp, until: Timestamp) -> Known<Option<LeasedWork>> {
        let waits = read!(self, "looking for work", |connection| async {
            Ok(next_sql(from, now).first(connection).await?.is_some())
        });
        if !waits? {
            return Ok(None);
        }
        transact!(self, "leasing work", |change| lease(change, from, now, until))
    }
}

#[async_trait]
impl WorkStore for SqlCatalog {
    async fn due_outbox(&self, now: Timestamp, limit: u32) -> Known<Vec<OutboxRow>> {
        read!(self, "reading the outbox", |connection| due(connection, now, limit))
    }

    async fn next_outbox_due(&self) -> Known<Option<Timestamp>> {
        read!(self, "looking at the outbox", |connection| async {
            let row = Sql::new("SELECT MIN(due) AS due FROM outbox").first(connection).await?;
            row.map_or(Ok(None), |row| row.time_maybe("due"))
        })
    }

    async fn outbox_depth(&self) -> Known<u64> {
        read!(self, "counting the outbox", |connection| async {
            let row = Sql::new("SELECT COUNT(*) AS waiting FROM outbox").first(connection).await?;
            row.map_or(Ok(0), |row| row.number("waiting"))
        })
    }

    async fn mark_published(&self, id: EventId, revision: u64, _at: Timestamp) -> Known<()> {
        transact!(self, "marking as published", |change| async {
            let sql = Sql::new("DELETE FROM outbox WHERE id = $1 AND revision = $2").bind(id).bind(revision);
            sql.execute(change).await
        })
        .map(drop)
    }

    async fn put_work(&self, work: &Work, at: Timestamp) -> Known<()> {
        transact!(self, "putting work", |change| put_work(change, work, at))
    }

    async fn lease_work(&self, queue: Queue, now: Timestamp, until: Timestamp) -> Known<Option<LeasedWork>> {
        self.lease(Pick::Queue(queue), now, until).await
    }

    async fn lease_dead_work(&self, now: Timestamp, until: Timestamp) -> Known<Option<LeasedWork>> {
        self.lease(Pick::Dead, now, until).await
    }

    async fn finish_work(&self, leased: &LeasedWork) -> Known<bool> {
        transact!(self, "finishing work", |change| finish(change, leased))
    }

    async fn extend_work(&self, leased: &LeasedWork, until: Timestamp) -> Known<bool> {
        transact!(self, "extending a lease", |change| extend(change, leased, until))
    }

    async fn give_back_work(&self, leased: &LeasedWork, ready_at: Timestamp, reason: &str) -> Known<bool> {
        transact!(self, "giving work back", |change| give_back(change, leased, ready_at, reason))
    }

    async fn work_depth(&self, queue: Queue) -> Known<Depth> {
        read!(self, "counting work", |connection| depth(connection, queue))
    }
}
