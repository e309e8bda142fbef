//! The real clock.

use async_trait::async_trait;
use domain::{Duration, Timestamp, port::Clock};

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct MachineClock;

#[async_trait]
impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes in")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration.unsigned_abs()).await;
    }
}
