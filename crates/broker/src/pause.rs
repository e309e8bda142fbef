//! Pauses that grow.

use std::time::Duration;

/// The longest pause before work is handed out again.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The pause after work was handed out for the `delivery_count`th time (from 1) and given back.
pub(crate) fn before_retry(first: Duration, delivery_count: u32) -> Duration {
    let factor = 2_u32.saturating_pow(delivery_count.saturating_sub(1));
    first.saturating_mul(factor).min(RETRY_PAUSE_MAX)
}

/// Pauses between tries of something that must work in the end: from `first`, doubling, up to `most`, without end.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// The pause after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        pause
    }

    /// It worked.
    pub(crate) const fn worked(&mut self) {
        self.next = self.first;
    }

    /// Whether the last try failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.next != self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let first = Duration::from_secs(1);
        let seconds: Vec<u64> =
            [0, 1, 2, 3, 6, 7, 40, u32::MAX].map(|n| before_retry(first, n).as_secs()).into();
        assert_eq!(seconds, [1, 1, 2, 4, 32, 60, 60, 60]);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
        assert!(!backoff.is_failing());
        assert_eq!([(); 4].map(|()| backoff.failed().as_secs()), [1, 2, 3, 3]);
        assert!(backoff.is_failing());
        backoff.worked();
        assert_eq!(backoff.failed().as_secs(), 1);
    }
}
