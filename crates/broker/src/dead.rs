//! The watch over dead work: work that was handed out too often becomes a task that a person sees.
//!
//! The task is in the catalog before the work leaves the broker, so a crash in between opens it twice, and two with the same subject are
//! one. Not here: doing the work after all.

use std::{sync::Arc, time::Duration};

use domain::{
    event::Event,
    port::{Broker, BrokerError, CatalogError, Clock, DeadWork, catalog::Trail},
    task::{NewTask, TaskKind},
    uid::StudyInstanceUid,
    work::{DELIVERIES_MAX, Work},
};
use tokio_util::sync::CancellationToken;

use crate::pause::Backoff;

/// Pauses while the catalog or the broker is away.
const AWAY_PAUSE: Duration = Duration::from_millis(500);
const AWAY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Most characters of a worker's reason that go into a task.
const REASON_CHARS_MAX: usize = 500;

/// What kept dead work from becoming a task.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("a task cannot be opened")]
    Catalog(#[from] CatalogError),
    #[error("dead work cannot be taken or finished")]
    Broker(#[from] BrokerError),
}

/// Opens a task for each piece of dead work until the token is cancelled. What goes wrong is logged once and tried again.
pub async fn watch<C: Trail + Send + Sync + ?Sized>(
    catalog: Arc<C>,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    shutdown
        .run_until_cancelled(async {
            let mut backoff = Backoff::new(AWAY_PAUSE, AWAY_PAUSE_MAX);
            loop {
                match bury_one(&*catalog, &*broker, &*clock).await {
                    Ok(()) => {
                        if backoff.is_failing() {
                            tracing::info!("the watch over dead work works again");
                        }
                        backoff.worked();
                    }
                    Err(error) => {
                        if !backoff.is_failing() {
                            let error = &error as &dyn std::error::Error;
                            tracing::warn!(error, "the watch over dead work waits and tries again");
                        }
                        let pause = domain::Duration::try_from(backoff.failed());
                        clock.sleep(pause.unwrap_or(domain::Duration::MAX)).await;
                    }
                }
            }
        })
        .await;
}

async fn bury_one<C: Trail + ?Sized>(
    catalog: &C,
    broker: &dyn Broker,
    clock: &dyn Clock,
) -> Result<(), WatchError> {
    let DeadWork { handed, reason } = broker.next_dead().await?;
    let task = task_for(handed.work(), reason.as_deref());
    if let Err(error) = catalog.open_task(&task, clock.now()).await {
        // Why the task could not be opened is in the log; the work comes again.
        let _ = handed.give_back("its task could not be opened").await;
        return Err(error.into());
    }
    tracing::warn!(work = %task.subject, "work was given up; a task is open for it");
    Ok(handed.finish().await?)
}

/// The task for a piece of dead work.
#[must_use]
pub fn task_for(work: &Work, reason: Option<&str>) -> NewTask {
    let (what, study, next_step) = match &work.event {
        Event::StudyStoredV1 { study, .. } => (
            "The draft of a report could not be made",
            Some(study),
            "Read the study without a draft; ask the administrator to look at the log of the report worker.",
        ),
        Event::ReportSignedV1 { study, .. } => (
            "The delivery of a signed report could not be prepared",
            Some(study),
            "Tell the ordering physician by telephone; ask the administrator to look at the log of the notifier.",
        ),
        Event::DeliveryDueV1 { .. } => (
            "A signed report could not be delivered",
            None,
            "Tell the ordering physician by telephone; ask the administrator to look at the log of the notifier.",
        ),
        Event::CommitmentDueV1 { .. } => (
            "A storage commitment could not be worked on",
            None,
            "Tell the centre to keep its images and to ask again; ask the administrator to look at the log of intake.",
        ),
    };
    let why: String = match reason.map(str::trim).filter(|reason| !reason.is_empty()) {
        Some(reason) => reason.trim_end_matches('.').chars().take(REASON_CHARS_MAX).collect(),
        None => "every worker that took it ended without a word".to_owned(),
    };
    NewTask {
        centre: work.centre.clone(),
        study: study.and_then(|study| StudyInstanceUid::parse(study).ok()),
        kind: TaskKind::WorkFailed,
        subject: work.event.subject(),
        reason: format!("{what} in {DELIVERIES_MAX} tries: {why}."),
        next_step: next_step.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        id::{CentreId, EventId},
        work::Lane,
    };

    use super::*;

    fn work(event: Event) -> Work {
        let centre = CentreId::parse("c1").unwrap();
        Work { id: EventId::fresh(), revision: 1, centre, lane: Lane::Routine, event }
    }

    #[test]
    fn a_task_says_what_why_and_what_next() {
        let (centre, study) = ("c1".to_owned(), "1.2".to_owned());
        let stored =
            task_for(&work(Event::StudyStoredV1 { centre: centre.clone(), study }), Some("no pixels. "));
        assert_eq!(stored.reason, "The draft of a report could not be made in 4 tries: no pixels.");
        assert_eq!(stored.study.unwrap().as_str(), "1.2");
        assert_eq!((stored.kind, stored.subject.as_str()), (TaskKind::WorkFailed, "study c1 1.2"));
        assert!(stored.next_step.starts_with("Read the study"));
        let due = task_for(&work(Event::DeliveryDueV1 { centre, delivery: "d".into() }), None);
        assert!(due.reason.ends_with("every worker that took it ended without a word."));
        assert_eq!(due.study, None);
        let long = task_for(&due_work(), Some(&"x".repeat(5000)));
        assert!(long.reason.len() < 600);
    }

    fn due_work() -> Work {
        work(Event::DeliveryDueV1 { centre: "c1".into(), delivery: "d".into() })
    }
}
