//! The delivery ledger and the embedded mailbox.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    delivery::{Acknowledgement, AttemptOutcome, Delivery, Recipient, Transport},
    digest::Sha256Digest,
    event::Event,
    id::{DeliveryId, MailId, PhysicianId},
    port::catalog::{Deliveries, DeliveryFilter, Known, Mail, NewDelivery},
    study::StudyKey,
    task::NewTask,
    text::EmailAddress,
    work::Lane,
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, transact},
    error::Problem,
    images::row,
    outbox::{self, NewRow},
    sql::{Columns as _, Sql, json, kept},
    trail::{CATALOG, audit_study, open_task, push_scope},
    wire::{WireAttempt, WireTransport},
};

const PHYSICIAN: &str = "physician";
const CENTRE_CONTACT: &str = "centre_contact";
/// The actor of what the notifier does.
const NOTIFIER: Actor = Actor::Role("notifier");

fn recipient_key(recipient: &Recipient) -> (&'static str, String) {
    match recipient {
        Recipient::Physician { id, .. } => (PHYSICIAN, id.to_string()),
        Recipient::CentreContact { escalates, .. } => (CENTRE_CONTACT, escalates.to_string()),
    }
}

fn recipient_of(row: &AnyRow) -> Result<Recipient, Problem> {
    let name = row.text("recipient_name")?;
    let id = "recipient_id";
    match row.text("recipient_kind")?.as_str() {
        PHYSICIAN => {
            Ok(Recipient::Physician { id: row.parsed(id, |text| PhysicianId::parse(text).ok())?, name })
        }
        CENTRE_CONTACT => Ok(Recipient::CentreContact {
            escalates: row.parsed(id, |text| DeliveryId::parse(text).ok())?,
            name,
        }),
        _ => Err(Problem::Unreadable { column: "recipient_kind" }),
    }
}

fn delivery_of(row: &AnyRow) -> Result<Delivery, Problem> {
    let attempts: Vec<WireAttempt> = row.json("attempts")?;
    let attempts: Option<Vec<_>> = attempts.into_iter().map(WireAttempt::read).collect();
    let by = row.text_maybe("acknowledged_by")?;
    let at = row.time_maybe("acknowledged_at")?;
    Ok(Delivery {
        id: row.parsed("id", |text| DeliveryId::parse(text).ok())?,
        study: StudyKey { centre: row.centre("centre")?, uid: row.study_uid("study")? },
        version: row.number("version")?,
        recipient: recipient_of(row)?,
        address: row.parsed("address", EmailAddress::parse)?,
        link: row.digest("link")?,
        created: row.time("created")?,
        accept_by: row.time("accept_by")?,
        acknowledge_by: row.time("acknowledge_by")?,
        transport: row
            .json::<WireTransport>("transport")?
            .read()
            .ok_or(Problem::Unreadable { column: "transport" })?,
        attempts: attempts.ok_or(Problem::Unreadable { column: "attempts" })?,
        acknowledgement: by.zip(at).map(|(by, at)| Acknowledgement { by, at }),
        escalated: row.time_maybe("escalated")?,
    })
}

async fn one(connection: &mut AnyConnection, sql: Sql) -> Result<Option<Delivery>, Problem> {
    sql.first(connection).await?.as_ref().map(delivery_of).transpose()
}

/// The delivery, locked until the transaction ends.
async fn lock(change: &mut Change, id: DeliveryId) -> Result<Option<Delivery>, Problem> {
    let mut sql = Sql::new("SELECT * FROM delivery WHERE id = ");
    sql.value(id).push(change.dialect.for_update());
    one(change, sql).await
}

async fn open(change: &mut Change, new: &NewDelivery, at: Timestamp) -> Result<Delivery, Problem> {
    let (kind, recipient) = recipient_key(&new.recipient);
    let transport = Transport::Waiting { next_attempt: at };
    let opened = Sql::new(
        "INSERT INTO delivery (centre, id, study, version, recipient_kind, recipient_id, recipient_name, address, link,
             created, accept_by, acknowledge_by, transport, attempts)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '[]')
         ON CONFLICT (centre, study, version, recipient_kind, recipient_id, address) DO NOTHING",
    )
    .bind(&new.study.centre)
    .bind(new.id)
    .bind(&new.study.uid)
    .bind(new.version)
    .bind(kind)
    .bind(&recipient)
    .bind(new.recipient.name())
    .bind(&new.address)
    .bind(new.link)
    .bind(at)
    .bind(new.accept_by)
    .bind(new.acknowledge_by)
    .bind(json(&WireTransport::new(&transport)))
    .execute(change)
    .await?;
    let sql = Sql::new(
        "SELECT * FROM delivery WHERE centre = $1 AND study = $2 AND version = $3 AND recipient_kind = $4
             AND recipient_id = $5 AND address = $6",
    )
    .bind(&new.study.centre)
    .bind(&new.study.uid)
    .bind(new.version)
    .bind(kind)
    .bind(&recipient)
    .bind(&new.address);
    let delivery = one(change, sql).await?.ok_or(Problem::Missing("delivery"))?;
    if opened == 1 {
        let detail = format!("delivery {} of version {}", delivery.id, delivery.version);
        audit_study(change, &NOTIFIER, Action::DeliveryOpened, &delivery.study, &detail, at).await?;
        schedule(change, &delivery, at).await?;
    }
    Ok(delivery)
}

