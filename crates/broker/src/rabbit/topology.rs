//! The queues: their names and how they are declared.

use domain::work::{DELIVERIES_MAX, Lane, Queue};
use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::PREFIX_CHARS_MAX;

/// Names of queues and of the bell's exchange.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    /// `None` when the prefix is empty, too long, or has other characters than `a-z`, `0-9`, `-` and `.`.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let good = (1..=PREFIX_CHARS_MAX).contains(&prefix.len()) && prefix.bytes().all(plain);
        good.then(|| Self { prefix: prefix.to_owned() })
    }

    /// Work that waits.
    pub(super) fn lane(&self, queue: Queue, lane: Lane) -> String {
        format!("{}.{}.{}", self.prefix, queue.as_str(), lane.as_str())
    }

    /// Work that was given up.
    pub(super) fn dead(&self, queue: Queue) -> String {
        format!("{}.{}.dead", self.prefix, queue.as_str())
    }

    /// Messages that are no work.
    pub(super) fn unreadable(&self) -> String {
        format!("{}.unreadable", self.prefix)
    }

    /// The exchange that tells every process that work came.
    pub(super) fn bell(&self) -> String {
        format!("{}.bell", self.prefix)
    }

    /// Every queue.
    pub(super) fn all(&self) -> Vec<String> {
        let of = |queue| {
            let lanes = Lane::ALL.iter().map(move |lane| self.lane(queue, *lane));
            lanes.chain([self.dead(queue)])
        };
        Queue::ALL.into_iter().flat_map(of).chain([self.unreadable()]).collect()
    }
}

/// Declares everything that is not there yet; fails when something is there with other properties.
pub(super) async fn declare(channel: &Channel, names: &Names) -> lapin::Result<()> {
    declare_queue(channel, &names.unreadable(), quorum()).await?;
    for queue in Queue::ALL {
        let dead = names.dead(queue);
        declare_queue(channel, &dead, quorum()).await?;
        for lane in Lane::ALL {
            declare_queue(channel, &names.lane(queue, lane), lane_properties(&dead)).await?;
        }
    }
    let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(names.bell().into(), ExchangeKind::Fanout, options, FieldTable::default()).await
}

async fn declare_queue(channel: &Channel, name: &str, properties: FieldTable) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, properties).await.map(drop)
}

fn quorum() -> FieldTable {
    table([("x-queue-type", text("quorum"))])
}

/// A limit of three returns makes four deliveries. "At least once" for dead letters needs "reject-publish" (RabbitMQ, "Quorum
/// Queues", dead lettering).
fn lane_properties(dead: &str) -> FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(i64::from(DELIVERIES_MAX) - 1)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(dead)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ])
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(ShortString::from(name), value);
    }
    table
}

/// How many messages are ready in a queue.
pub(super) async fn messages(channel: &Channel, name: &str) -> lapin::Result<u32> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    Ok(channel.queue_declare(name.into(), options, FieldTable::default()).await?.message_count())
}

/// Deletes queues.
pub(super) async fn delete(channel: &Channel, names: Vec<String>) -> lapin::Result<()> {
    for name in names {
        channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_prefixes_plain() {
        let names = Names::new("telerad").unwrap();
        assert_eq!(
            names.all(),
            [
                "telerad.draft.stat",
                "telerad.draft.urgent",
                "telerad.draft.routine",
                "telerad.draft.dead",
                "telerad.notify.stat",
                "telerad.notify.urgent",
                "telerad.notify.routine",
                "telerad.notify.dead",
                "telerad.commit.stat",
                "telerad.commit.urgent",
                "telerad.commit.routine",
                "telerad.commit.dead",
                "telerad.unreadable",
            ]
        );
        for bad in ["", "A", "a b", "a/b", &"a".repeat(65)] {
            assert!(Names::new(bad).is_none(), "{bad}");
        }
    }
}
