//! The broker that is a table of the catalog: work is leased, and a lease that runs out is handed out again.
//!
//! The number of the delivery is the lease's number, so a worker whose lease ran out can neither finish nor give back what somebody
//! else has by then. Whoever holds work renews the lease for as long as it lives, so that what a process held that died is handed out
//! again within half a minute, however long work may take.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Timestamp,
    port::{
        Broker, BrokerError, Catalog, CatalogError, Clock, DeadWork, Handed,
        catalog::{LeasedWork, WorkStore},
    },
    work::{Depth, Queue, Work},
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle};

use crate::{
    config::{EmbeddedConfig, milliseconds},
    pause,
};

/// What is written as the reason when a worker lets go of work without a word.
const DROPPED: &str = "the worker let go of it without saying why";

/// The broker that is a table of the catalog.
pub struct EmbeddedBroker<C: WorkStore + Send + Sync + ?Sized + 'static = dyn Catalog> {
    shared: Arc<Shared<C>>,
}

struct Shared<C: WorkStore + Send + Sync + ?Sized + 'static> {
    catalog: Arc<C>,
    clock: Arc<dyn Clock>,
    lease: Duration,
    poll: Duration,
    retry_pause: Duration,
    /// Rings when this process puts work into a queue, in the order of [`Queue::ALL`].
    bells: [Notify; Queue::ALL.len()],
}

impl<C: WorkStore + Send + Sync + ?Sized + 'static> EmbeddedBroker<C> {
    /// A broker over the catalog's table.
    #[must_use]
    pub fn new(catalog: Arc<C>, clock: Arc<dyn Clock>, config: EmbeddedConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                catalog,
                clock,
                lease: Duration::from_secs(u64::from(config.lease_seconds.max(1))),
                poll: milliseconds(config.poll_milliseconds),
                retry_pause: milliseconds(config.retry_pause_milliseconds),
                bells: Default::default(),
            }),
        }
    }

    /// Leases in a task of its own: when the asker goes away in between, the task's result is dropped, which gives the
    /// work back instead of leaving it leased to nobody.
    async fn lease(&self, from: From) -> Result<Option<LeasedHanded<C>>, BrokerError> {
        let shared = Arc::clone(&self.shared);
        let leased = tokio::spawn(async move { shared.lease(from).await }).await;
        leased.unwrap_or_else(|error| {
            Err(BrokerError::Unavailable { operation: "leasing work", source: error.into() })
        })
    }
}

/// Where work is leased from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Queue(Queue),
    Dead,
}

