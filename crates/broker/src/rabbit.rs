//! The broker that is RabbitMQ: one quorum queue per worker and lane, dead letters, publisher confirms.
//!
//! Work is fetched one piece at a time, when a worker asks, the most urgent lane first; nothing is prefetched. So a STAT
//! study never stands behind what a worker buffered, and only work that a worker really had counts as delivered when a process dies. What a
//! push would give in speed, a bell gives: a fan-out exchange that every process hears when work comes.
//!
//! The connection is rebuilt for ever when it is lost, with its queues. Work in hand then is handed out again; finishing it fails.
//!
//! Not here: delayed messages, message priorities, several virtual hosts.

mod handed;
mod link;
mod topology;
mod wire;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    port::{Broker, BrokerError, DeadWork, Handed},
    work::{Depth, Lane, Queue, Work},
};
use lapin::{message::Delivery, options::BasicGetOptions, options::BasicNackOptions, uri::AMQPUri};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{handed::RabbitHanded, link::Link, topology::Names};
use crate::config::{RabbitConfig, milliseconds};

/// Seconds between heartbeats (AMQP 0-9-1 section 4.2.7): a peer that is silent twice as long is gone.
const HEARTBEAT_SECONDS: u16 = 15;

/// Longest wait for RabbitMQ to answer or confirm. A quorum queue confirms after a majority wrote to disk.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Longest that `next` waits for a lost connection before it tells its caller.
const LINK_WAIT: Duration = Duration::from_secs(5);

/// Most pieces of work that pause here before they go back; more go back at once, and the delivery limit ends their circling.
const PAUSED_MAX: usize = 1024;

/// Most characters in the prefix of queue names.
const PREFIX_CHARS_MAX: usize = 64;

/// The broker that is RabbitMQ. Dropping it closes the connection; work in hand is handed out again.
pub struct RabbitBroker {
    shared: Arc<Shared>,
    uri: AMQPUri,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

struct Shared {
    names: Names,
    poll: Duration,
    retry_pause: Duration,
    link: watch::Receiver<Option<Arc<Link>>>,
    bells: Bells,
    /// Work in the hands of this process, in the order of [`Queue::ALL`].
    in_hand: [AtomicU64; Queue::ALL.len()],
    paused: Arc<Semaphore>,
}

/// Rings when work came to a queue, in the order of [`Queue::ALL`].
#[derive(Default)]
struct Bells([Notify; Queue::ALL.len()]);

impl Bells {
    fn of(&self, queue: Queue) -> &Notify {
        &self.0[index(queue)]
    }
}

const fn index(queue: Queue) -> usize {
    match queue {
        Queue::Draft => 0,
        Queue::Notify => 1,
        Queue::Commit => 2,
    }
}

impl RabbitBroker {
    /// Tries to connect and returns when the first try has ended, well or not: RabbitMQ may come later, and until then every
    /// method says that it is away.
    ///
    /// # Errors
    /// When the URL or the prefix cannot be used at all.
    pub async fn connect(config: RabbitConfig) -> Result<Self, BrokerError> {
        let names = Names::new(&config.name_prefix).ok_or_else(|| {
            unusable("name_prefix may have 1 to 64 lower-case letters, digits, hyphens and dots")
        })?;
        // The parser's own words would quote the URL, password and all.
        let mut uri: AMQPUri = config.url.reveal().parse().map_err(|_| unusable("url is no AMQP URL"))?;
        let stop = CancellationToken::new();
        let (sender, link) = watch::channel(None);
        let shared = Arc::new(Shared {
            names,
            poll: milliseconds(config.poll_milliseconds),
            retry_pause: milliseconds(config.retry_pause_milliseconds),
            link,
            bells: Bells::default(),
            in_hand: Default::default(),
            paused: Arc::new(Semaphore::new(PAUSED_MAX)),
        });
        let (tried, first_try) = tokio::sync::oneshot::channel();
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        tokio::spawn(link::keep(uri.clone(), Arc::clone(&shared), sender, tried, stop.clone()));
        let _ = first_try.await;
        Ok(Self { shared, uri, stop: stop.clone(), _stop_when_dropped: stop.drop_guard() })
    }

    /// Ends the connection and deletes the queues with all that is in them: for tests, and for taking a deployment down. Nothing
    /// else works afterwards.
    ///
    /// # Errors
    /// When RabbitMQ is away.
    pub async fn delete_queues(&self) -> Result<(), BrokerError> {
        // First the link, which would make the queues again.
        self.stop.cancel();
        let _ = self.shared.link.clone().wait_for(Option::is_none).await;
        link::delete_queues(&self.uri, &self.shared.names)
            .await
            .map_err(|error| BrokerError::Unavailable { operation: "deleting queues", source: error.into() })
    }

    /// Asks once, the most urgent lane first.
    async fn fetch(&self, link: &Arc<Link>, from: From) -> Result<Option<RabbitHanded>, BrokerError> {
        let (shared, link) = (Arc::clone(&self.shared), Arc::clone(link));
        // In a task of its own: when the asker goes away in between, the task's result is dropped, which gives the work back.
        let asker = CancellationToken::new();
        let _gone_when_dropped = asker.clone().drop_guard();
        let fetched = tokio::spawn(async move { shared.fetch(&link, from, &asker).await }).await;
        fetched.unwrap_or_else(|error| {
            Err(BrokerError::Unavailable { operation: FETCHING, source: error.into() })
        })
    }
}

const FETCHING: &str = "fetching work";

/// Where work is fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Lanes(Queue),
    Dead(Queue),
}

impl From {
    const fn queue(self) -> Queue {
        match self {
            Self::Lanes(queue) | Self::Dead(queue) => queue,
        }
    }
}

