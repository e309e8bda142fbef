//! Keep: waiting work, embedded or RabbitMQ.
//!
//! Two adapters of [`domain::port::Broker`]; the relay that carries the outbox to either; and the watch that opens a task for work that
//! was given up. Not here: what the work is, and who does it.

mod config;
pub mod dead;
mod embedded;
mod pause;
mod rabbit;
pub mod relay;

pub use config::{BrokerConfig, EmbeddedConfig, RabbitConfig, Secret};
pub use embedded::EmbeddedBroker;
pub use rabbit::RabbitBroker;
