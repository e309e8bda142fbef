//! What the notifier does with its two kinds of work. Everything here may run twice.
//!
//! A signed version: the delivery is opened first, then the PDF is made. A broken template gives the work back and ends as a task,
//! while the mail has long gone out: the page behind its link does not need the PDF.
//!
//! A delivery that is due: attempt, then climb, then see to the next moment. Between the answer of the mail server and its record the
//! machine may die; the repeat then sends the same mail once more, with the same Message-ID.

use domain::{
    Duration, Timestamp,
    centre::{Centre, MailDetail},
    delivery::{AttemptOutcome, Delivery, EscalationReason, Recipient, Transport},
    id::{CentreId, DeliveryId, InvalidId},
    port::{CatalogError, catalog::NewDelivery},
    report::VersionKind,
    study::StudyKey,
    task::{NewTask, TaskKind},
    text::EmailAddress,
    uid::StudyInstanceUid,
};
use tokio::sync::Mutex;

use crate::{
    Notifier,
    facts::Facts,
    link,
    mail::{self, ComposeError, Letter, OutgoingMail, Silence, Subject},
    pdf::{PdfError, PdfMaker},
    recipient::{self, Reachable},
};

/// After so long a mail is not tried again (RFC 5321 section 4.5.4.1 names 4 to 5 days); people were told long before.
const GIVE_UP_AFTER: Duration = Duration::from_hours(5 * 24);
/// Locks that keep one delivery from being handled twice at one time in this process; two deliveries seldom share one.
const LOCKS: usize = 32;

/// Does the work.
pub(crate) struct Delivering {
    notifier: Notifier,
    pdf: PdfMaker,
    locks: [Mutex<()>; LOCKS],
}

