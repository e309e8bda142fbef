//! Do: results go out, by mail.
//!
//! A version is signed → its recipient is found and a delivery opened ([`worker`]) → a mail with a personal link goes out
//! ([`mail`], [`mailer`], [`smtp`]) → a person opens the page behind the link and says that they have read it ([`pages`]). What is
//! not accepted or not acknowledged in time climbs to the centre's contact and becomes a task on a page that people look at.
//!
//! A mail says that there is a report, never what it says nor about whom. Not here: who may sign, what a signature binds, the
//! tasks that become of work given up, webhooks and HL7.

pub mod config;
mod delivering;
mod facts;
mod html;
mod link;
pub mod mail;
pub mod mailer;
pub mod pages;
mod pdf;
mod recipient;
pub mod smtp;
pub mod worker;

use std::sync::Arc;

use documents::Renderer;
use domain::port::{Broker, Catalog, Clock, Storage};

pub use config::{Config, Secret, Settings, SetupError, SmtpConfig, TlsMode};
pub use mailer::{EmbeddedMailbox, Mailer};
pub use smtp::SmtpMailer;
pub use worker::Worker;

/// What the notifier works with. Clones share everything.
#[derive(Clone)]
pub struct Notifier {
    /// What is known.
    pub catalog: Arc<dyn Catalog>,
    /// Key images and PDFs.
    pub storage: Arc<dyn Storage>,
    /// Where work comes from.
    pub broker: Arc<dyn Broker>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How mail leaves; see [`mailer::of`].
    pub mailer: Arc<dyn Mailer>,
    /// Makes PDFs.
    pub renderer: Arc<Renderer>,
    /// Checked settings; see [`Settings::of`].
    pub settings: Arc<Settings>,
}

impl Notifier {
    /// The worker that takes the queue `notify`; see [`Worker::run`].
    #[must_use]
    pub fn worker(&self) -> Worker {
        Worker::new(self.clone())
    }

    /// The physician's pages below `/r`; see [`pages::router`].
    pub fn pages(&self) -> axum::Router {
        pages::router(pages::Pages {
            catalog: Arc::clone(&self.catalog),
            storage: Arc::clone(&self.storage),
            clock: Arc::clone(&self.clock),
            settings: Arc::clone(&self.settings),
        })
    }
}
