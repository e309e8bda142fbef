//! How a mail leaves: over SMTP, or into the embedded mailbox while no mail server is named.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    delivery::AttemptOutcome,
    id::MailId,
    port::{Catalog, catalog::Mail},
};

use crate::{
    config::{Config, SetupError},
    mail::OutgoingMail,
    smtp::SmtpMailer,
};

/// Hands mails to whoever carries them on.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Hands one mail over and says what came of it. The same mail again is the same message, with the same Message-ID.
    async fn send(&self, mail: &OutgoingMail) -> AttemptOutcome;

    /// Whether mails leave this machine; else they lie in the embedded mailbox.
    fn is_sending(&self) -> bool;
}

/// The mailer that the settings name: the mail server, else the embedded mailbox.
///
/// # Errors
/// When the settings of the mail server contradict each other or its certificates cannot be read. Nothing is connected yet.
pub fn of(config: &Config, catalog: &Arc<dyn Catalog>) -> Result<Arc<dyn Mailer>, SetupError> {
    Ok(match &config.smtp {
        Some(smtp) => Arc::new(SmtpMailer::new(smtp)?),
        None => Arc::new(EmbeddedMailbox::new(Arc::clone(catalog))),
    })
}

/// Keeps mails in the catalog, where people read them in the reading room.
pub struct EmbeddedMailbox {
    catalog: Arc<dyn Catalog>,
}

impl EmbeddedMailbox {
    /// A mailbox in a catalog.
    #[must_use]
    pub fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self { catalog }
    }
}

#[async_trait]
impl Mailer for EmbeddedMailbox {
    async fn send(&self, mail: &OutgoingMail) -> AttemptOutcome {
        let kept = Mail {
            // The delivery's own id, so that a repeat changes nothing.
            id: MailId::from_uuid(*mail.delivery.as_uuid()),
            centre: mail.centre.clone(),
            to: mail.to.clone(),
            at: mail.at,
            message: mail.message.clone(),
        };
        match self.catalog.put_mail(&kept).await {
            Ok(()) => AttemptOutcome::Accepted { by: "kept in the local mailbox, not sent".to_owned() },
            Err(error) => {
                AttemptOutcome::Deferred { reason: format!("the local mailbox cannot be written: {error}") }
            }
        }
    }

    fn is_sending(&self) -> bool {
        false
    }
}
