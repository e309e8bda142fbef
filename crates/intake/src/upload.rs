//! Uploads over HTTP for a centre's people: resumable by tus 1.0.0 ([`tus`]), put down in a folder ([`spool`]), then taken in file by
//! file ([`taking`]), with what became of each file kept in the catalog ([`lists`] tells it).
//!
//! An upload is a DICOM file or a ZIP, read by [`archive`]. Nothing is said to be stored here that did not go through
//! [`crate::receive`]. The page itself is in the reading room's UI.

pub mod archive;

mod contents;
mod lists;
mod spool;
mod taking;
mod tus;
mod words;

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use axum::http::StatusCode;
use domain::{
    Duration,
    id::{CentreId, UploadId},
    person::{Role, Scope},
    port::{Catalog, CatalogError, Clock},
    upload::{UploadEnding, UploadState},
};
use gate::{Caller, Problem};
use serde::Deserialize;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{
    archive::ArchiveLimits,
    spool::{Place, Spool},
    taking::Taker,
};
use crate::{receive::Intake, texts::Texts};

pub use spool::SpoolError;

/// Open uploads that are read from the catalog at a time when starting.
const RESTORED_AT_ONCE: u32 = 1000;
/// Old batches forgotten at a time.
const FORGOTTEN_AT_ONCE: u32 = 100;
/// How often uploads that ran out and old results are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);

/// Limits of uploads, each with its unit in its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest upload, in bytes: a ZIP of a whole disc, or one object.
    pub upload_bytes_max: u64,
    /// Bytes of one centre's uploads that rest here at one time, as announced.
    pub centre_bytes_max: u64,
    /// Uploads of one centre that rest here at one time.
    pub centre_uploads_max: usize,
    /// Bytes of all uploads that rest here at one time, as announced.
    pub spool_bytes_max: u64,
    /// Uploads that rest here at one time.
    pub spool_uploads_max: usize,
    /// After so long an upload that was not finished is removed, in hours.
    pub expire_hours: u32,
    /// Without a byte in a request, in seconds; then what came is put down and the request ends.
    pub idle_seconds_max: u64,
    /// Requests that bring bytes, at one time; more are told to come back.
    pub requests_max: usize,
    /// Uploads that are taken in at one time.
    pub uploads_at_once: usize,
    /// Uploads of one centre that are taken in at one time, so that others are never behind all of them.
    pub centre_uploads_at_once: usize,
    /// Files of one ZIP that are taken in at one time.
    pub files_at_once: usize,
    /// Files in a ZIP, folders included.
    pub archive_files_max: usize,
    /// Bytes that come out of a ZIP in all.
    pub archive_unpacked_bytes_max: u64,
    /// Bytes that one byte of a ZIP may become.
    pub archive_ratio_max: u64,
    /// What became of an upload is told for so long, in days.
    pub results_days: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let archive = ArchiveLimits::default();
        Self {
            upload_bytes_max: 20 << 30,
            centre_bytes_max: 40 << 30,
            centre_uploads_max: 20_000,
            spool_bytes_max: 100 << 30,
            spool_uploads_max: 50_000,
            expire_hours: 72,
            idle_seconds_max: 60,
            requests_max: 64,
            uploads_at_once: 8,
            centre_uploads_at_once: 6,
            files_at_once: 4,
            archive_files_max: archive.entries,
            archive_unpacked_bytes_max: archive.unpacked_bytes,
            archive_ratio_max: archive.ratio,
            results_days: 90,
        }
    }
}

impl Limits {
    fn archive(&self) -> ArchiveLimits {
        ArchiveLimits {
            entries: self.archive_files_max,
            unpacked_bytes: self.archive_unpacked_bytes_max,
            ratio: self.archive_ratio_max,
            ..ArchiveLimits::default()
        }
    }
}

/// Why uploads cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadsError {
    /// The folder.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The catalog.
    #[error("open uploads cannot be looked up")]
    Catalog(#[from] CatalogError),
}

/// Uploads. Clones are the same.
#[derive(Clone)]
pub struct Uploads {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    spool: Arc<Spool>,
    limits: Limits,
    places: Arc<Semaphore>,
    queue: mpsc::UnboundedSender<Arc<Place>>,
    seen: Arc<lists::RecentlySeen>,
}

/// What takes uploads in, to be run beside the routes.
pub struct Intaking {
    uploads: Uploads,
    intake: Intake,
    queue: mpsc::UnboundedReceiver<Arc<Place>>,
}

impl Uploads {
    /// Opens the folder and takes up again what an earlier process left in it.
    ///
    /// # Errors
    /// When the folder is not ours, or the catalog is away.
    pub async fn open(
        folder: &Path,
        intake: Intake,
        catalog: Arc<dyn Catalog>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Result<(Self, Intaking), UploadsError> {
        let spool = Arc::new(Spool::open(folder, limits.clone())?);
        // Bounded by the number of uploads that rest in the folder: each is in it once.
        let (sender, queue) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(limits.requests_max));
        let seen = Arc::default();
        let uploads = Self { catalog, clock, spool, limits, places, queue: sender, seen };
        uploads.restore(folder).await?;
        Ok((uploads.clone(), Intaking { uploads, intake, queue }))
    }

