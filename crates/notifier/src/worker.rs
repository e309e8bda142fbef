//! The worker: takes work from the queue `notify` and gives back what it cannot do.

use std::{sync::Arc, time::Duration};

use domain::{
    event::Event,
    port::Handed,
    work::{Queue, Work},
};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Notifier,
    delivering::{Delivering, WorkError},
};

/// Pieces of work in hand at one time: mail waits for others more than it works.
pub const WORK_AT_ONCE: usize = 4;
/// Longest time for one piece of work, below any lease of a broker: every step of one conversation with a mail server, each at its
/// own limit, fits.
pub const WORK_TIME_MAX: Duration = Duration::from_mins(4);
/// Pause when the broker is away.
const BROKER_PAUSE: domain::Duration = domain::Duration::from_secs(1);
/// Most characters of a reason that is given back.
const REASON_CHARS_MAX: usize = 500;

/// Takes work until it is told to stop.
pub struct Worker {
    notifier: Notifier,
    delivering: Arc<Delivering>,
}

impl Worker {
    /// A worker with these means.
    #[must_use]
    pub fn new(notifier: Notifier) -> Self {
        Self { delivering: Arc::new(Delivering::new(notifier.clone())), notifier }
    }

    /// Takes work until `shutdown`; then finishes what is in hand.
    pub async fn run(&self, shutdown: CancellationToken) {
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
                next = self.notifier.broker.next(Queue::Notify) => next,
            };
            match next {
                Ok(handed) => {
                    let delivering = Arc::clone(&self.delivering);
                    tasks.spawn(async move {
                        handle(&delivering, handed).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %told(&error), "the broker is away");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = self.notifier.clock.sleep(BROKER_PAUSE) => {}
                    }
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Does one piece of work, outside of any broker: for tests and for commands at the server.
    ///
    /// # Errors
    /// The reason for which a broker would get it back.
    pub async fn work(&self, work: &Work) -> Result<(), String> {
        act(&self.delivering, work).await.map_err(|error| told(&error))
    }
}

async fn handle(delivering: &Delivering, handed: Box<dyn Handed>) {
    let (id, count) = (handed.work().id, handed.delivery_count());
    let done = tokio::time::timeout(WORK_TIME_MAX, act(delivering, handed.work())).await;
    let reason = match done {
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

async fn act(delivering: &Delivering, work: &Work) -> Result<(), WorkError> {
    match &work.event {
        Event::ReportSignedV1 { centre, study, version } => delivering.signed(centre, study, *version).await,
        Event::DeliveryDueV1 { centre: _, delivery } => delivering.due(delivery).await,
        Event::StudyStoredV1 { .. } | Event::CommitmentDueV1 { .. } => Err(WorkError::NotOurs),
    }
}

/// An error with its causes. None of ours quotes a report.
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
