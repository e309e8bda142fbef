//! The relay: carries due rows of the outbox to the broker, the most urgent lane first, at least once.
//!
//! A row is marked as published after the broker took it, so a crash in between publishes it again; whoever takes work is safe to
//! run twice. Several relays may run at once. Not here: deciding when a row is due.

use std::{sync::Arc, time::Duration};

use domain::{
    Timestamp,
    port::{Broker, BrokerError, Catalog, CatalogError, Clock, catalog::WorkStore},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::pause::Backoff;

/// Most rows that are read at a time: so many routine ones a STAT row that comes meanwhile waits for at most.
const BATCH_ROWS_MAX: u32 = 32;

/// Longest wait before the outbox is looked at again: rows that another process wrote announce themselves to nobody here.
const IDLE_MAX: Duration = Duration::from_millis(250);

/// Pauses while the catalog or the broker is away.
const AWAY_PAUSE: Duration = Duration::from_millis(250);
const AWAY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Settings of a [`Relay`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// Longest wait before the outbox is looked at again.
    pub idle_max: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self { idle_max: IDLE_MAX }
    }
}

/// Carries the outbox to the broker.
pub struct Relay<C: WorkStore + Send + Sync + ?Sized + 'static = dyn Catalog> {
    catalog: Arc<C>,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    idle_max: Duration,
    wake: Arc<Notify>,
}

