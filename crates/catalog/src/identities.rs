//! Who holds a token or a session, remembered for a moment: a viewer that scrolls asks for a hundred frames a second, each with the same
//! secret.
//!
//! What this process changes is forgotten at once. What another process changes (a token that is revoked, a person who is disabled, a
//! session that ends) is seen after [`REMEMBERED_FOR`] at the latest; 60 s would be allowed. Only who was let in is remembered, never who
//! was not.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::{
    digest::Sha256Digest,
    person::{Person, Session, Token},
};

/// How long an answer of the database counts.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(1);
/// Most secrets that are remembered, of each kind; when there are more, all are forgotten.
const SECRETS_MAX: usize = 1_024;

/// Who was let in lately.
#[derive(Default)]
pub(crate) struct Identities {
    pub(crate) tokens: Memo<Token>,
    pub(crate) sessions: Memo<(Session, Person)>,
}

/// Answers of one kind, by the digest of the secret.
pub(crate) struct Memo<T>(Mutex<Answers<T>>);

struct Answers<T> {
    known: HashMap<Sha256Digest, (Instant, T)>,
    /// Goes up when something was forgotten: what was asked before that is not kept.
    generation: u64,
}

/// When the database was asked, which is before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    at: Instant,
    generation: u64,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::new(Answers { known: HashMap::new(), generation: 0 }))
    }
}

impl<T: Clone> Memo<T> {
    /// The answer that counts still, else that of the database, which is then remembered.
    pub(crate) async fn or_ask<E>(
        &self,
        secret: Sha256Digest,
        ask: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<Option<T>, E> {
        let asked = match self.get(secret) {
            Ok(known) => return Ok(Some(known)),
            Err(asked) => asked,
        };
        let found = ask.await?;
        if let Some(found) = &found {
            self.keep(secret, asked, found);
        }
        Ok(found)
    }

    /// The answer that counts still; else what [`Self::keep`] wants to know once there is one.
    fn get(&self, secret: Sha256Digest) -> Result<T, Asked> {
        self.get_at(secret, Instant::now())
    }

    fn get_at(&self, secret: Sha256Digest, now: Instant) -> Result<T, Asked> {
        let answers = self.lock();
        let answer = answers.known.get(&secret).filter(|(at, _)| now.duration_since(*at) < REMEMBERED_FOR);
        let asked = Asked { at: now, generation: answers.generation };
        answer.map(|(_, answer)| answer.clone()).ok_or(asked)
    }

    /// Keeps an answer, unless something was forgotten since it was asked for.
    fn keep(&self, secret: Sha256Digest, asked: Asked, answer: &T) {
        let mut answers = self.lock();
        if answers.generation != asked.generation {
            return;
        }
        if answers.known.len() >= SECRETS_MAX {
            answers.known.clear();
        }
        answers.known.insert(secret, (asked.at, answer.clone()));
    }

    /// Forgets all: something has changed.
    pub(crate) fn forget(&self) {
        let mut answers = self.lock();
        answers.known.clear();
        answers.generation += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Answers<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(number: usize) -> Sha256Digest {
        Sha256Digest::of(&number.to_le_bytes())
    }

    #[test]
    fn an_answer_counts_for_a_moment_and_not_past_a_change() {
        let (memo, start) = (Memo::default(), Instant::now());
        let asked = memo.get_at(secret(1), start).unwrap_err();
        memo.keep(secret(1), asked, &"one");
        let just_before = start + REMEMBERED_FOR - Duration::from_nanos(1);
        assert_eq!(memo.get_at(secret(1), just_before), Ok("one"));
        assert!(memo.get_at(secret(2), start).is_err());
        assert!(memo.get_at(secret(1), start + REMEMBERED_FOR).is_err());

        let asked = memo.get_at(secret(2), start).unwrap_err();
        memo.forget();
        memo.keep(secret(2), asked, &"two");
        assert!(memo.get_at(secret(1), start).is_err() && memo.get_at(secret(2), start).is_err());
    }

    #[test]
    fn answers_do_not_pile_up() {
        let memo = Memo::default();
        for number in 0..=SECRETS_MAX {
            let asked = memo.get(secret(number)).unwrap_err();
            memo.keep(secret(number), asked, &number);
        }
        assert!(memo.lock().known.len() <= SECRETS_MAX);
        assert_eq!(memo.get(secret(SECRETS_MAX)), Ok(SECRETS_MAX));
    }
}