impl Shared {
    fn link_now(&self, operation: &'static str) -> Result<Arc<Link>, BrokerError> {
        let link = self.link.borrow().clone();
        link.ok_or_else(|| BrokerError::Unavailable { operation, source: "there is no connection".into() })
    }

    async fn link_soon(&self, operation: &'static str) -> Result<Arc<Link>, BrokerError> {
        let mut link = self.link.clone();
        let _ = tokio::time::timeout(LINK_WAIT, link.wait_for(Option::is_some)).await;
        self.link_now(operation)
    }

    async fn fetch(
        self: &Arc<Self>,
        link: &Arc<Link>,
        from: From,
        asker: &CancellationToken,
    ) -> Result<Option<RabbitHanded>, BrokerError> {
        let names: Vec<String> = match from {
            From::Lanes(queue) => Lane::ALL.iter().map(|lane| self.names.lane(queue, *lane)).collect(),
            From::Dead(queue) => vec![self.names.dead(queue)],
        };
        for name in names {
            while let Some(delivery) = self.get(link, from.queue(), &name, asker).await? {
                if let Some(handed) = self.hand(link, from, delivery).await? {
                    return Ok(Some(handed));
                }
            }
        }
        Ok(None)
    }

    async fn get(
        &self,
        link: &Link,
        queue: Queue,
        name: &str,
        asker: &CancellationToken,
    ) -> Result<Option<Delivery>, BrokerError> {
        let channel = link.fetch[index(queue)].lock().await;
        if asker.is_cancelled() {
            return Ok(None);
        }
        let got = channel.basic_get(name.into(), BasicGetOptions { no_ack: false });
        Ok(link.answer(FETCHING, got).await?.map(|message| message.delivery))
    }

    /// `None` when the message is no work; it is put aside then, where it can be looked at.
    async fn hand(
        self: &Arc<Self>,
        link: &Arc<Link>,
        from: From,
        delivery: Delivery,
    ) -> Result<Option<RabbitHanded>, BrokerError> {
        let work = match wire::read(&delivery.data) {
            Ok(work) => work,
            Err(reason) => {
                tracing::error!(%reason, queue = from.queue().as_str(), "a message that is no work is put aside");
                match from {
                    // Not given back but refused: RabbitMQ moves it to the dead letters.
                    From::Lanes(_) => {
                        let refuse = BasicNackOptions { multiple: false, requeue: false };
                        link.answer("refusing a message", delivery.acker.nack(refuse)).await?;
                    }
                    From::Dead(_) => {
                        let name = self.names.unreadable();
                        link.publish(&name, &delivery.data, delivery.properties.clone()).await?;
                        link.answer("putting a message aside", delivery.acker.ack(Default::default()))
                            .await?;
                    }
                }
                return Ok(None);
            }
        };
        Ok(Some(RabbitHanded::new(Arc::clone(self), Arc::clone(link), from, work, delivery)))
    }

    /// How many messages wait in a queue.
    async fn waiting(&self, link: &Link, name: &str) -> Result<u64, BrokerError> {
        let asked = topology::messages(&link.admin, name);
        link.answer("counting work", asked).await.map(u64::from)
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, work: &Work) -> Result<(), BrokerError> {
        let link = self.shared.link_now("publishing work")?;
        let queue = work.event.queue();
        let name = self.shared.names.lane(queue, work.lane);
        link.publish(&name, &wire::write(work), wire::properties(work)).await?;
        link.ring(&self.shared.names, queue).await;
        Ok(())
    }

    async fn next(&self, queue: Queue) -> Result<Box<dyn Handed>, BrokerError> {
        loop {
            let mut rings = pin!(self.shared.bells.of(queue).notified());
            rings.as_mut().enable();
            let link = self.shared.link_soon(FETCHING).await?;
            if let Some(handed) = self.fetch(&link, From::Lanes(queue)).await? {
                return Ok(Box::new(handed));
            }
            tokio::select! {
                () = rings => {}
                () = link.ended() => {}
                () = tokio::time::sleep(self.shared.poll) => {}
            }
        }
    }

    async fn next_dead(&self) -> Result<DeadWork, BrokerError> {
        loop {
            let link = self.shared.link_soon(FETCHING).await?;
            for queue in Queue::ALL {
                if let Some(handed) = self.fetch(&link, From::Dead(queue)).await? {
                    let reason = handed.reason();
                    return Ok(DeadWork { handed: Box::new(handed), reason });
                }
            }
            tokio::time::sleep(self.shared.poll).await;
        }
    }

    /// Work in hand is counted in this process only: AMQP does not tell what others hold.
    async fn depth(&self, queue: Queue) -> Result<Depth, BrokerError> {
        let shared = &self.shared;
        let link = shared.link_now("counting work")?;
        let mut ready = 0;
        for lane in Lane::ALL {
            ready += shared.waiting(&link, &shared.names.lane(queue, lane)).await?;
        }
        let dead = shared.waiting(&link, &shared.names.dead(queue)).await?;
        Ok(Depth { ready, in_hand: shared.in_hand[index(queue)].load(Ordering::Relaxed), dead })
    }

    async fn check(&self) -> Result<(), BrokerError> {
        let link = self.shared.link_now("checking the broker")?;
        if link.is_blocked() {
            let source = "it takes no messages: look at its memory and disk alarms".into();
            return Err(BrokerError::Unavailable { operation: "checking the broker", source });
        }
        self.shared.waiting(&link, &self.shared.names.dead(Queue::Draft)).await.map(drop)
    }
}

fn unusable(reason: &'static str) -> BrokerError {
    BrokerError::Unavailable { operation: "reading the settings of RabbitMQ", source: reason.into() }
}
