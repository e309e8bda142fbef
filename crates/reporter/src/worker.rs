//! The worker: takes studies from the queue, decides whether their images are all here, has a draft written and keeps it. It may run twice
//! at once, on one machine or many; a repeat changes nothing.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use domain::{
    Duration,
    event::Event,
    id::CentreId,
    port::{
        Broker, Catalog, CatalogError, Clock, DraftError, DraftInput, DraftSeries, Drafter, Handed,
        PriorStudy,
        catalog::{DraftOutcome, StudyFilter},
    },
    report::Draft,
    study::{Belief, ImageSet, Study, StudyKey},
    uid::StudyInstanceUid,
    work::Queue,
};
use futures::FutureExt as _;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Most earlier studies that a drafter is given.
pub const PRIORS_MAX: usize = 20;
/// Most studies of a patient that are looked at for earlier ones.
const PRIORS_ASKED_MAX: u32 = 60;
/// Most characters of a reason that a broker keeps.
const REASON_CHARS_MAX: usize = 500;

/// How a worker works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerConfig {
    /// How many drafts are written at once: decoding takes a core each.
    pub concurrency: usize,
    /// How long one draft may take before the work is given back.
    pub draft_time: Duration,
    /// How long a worker that is to stop waits for drafts that are being written.
    pub drain_time: Duration,
    /// How long to wait before asking a broker again that was away.
    pub broker_pause: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: 2,
            draft_time: Duration::from_mins(2),
            drain_time: Duration::from_secs(20),
            broker_pause: Duration::from_secs(5),
        }
    }
}

/// Takes work of the draft queue.
#[derive(Clone)]
pub struct Worker {
    broker: Arc<dyn Broker>,
    catalog: Arc<dyn Catalog>,
    drafter: Arc<dyn Drafter>,
    clock: Arc<dyn Clock>,
    config: WorkerConfig,
}

/// What became of a piece of work that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// A draft was kept.
    Drafted,
    /// There is a draft of these images already.
    AlreadyDrafted,
    /// Images are still coming; the outbox has a later row.
    StillArriving,
    /// Images came while the draft was being prepared; the outbox has a later row.
    Superseded,
    /// The study is not there.
    Gone,
}

impl Done {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::AlreadyDrafted => "already_drafted",
            Self::StillArriving => "still_arriving",
            Self::Superseded => "superseded",
            Self::Gone => "gone",
        }
    }
}

/// Why work was given back.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("the event names no study: {0}")]
    NotAStudy(&'static str),
    #[error("the draft took longer than {0:#}")]
    TooLong(Duration),
}

impl Worker {
    /// A worker.
    #[must_use]
    pub fn new(
        broker: Arc<dyn Broker>,
        catalog: Arc<dyn Catalog>,
        drafter: Arc<dyn Drafter>,
        clock: Arc<dyn Clock>,
        config: WorkerConfig,
    ) -> Self {
        Self { broker, catalog, drafter, clock, config }
    }

