//! Who holds a token or a session, and of which centre they ask, remembered for a moment: a viewer that scrolls asks for a hundred frames
//! a second, each with the same secret.
//!
//! What this process changes is forgotten at once. What another process changes (a token that is revoked, a person who is disabled, a
//! session that ends, a setting of a centre) is seen after [`REMEMBERED_FOR`] at the latest; 60 s would be allowed. Only what there is is
//! remembered, never what there is not.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::{
    centre::Centre,
    digest::Sha256Digest,
    id::CentreId,
    person::{Person, Session, Token},
};

/// How long an answer of the database counts.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(1);
/// Most answers that are remembered, of each kind; when there are more, all are forgotten.
const ANSWERS_MAX: usize = 1_024;

/// Who was let in lately, by the digest of their secret, and to which centres.
#[derive(Default)]
pub(crate) struct Identities {
    pub(crate) tokens: Memo<Sha256Digest, Token>,
    pub(crate) sessions: Memo<Sha256Digest, (Session, Person)>,
    pub(crate) centres: Memo<CentreId, Centre>,
}

/// Answers of one kind, by what was asked for.
pub(crate) struct Memo<K, T>(Mutex<Answers<K, T>>);

struct Answers<K, T> {
    known: HashMap<K, (Instant, T)>,
    /// Goes up when something was forgotten: what was asked before that is not kept.
    generation: u64,
}

/// When the database was asked, which is before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    at: Instant,
    generation: u64,
}

impl<K, T> Default for Memo<K, T> {
    fn default() -> Self {
        Self(Mutex::new(Answers { known: HashMap::new(), generation: 0 }))
    }
}

impl<K: Eq + Hash, T: Clone> Memo<K, T> {
    /// The answer that counts still, else that of the database, which is then remembered.
    pub(crate) async fn or_ask<E>(
        &self,
        key: K,
        ask: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<Option<T>, E> {
        let asked = match self.get(&key) {
            Ok(known) => return Ok(Some(known)),
            Err(asked) => asked,
        };
        let found = ask.await?;
        if let Some(found) = &found {
            self.keep(key, asked, found);
        }
        Ok(found)
    }

    /// The answer that counts still; else what [`Self::keep`] wants to know once there is one.
    fn get(&self, key: &K) -> Result<T, Asked> {
        self.get_at(key, Instant::now())
    }

    fn get_at(&self, key: &K, now: Instant) -> Result<T, Asked> {
        let answers = self.lock();
        let answer = answers.known.get(key).filter(|(at, _)| now.duration_since(*at) < REMEMBERED_FOR);
        let asked = Asked { at: now, generation: answers.generation };
        answer.map(|(_, answer)| answer.clone()).ok_or(asked)
    }

    /// Keeps an answer, unless something was forgotten since it was asked for.
    fn keep(&self, key: K, asked: Asked, answer: &T) {
        let mut answers = self.lock();
        if answers.generation != asked.generation {
            return;
        }
        if answers.known.len() >= ANSWERS_MAX {
            answers.known.clear();
        }
        answers.known.insert(key, (asked.at, answer.clone()));
    }

    /// Forgets all: something has changed.
    pub(crate) fn forget(&self) {
        let mut answers = self.lock();
        answers.known.clear();
        answers.generation += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Answers<K, T>> {
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
        let asked = memo.get_at(&secret(1), start).unwrap_err();
        memo.keep(secret(1), asked, &"one");
        let just_before = start + REMEMBERED_FOR - Duration::from_nanos(1);
        assert_eq!(memo.get_at(&secret(1), just_before), Ok("one"));
        assert!(memo.get_at(&secret(2), start).is_err());
        assert!(memo.get_at(&secret(1), start + REMEMBERED_FOR).is_err());

        let asked = memo.get_at(&secret(2), start).unwrap_err();
        memo.forget();
        memo.keep(secret(2), asked, &"two");
        assert!(memo.get_at(&secret(1), start).is_err() && memo.get_at(&secret(2), start).is_err());
    }

    #[test]
    fn answers_do_not_pile_up() {
        let memo = Memo::default();
        for number in 0..=ANSWERS_MAX {
            let asked = memo.get(&secret(number)).unwrap_err();
            memo.keep(secret(number), asked, &number);
        }
        assert!(memo.lock().known.len() <= ANSWERS_MAX);
        assert_eq!(memo.get(&secret(ANSWERS_MAX)), Ok(ANSWERS_MAX));
    }
}
