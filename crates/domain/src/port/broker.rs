//! The broker: carries work to workers, at least once, the most urgent lane first.

use async_trait::async_trait;

use super::Cause;
use crate::work::{Depth, Queue, Work};

/// A broker. Work is carried at least once: whoever takes it must be safe to run twice.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Hands work over and returns when the broker is responsible for it, durably. The same id and revision again is allowed.
    ///
    /// # Errors
    /// When the broker is away or did not confirm; the caller publishes again later.
    async fn publish(&self, work: &Work) -> Result<(), BrokerError>;

    /// The next piece of work of a queue, the most urgent lane first; waits until there is one. Cancel-safe.
    ///
    /// # Errors
    /// When the broker is away; the caller pauses and asks again.
    async fn next(&self, queue: Queue) -> Result<Box<dyn Handed>, BrokerError>;

    /// The next piece of work that was handed out [`crate::work::DELIVERIES_MAX`] times without being finished; waits until there is
    /// one. It is gone from the broker once [`Handed::finish`] returns. Cancel-safe.
    ///
    /// # Errors
    /// When the broker is away.
    async fn next_dead(&self) -> Result<DeadWork, BrokerError>;

    /// How many pieces of work wait in a queue.
    ///
    /// # Errors
    /// When the broker is away.
    async fn depth(&self, queue: Queue) -> Result<Depth, BrokerError>;

    /// Shows that the broker answers.
    ///
    /// # Errors
    /// When it does not.
    async fn check(&self) -> Result<(), BrokerError>;
}

/// A piece of work in a worker's hand. Dropping it gives it back, as if the worker had died.
#[async_trait]
pub trait Handed: Send {
    /// What is to be done.
    fn work(&self) -> &Work;

    /// How often it was handed out, from 1.
    fn delivery_count(&self) -> u32;

    /// It is done, or will be done by later work that is already in the outbox.
    ///
    /// # Errors
    /// When the broker is away; it will hand the work out again.
    async fn finish(self: Box<Self>) -> Result<(), BrokerError>;

    /// It could not be done now: hand it out again, after a pause that the broker chooses, until it counts as dead.
    ///
    /// # Errors
    /// When the broker is away; it will hand the work out again anyway.
    async fn give_back(self: Box<Self>, reason: &str) -> Result<(), BrokerError>;
}

/// Work that was given up.
pub struct DeadWork {
    /// The work, to be finished once a task is open for it.
    pub handed: Box<dyn Handed>,
    /// What the last worker said, if it could say anything.
    pub reason: Option<String>,
}

/// What went wrong with the broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It is away or refuses for now; trying again may help.
    #[error("the broker is unavailable while {operation}")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// It carries something that is no work of ours.
    #[error("the broker carries something that is no work: {reason}")]
    NotWork {
        /// Why.
        reason: String,
    },
}
