//! The clock. Time comes in through here and nowhere else, so that a test can turn it.

use async_trait::async_trait;

use crate::{Duration, Timestamp};

/// What time it is, and waiting.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;

    /// Returns after an amount of time.
    async fn sleep(&self, duration: Duration);
}