/// Writes the outbox row for the next time that somebody must look at a delivery.
async fn schedule(change: &mut Change, delivery: &Delivery, due: Timestamp) -> Result<(), Problem> {
    let key = &delivery.study;
    let lane = row::load(change, key).await?.map_or(Lane::Routine, |row| row.study.priority);
    let event = Event::DeliveryDueV1 { centre: key.centre.to_string(), delivery: delivery.id.to_string() };
    outbox::write(change, NewRow { centre: &key.centre, study: Some(&key.uid), lane, event, due }).await
}

/// When somebody must look at a delivery again: at once if it must be escalated, else at its next attempt or deadline.
fn next_look(delivery: &Delivery, now: Timestamp) -> Option<Timestamp> {
    if delivery.must_escalate(now).is_some() {
        return Some(now);
    }
    let next_attempt = match delivery.transport {
        Transport::Waiting { next_attempt } => Some(next_attempt),
        Transport::Accepted { .. } | Transport::Failed { .. } => None,
    };
    [next_attempt, delivery.next_deadline(now)].into_iter().flatten().min()
}

async fn record_attempt(
    change: &mut Change,
    id: DeliveryId,
    outcome: &AttemptOutcome,
    at: Timestamp,
) -> Result<Option<Delivery>, Problem> {
    let Some(delivery) = lock(change, id).await? else { return Ok(None) };
    let delivery = delivery.attempted(outcome.clone(), at);
    let attempts: Vec<WireAttempt> = delivery.attempts.iter().map(WireAttempt::new).collect();
    Sql::new("UPDATE delivery SET transport = $3, attempts = $4 WHERE centre = $1 AND id = $2")
        .bind(&delivery.study.centre)
        .bind(id)
        .bind(json(&WireTransport::new(&delivery.transport)))
        .bind(json(&attempts))
        .execute(change)
        .await?;
    let word = match outcome {
        AttemptOutcome::Accepted { .. } => "accepted",
        AttemptOutcome::Deferred { .. } => "deferred",
        AttemptOutcome::Refused { .. } => "refused",
    };
    let detail = format!("delivery {id} {word}");
    audit_study(change, &NOTIFIER, Action::DeliveryAttempted, &delivery.study, &detail, at).await?;
    if let Some(due) = next_look(&delivery, at) {
        schedule(change, &delivery, due).await?;
    }
    Ok(Some(delivery))
}

async fn acknowledge(
    change: &mut Change,
    id: DeliveryId,
    by: &str,
    actor: &Actor,
    at: Timestamp,
) -> Result<Option<Delivery>, Problem> {
    let Some(delivery) = lock(change, id).await? else { return Ok(None) };
    if delivery.acknowledgement.is_some() {
        return Ok(Some(delivery));
    }
    let delivery = delivery.acknowledged(by, at);
    Sql::new("UPDATE delivery SET acknowledged_by = $3, acknowledged_at = $4 WHERE centre = $1 AND id = $2")
        .bind(&delivery.study.centre)
        .bind(id)
        .bind(by)
        .bind(at)
        .execute(change)
        .await?;
    let detail = format!("delivery {id} of version {}", delivery.version);
    audit_study(change, actor, Action::Acknowledged, &delivery.study, &detail, at).await?;
    Ok(Some(delivery))
}

async fn escalate(
    change: &mut Change,
    id: DeliveryId,
    to_contact: Option<&NewDelivery>,
    task: &NewTask,
    at: Timestamp,
) -> Result<Option<Delivery>, Problem> {
    let Some(delivery) = lock(change, id).await? else { return Ok(None) };
    if delivery.escalated.is_some() {
        return Ok(Some(delivery));
    }
    Sql::new("UPDATE delivery SET escalated = $3 WHERE centre = $1 AND id = $2")
        .bind(&delivery.study.centre)
        .bind(id)
        .bind(at)
        .execute(change)
        .await?;
    if let Some(new) = to_contact {
        open(change, new, at).await?;
    }
    open_task(change, task, at).await?;
    let detail = format!("delivery {id}");
    audit_study(change, &CATALOG, Action::DeliveryEscalated, &delivery.study, &detail, at).await?;
    Ok(Some(Delivery { escalated: Some(at), ..delivery }))
}

