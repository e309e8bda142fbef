//! Orders, and how they meet their studies. A study that is new and an order that comes both hold the centre's row while they look
//! for each other, so that neither can miss the other.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    id::{CentreId, OrderId, PhysicianId},
    order::{Order, OrderMatch, OrderRequest, StudyClues, choose},
    port::catalog::{Known, OrderOutcome, Orders},
    study::{Study, StudyKey},
    text::{AccessionNumber, PatientId, PersonName},
    uid::StudyInstanceUid,
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, transact},
    error::Problem,
    images::row,
    outbox,
    sql::{Columns as _, Sql, kept},
    trail::audit_study,
    trail::{Line, audit},
};

/// Most orders or studies of one patient that are looked at when an order and a study look for each other, the latest orders and the
/// earliest studies first. One more means too many to be sure of, and the match by accession number is always among them.
const CANDIDATES_MAX: u32 = 200;

/// Makes sure that no order of the centre comes and no study is made until the transaction ends.
pub(crate) async fn lock_centre(change: &mut Change, centre: &CentreId) -> Result<(), Problem> {
    let mut sql = Sql::new("SELECT id FROM centre WHERE id = ");
    sql.value(centre).push(change.dialect.for_update());
    sql.first(change).await?.map(drop).ok_or(Problem::Missing("centre"))
}

/// The order that a study answers, among those that no study answers yet.
pub(crate) async fn choose_for(
    change: &mut Change,
    centre: &CentreId,
    clues: &StudyClues,
) -> Result<Option<(Order, OrderMatch)>, Problem> {
    let rows = Sql::new(
        "SELECT * FROM exam_order WHERE centre = $1 AND study IS NULL AND (accession_number = $2 OR patient_id = $3)
         ORDER BY CASE WHEN accession_number = $2 THEN 0 ELSE 1 END, received DESC LIMIT $4",
    )
    .bind(centre)
    .bind(&clues.accession_number)
    .bind(&clues.patient_id)
    .bind(CANDIDATES_MAX)
    .all(change)
    .await?;
    let orders = rows.iter().map(order_of).collect::<Result<Vec<_>, _>>()?;
    Ok(choose(clues, &orders).map(|(order, found)| (order.clone(), found)))
}

/// Notes which study answers an order.
pub(crate) async fn link(
    change: &mut Change,
    order: &Order,
    study: Option<&StudyInstanceUid>,
) -> Result<(), Problem> {
    Sql::new("UPDATE exam_order SET study = $3 WHERE centre = $1 AND id = $2")
        .bind(&order.centre)
        .bind(order.id)
        .bind(study.map(StudyInstanceUid::as_str))
        .execute(change)
        .await?;
    Ok(())
}

/// Frees an order for another study.
pub(crate) async fn unlink(change: &mut Change, centre: &CentreId, order: OrderId) -> Result<(), Problem> {
    Sql::new("UPDATE exam_order SET study = NULL WHERE centre = $1 AND id = $2")
        .bind(centre)
        .bind(order)
        .execute(change)
        .await?;
    Ok(())
}

/// Ties an order to a study again, if no other study answers it meanwhile; whether it did.
pub(crate) async fn take_again(
    change: &mut Change,
    centre: &CentreId,
    order: OrderId,
    study: &StudyInstanceUid,
) -> Result<bool, Problem> {
    let tied = Sql::new("UPDATE exam_order SET study = $3 WHERE centre = $1 AND id = $2 AND study IS NULL")
        .bind(centre)
        .bind(order)
        .bind(study)
        .execute(change)
        .await?;
    Ok(tied == 1)
}

fn order_of(row: &AnyRow) -> Result<Order, Problem> {
    Ok(Order {
        id: row.parsed("id", |text| OrderId::parse(text).ok())?,
        centre: row.centre("centre")?,
        request: OrderRequest {
            accession_number: row.parsed("accession_number", AccessionNumber::new)?,
            patient_id: row.parsed("patient_id", PatientId::new)?,
            patient_name: row.parsed_maybe("patient_name", PersonName::new)?,
            examination: row.text_maybe("examination")?,
            reason: row.text_maybe("reason")?,
            priority: row.lane("priority")?,
            physician: row.parsed_maybe("physician", |text| PhysicianId::parse(text).ok())?,
            physician_name: row.parsed_maybe("physician_name", PersonName::new)?,
            scheduled: row.parsed_maybe("scheduled", |text| text.parse().ok())?,
        },
        study: row.parsed_maybe("study", |text| StudyInstanceUid::parse(text).ok())?,
        received: row.time("received")?,
    })
}

async fn put_order(
    change: &mut Change,
    centre: &CentreId,
    request: &OrderRequest,
    by: &Actor,
    at: Timestamp,
) -> Result<OrderOutcome, Problem> {
    lock_centre(change, centre).await?;
    let known = Sql::new("SELECT * FROM exam_order WHERE centre = $1 AND accession_number = $2")
        .bind(centre)
        .bind(&request.accession_number)
        .first(change)
        .await?;
    let known = known.as_ref().map(order_of).transpose()?;
    let is_new = known.is_none();
    let changed = known.as_ref().is_none_or(|known| known.request != *request);
    let mut order = match known {
        Some(known) => Order { request: request.clone(), ..known },
        None => Order {
            id: OrderId::fresh(),
            centre: centre.clone(),
            request: request.clone(),
            study: None,
            received: at,
        },
    };
    if changed {
        write(change, &order).await?;
    }
    let study = match &order.study {
        Some(uid) => row::lock(change, &StudyKey { centre: centre.clone(), uid: uid.clone() }).await?,
        None => answering_study(change, &order).await?,
    };
    if let Some(row::StudyRow { study, .. }) = study {
        meet(change, &mut order, study).await?;
    }
    if changed {
        note(change, &order, is_new, by, at).await?;
    }
    Ok(match (is_new, changed) {
        (true, _) => OrderOutcome::Created(order),
        (false, true) => OrderOutcome::Changed(order),
        (false, false) => OrderOutcome::Unchanged(order),
    })
}

