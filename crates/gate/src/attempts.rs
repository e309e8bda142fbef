//! How often somebody may try a password: by login and by address, in bounded memory. It counts in this process alone.

use std::{collections::HashMap, net::IpAddr};

use axum::http::StatusCode;
use domain::{Duration, Timestamp, digest::Sha256Digest};

use crate::problem::Problem;

/// Failures with one login within [`ATTEMPT_WINDOW`] before it must rest.
pub const ATTEMPTS_PER_LOGIN_MAX: u32 = 8;
/// Failures from one address within [`ATTEMPT_WINDOW`]: a practice may stand behind one address.
pub const ATTEMPTS_PER_ADDRESS_MAX: u32 = 40;
/// How long failures are remembered, counted from the first.
pub const ATTEMPT_WINDOW: Duration = Duration::from_mins(15);
/// Most logins and addresses remembered, about 1 MiB; then the one that began first is forgotten.
pub const ATTEMPT_KEYS_MAX: usize = 10_000;

/// Failures that are remembered.
#[derive(Debug, Default)]
pub struct Attempts {
    counts: HashMap<Key, Count>,
}

/// Too many failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// When the next attempt is looked at.
    pub until: Timestamp,
}

impl TooMany {
    /// The answer: 429 with the time to wait.
    #[must_use]
    pub fn problem(self, now: Timestamp) -> Problem {
        let wait = self.until.duration_since(now).as_secs().clamp(1, ATTEMPT_WINDOW.as_secs());
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "There were too many wrong passwords.",
        )
        .next_step("Wait a quarter of an hour, then try again.")
        .retry_after(u32::try_from(wait).unwrap_or(u32::MAX))
    }
}

/// Digests, so that a login of a megabyte takes no more memory than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Login(Sha256Digest),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    attempts: u32,
}

impl Attempts {
    /// Counts an attempt before it is looked at, so that many at once do not slip through.
    ///
    /// # Errors
    /// When the login or the address must rest; the attempt is then not counted.
    pub fn begin(&mut self, login: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), TooMany> {
        let keys = keys(login, address);
        for (key, most) in keys.iter().flatten() {
            if let Some(count) = self.current(*key, now).filter(|count| count.attempts >= *most) {
                return Err(TooMany { until: count.since + ATTEMPT_WINDOW });
            }
        }
        for (key, _) in keys.into_iter().flatten() {
            let Count { since, attempts } =
                self.current(key, now).unwrap_or(Count { since: now, attempts: 0 });
            self.make_room(key, now);
            self.counts.insert(key, Count { since, attempts: attempts + 1 });
        }
        Ok(())
    }

    /// The attempt was good: the login starts afresh and the address gets its attempt back. The address keeps its failures, else
    /// an own account would buy unlimited guesses at others.
    pub fn succeeded(&mut self, login: &str, address: Option<IpAddr>) {
        let [login, address] = keys(login, address);
        if let Some((key, _)) = login {
            self.counts.remove(&key);
        }
        if let Some(count) = address.and_then(|(key, _)| self.counts.get_mut(&key)) {
            count.attempts = count.attempts.saturating_sub(1);
        }
    }

    fn current(&self, key: Key, now: Timestamp) -> Option<Count> {
        self.counts.get(&key).copied().filter(|count| now < count.since + ATTEMPT_WINDOW)
    }

    fn make_room(&mut self, key: Key, now: Timestamp) {
        if self.counts.len() < ATTEMPT_KEYS_MAX || self.counts.contains_key(&key) {
            return;
        }
        self.counts.retain(|_, count| now < count.since + ATTEMPT_WINDOW);
        if self.counts.len() >= ATTEMPT_KEYS_MAX
            && let Some(first) = self.counts.iter().min_by_key(|(_, count)| count.since).map(|(key, _)| *key)
        {
            self.counts.remove(&first);
        }
    }
}

fn keys(login: &str, address: Option<IpAddr>) -> [Option<(Key, u32)>; 2] {
    let login = Key::Login(Sha256Digest::of(login.trim().to_lowercase().as_bytes()));
    [
        Some((login, ATTEMPTS_PER_LOGIN_MAX)),
        address.map(|address| (Key::Address(network(address)), ATTEMPTS_PER_ADDRESS_MAX)),
    ]
}

/// The address that stands for a subscriber where attempts are counted: one subscriber has a whole /64 of IPv6.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_login_rests_after_too_many_failures() {
        let mut attempts = Attempts::default();
        for second in 0..i64::from(ATTEMPTS_PER_LOGIN_MAX) {
            attempts.begin("Ada", None, at(second)).unwrap();
        }
        assert_eq!(attempts.begin(" ada ", None, at(9)), Err(TooMany { until: at(900) }));
        assert_eq!(attempts.begin("bo", None, at(9)), Ok(()));
        assert_eq!(attempts.begin("ada", None, at(900)), Ok(()), "the window is over");
    }

    #[test]
    fn success_clears_the_login_but_not_the_address() {
        let mut attempts = Attempts::default();
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        for n in 1..ATTEMPTS_PER_ADDRESS_MAX {
            attempts.begin(&format!("guess {n}"), Some(address), at(0)).unwrap();
        }
        attempts.begin("own", Some(address), at(0)).unwrap();
        attempts.succeeded("own", Some(address));
        attempts.begin("one more", Some(address), at(0)).unwrap();
        assert!(attempts.begin("two more", Some(neighbour), at(0)).is_err());
        assert!(attempts.begin("two more", Some("2001:db8:0:1::1".parse().unwrap()), at(0)).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::default();
        for n in 0..ATTEMPT_KEYS_MAX + 50 {
            attempts.begin(&n.to_string(), None, at(i64::try_from(n).unwrap() / 100)).unwrap();
        }
        assert_eq!(attempts.counts.len(), ATTEMPT_KEYS_MAX);
    }
}
