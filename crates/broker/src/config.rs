//! The settings of the broker.

use std::time::Duration;

pub use domain::secret::Secret;
use serde::Deserialize;

/// Which broker, chosen by the key `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BrokerConfig {
    /// A table of the catalog.
    Embedded(EmbeddedConfig),
    /// RabbitMQ.
    Rabbitmq(RabbitConfig),
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self::Embedded(EmbeddedConfig::default())
    }
}

/// Settings of [`crate::EmbeddedBroker`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// How long work stays with a worker that died before it is handed out again, in seconds. A worker that lives renews its lease at
    /// a third of this.
    pub lease_seconds: u32,
    /// How often the table is asked for what other processes put there, in milliseconds.
    pub poll_milliseconds: u32,
    /// The pause after work was first given back, in milliseconds; it doubles each time, up to a minute.
    pub retry_pause_milliseconds: u32,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { lease_seconds: 30, poll_milliseconds: 500, retry_pause_milliseconds: 1000 }
    }
}

/// Settings of [`crate::RabbitBroker`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitConfig {
    /// `amqp://` or `amqps://` with user, password, host and virtual host.
    pub url: Secret,
    /// Stands before the name of every queue.
    #[serde(default = "name_prefix_default")]
    pub name_prefix: String,
    /// How often queues are asked although no bell rang, in milliseconds.
    #[serde(default = "poll_default")]
    pub poll_milliseconds: u32,
    /// The pause after work was first given back, in milliseconds; it doubles each time, up to a minute.
    #[serde(default = "retry_pause_default")]
    pub retry_pause_milliseconds: u32,
}

fn name_prefix_default() -> String {
    "telerad".to_owned()
}

const fn poll_default() -> u32 {
    1000
}

const fn retry_pause_default() -> u32 {
    1000
}

/// An amount of milliseconds from the settings; nought would spin.
pub(crate) fn milliseconds(setting: u32) -> Duration {
    Duration::from_millis(u64::from(setting.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_and_unknown_keys_are_refused() {
        let read = serde_json::from_str::<BrokerConfig>;
        assert_eq!(read(r#"{"kind":"embedded"}"#).unwrap(), BrokerConfig::default());
        let rabbit = read(r#"{"kind":"rabbitmq","url":"amqp://u:hush@h/v","name_prefix":"p"}"#).unwrap();
        assert!(!format!("{rabbit:?}").contains("hush"));
        let BrokerConfig::Rabbitmq(rabbit) = rabbit else { panic!("expected rabbitmq") };
        assert_eq!((rabbit.url.reveal(), rabbit.name_prefix.as_str()), ("amqp://u:hush@h/v", "p"));
        for bad in [
            r#"{"kind":"embedded","url":"amqp://h"}"#,
            r#"{"kind":"rabbitmq"}"#,
            r#"{"kind":"rabbitmq","url":"amqp://h","colour":"red"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
