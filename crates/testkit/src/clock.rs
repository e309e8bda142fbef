//! A clock that a test turns by hand. Sleepers wake when it passes their time.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::{Duration, Timestamp, port::Clock};
use tokio::sync::watch;

/// A clock that stands still until it is turned. Clones are the same clock.
#[derive(Clone)]
pub struct ManualClock {
    now: Arc<Mutex<Timestamp>>,
    turned: watch::Sender<()>,
}

impl ManualClock {
    /// A clock that stands at a moment.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: Arc::new(Mutex::new(now)), turned: watch::Sender::new(()) }
    }

    /// A clock that stands at 2026-03-02 08:00 UTC, a Monday.
    ///
    /// # Panics
    /// Never: the moment is a constant.
    #[must_use]
    pub fn monday() -> Self {
        Self::at("2026-03-02T08:00:00Z".parse().expect("a constant moment"))
    }

    /// Turns it on.
    pub fn turn(&self, by: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) += by;
        self.turned.send_replace(());
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now() + duration;
        let mut turned = self.turned.subscribe();
        while self.now() < until {
            if turned.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_the_clock_is_turned() {
        let clock = ManualClock::monday();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        clock.turn(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.turn(Duration::from_secs(1));
        sleeper.await.unwrap();
    }
}