/// Why work could not be done now. Displayed texts hold no patient data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    /// Another worker's event.
    #[error("this is no work for the notifier")]
    NotOurs,
    /// An identifier in the event is none.
    #[error("the event names something that cannot be")]
    InvalidId(#[from] InvalidId),
    /// The event's study identifier is none.
    #[error("the event names no study")]
    InvalidStudy,
    /// There is no such version.
    #[error("there is no such signed version")]
    NoVersion,
    /// There is no such delivery.
    #[error("there is no such delivery")]
    NoDelivery,
    /// The mail cannot be written.
    #[error(transparent)]
    Compose(ComposeError),
    /// The mail went its way, but there is no PDF.
    #[error(transparent)]
    Pdf(#[from] PdfError),
    /// The catalog could not.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Delivering {
    /// Does the work with these means.
    pub(crate) fn new(notifier: Notifier) -> Self {
        let pdf = PdfMaker::new(notifier.renderer.clone(), notifier.settings.pdf_time_max);
        Self { notifier, pdf, locks: std::array::from_fn(|_| Mutex::new(())) }
    }

    /// A version was signed: its recipient is found, a delivery or a task opened, its PDF made.
    pub(crate) async fn signed(&self, centre: &str, study: &str, version: u32) -> Result<(), WorkError> {
        let uid = StudyInstanceUid::parse(study).map_err(|_| WorkError::InvalidStudy)?;
        let key = StudyKey { centre: CentreId::parse(centre)?, uid };
        let catalog = &*self.notifier.catalog;
        let facts = Facts::load(catalog, &key, version).await?.ok_or(WorkError::NoVersion)?;
        match recipient::find(&facts) {
            Ok(reachable) => {
                let new = self.new_delivery(&facts.centre, &key, version, reachable).await?;
                catalog.open_delivery(&new, self.now()).await?;
            }
            Err(unreachable) => {
                catalog.open_task(&unreachable.task(&key, version), self.now()).await?;
                metrics::counter!("notifier_without_recipient_total").increment(1);
            }
        }
        Ok(self.pdf.make(catalog, &*self.notifier.storage, &facts).await?)
    }

    /// A delivery is due: an attempt, its escalation, the next moment.
    pub(crate) async fn due(&self, delivery: &str) -> Result<(), WorkError> {
        let id = DeliveryId::parse(delivery)?;
        let [.., last] = *id.as_uuid().as_bytes();
        let _alone = self.locks[usize::from(last) % LOCKS].lock().await;
        let delivery = self.notifier.catalog.delivery(id).await?.ok_or(WorkError::NoDelivery)?;
        let escalated = self.escalated_one(&delivery).await?;
        let delivery = self.attempt_if_due(delivery, escalated.as_ref()).await?;
        let delivery = self.escalate_if_silent(delivery, escalated.as_ref()).await?;
        if let Some(next) = next_moment(&delivery, self.now()) {
            self.notifier.catalog.schedule_delivery(id, next).await?;
        }
        Ok(())
    }

    async fn attempt_if_due(
        &self,
        delivery: Delivery,
        escalated: Option<&Delivery>,
    ) -> Result<Delivery, WorkError> {
        let now = self.now();
        match &delivery.transport {
            Transport::Waiting { next_attempt } if *next_attempt <= now => {}
            Transport::Waiting { .. } | Transport::Accepted { .. } | Transport::Failed { .. } => {
                return Ok(delivery);
            }
        }
        let outcome = match needless(&delivery, escalated, now) {
            Some(outcome) => outcome,
            None => match self.compose(&delivery, escalated).await {
                Ok(mail) => self.notifier.mailer.send(&mail).await,
                Err(WorkError::Compose(error)) => AttemptOutcome::Refused { reason: error.to_string() },
                Err(error) => return Err(error),
            },
        };
        let word = match &outcome {
            AttemptOutcome::Accepted { .. } => "accepted",
            AttemptOutcome::Deferred { .. } => "deferred",
            AttemptOutcome::Refused { .. } => "refused",
        };
        metrics::counter!("notifier_attempts_total", "outcome" => word).increment(1);
        tracing::info!(delivery = %delivery.id, outcome = word, "mail attempted");
        let recorded = self.notifier.catalog.record_attempt(delivery.id, &outcome, self.now()).await?;
        recorded.ok_or(WorkError::NoDelivery)
    }

    /// Tells the centre's contact, once. A delivery to the contact climbs no further: its task stays with the people who see tasks.
    async fn escalate_if_silent(
        &self,
        delivery: Delivery,
        escalated: Option<&Delivery>,
    ) -> Result<Delivery, WorkError> {
        let now = self.now();
        let Some(reason) = delivery.must_escalate(now) else { return Ok(delivery) };
        if escalated.is_some_and(|escalated| escalated.acknowledgement.is_some()) {
            return Ok(delivery);
        }
        let catalog = &*self.notifier.catalog;
        let centre = catalog.centre(&delivery.study.centre).await?.ok_or(WorkError::NoVersion)?;
        let to_contact = match (&delivery.recipient, &centre.contact) {
            (Recipient::Physician { .. }, Some(contact)) => {
                let recipient =
                    Recipient::CentreContact { escalates: delivery.id, name: centre.name.clone() };
                let reachable = Reachable { recipient, address: contact.clone() };
                Some(self.new_delivery(&centre, &delivery.study, delivery.version, reachable).await?)
            }
            (Recipient::Physician { .. }, None) | (Recipient::CentreContact { .. }, _) => None,
        };
        let phone = self.phone(&delivery).await?;
        let task = task(&delivery, &reason, to_contact.as_ref().map(|new| &new.address), phone.as_deref());
        let delivery = catalog.escalate(delivery.id, to_contact.as_ref(), &task, now).await?;
        metrics::counter!("notifier_escalations_total").increment(1);
        let delivery = delivery.ok_or(WorkError::NoDelivery)?;
        tracing::warn!(delivery = %delivery.id, "delivery escalated");
        Ok(delivery)
    }

    async fn compose(
        &self,
        delivery: &Delivery,
        escalated: Option<&Delivery>,
    ) -> Result<OutgoingMail, WorkError> {
        let catalog = &*self.notifier.catalog;
        let facts =
            Facts::load(catalog, &delivery.study, delivery.version).await?.ok_or(WorkError::NoVersion)?;
        let subject = match (escalated, facts.version.kind) {
            (Some(escalated), VersionKind::Final | VersionKind::Addendum) => Subject::Escalation {
                reason: silence(escalated),
                physician: escalated.recipient.name().to_owned(),
                phone: self.phone(escalated).await?,
            },
            (None, VersionKind::Final) => Subject::Report,
            (None, VersionKind::Addendum) => Subject::Addendum,
        };
        let accession_number = match facts.centre.policy.mail_detail {
            MailDetail::LinkOnly => None,
            MailDetail::AccessionNumber => {
                documents::signed::accession_number(&facts.study, facts.order.as_ref())
            }
        };
        let secret = link::secret(catalog, delivery.id).await?;
        let settings = &self.notifier.settings;
        mail::compose(&Letter {
            delivery: delivery.id,
            centre: &delivery.study.centre,
            centre_name: &facts.centre.name,
            centre_phone: facts.centre.phone.as_deref(),
            from: &settings.from,
            to: &delivery.address,
            to_name: delivery.recipient.name(),
            subject,
            link: &format!("{}/r/{secret}", settings.base_url),
            accession_number,
            at: delivery.created,
            acknowledge_by: delivery.acknowledge_by,
        })
        .map_err(WorkError::Compose)
    }

    async fn new_delivery(
        &self,
        centre: &Centre,
        study: &StudyKey,
        version: u32,
        to: Reachable,
    ) -> Result<NewDelivery, CatalogError> {
        let id = DeliveryId::fresh();
        let now = self.now();
        Ok(NewDelivery {
            id,
            study: study.clone(),
            version,
            recipient: to.recipient,
            address: to.address,
            link: link::digest(&link::secret(&*self.notifier.catalog, id).await?),
            accept_by: now + centre.policy.delivery_deadline,
            acknowledge_by: now + centre.policy.acknowledgement_deadline,
        })
    }

    async fn escalated_one(&self, delivery: &Delivery) -> Result<Option<Delivery>, CatalogError> {
        match &delivery.recipient {
            Recipient::Physician { .. } => Ok(None),
            Recipient::CentreContact { escalates, .. } => self.notifier.catalog.delivery(*escalates).await,
        }
    }

    async fn phone(&self, delivery: &Delivery) -> Result<Option<String>, CatalogError> {
        let Recipient::Physician { id, .. } = &delivery.recipient else { return Ok(None) };
        let physician = self.notifier.catalog.physician(&delivery.study.centre, *id).await?;
        Ok(physician.and_then(|physician| physician.phone))
    }

    fn now(&self) -> Timestamp {
        self.notifier.clock.now()
    }
}

/// Why no mail goes out, if none must: somebody has read the report, or it was tried for days.
fn needless(delivery: &Delivery, escalated: Option<&Delivery>, now: Timestamp) -> Option<AttemptOutcome> {
    if delivery.acknowledgement.is_some() {
        let by = "not sent again: the recipient has acknowledged the report".to_owned();
        return Some(AttemptOutcome::Accepted { by });
    }
    if escalated.is_some_and(|escalated| escalated.acknowledgement.is_some()) {
        let reason = "not sent: the physician has acknowledged the report meanwhile".to_owned();
        return Some(AttemptOutcome::Refused { reason });
    }
    (now >= delivery.created + GIVE_UP_AFTER).then(|| {
        let last = last_reason(delivery).unwrap_or("none");
        AttemptOutcome::Refused { reason: format!("given up after 5 days; the last answer was: {last}") }
    })
}

/// When a delivery must be looked at again without anything else happening.
fn next_moment(delivery: &Delivery, now: Timestamp) -> Option<Timestamp> {
    let attempt = match delivery.transport {
        Transport::Waiting { next_attempt } => Some(next_attempt),
        Transport::Accepted { .. } | Transport::Failed { .. } => None,
    };
    [attempt, delivery.next_deadline(now)].into_iter().flatten().min()
}

fn silence(escalated: &Delivery) -> Silence {
    match escalated.transport {
        Transport::Waiting { .. } => Silence::NotAccepted,
        Transport::Failed { .. } => Silence::Refused,
        Transport::Accepted { .. } => Silence::NotAcknowledged,
    }
}

fn last_reason(delivery: &Delivery) -> Option<&str> {
    delivery.attempts.iter().rev().find_map(|attempt| match &attempt.outcome {
        AttemptOutcome::Deferred { reason } | AttemptOutcome::Refused { reason } => Some(reason.as_str()),
        AttemptOutcome::Accepted { .. } => None,
    })
}

/// The task of an escalation. That of a delivery to the contact is about the delivery that it escalates, so that a person finds one task.
fn task(
    delivery: &Delivery,
    reason: &EscalationReason,
    told: Option<&EmailAddress>,
    phone: Option<&str>,
) -> NewTask {
    let name = delivery.recipient.name();
    let (subject, whom) = match &delivery.recipient {
        Recipient::Physician { .. } => (delivery.id, name.to_owned()),
        Recipient::CentreContact { escalates, .. } => (*escalates, format!("the contact of {name}")),
    };
    let what = match reason {
        EscalationReason::NotAccepted => {
            let last =
                last_reason(delivery).map_or_else(String::new, |last| format!("; its last answer: {last}"));
            format!("No mail server has taken the mail to {whom} in time{last}.")
        }
        EscalationReason::Refused(why) => format!("The mail to {whom} was refused: {why}."),
        EscalationReason::NotAcknowledged => format!("Nobody has acknowledged the mail to {whom} in time."),
    };
    let (also, next_step) = match &delivery.recipient {
        Recipient::Physician { .. } => {
            let also = match told {
                Some(address) => format!("The centre's contact ({}) is told by mail.", address.as_str()),
                None => "The centre has no contact address, so nobody else is told.".to_owned(),
            };
            let phone = phone.map_or_else(String::new, |phone| format!(" ({phone})"));
            (also, format!("Telephone {name}{phone} and pass the result on."))
        }
        Recipient::CentreContact { .. } => (
            "It was the second mail about this report; the first, to the physician, came to nothing either."
                .to_owned(),
            "Telephone the physician who asked for the examination and pass the result on.".to_owned(),
        ),
    };
    NewTask {
        centre: delivery.study.centre.clone(),
        study: Some(delivery.study.uid.clone()),
        kind: TaskKind::Undelivered,
        subject: NewTask::delivery_subject(subject),
        reason: format!("{what} It carries version {} of the report. {also}", delivery.version),
        next_step: format!("{next_step} Then close this task with a note of whom you told and when."),
    }
}