async fn note(
    change: &mut Change,
    order: &Order,
    is_new: bool,
    by: &Actor,
    at: Timestamp,
) -> Result<(), Problem> {
    let detail = format!("order {} {}", order.id, if is_new { "came" } else { "changed" });
    match &order.study {
        Some(uid) => {
            let key = StudyKey { centre: order.centre.clone(), uid: uid.clone() };
            audit_study(change, by, Action::OrderReceived, &key, &detail, at).await
        }
        None => {
            let line = Line {
                actor: by,
                action: Action::OrderReceived,
                centre: Some(&order.centre),
                study: None,
                detail: &detail,
                at,
            };
            audit(change, line).await
        }
    }
}

async fn write(change: &mut Change, order: &Order) -> Result<(), Problem> {
    let request = &order.request;
    Sql::new(
        "INSERT INTO exam_order (centre, id, accession_number, patient_id, patient_name, examination, reason, priority,
             physician, physician_name, scheduled, received)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (centre, id) DO UPDATE SET patient_id = excluded.patient_id,
             patient_name = excluded.patient_name, examination = excluded.examination, reason = excluded.reason,
             priority = excluded.priority, physician = excluded.physician,
             physician_name = excluded.physician_name, scheduled = excluded.scheduled",
    )
    .bind(&order.centre)
    .bind(order.id)
    .bind(&request.accession_number)
    .bind(&request.patient_id)
    .bind(&request.patient_name)
    .bind(&request.examination)
    .bind(&request.reason)
    .bind(request.priority)
    .bind(request.physician)
    .bind(&request.physician_name)
    .bind(request.scheduled)
    .bind(order.received)
    .execute(change)
    .await?;
    Ok(())
}

/// Ties order and study together, unless they are, and gives the study the order's priority.
async fn meet(change: &mut Change, order: &mut Order, mut study: Study) -> Result<(), Problem> {
    if order.study.is_none() {
        link(change, order, Some(&study.key.uid)).await?;
        order.study = Some(study.key.uid.clone());
        let found = domain::order::matches(&clues_of(&study), &Order { study: None, ..order.clone() });
        study.order = found.map(|found| (order.id, found));
    } else if study.priority == order.request.priority {
        return Ok(());
    }
    study.priority = order.request.priority;
    row::write_order(change, &study).await?;
    outbox::change_lane(change, &study.key, study.priority).await
}

fn clues_of(study: &Study) -> StudyClues {
    StudyClues::of(&study.attributes, study.first_received)
}

/// The study without an order that this order was meant for: the earliest that says so by accession number, else the only one that
/// says so by patient and date. Every study chooses among all orders of the patient, as it would have on arrival.
async fn answering_study(change: &mut Change, order: &Order) -> Result<Option<row::StudyRow>, Problem> {
    let (centre, request) = (&order.centre, &order.request);
    let mut sql = Sql::new(
        "SELECT * FROM study WHERE centre = $1 AND order_id IS NULL AND (accession_number = $2 OR patient_id = $3)
         ORDER BY CASE WHEN accession_number = $2 THEN 0 ELSE 1 END, first_received, study LIMIT $4",
    )
    .bind(centre)
    .bind(&request.accession_number)
    .bind(&request.patient_id)
    .bind(CANDIDATES_MAX);
    sql.push(change.dialect.for_update());
    let studies = sql.all(change).await?.iter().map(row::read).collect::<Result<Vec<_>, _>>()?;
    let mut by_date = Vec::new();
    for candidate in studies {
        match choose_for(change, centre, &clues_of(&candidate.study)).await? {
            Some((chosen, OrderMatch::AccessionNumber)) if chosen.id == order.id => {
                return Ok(Some(candidate));
            }
            Some((chosen, OrderMatch::PatientAndDate)) if chosen.id == order.id => by_date.push(candidate),
            Some(_) | None => {}
        }
    }
    Ok(by_date.pop().filter(|_| by_date.is_empty()))
}

async fn orders(connection: &mut AnyConnection, sql: Sql) -> Result<Vec<Order>, Problem> {
    sql.all(connection).await?.iter().map(order_of).collect()
}

#[async_trait]
impl Orders for SqlCatalog {
    async fn put_order(
        &self,
        centre: &CentreId,
        request: &OrderRequest,
        by: &Actor,
        at: Timestamp,
    ) -> Known<OrderOutcome> {
        transact!(self, "keeping an order", |change| put_order(change, centre, request, by, kept(at)))
    }

    async fn order(&self, centre: &CentreId, id: OrderId) -> Known<Option<Order>> {
        let sql = Sql::new("SELECT * FROM exam_order WHERE centre = $1 AND id = $2").bind(centre).bind(id);
        let found = read!(self, "looking up an order", |connection| orders(connection, sql));
        Ok(found?.into_iter().next())
    }

    async fn orders(&self, centre: &CentreId, limit: u32) -> Known<Vec<Order>> {
        let sql =
            Sql::new("SELECT * FROM exam_order WHERE centre = $1 ORDER BY received DESC, id DESC LIMIT $2")
                .bind(centre)
                .bind(limit);
        read!(self, "listing orders", |connection| orders(connection, sql))
    }
}