impl<C: WorkStore + Send + Sync + ?Sized + 'static> Shared<C> {
    async fn lease(self: Arc<Self>, from: From) -> Result<Option<LeasedHanded<C>>, BrokerError> {
        let now = self.clock.now();
        let until = later(now, self.lease);
        let leased = match from {
            From::Queue(queue) => self.catalog.lease_work(queue, now, until).await,
            From::Dead => self.catalog.lease_dead_work(now, until).await,
        };
        let leased = leased.map_err(|error| unavailable("leasing work", error))?;
        Ok(leased.map(|leased| {
            let renewal = tokio::spawn(Arc::clone(&self).renew(leased.clone())).abort_handle();
            LeasedHanded { shared: self, leased: Some(leased), from, renewal }
        }))
    }

    /// Moves the end of a lease for as long as the worker holds the work, so that a short lease is enough for long work.
    async fn renew(self: Arc<Self>, leased: LeasedWork) {
        loop {
            let pause = domain::Duration::try_from(self.lease / 3).unwrap_or(domain::Duration::MAX);
            self.clock.sleep(pause).await;
            match self.catalog.extend_work(&leased, later(self.clock.now(), self.lease)).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, "a lease was not renewed; it is tried again"),
            }
        }
    }

    async fn give_back(&self, leased: &LeasedWork, from: From, reason: &str) -> Result<bool, CatalogError> {
        // What made work dead is what its task must say, not why the task could not be opened.
        let reason = match (from, &leased.last_reason) {
            (From::Dead, Some(last)) => last,
            (From::Dead, None) | (From::Queue(_), _) => reason,
        };
        let pause = pause::before_retry(self.retry_pause, leased.delivery_count);
        self.catalog.give_back_work(leased, later(self.clock.now(), pause), reason).await
    }

    fn bell(&self, queue: Queue) -> &Notify {
        match queue {
            Queue::Draft => &self.bells[0],
            Queue::Notify => &self.bells[1],
            Queue::Commit => &self.bells[2],
        }
    }

    async fn poll(&self) {
        self.clock.sleep(domain::Duration::try_from(self.poll).unwrap_or(domain::Duration::MAX)).await;
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn unavailable(operation: &'static str, error: CatalogError) -> BrokerError {
    BrokerError::Unavailable { operation, source: error.into() }
}

fn lease_is_over(operation: &'static str) -> BrokerError {
    let source = "the lease ran out and the work was handed out again".into();
    BrokerError::Unavailable { operation, source }
}

#[async_trait]
impl<C: WorkStore + Send + Sync + ?Sized + 'static> Broker for EmbeddedBroker<C> {
    async fn publish(&self, work: &Work) -> Result<(), BrokerError> {
        let shared = &self.shared;
        let put = shared.catalog.put_work(work, shared.clock.now()).await;
        put.map_err(|error| unavailable("putting work", error))?;
        shared.bell(work.event.queue()).notify_one();
        Ok(())
    }

    async fn next(&self, queue: Queue) -> Result<Box<dyn Handed>, BrokerError> {
        loop {
            let rings = self.shared.bell(queue).notified();
            if let Some(handed) = self.lease(From::Queue(queue)).await? {
                return Ok(Box::new(handed));
            }
            tokio::select! {
                () = rings => {}
                () = self.shared.poll() => {}
            }
        }
    }

    async fn next_dead(&self) -> Result<DeadWork, BrokerError> {
        loop {
            if let Some(handed) = self.lease(From::Dead).await? {
                let reason = handed.leased.as_ref().and_then(|leased| leased.last_reason.clone());
                return Ok(DeadWork { handed: Box::new(handed), reason });
            }
            self.shared.poll().await;
        }
    }

    async fn depth(&self, queue: Queue) -> Result<Depth, BrokerError> {
        let depth = self.shared.catalog.work_depth(queue).await;
        depth.map_err(|error| unavailable("counting work", error))
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.depth(Queue::Draft).await.map(drop)
    }
}

/// Work under a lease.
struct LeasedHanded<C: WorkStore + Send + Sync + ?Sized + 'static> {
    shared: Arc<Shared<C>>,
    /// `None` once it is finished or given back.
    leased: Option<LeasedWork>,
    from: From,
    renewal: AbortHandle,
}

impl<C: WorkStore + Send + Sync + ?Sized + 'static> LeasedHanded<C> {
    fn leased(&self) -> &LeasedWork {
        self.leased.as_ref().expect("only methods that consume it take the work out")
    }
}

#[async_trait]
impl<C: WorkStore + Send + Sync + ?Sized + 'static> Handed for LeasedHanded<C> {
    fn work(&self) -> &Work {
        &self.leased().work
    }

    fn delivery_count(&self) -> u32 {
        self.leased().delivery_count
    }

    async fn finish(mut self: Box<Self>) -> Result<(), BrokerError> {
        const OPERATION: &str = "finishing work";
        let finished = self.shared.catalog.finish_work(self.leased()).await;
        let finished = finished.map_err(|error| unavailable(OPERATION, error))?;
        self.leased = None;
        if finished { Ok(()) } else { Err(lease_is_over(OPERATION)) }
    }

    async fn give_back(mut self: Box<Self>, reason: &str) -> Result<(), BrokerError> {
        const OPERATION: &str = "giving work back";
        let given = self.shared.give_back(self.leased(), self.from, reason).await;
        let given = given.map_err(|error| unavailable(OPERATION, error))?;
        self.leased = None;
        if given { Ok(()) } else { Err(lease_is_over(OPERATION)) }
    }
}

impl<C: WorkStore + Send + Sync + ?Sized + 'static> Drop for LeasedHanded<C> {
    fn drop(&mut self) {
        self.renewal.abort();
        let Some(leased) = self.leased.take() else { return };
        // Without a runtime the process ends, and the lease runs out by itself.
        let Ok(runtime) = Handle::try_current() else { return };
        let (shared, from) = (Arc::clone(&self.shared), self.from);
        runtime.spawn(async move {
            if let Err(error) = shared.give_back(&leased, from, DROPPED).await {
                tracing::warn!(%error, "dropped work comes back when its lease runs out");
            }
        });
    }
}
