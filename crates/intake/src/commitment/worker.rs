//! The worker: takes commitments from the queue `commit`, has them checked, and tells who asked.

use std::{sync::Arc, time::Duration};

use domain::{
    commitment::{Asker, Commitment},
    event::Event,
    id::CommitmentId,
    port::{Broker, Catalog, CatalogError, Clock, Handed, Storage, catalog::ReportAttempt},
    task::{NewTask, TaskKind},
    text::AeTitle,
    work::{DELIVERIES_MAX, Queue, Work},
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    check::{self, CheckError},
    open::OpenAssociations,
    report,
    tell::{self, ANSWER_TIME_MAX, Call},
};
use crate::tls::Tls;

/// Commitments in hand at one time: each reads objects as fast as the store gives them, and images go first.
const WORK_AT_ONCE: usize = 2;
/// Longest time for one piece of work: the largest request that is taken, at 50 MB/s, fits.
const WORK_TIME_MAX: Duration = Duration::from_hours(2);
/// Pause when the broker is away.
const BROKER_PAUSE: domain::Duration = domain::Duration::from_secs(1);
/// Most characters of a reason that is kept.
const REASON_CHARS_MAX: usize = 500;

/// What the worker needs; clones share it.
#[derive(Clone)]
pub struct Committer {
    /// What is known.
    pub catalog: Arc<dyn Catalog>,
    /// Objects.
    pub storage: Arc<dyn Storage>,
    /// Work that waits.
    pub broker: Arc<dyn Broker>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Associations of this process on which peers can be told.
    pub open: OpenAssociations,
    /// Certificates for peers that are called over TLS.
    pub tls: Option<Arc<Tls>>,
    /// Our AE title.
    pub ae_title: String,
}

/// What kept a commitment from being worked on.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error("the work is of another queue")]
    NotOurs,
    #[error("the objects could not be looked at")]
    Check(#[from] CheckError),
    #[error("the catalog could not be asked or changed")]
    Catalog(#[from] CatalogError),
}

impl Committer {
    /// Takes work until `shutdown`; then finishes what is in hand.
    pub async fn run(self, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(WORK_AT_ONCE));
        let mut tasks = JoinSet::new();
        loop {
            while tasks.try_join_next().is_some() {}
            let place = tokio::select! {
                () = shutdown.cancelled() => break,
                place = Arc::clone(&places).acquire_owned() => place.expect("nobody closes it"),
            };
            let next = tokio::select! {
                () = shutdown.cancelled() => break,
                next = self.broker.next(Queue::Commit) => next,
            };
            match next {
                Ok(handed) => {
                    let committer = self.clone();
                    tasks.spawn(async move {
                        committer.handle(handed).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %told(&error), "the broker is away");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = self.clock.sleep(BROKER_PAUSE) => {}
                    }
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn handle(&self, handed: Box<dyn Handed>) {
        let (id, count) = (handed.work().id, handed.delivery_count());
        let reason = match timeout(WORK_TIME_MAX, self.act(handed.work(), count)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(told(&error)),
            Err(_) => Some(format!("not done within {} s", WORK_TIME_MAX.as_secs())),
        };
        let returned = match &reason {
            None => handed.finish().await,
            Some(reason) => {
                tracing::warn!(work = %id, count, reason, "work given back");
                handed.give_back(reason).await
            }
        };
        if let Err(error) = returned {
            tracing::warn!(work = %id, error = %told(&error), "the broker did not hear; it hands the work out again");
        }
    }

    async fn act(&self, work: &Work, count: u32) -> Result<(), WorkError> {
        let Event::CommitmentDueV1 { commitment, .. } = &work.event else { return Err(WorkError::NotOurs) };
        let id = CommitmentId::parse(commitment).map_err(|_| WorkError::NotOurs)?;
        // One that was forgotten is finished.
        let Some(mut known) = self.catalog.commitment(id).await? else { return Ok(()) };
        if known.failures.is_none() {
            let is_last_try = count >= DELIVERIES_MAX;
            let (catalog, storage) = (self.catalog.as_ref(), self.storage.as_ref());
            let found = check::check(catalog, storage, &known, is_last_try).await?;
            catalog.conclude_commitment(id, &found.failures, &found.tasks, self.clock.now()).await?;
            metrics::counter!("telerad_intake_commitments_total").increment(1);
            known.failures = Some(found.failures);
        }
        match &known.by {
            Asker::Web => Ok(()),
            Asker::Peer(_) if known.reported.is_some() => Ok(()),
            Asker::Peer(ae) => self.tell(&known, ae).await,
        }
    }

    /// Tells a peer; one that cannot be told is tried again later, by a row of the outbox.
    async fn tell(&self, known: &Commitment, ae: &AeTitle) -> Result<(), WorkError> {
        let attempt = match self.try_to_tell(known, ae).await? {
            Ok(()) => ReportAttempt::Confirmed,
            Err(reason) => {
                tracing::warn!(commitment = %known.id, peer.ae = %ae, tries = known.failed_tries + 1, reason, "peer not told");
                ReportAttempt::Failed { task: task(known, ae, &reason), reason }
            }
        };
        self.catalog.report_attempted(known.id, &attempt, self.clock.now()).await?;
        Ok(())
    }

    /// Calls the peer where it listens; one that is not called, or does not answer, is told on an association of its own.
    async fn try_to_tell(
        &self,
        known: &Commitment,
        ae: &AeTitle,
    ) -> Result<Result<(), String>, CatalogError> {
        let report = report(known);
        let peer = self.catalog.peer_of_ae(ae).await?.filter(|peer| peer.centre.id == known.centre);
        let mut reason =
            "it has no address to be called at, and no association of its own is open".to_owned();
        if let Some(address) = peer.and_then(|peer| peer.policy.address) {
            let tls = self.tls.as_deref();
            let call = Call { address: &address, called: ae, calling: &self.ae_title, tls };
            match tell::tell(&call, &report).await {
                Ok(status) if status.class().is_stored() => return Ok(Ok(())),
                Ok(status) => reason = format!("it answered the report with {status}"),
                Err(error) => reason = told(&error),
            }
        }
        let Some(answer) = self.open.tell(&known.centre, ae, &report) else { return Ok(Err(reason)) };
        Ok(match timeout(ANSWER_TIME_MAX, answer).await {
            Ok(Ok(status)) if status.class().is_stored() => Ok(()),
            Ok(Ok(status)) => Err(format!("it answered the report with {status}")),
            Ok(Err(_)) => Err("it ended its association before it answered the report".to_owned()),
            Err(_) => Err("it did not answer the report in time".to_owned()),
        })
    }
}

fn task(known: &Commitment, ae: &AeTitle, reason: &str) -> NewTask {
    let failed = known.failures.as_ref().map_or(0, Vec::len);
    let (stored, of) = (known.references.len() - failed.min(known.references.len()), known.references.len());
    NewTask {
        centre: known.centre.clone(),
        study: None,
        kind: TaskKind::CommitmentUnreported,
        subject: format!("commitment {}", known.id),
        reason: format!(
            "{ae} asked whether {of} images are safely stored; {stored} are, and it could not be told: {}.",
            reason.trim_end_matches('.')
        ),
        next_step: format!(
            "Ask the centre whether {ae} is on and reachable, correct its address with `telerad centre ae`, and let it ask again."
        ),
    }
}

/// An error with its causes. None of ours quotes an image.
fn told(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words.chars().take(REASON_CHARS_MAX).collect()
}
