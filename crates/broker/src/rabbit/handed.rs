//! A message in a worker's hand.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use domain::{
    port::{BrokerError, Handed},
    work::{DELIVERIES_MAX, Work},
};
use lapin::{
    Acker,
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::runtime::Handle;

use super::{From, Shared, index, link::Link, wire};
use crate::pause;

/// The header, of dead letters that we write ourselves, with what the last worker said.
const REASON: &str = "x-telerad-reason";

/// Most characters of a reason in a header.
const REASON_CHARS_MAX: usize = 1000;

/// The header with which quorum queues count returns.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// A message in a worker's hand.
pub(super) struct RabbitHanded {
    shared: Arc<Shared>,
    link: Arc<Link>,
    from: From,
    work: Work,
    delivery_count: u32,
    reason: Option<String>,
    /// `None` once it is finished or given back.
    acker: Option<Acker>,
}

impl RabbitHanded {
    pub(super) fn new(
        shared: Arc<Shared>,
        link: Arc<Link>,
        from: From,
        work: Work,
        delivery: Delivery,
    ) -> Self {
        shared.in_hand[index(from.queue())].fetch_add(1, Ordering::Relaxed);
        let headers = delivery.properties.headers().as_ref();
        let returns = headers.and_then(|headers| number(headers.inner().get(DELIVERY_COUNT)?)).unwrap_or(0);
        let reason = headers.and_then(|headers| match headers.inner().get(REASON)? {
            AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
            _ => None,
        });
        let delivery_count = returns.saturating_add(1);
        Self { shared, link, from, work, delivery_count, reason, acker: Some(delivery.acker) }
    }

    /// What the last worker said.
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.clone()
    }

    /// Writes the dead letter ourselves, because RabbitMQ would not carry the reason. A crash before the old message
    /// is acknowledged makes two, and two tasks of the same subject are one.
    async fn bury(&mut self, reason: &str) -> Result<(), BrokerError> {
        let mut headers = FieldTable::default();
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        headers.insert(ShortString::from(REASON), AMQPValue::LongString(reason.into()));
        let name = self.shared.names.dead(self.from.queue());
        let properties = wire::properties(&self.work).with_headers(headers);
        self.link.publish(&name, &wire::write(&self.work), properties).await?;
        self.acknowledge("burying work").await
    }

    async fn acknowledge(&mut self, operation: &'static str) -> Result<(), BrokerError> {
        let Some(acker) = self.acker.take() else { return Ok(()) };
        // The client says "false" when the channel is closed, however that came.
        if self.link.answer(operation, acker.ack(BasicAckOptions::default())).await? {
            return Ok(());
        }
        let source = "the connection was lost meanwhile and the work is handed out again".into();
        Err(BrokerError::Unavailable { operation, source })
    }

    /// Lets it go after a pause in which it is nobody's. Nothing else waits for it: there is no prefetch whose places it
    /// could fill.
    fn let_go(&mut self) {
        let Some(acker) = self.acker.take() else { return };
        // Without a runtime the process ends, and closing the connection gives the work back.
        let Ok(runtime) = Handle::try_current() else { return };
        let (shared, link, queue) = (Arc::clone(&self.shared), Arc::clone(&self.link), self.from.queue());
        let place = Arc::clone(&shared.paused).try_acquire_owned();
        let pause = pause::before_retry(shared.retry_pause, self.delivery_count);
        runtime.spawn(async move {
            if place.is_ok() {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = link.ended() => return,
                }
            }
            let requeue = BasicNackOptions { multiple: false, requeue: true };
            if link.answer("giving work back", acker.nack(requeue)).await.is_ok() {
                link.ring(&shared.names, queue).await;
            }
        });
    }
}

/// A number, however wide the sender made it.
fn number(value: &AMQPValue) -> Option<u32> {
    let wide = value
        .as_long_long_int()
        .or_else(|| value.as_long_int().map(i64::from))
        .or_else(|| value.as_long_uint().map(i64::from))
        .or_else(|| value.as_short_int().map(i64::from))
        .or_else(|| value.as_short_uint().map(i64::from))
        .or_else(|| value.as_short_short_int().map(i64::from))
        .or_else(|| value.as_short_short_uint().map(i64::from))?;
    Some(u32::try_from(wide.max(0)).unwrap_or(u32::MAX))
}

#[async_trait]
impl Handed for RabbitHanded {
    fn work(&self) -> &Work {
        &self.work
    }

    fn delivery_count(&self) -> u32 {
        self.delivery_count
    }

    async fn finish(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.acknowledge("finishing work").await
    }

    async fn give_back(mut self: Box<Self>, reason: &str) -> Result<(), BrokerError> {
        match self.from {
            From::Lanes(_) if self.delivery_count >= DELIVERIES_MAX => self.bury(reason).await,
            From::Lanes(_) | From::Dead(_) => {
                self.let_go();
                Ok(())
            }
        }
    }
}

impl Drop for RabbitHanded {
    fn drop(&mut self) {
        self.let_go();
        self.shared.in_hand[index(self.from.queue())].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_however_wide() {
        for (value, count) in [
            (AMQPValue::LongLongInt(3), Some(3)),
            (AMQPValue::LongInt(3), Some(3)),
            (AMQPValue::ShortShortUInt(3), Some(3)),
            (AMQPValue::LongLongInt(-1), Some(0)),
            (AMQPValue::LongLongInt(i64::MAX), Some(u32::MAX)),
            (AMQPValue::LongString("3".into()), None),
        ] {
            assert_eq!(number(&value), count, "{value:?}");
        }
    }
}