    /// Works until told to stop, then finishes what is in hand, for a bounded time; what is not finished goes back to the broker.
    pub async fn run(self, shutdown: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.config.concurrency.max(1)));
        let mut drafts = JoinSet::new();
        loop {
            while drafts.try_join_next().is_some() {}
            let permit = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                permit = Arc::clone(&room).acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            let handed = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                handed = self.broker.next(Queue::Draft) => handed,
            };
            match handed {
                Ok(handed) => {
                    let worker = self.clone();
                    drafts.spawn(async move {
                        worker.take(handed).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "no work from the broker");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = self.clock.sleep(self.config.broker_pause) => {}
                    }
                }
            }
        }
        self.drain(drafts).await;
    }

    async fn drain(&self, mut drafts: JoinSet<()>) {
        let all = async { while drafts.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = self.clock.sleep(self.config.drain_time) => {
                warn!("drafts that were being written go back to the broker");
            }
        }
    }

    /// Does one piece of work and tells the broker.
    async fn take(&self, handed: Box<dyn Handed>) {
        let begun = self.clock.now();
        let event = handed.work().event.clone();
        let work = AssertUnwindSafe(self.within_time(&event)).catch_unwind().await;
        let took = self.clock.now().duration_since(begun).as_secs_f64();
        metrics::histogram!("telerad_draft_seconds").record(took);
        let (outcome, told) = match work {
            Ok(Ok(done)) => (done.as_str(), handed.finish().await),
            Ok(Err(error)) => {
                let reason = reason(&error);
                warn!(work = %handed.work().id, deliveries = handed.delivery_count(), reason, "a draft was not written");
                ("given_back", handed.give_back(&reason).await)
            }
            Err(panic) => {
                let reason = bounded(&format!("the drafter broke down: {}", message(panic.as_ref())));
                error!(work = %handed.work().id, deliveries = handed.delivery_count(), reason, "a draft was not written");
                ("panicked", handed.give_back(&reason).await)
            }
        };
        metrics::counter!("telerad_drafts_total", "outcome" => outcome).increment(1);
        if let Err(error) = told {
            warn!(
                error = &error as &dyn std::error::Error,
                "the broker was not told; it will hand the work out again"
            );
        }
    }

    async fn within_time(&self, event: &Event) -> Result<Done, WorkError> {
        tokio::select! {
            done = self.work(event) => done,
            () = self.clock.sleep(self.config.draft_time) => Err(WorkError::TooLong(self.config.draft_time)),
        }
    }

    async fn work(&self, event: &Event) -> Result<Done, WorkError> {
        let key = study_of(event)?;
        let Some(study) = self.catalog.decide_completeness(&key, self.clock.now()).await? else {
            return Ok(Done::Gone);
        };
        match study.completeness.belief {
            Belief::Arriving { .. } => return Ok(Done::StillArriving),
            Belief::Complete { .. } | Belief::Short { .. } => {}
        }
        let Some(images) = self.catalog.image_set(&key).await? else { return Ok(Done::Gone) };
        let latest = self.catalog.draft(&key).await?;
        if latest.is_some_and(|draft| draft.images.generation >= images.generation) {
            return Ok(Done::AlreadyDrafted);
        }
        let input = self.input(study).await?;
        if self.catalog.image_set(&key).await? != Some(images) {
            return Ok(Done::Superseded);
        }
        self.write(key, images, input).await
    }

    async fn write(&self, key: StudyKey, images: ImageSet, input: DraftInput) -> Result<Done, WorkError> {
        let content = self.drafter.draft(input).await?;
        let draft = Draft { study: key, images, at: self.clock.now(), content };
        let kept = self.catalog.put_draft(&draft).await?;
        info!(study = %draft.study.uid, images = images.count, generation = images.generation, ?kept, "draft");
        Ok(match kept {
            DraftOutcome::Kept => Done::Drafted,
            DraftOutcome::AlreadyThere => Done::AlreadyDrafted,
        })
    }

    async fn input(&self, study: Study) -> Result<DraftInput, WorkError> {
        let order = match &study.order {
            Some((id, _)) => self.catalog.order(&study.key.centre, *id).await?,
            None => None,
        };
        let series = self.series(&study.key).await?;
        let priors = self.priors(&study).await?;
        Ok(DraftInput { study, series, order, priors })
    }

    async fn series(&self, key: &StudyKey) -> Result<Vec<DraftSeries>, WorkError> {
        let known = self.catalog.series(key).await?;
        let mut series: Vec<DraftSeries> =
            known.into_iter().map(|series| DraftSeries { series, instances: Vec::new() }).collect();
        for instance in self.catalog.instances(key, None).await? {
            if let Some(of) = series.iter_mut().find(|one| one.series.uid == instance.series) {
                of.instances.push(instance);
            }
        }
        for of in &mut series {
            of.instances.sort_by(|a, b| {
                (a.attributes.number, a.sop_instance.as_str())
                    .cmp(&(b.attributes.number, b.sop_instance.as_str()))
            });
        }
        series.sort_by(|a, b| {
            let key = |one: &DraftSeries| (one.series.attributes.number, one.series.uid.clone());
            key(a).cmp(&key(b))
        });
        Ok(series)
    }

    /// Earlier studies of the same patient at the same centre, the latest first.
    async fn priors(&self, study: &Study) -> Result<Vec<PriorStudy>, WorkError> {
        let Some(patient) = &study.attributes.patient_id else { return Ok(Vec::new()) };
        let filter = StudyFilter {
            centres: vec![study.key.centre.clone()],
            patient_id: Some(patient.as_str().to_owned()),
            limit: PRIORS_ASKED_MAX,
            ..StudyFilter::default()
        };
        let mut priors = Vec::new();
        for prior in self.catalog.studies(&filter).await? {
            // A filter matches by wildcards; a patient id is only itself.
            if prior.attributes.patient_id.as_ref() != Some(patient) || !is_before(&prior, study) {
                continue;
            }
            let report = self.catalog.versions(&prior.key).await?.pop();
            priors.push(PriorStudy { study: prior, report });
            if priors.len() == PRIORS_MAX {
                break;
            }
        }
        Ok(priors)
    }
}

/// Whether a study is an earlier one: by the day of examination, of the same or an unknown day by arrival.
fn is_before(prior: &Study, study: &Study) -> bool {
    if prior.key == study.key {
        return false;
    }
    match (prior.attributes.study_date, study.attributes.study_date) {
        (Some(then), Some(now)) if then != now => then < now,
        _ => prior.first_received < study.first_received,
    }
}

fn study_of(event: &Event) -> Result<StudyKey, WorkError> {
    match event {
        Event::StudyStoredV1 { centre, study } => Ok(StudyKey {
            centre: CentreId::parse(centre).map_err(|_| WorkError::NotAStudy("its centre is no id"))?,
            uid: StudyInstanceUid::parse(study).map_err(|_| WorkError::NotAStudy("its study is no UID"))?,
        }),
        Event::ReportSignedV1 { .. } | Event::DeliveryDueV1 { .. } | Event::CommitmentDueV1 { .. } => {
            Err(WorkError::NotAStudy("it is of another queue"))
        }
    }
}

/// An error with its causes, in one line. Errors of the ports hold no patient data.
fn reason(error: &WorkError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    bounded(&text)
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
