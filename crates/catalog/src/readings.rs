//! The worklist and who holds what.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    id::PersonId,
    port::catalog::{ChangeError, Known, Readings, WorklistEntry, WorklistFilter},
    reading::{CLAIM_LEASE, ClaimChange, ClaimRefusal, Reading},
    study::StudyKey,
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, snapshot, transact},
    error::Problem,
    images::row,
    sql::{Columns as _, Sql, kept},
    trail::{audit_study, push_scope},
};

/// What a line of the worklist shows beside the study's own row. All of it is looked up by key, for the lines that are shown.
const LINE: &str = "SELECT s.*, c.name AS centre_name,
    (SELECT p.name FROM person p WHERE p.id = s.claim_by) AS holder_name,
    (SELECT v.signer_name FROM report_version v
        WHERE v.centre = s.centre AND v.study = s.study AND v.number = s.signed_version) AS signer_name,
    (SELECT MAX(d.generation) FROM draft d WHERE d.centre = s.centre AND d.study = s.study) AS draft_generation,
    (SELECT COUNT(*) FROM task t
        WHERE t.centre = s.centre AND t.study = s.study AND t.closed_at IS NULL) AS open_tasks,
    (SELECT COUNT(*) FROM delivery y
        WHERE y.centre = s.centre AND y.study = s.study AND y.version = s.signed_version) AS deliveries,
    (SELECT COUNT(y.acknowledged_at) FROM delivery y
        WHERE y.centre = s.centre AND y.study = s.study AND y.version = s.signed_version) AS acknowledged
    FROM study s JOIN centre c ON c.id = s.centre WHERE ";

/// Which half of the worklist: each has its own index.
#[derive(Clone, Copy)]
enum Half {
    Unsigned,
    Signed,
}

fn half_sql(filter: &WorklistFilter, half: Half, limit: u32) -> Sql {
    let mut sql = Sql::new(LINE);
    sql.push(match half {
        Half::Unsigned => "s.signed_version = 0",
        Half::Signed => "s.signed_version > 0",
    });
    push_scope(&mut sql, "s.centre", &filter.scope);
    if let Some(text) = filter.text.as_deref().filter(|text| !text.trim().is_empty()) {
        sql.push(" AND s.search LIKE ").value(part_pattern(text)).push(" ESCAPE '!'");
    }
    sql.push(match half {
        Half::Unsigned => " ORDER BY s.priority, s.first_received, s.study, s.centre",
        Half::Signed => " ORDER BY s.signed_at DESC, s.study, s.centre",
    });
    sql.push(" LIMIT ").value(limit);
    sql
}

/// A LIKE pattern for texts that hold what was typed. Control characters are dropped: one parts the texts that are searched.
pub(crate) fn part_pattern(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for c in text.trim().to_lowercase().chars().filter(|c| !c.is_control()) {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn entry_of(row: &AnyRow, now: Timestamp) -> Result<WorklistEntry, Problem> {
    let row::StudyRow { study, reading } = row::read(row)?;
    let reader_name = match reading.claim(now) {
        Some(_) => row.text_maybe("holder_name")?,
        None => row.text_maybe("signer_name")?,
    };
    Ok(WorklistEntry {
        study,
        centre_name: row.text("centre_name")?,
        reading,
        reader_name,
        draft_generation: row.number_maybe("draft_generation")?,
        open_tasks: row.number("open_tasks")?,
        deliveries: (row.number("deliveries")?, row.number("acknowledged")?),
    })
}

async fn worklist(
    connection: &mut AnyConnection,
    filter: &WorklistFilter,
    now: Timestamp,
) -> Result<Vec<WorklistEntry>, Problem> {
    let mut rows = half_sql(filter, Half::Unsigned, filter.limit).all(connection).await?;
    let left = filter.limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    if filter.signed && left > 0 {
        rows.extend(half_sql(filter, Half::Signed, left).all(connection).await?);
    }
    rows.iter().map(|row| entry_of(row, now)).collect()
}

const fn change_word(change: ClaimChange) -> &'static str {
    match change {
        ClaimChange::Take => "taken",
        ClaimChange::Release => "released",
        ClaimChange::TakeOver => "taken over",
    }
}

/// Changes a claim. A renewal moves the end of a hold and no more, so it leaves no line in the audit.
async fn change_claim(
    transaction: &mut Change,
    study: &StudyKey,
    change: ClaimChange,
    by: PersonId,
    now: Timestamp,
) -> Result<Result<Reading, ClaimRefusal>, Problem> {
    let Some(row) = row::lock(transaction, study).await? else { return Ok(Err(ClaimRefusal::NotYours)) };
    let holder = row.reading.claim(now).map(|claim| claim.by);
    let reading = match row.reading.change_claim(change, by, now, CLAIM_LEASE) {
        Ok(reading) => reading,
        Err(refusal) => return Ok(Err(refusal)),
    };
    row::write_claim(transaction, &reading).await?;
    if reading.claim(now).map(|claim| claim.by) != holder {
        let actor = Actor::Person(by);
        audit_study(transaction, &actor, Action::ClaimChanged, study, change_word(change), now).await?;
    }
    Ok(Ok(reading))
}

#[async_trait]
impl Readings for SqlCatalog {
    async fn worklist(&self, filter: &WorklistFilter, now: Timestamp) -> Known<Vec<WorklistEntry>> {
        snapshot!(self, "listing the worklist", |connection| worklist(connection, filter, now))
    }

    async fn reading(&self, study: &StudyKey) -> Known<Option<Reading>> {
        let row = read!(self, "looking up a reading", |connection| row::load(connection, study));
        Ok(row?.map(|row| row.reading))
    }

    async fn change_claim(
        &self,
        study: &StudyKey,
        change: ClaimChange,
        by: PersonId,
        now: Timestamp,
    ) -> Result<Reading, ChangeError<ClaimRefusal>> {
        let changed = transact!(self, "changing a claim", |transaction| {
            change_claim(transaction, study, change, by, kept(now))
        });
        changed.map_err(ChangeError::Catalog)?.map_err(ChangeError::Refused)
    }
}
