//! One connection with its channels, and the task that replaces it whenever it is lost.
//!
//! Built anew each time rather than recovered by the client: then a link is either whole, with all its queues, or
//! gone, and what was in flight on a lost one can only fail.

use std::{future::Future, sync::Arc, time::Duration};

use domain::{port::BrokerError, work::Queue};
use futures::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::FieldTable,
    uri::AMQPUri,
};
use tokio::sync::{Mutex, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{ANSWER_LIMIT, Shared, topology};
use crate::pause::Backoff;

/// Longest wait for a connection with all its queues.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Longest wait for a good-bye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Pauses between tries to connect. There is no last try.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(10);

/// "Connection closed by its owner" (AMQP 0-9-1 section 1.2, reply-success).
const REPLY_SUCCESS: u16 = 200;

const PUBLISHING: &str = "publishing work";

/// One connection with its channels.
pub(super) struct Link {
    connection: Connection,
    /// One message at a time: the client hands a returned message to whichever confirm comes next, so with two in flight the wrong
    /// one would count as published.
    publish: Mutex<Channel>,
    /// For fetching, in the order of [`Queue::ALL`]. Closing them gives work in hand back.
    pub(super) fetch: [Mutex<Channel>; Queue::ALL.len()],
    /// For questions; a question about what is not there closes its channel.
    pub(super) admin: Channel,
    bell: Channel,
    /// Cancelled when something failed on it or it was replaced.
    gone: CancellationToken,
}

/// Keeps a link until stopped: the sender holds it while it is whole.
pub(super) async fn keep(
    uri: AMQPUri,
    shared: Arc<Shared>,
    links: watch::Sender<Option<Arc<Link>>>,
    tried: oneshot::Sender<()>,
    stop: CancellationToken,
) {
    let mut tried = Some(tried);
    let mut backoff = Backoff::new(RECONNECT_PAUSE, RECONNECT_PAUSE_MAX);
    while !stop.is_cancelled() {
        let opened = stop.run_until_cancelled(tokio::time::timeout(CONNECT_LIMIT, open(&uri, &shared))).await;
        match opened {
            None => break,
            Some(Ok(Ok((link, bells)))) => {
                tracing::info!("connected to RabbitMQ");
                backoff.worked();
                links.send_replace(Some(Arc::clone(&link)));
                tried.take();
                listen(&link, bells, &shared, &stop).await;
                links.send_replace(None);
                link.close().await;
                if !stop.is_cancelled() {
                    tracing::warn!("the connection to RabbitMQ is lost; building it anew");
                }
            }
            Some(Ok(Err(error))) => log_once(&backoff, &error),
            Some(Err(late)) => log_once(&backoff, &late),
        }
        tried.take();
        let _ = stop.run_until_cancelled(tokio::time::sleep(backoff.failed())).await;
    }
}

/// Deletes all queues over a connection made for it.
pub(super) async fn delete_queues(uri: &AMQPUri, names: &topology::Names) -> lapin::Result<()> {
    let connection = Connection::connect_uri(uri.clone(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    topology::delete(&channel, names.all()).await?;
    // All is done; how the good-bye goes does not matter.
    let _ = connection.close(REPLY_SUCCESS, "done".into()).await;
    Ok(())
}

fn log_once(backoff: &Backoff, error: &(dyn std::error::Error + 'static)) {
    if !backoff.is_failing() {
        tracing::warn!(error, "RabbitMQ cannot be reached; trying on");
    }
}

async fn open(uri: &AMQPUri, shared: &Shared) -> lapin::Result<(Arc<Link>, Consumer)> {
    let properties = ConnectionProperties::default().with_connection_name("telerad".into());
    let connection = Connection::connect_uri(uri.clone(), properties).await?;
    let admin = connection.create_channel().await?;
    topology::declare(&admin, &shared.names).await?;
    let publish = connection.create_channel().await?;
    publish.confirm_select(ConfirmSelectOptions::default()).await?;
    let channel = async || connection.create_channel().await.map(Mutex::new);
    let fetch = [channel().await?, channel().await?, channel().await?];
    let bell = connection.create_channel().await?;
    let bells = hear(&bell, &shared.names.bell()).await?;
    let publish = Mutex::new(publish);
    let gone = CancellationToken::new();
    Ok((Arc::new(Link { connection, publish, fetch, admin, bell, gone }), bells))
}

/// A queue of this connection alone that hears the bell.
async fn hear(channel: &Channel, exchange: &str) -> lapin::Result<Consumer> {
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let name = channel.queue_declare("".into(), options, FieldTable::default()).await?.name().clone();
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(name.clone(), exchange.into(), "".into(), bind, none).await?;
    let consume = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    channel.basic_consume(name, "".into(), consume, FieldTable::default()).await
}

/// Passes the bell on until the link is gone.
async fn listen(link: &Link, mut bells: Consumer, shared: &Shared, stop: &CancellationToken) {
    // Work may have come while nobody listened.
    Queue::ALL.iter().for_each(|queue| shared.bells.of(*queue).notify_waiters());
    loop {
        let rung = tokio::select! {
            rung = bells.next() => rung,
            () = link.gone.cancelled() => return,
            () = stop.cancelled() => return,
        };
        let Some(Ok(rung)) = rung else { return };
        let queue = std::str::from_utf8(&rung.data).ok().and_then(Queue::parse);
        if let Some(queue) = queue {
            shared.bells.of(queue).notify_waiters();
        }
    }
}

impl Link {
    /// Returns when the link is not to be used any more.
    pub(super) async fn ended(&self) {
        self.gone.cancelled().await;
    }

    /// Whether RabbitMQ has stopped reading from us.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Waits for RabbitMQ's answer, not for ever. Whatever fails ends the link: the channel is closed then, or nobody
    /// knows what will still come.
    pub(super) async fn answer<T>(
        &self,
        operation: &'static str,
        answer: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, BrokerError> {
        let source = match tokio::time::timeout(ANSWER_LIMIT, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.into(),
            Err(late) => late.into(),
        };
        self.gone.cancel();
        Err(BrokerError::Unavailable { operation, source })
    }

    /// Publishes to a queue and returns when a majority of RabbitMQ's nodes has it on disk.
    pub(super) async fn publish(
        &self,
        queue: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let channel = self.publish.lock().await;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publish = channel.basic_publish("".into(), queue.into(), options, body, properties);
        let confirmation = self.answer(PUBLISHING, async { publish.await?.await }).await?;
        let source = match confirmation {
            Confirmation::Ack(None) => return Ok(()),
            Confirmation::Nack(_) => "RabbitMQ refused the message",
            // An unroutable message is acknowledged and returned.
            Confirmation::Ack(Some(_)) => {
                self.gone.cancel();
                "the queue is not there"
            }
            Confirmation::NotRequested => {
                self.gone.cancel();
                "the channel does not confirm"
            }
        };
        Err(BrokerError::Unavailable { operation: PUBLISHING, source: source.into() })
    }

    /// Tells every process that work came. When it is not heard, they find out when they ask next.
    pub(super) async fn ring(&self, names: &topology::Names, queue: Queue) {
        let (options, none) = (BasicPublishOptions::default(), BasicProperties::default());
        let body = queue.as_str().as_bytes();
        let rung = self.bell.basic_publish(names.bell().into(), "".into(), options, body, none).await;
        if let Err(error) = rung {
            tracing::debug!(%error, "the bell did not ring");
        }
    }

    async fn close(&self) {
        self.gone.cancel();
        let close = self.connection.close(REPLY_SUCCESS, "done".into());
        let _ = tokio::time::timeout(CLOSE_LIMIT, close).await;
    }
}