async fn schedule_by_id(change: &mut Change, id: DeliveryId, due: Timestamp) -> Result<(), Problem> {
    match lock(change, id).await? {
        Some(delivery) => schedule(change, &delivery, due).await,
        None => Ok(()),
    }
}

async fn deliveries(
    connection: &mut AnyConnection,
    filter: &DeliveryFilter,
) -> Result<Vec<Delivery>, Problem> {
    let mut sql = Sql::new("SELECT * FROM delivery WHERE 1 = 1");
    push_scope(&mut sql, "centre", &filter.scope);
    if let Some(study) = &filter.study {
        sql.push(" AND centre = ").value(&study.centre).push(" AND study = ").value(&study.uid);
    }
    if filter.unacknowledged {
        sql.push(" AND acknowledged_at IS NULL");
    }
    sql.push(" ORDER BY created DESC, id DESC LIMIT ").value(filter.limit);
    sql.all(connection).await?.iter().map(delivery_of).collect()
}

async fn put_mail(change: &mut Change, mail: &Mail) -> Result<(), Problem> {
    Sql::new(
        "INSERT INTO mail (centre, id, recipient, at, message) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(&mail.centre)
    .bind(mail.id)
    .bind(&mail.to)
    .bind(mail.at)
    .bind(mail.message.clone())
    .execute(change)
    .await?;
    Ok(())
}

async fn mails(connection: &mut AnyConnection, sql: Sql) -> Result<Vec<Mail>, Problem> {
    let read = |row: &AnyRow| {
        Ok(Mail {
            id: row.parsed("id", |text| MailId::parse(text).ok())?,
            centre: row.centre("centre")?,
            to: row.parsed("recipient", EmailAddress::parse)?,
            at: row.time("at")?,
            message: row.bytes("message")?,
        })
    };
    sql.all(connection).await?.iter().map(read).collect()
}

#[async_trait]
impl Deliveries for SqlCatalog {
    async fn open_delivery(&self, new: &NewDelivery, at: Timestamp) -> Known<Delivery> {
        transact!(self, "opening a delivery", |change| open(change, new, kept(at)))
    }

    async fn delivery(&self, id: DeliveryId) -> Known<Option<Delivery>> {
        let sql = Sql::new("SELECT * FROM delivery WHERE id = $1").bind(id);
        read!(self, "looking up a delivery", |connection| one(connection, sql))
    }

    async fn delivery_by_link(&self, link: Sha256Digest) -> Known<Option<Delivery>> {
        let sql = Sql::new("SELECT * FROM delivery WHERE link = $1").bind(link);
        read!(self, "looking up a delivery by its link", |connection| one(connection, sql))
    }

    async fn deliveries(&self, filter: &DeliveryFilter) -> Known<Vec<Delivery>> {
        read!(self, "listing deliveries", |connection| deliveries(connection, filter))
    }

    async fn record_attempt(
        &self,
        id: DeliveryId,
        outcome: &AttemptOutcome,
        at: Timestamp,
    ) -> Known<Option<Delivery>> {
        transact!(self, "recording an attempt", |change| record_attempt(change, id, outcome, kept(at)))
    }

    async fn acknowledge(
        &self,
        id: DeliveryId,
        by: &str,
        actor: &Actor,
        at: Timestamp,
    ) -> Known<Option<Delivery>> {
        transact!(self, "noting an acknowledgement", |change| acknowledge(change, id, by, actor, kept(at)))
    }

    async fn escalate(
        &self,
        id: DeliveryId,
        to_contact: Option<&NewDelivery>,
        task: &NewTask,
        at: Timestamp,
    ) -> Known<Option<Delivery>> {
        transact!(self, "escalating a delivery", |change| {
            escalate(change, id, to_contact, task, kept(at))
        })
    }

    async fn schedule_delivery(&self, id: DeliveryId, due: Timestamp) -> Known<()> {
        transact!(self, "scheduling a delivery", |change| schedule_by_id(change, id, due))
    }

    async fn put_mail(&self, mail: &Mail) -> Known<()> {
        transact!(self, "putting a mail into the mailbox", |change| put_mail(change, mail))
    }

    async fn mails(&self, limit: u32) -> Known<Vec<Mail>> {
        let sql = Sql::new("SELECT * FROM mail ORDER BY at DESC, id DESC LIMIT $1").bind(limit);
        read!(self, "listing mails", |connection| mails(connection, sql))
    }

    async fn mail(&self, id: MailId) -> Known<Option<Mail>> {
        let sql = Sql::new("SELECT * FROM mail WHERE id = $1").bind(id);
        let found = read!(self, "looking up a mail", |connection| mails(connection, sql));
        Ok(found?.into_iter().next())
    }
}
