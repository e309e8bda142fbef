//! The delivery ledger, and the embedded mailbox.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    audit::Actor,
    delivery::{AttemptOutcome, Delivery, Recipient},
    digest::Sha256Digest,
    id::{CentreId, DeliveryId, MailId},
    person::Scope,
    study::StudyKey,
    text::EmailAddress,
};

/// The delivery ledger and the embedded mailbox.
#[async_trait]
pub trait Deliveries {
    /// Opens a delivery, due at once; of one version, recipient and address there is one, and asking again gives it.
    /// Writes audit and outbox row.
    async fn open_delivery(&self, new: &NewDelivery, at: Timestamp) -> Known<Delivery>;

    /// A delivery.
    async fn delivery(&self, id: DeliveryId) -> Known<Option<Delivery>>;

    /// A delivery by the digest of its link's secret.
    async fn delivery_by_link(&self, link: Sha256Digest) -> Known<Option<Delivery>>;

    /// Deliveries, the latest first.
    async fn deliveries(&self, filter: &DeliveryFilter) -> Known<Vec<Delivery>>;

    /// Writes an attempt into the ledger, by [`Delivery::attempted`], with audit and the outbox row for the next attempt or deadline.
    async fn record_attempt(
        &self,
        id: DeliveryId,
        outcome: &AttemptOutcome,
        at: Timestamp,
    ) -> Known<Option<Delivery>>;

    /// Notes an acknowledgement, by [`Delivery::acknowledged`], with audit. When it is the acknowledgement of an escalation, the escalated
    /// delivery stays as it is. Closes the open task of the delivery, if any, is left to people.
    async fn acknowledge(
        &self,
        id: DeliveryId,
        by: &str,
        actor: &Actor,
        at: Timestamp,
    ) -> Known<Option<Delivery>>;

    /// Notes that the centre's contact was told, opens the delivery to them if they have an address, and opens the task, all in one
    /// transaction. Once only: asking again changes nothing.
    async fn escalate(
        &self,
        id: DeliveryId,
        to_contact: Option<&NewDelivery>,
        task: &crate::task::NewTask,
        at: Timestamp,
    ) -> Known<Option<Delivery>>;

    /// Writes the outbox row for a delivery's next attempt or deadline, for one that is not due yet.
    async fn schedule_delivery(&self, id: DeliveryId, due: Timestamp) -> Known<()>;

    /// Puts a mail into the embedded mailbox; the same id again changes nothing.
    async fn put_mail(&self, mail: &Mail) -> Known<()>;

    /// Mails in the embedded mailbox, the latest first, at most `limit`.
    async fn mails(&self, limit: u32) -> Known<Vec<Mail>>;

    /// One mail.
    async fn mail(&self, id: MailId) -> Known<Option<Mail>>;
}

/// A delivery to be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// Its identity, if it turns out to be new.
    pub id: DeliveryId,
    /// Of which study.
    pub study: StudyKey,
    /// Which version.
    pub version: u32,
    /// To whom.
    pub recipient: Recipient,
    /// Where to.
    pub address: EmailAddress,
    /// Digest of the secret in the personal link.
    pub link: Sha256Digest,
    /// By when a mail server must have accepted it.
    pub accept_by: Timestamp,
    /// By when a person must have acknowledged it.
    pub acknowledge_by: Timestamp,
}

/// Which deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Whose.
    pub scope: Scope,
    /// Only of this study.
    pub study: Option<StudyKey>,
    /// Only those that nobody acknowledged.
    pub unacknowledged: bool,
    /// At most so many.
    pub limit: u32,
}

/// A mail in the embedded mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Identity.
    pub id: MailId,
    /// Whose centre wrote it.
    pub centre: CentreId,
    /// To whom.
    pub to: EmailAddress,
    /// When.
    pub at: Timestamp,
    /// The message as it would go over the wire (RFC 5322).
    pub message: Vec<u8>,
}