/// What kept a round from going on.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("the outbox cannot be read or marked")]
    Catalog(#[from] CatalogError),
    #[error("the broker did not take a row of the outbox")]
    Broker(#[from] BrokerError),
}

impl<C: WorkStore + Send + Sync + ?Sized + 'static> Relay<C> {
    /// A relay between a catalog and a broker.
    #[must_use]
    pub fn new(catalog: Arc<C>, broker: Arc<dyn Broker>, clock: Arc<dyn Clock>, config: RelayConfig) -> Self {
        let wake = Arc::new(Notify::new());
        Self { catalog, broker, clock, idle_max: config.idle_max, wake }
    }

    /// Notify it (`notify_one`) after writing to the outbox, and the relay looks at once.
    #[must_use]
    pub fn wake_handle(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Works until the token is cancelled. What goes wrong is logged once and tried again.
    pub async fn run(&self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.work()).await;
    }

    async fn work(&self) {
        let mut backoff = Backoff::new(AWAY_PAUSE, AWAY_PAUSE_MAX);
        loop {
            let pause = match self.round().await {
                Ok(pause) => {
                    if backoff.is_failing() {
                        tracing::info!("the relay works again");
                    }
                    backoff.worked();
                    pause
                }
                Err(error) => {
                    if !backoff.is_failing() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the relay waits and tries again");
                    }
                    Some(backoff.failed())
                }
            };
            let Some(pause) = pause else { continue };
            let pause = domain::Duration::try_from(pause).unwrap_or(domain::Duration::MAX);
            tokio::select! {
                () = self.clock.sleep(pause) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Publishes one batch. Gives how long to wait, or `None` when more is due.
    async fn round(&self) -> Result<Option<Duration>, RelayError> {
        let rows = self.catalog.due_outbox(self.clock.now(), BATCH_ROWS_MAX).await?;
        for row in &rows {
            self.broker.publish(&row.work).await?;
            self.catalog.mark_published(row.work.id, row.work.revision, self.clock.now()).await?;
        }
        if !rows.is_empty() {
            return Ok(None);
        }
        let due = self.catalog.next_outbox_due().await?;
        Ok(Some(self.wait_for(due)))
    }

    fn wait_for(&self, due: Option<Timestamp>) -> Duration {
        let Some(due) = due else { return self.idle_max };
        let wait = Duration::try_from(due.duration_since(self.clock.now())).unwrap_or(Duration::ZERO);
        // A millisecond for clocks that are rounded, so that a row that is just not due does not make it spin.
        wait.clamp(Duration::from_millis(1), self.idle_max.max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard};

    use async_trait::async_trait;
    use domain::{
        Duration as Span,
        event::Event,
        id::{CentreId, EventId},
        port::{
            DeadWork, Handed,
            catalog::{Known, LeasedWork},
        },
        work::{Depth, Lane, OutboxRow, Queue, Work},
    };
    use testkit::clock::ManualClock;

    use super::*;

    /// An outbox in memory, and a broker that can be away: what the relay sees of both.
    #[derive(Default)]
    struct World(Mutex<Seen>);

    #[derive(Default)]
    struct Seen {
        rows: Vec<(OutboxRow, bool)>,
        published: Vec<(EventId, u64)>,
        asked: u32,
        broker_is_away: bool,
        /// A row that gets a new revision while it is being published.
        moves_meanwhile: Option<EventId>,
    }

    impl World {
        fn seen(&self) -> MutexGuard<'_, Seen> {
            self.0.lock().unwrap()
        }

        fn put(&self, lane: Lane, due: Timestamp) -> EventId {
            let work = Work {
                id: EventId::fresh(),
                revision: 1,
                centre: CentreId::parse("c1").unwrap(),
                lane,
                event: Event::StudyStoredV1 { centre: "c1".into(), study: "1.2".into() },
            };
            let id = work.id;
            self.seen().rows.push((OutboxRow { work, due }, false));
            id
        }
    }

    #[async_trait]
    impl WorkStore for World {
        async fn due_outbox(&self, now: Timestamp, limit: u32) -> Known<Vec<OutboxRow>> {
            let mut seen = self.seen();
            seen.asked += 1;
            let due = seen.rows.iter().filter(|(row, done)| !done && row.due <= now);
            let mut due: Vec<OutboxRow> = due.map(|(row, _)| row.clone()).collect();
            due.sort_by_key(|row| (row.work.lane, row.due));
            due.truncate(limit as usize);
            Ok(due)
        }

        async fn next_outbox_due(&self) -> Known<Option<Timestamp>> {
            Ok(self.seen().rows.iter().filter(|(_, done)| !done).map(|(row, _)| row.due).min())
        }

        async fn outbox_depth(&self) -> Known<u64> {
            Ok(self.seen().rows.iter().filter(|(_, done)| !done).count() as u64)
        }

        async fn mark_published(&self, id: EventId, revision: u64, _: Timestamp) -> Known<()> {
            for (row, done) in &mut self.seen().rows {
                *done |= row.work.id == id && row.work.revision == revision;
            }
            Ok(())
        }

        async fn put_work(&self, _: &Work, _: Timestamp) -> Known<()> {
            panic!("the relay does not put work")
        }

        async fn lease_work(&self, _: Queue, _: Timestamp, _: Timestamp) -> Known<Option<LeasedWork>> {
            panic!("the relay does not lease work")
        }

        async fn lease_dead_work(&self, _: Timestamp, _: Timestamp) -> Known<Option<LeasedWork>> {
            panic!("the relay does not lease work")
        }

        async fn finish_work(&self, _: &LeasedWork) -> Known<bool> {
            panic!("the relay does not finish work")
        }

        async fn extend_work(&self, _: &LeasedWork, _: Timestamp) -> Known<bool> {
            panic!("the relay does not hold leases")
        }

        async fn give_back_work(&self, _: &LeasedWork, _: Timestamp, _: &str) -> Known<bool> {
            panic!("the relay does not give work back")
        }

        async fn work_depth(&self, _: Queue) -> Known<Depth> {
            panic!("the relay does not count work")
        }
    }

    struct Line(Arc<World>);

    #[async_trait]
    impl Broker for Line {
        async fn publish(&self, work: &Work) -> Result<(), BrokerError> {
            let mut seen = self.0.seen();
            if seen.broker_is_away {
                return Err(BrokerError::Unavailable { operation: "publishing", source: "away".into() });
            }
            seen.published.push((work.id, work.revision));
            if seen.moves_meanwhile.take_if(|id| *id == work.id).is_some() {
                for (row, _) in &mut seen.rows {
                    row.work.revision += u64::from(row.work.id == work.id);
                }
            }
            Ok(())
        }

        async fn next(&self, _: Queue) -> Result<Box<dyn Handed>, BrokerError> {
            panic!("the relay takes no work")
        }

        async fn next_dead(&self) -> Result<DeadWork, BrokerError> {
            panic!("the relay takes no work")
        }

        async fn depth(&self, _: Queue) -> Result<Depth, BrokerError> {
            panic!("the relay does not count work")
        }

        async fn check(&self) -> Result<(), BrokerError> {
            panic!("the relay does not check")
        }
    }

    fn relay(clock: &ManualClock) -> (Arc<World>, Arc<Relay<World>>) {
        let world = Arc::new(World::default());
        let line = Arc::new(Line(Arc::clone(&world)));
        let clock = Arc::new(clock.clone());
        let relay = Relay::new(Arc::clone(&world), line, clock, RelayConfig::default());
        (world, Arc::new(relay))
    }

    /// Runs a relay beside a test; the test turns the clock.
    async fn beside<T>(relay: &Arc<Relay<World>>, test: impl Future<Output = T>) -> T {
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (relay, shutdown) = (Arc::clone(relay), shutdown.clone());
            async move { relay.run(shutdown).await }
        });
        let outcome = test.await;
        shutdown.cancel();
        running.await.unwrap();
        outcome
    }

    async fn until(world: &World, reached: impl Fn(&Seen) -> bool) {
        for _ in 0..10_000 {
            if reached(&world.seen()) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the relay did not do it");
    }

    #[tokio::test]
    async fn due_rows_go_the_most_urgent_lane_first_and_once() {
        let clock = ManualClock::monday();
        let (world, relay) = relay(&clock);
        let routine: Vec<EventId> = (0..40).map(|_| world.put(Lane::Routine, clock.now())).collect();
        let stat = world.put(Lane::Stat, clock.now());
        let later = world.put(Lane::Stat, clock.now() + Span::from_millis(100));
        beside(&relay, async {
            until(&world, |seen| seen.published.len() == 41).await;
            clock.turn(Span::from_millis(99));
            tokio::task::yield_now().await;
            assert_eq!(world.seen().published.len(), 41, "nothing goes before it is due");
            clock.turn(Span::from_millis(1));
            until(&world, |seen| seen.published.len() == 42).await;
        })
        .await;
        let published: Vec<EventId> = world.seen().published.iter().map(|(id, _)| *id).collect();
        let expected: Vec<EventId> = [stat].into_iter().chain(routine).chain([later]).collect();
        assert_eq!(published, expected);
    }

    #[tokio::test]
    async fn a_row_that_moved_while_it_was_published_goes_again() {
        let clock = ManualClock::monday();
        let (world, relay) = relay(&clock);
        let id = world.put(Lane::Urgent, clock.now());
        world.seen().moves_meanwhile = Some(id);
        beside(&relay, until(&world, |seen| seen.published.len() == 2)).await;
        assert_eq!(world.seen().published, [(id, 1), (id, 2)]);
        assert_eq!(world.outbox_depth().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_a_broker_did_not_take_goes_when_it_is_back() {
        let clock = ManualClock::monday();
        let (world, relay) = relay(&clock);
        let id = world.put(Lane::Urgent, clock.now());
        world.seen().broker_is_away = true;
        beside(&relay, async {
            until(&world, |seen| seen.asked == 1).await;
            clock.turn(Span::from_secs(1));
            until(&world, |seen| seen.asked == 2).await;
            assert_eq!(world.outbox_depth().await.unwrap(), 1);
            world.seen().broker_is_away = false;
            clock.turn(Span::from_secs(60));
            until(&world, |seen| seen.rows.iter().all(|(_, done)| *done)).await;
        })
        .await;
        assert_eq!(world.seen().published, [(id, 1)]);
    }

    #[tokio::test]
    async fn a_knock_wakes_it_without_the_clock() {
        let clock = ManualClock::monday();
        let (world, relay) = relay(&clock);
        beside(&relay, async {
            until(&world, |seen| seen.asked >= 1).await;
            world.put(Lane::Stat, clock.now());
            relay.wake_handle().notify_one();
            until(&world, |seen| seen.published.len() == 1).await;
        })
        .await;
    }
}
