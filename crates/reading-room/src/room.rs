//! What the routes need, and what they remember between requests.

use std::sync::Arc;

use axum::extract::FromRef;
use domain::{
    audit::Action,
    id::CentreId,
    limit::TellsLimits,
    port::{Broker, Catalog, Clock, Pixels, Storage},
    study::{Study, StudyKey},
    uid::StudyInstanceUid,
};
use gate::{Gate, Problem, SignedInPerson};

use crate::{memory::RecentlySeen, viewer::Viewer};

/// What the reading room is made of.
#[derive(Clone)]
pub struct ReadingRoom {
    /// What we know.
    pub catalog: Arc<dyn Catalog>,
    /// Where key images and PDFs rest.
    pub storage: Arc<dyn Storage>,
    /// Who makes pictures of marked images.
    pub pixels: Arc<dyn Pixels>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who may come in.
    pub gate: Gate,
    /// A mail server is configured: the embedded mailbox stays empty and its page says so.
    pub mail_configured: bool,
    /// The image viewer.
    pub viewer: Viewer,
    /// What the status page shows.
    pub overview: Overview,
    /// Descriptions of other roles' routes under `/api/v1`, for the one document at `/api/v1/openapi.json`.
    pub also_described: Vec<utoipa::openapi::OpenApi>,
}

/// What the status page shows beside the catalog.
#[derive(Clone, Default)]
pub struct Overview {
    /// The parts of this process that have limits.
    pub parts: Vec<Arc<dyn TellsLimits>>,
    /// Where work waits.
    pub broker: Option<Arc<dyn Broker>>,
}

/// The state of the routes.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) pixels: Arc<dyn Pixels>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: Gate,
    pub(crate) mail_configured: bool,
    pub(crate) overview: Overview,
    pub(crate) seen: Arc<RecentlySeen>,
    pub(crate) openapi: Arc<str>,
}

impl FromRef<Room> for Gate {
    fn from_ref(room: &Room) -> Self {
        room.gate.clone()
    }
}

impl Room {
    /// The study that a path names, if this person may see it. Everything else is answered alike.
    pub(crate) async fn study(
        &self,
        person: &SignedInPerson,
        centre: &str,
        study: &str,
    ) -> Result<Study, Problem> {
        let centre = CentreId::parse(centre).map_err(|_| Problem::unknown())?;
        let uid = StudyInstanceUid::parse(study).map_err(|_| Problem::unknown())?;
        person.require_centre(&centre)?;
        self.catalog.study(&StudyKey { centre, uid }).await?.ok_or_else(Problem::unknown)
    }

    /// Writes into the audit that a person looks at a study, once per session and quarter of an hour.
    pub(crate) async fn note_study_viewed(
        &self,
        person: &SignedInPerson,
        study: &StudyKey,
    ) -> Result<(), Problem> {
        self.note(person, Action::StudyViewed, Some(study), "").await
    }

    /// Writes into the audit that a person looks at a list, once per session and quarter of an hour.
    pub(crate) async fn note_list_viewed(
        &self,
        person: &SignedInPerson,
        list: &'static str,
    ) -> Result<(), Problem> {
        self.note(person, Action::ListViewed, None, list).await
    }

    async fn note(
        &self,
        person: &SignedInPerson,
        action: Action,
        study: Option<&StudyKey>,
        detail: &'static str,
    ) -> Result<(), Problem> {
        let now = self.clock.now();
        let what = (person.session, study.cloned(), detail);
        if self.seen.is_recent(&what, now) {
            return Ok(());
        }
        // Remembered only once it is written: a failed record is tried again with the next request.
        self.catalog.record(&person.actor(), action, study, detail, now).await?;
        self.seen.remember(what, now);
        Ok(())
    }
}