    async fn restore(&self, folder: &Path) -> Result<(), UploadsError> {
        let refuse = |source| SpoolError::Folder { folder: folder.to_owned(), source };
        let mut after = None;
        loop {
            let open = self.catalog.open_uploads(self.spool.id(), after, RESTORED_AT_ONCE).await?;
            let Some(last) = open.last() else { break };
            after = Some(last.id);
            for upload in open {
                let is_waiting = upload.state == UploadState::Waiting;
                match self.spool.restore(upload.clone()).map_err(refuse)? {
                    Some(place) if is_waiting => self.enqueue(&place),
                    Some(_) => {}
                    None => {
                        let now = self.clock.now();
                        self.catalog.end_upload(&upload, &[], &words::lost(), now).await?;
                    }
                }
            }
        }
        let swept = self.spool.sweep().map_err(refuse)?;
        if swept > 0 {
            tracing::info!(swept, "files of uploads that nobody knows of were removed");
        }
        Ok(())
    }

    /// All bytes are here: the catalog hears of it, and the upload waits to be taken in. Doing so again does nothing.
    async fn arrived(&self, place: &Arc<Place>) -> Result<(), CatalogError> {
        if place.is_whole() && !place.is_queued.load(Ordering::Acquire) {
            self.catalog.upload_arrived(place.upload.id).await?;
            self.enqueue(place);
        }
        Ok(())
    }

    fn enqueue(&self, place: &Arc<Place>) {
        if !place.is_queued.swap(true, Ordering::AcqRel) {
            // Without a receiver the service stops; the next start finds the upload waiting.
            let _ = self.queue.send(Arc::clone(place));
        }
    }

    /// Removes an upload whose bytes are not all here.
    async fn end(&self, id: UploadId, ending: UploadEnding) -> Result<(), CatalogError> {
        let Some(place) = self.spool.place(id) else { return Ok(()) };
        self.catalog.end_upload(&place.upload, &[], &ending, self.clock.now()).await?;
        self.spool.remove(id).await;
        Ok(())
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        for place in self.spool.expired(now) {
            if let Err(error) = self.end(place.upload.id, UploadEnding::Expired).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an upload that ran out stays for now"
                );
            }
        }
        let before = now - Duration::from_hours(24 * i64::from(self.limits.results_days));
        if let Err(error) = self.catalog.forget_uploads(before, FORGOTTEN_AT_ONCE).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "old uploads are not forgotten for now");
        }
    }
}

impl Intaking {
    /// Takes in what waits until the service stops. What is then in hand is taken again at the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let Uploads { catalog, clock, spool, limits, .. } = self.uploads.clone();
        let taker = Arc::new(Taker {
            intake: self.intake,
            texts: Texts::new(Arc::clone(&catalog)),
            catalog,
            clock,
            spool,
            limits: limits.clone(),
            stop: stop.clone(),
        });
        let mut waiting: VecDeque<Arc<Place>> = VecDeque::new();
        let mut takes = JoinSet::new();
        let mut in_hand: HashMap<tokio::task::Id, CentreId> = HashMap::new();
        let clock = Arc::clone(&self.uploads.clock);
        let mut sweep = clock.sleep(SWEEP_INTERVAL);
        loop {
            while takes.len() < limits.uploads_at_once {
                let is_next = |place: &Arc<Place>| {
                    let of_centre = in_hand.values().filter(|centre| **centre == place.upload.centre);
                    of_centre.count() < limits.centre_uploads_at_once
                };
                let Some(place) = waiting.iter().position(is_next).and_then(|at| waiting.remove(at)) else {
                    break;
                };
                let (taker, centre) = (Arc::clone(&taker), place.upload.centre.clone());
                let task = takes.spawn(async move { taker.take(&place).await });
                in_hand.insert(task.id(), centre);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(place) = self.queue.recv() => waiting.push_back(place),
                Some(taken) = takes.join_next_with_id() => {
                    let id = match taken {
                        Ok((id, ())) => id,
                        Err(error) => {
                            tracing::error!(error = &error as &dyn std::error::Error, "an upload waits for the next start");
                            error.id()
                        }
                    };
                    in_hand.remove(&id);
                }
                () = &mut sweep => {
                    self.uploads.sweep().await;
                    sweep = clock.sleep(SWEEP_INTERVAL);
                }
            }
        }
        while takes.join_next().await.is_some() {}
    }
}

/// For which centre a caller sends or asks; whoever may not hears what they would hear if there were none.
fn centre_of(caller: &Caller, named: Option<&str>) -> Result<CentreId, Problem> {
    caller.require_role(&[Role::Centre, Role::Admin])?;
    if let Some(named) = named {
        let centre = CentreId::parse(named).map_err(|_| Problem::unknown())?;
        caller.require_centre(&centre)?;
        return Ok(centre);
    }
    match (caller.centre(), caller.scope()) {
        (Some(centre), _) => Ok(centre.clone()),
        (None, Scope::Centres(centres)) if centres.len() == 1 => Ok(centres[0].clone()),
        (None, Scope::Centres(_) | Scope::AllCentres) => {
            let message = "It is not said for which centre.";
            Err(Problem::new(StatusCode::BAD_REQUEST, "centre_missing", message)
                .next_step("Name the centre: by ?centre=… or, when sending, in the metadata under `centre`."))
        }
    }
}
