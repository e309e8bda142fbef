//! Gathers arrivals that several senders wait for into one catalog transaction, so that they share its flush.
//!
//! There is no added delay: while one transaction is being committed, the next arrivals gather behind it.

use std::{io, sync::Arc};

use domain::{
    image::{Arrival, ArrivalOutcome},
    port::{Catalog, Clock},
};
use tokio::sync::{mpsc, oneshot};

use crate::lanes::Lanes;

/// Arrivals that wait at one time. More senders than this wait for a place, with their bytes in storage.
const WAITING_MAX: usize = 256;
/// Arrivals of one transaction: enough to share a flush, few enough that nobody waits long for the others.
const BATCH_MAX: usize = 64;

/// The catalog did not take an arrival; the cause is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the catalog did not take the image")]
pub struct NotRecorded;

/// What became of an arrival; one that a sweep took for a leftover comes back ([`ArrivalOutcome::Swept`]).
type Answer = Result<Result<ArrivalOutcome, Box<Arrival>>, NotRecorded>;

struct Waiting {
    arrival: Arrival,
    answer: oneshot::Sender<Answer>,
}

/// The way to the catalog for arrivals. Clones are the same way.
#[derive(Clone)]
pub struct Ledger {
    waiting: mpsc::Sender<Waiting>,
    lanes: Arc<Lanes>,
}

impl Ledger {
    /// Starts the threads of intake and the task that writes, which goes on until every clone is gone and all that waited is written.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (waiting, arrivals) = mpsc::channel(WAITING_MAX);
        // About half of the work is done by the threads that write to the disk and to the catalog.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = Arc::new(Lanes::start("intake", processors.div_ceil(2))?);
        lanes.next().spawn(write(arrivals, catalog, clock));
        Ok(Self { waiting, lanes })
    }

    /// The threads of intake: the ledger has a part of the first one, associations share them all.
    pub(crate) fn lanes(&self) -> Arc<Lanes> {
        Arc::clone(&self.lanes)
    }

    /// Returns when the arrival is durable in the catalog, with its outbox row. One that a sweep took for a leftover comes back unrecorded.
    ///
    /// # Errors
    /// When the catalog refused; whether it is known must then be taken as unknown.
    pub async fn record(
        &self,
        arrival: Arrival,
    ) -> Result<Result<ArrivalOutcome, Box<Arrival>>, NotRecorded> {
        let (answer, outcome) = oneshot::channel();
        self.waiting.send(Waiting { arrival, answer }).await.map_err(|_| NotRecorded)?;
        outcome.await.map_err(|_| NotRecorded)?
    }
}

async fn write(mut arrivals: mpsc::Receiver<Waiting>, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) {
    let mut waiting = Vec::with_capacity(BATCH_MAX);
    while arrivals.recv_many(&mut waiting, BATCH_MAX).await > 0 {
        // Objects share flushes, so several become durable in the same moment: those behind the first are about to ask, too.
        tokio::task::yield_now().await;
        while waiting.len() < BATCH_MAX
            && let Ok(one) = arrivals.try_recv()
        {
            waiting.push(one);
        }
        let (batch, answers): (Vec<_>, Vec<_>) =
            waiting.drain(..).map(|one| (one.arrival, one.answer)).unzip();
        metrics::histogram!("telerad_intake_batch_images").record(count(batch.len()));
        match catalog.record_arrivals(&batch, clock.now()).await {
            Ok(outcomes) => {
                debug_assert_eq!(outcomes.len(), answers.len());
                for ((answer, outcome), arrival) in answers.into_iter().zip(outcomes).zip(batch) {
                    let outcome = match outcome {
                        ArrivalOutcome::Swept => Err(Box::new(arrival)),
                        recorded => Ok(recorded),
                    };
                    // A sender that went away asks again; its image is recorded.
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    images = batch.len(),
                    "images not recorded"
                );
                for answer in answers {
                    let _ = answer.send(Err(NotRecorded));
                }
            }
        }
    }
}

/// A small count as a metric value.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
