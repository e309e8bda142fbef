//! What of the looking is written down: once per caller, action and study within a while, not once per frame.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use domain::{
    Duration, Timestamp,
    audit::{Action, Actor},
    id::CentreId,
    port::{Catalog, catalog::Known},
    study::StudyKey,
};
use gate::{Caller, Problem};

use crate::Shared;

/// For so long a second look at the same study by the same caller is part of the first.
pub(crate) const SAME_LOOK: Duration = Duration::from_mins(15);
/// Most looks remembered. One that falls out early is written down once more, which is no harm.
const LOOKS_MAX: usize = 10_000;

/// Looks that were written down lately.
#[derive(Default)]
pub(crate) struct Seen {
    when: HashMap<Look, Timestamp>,
    order: VecDeque<(Look, Timestamp)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Look {
    actor: String,
    action: &'static str,
    centre: CentreId,
    study: Option<StudyKey>,
}

impl Seen {
    /// Whether a look is to be written down; then it is taken to be.
    fn is_new(&mut self, look: &Look, now: Timestamp) -> bool {
        let is_over = |at: Timestamp| now.duration_since(at) >= SAME_LOOK;
        while let Some((_, at)) = self.order.front()
            && (is_over(*at) || self.order.len() >= LOOKS_MAX)
        {
            self.drop_oldest();
        }
        if self.when.contains_key(look) {
            return false;
        }
        self.when.insert(look.clone(), now);
        self.order.push_back((look.clone(), now));
        true
    }

    /// It could not be written down: the next one counts.
    fn forget(&mut self, look: &Look) {
        self.when.remove(look);
    }

    fn drop_oldest(&mut self) {
        if let Some((look, at)) = self.order.pop_front()
            && self.when.get(&look) == Some(&at)
        {
            self.when.remove(&look);
        }
    }
}

impl Shared {
    /// Writes down that a caller looked at a centre's list, or at a study of it, before they get to see it.
    ///
    /// # Errors
    /// When it cannot be written down: nobody looks then.
    pub(crate) async fn note(
        &self,
        caller: &Caller,
        action: Action,
        centre: &CentreId,
        study: Option<&StudyKey>,
    ) -> Result<(), Problem> {
        let noting = Noting { catalog: &*self.catalog, seen: &self.seen, now: self.clock.now() };
        Ok(noting.note(&caller.actor(), action, centre, study, "DICOMweb").await?)
    }
}

/// Where and when a look is written down.
pub(crate) struct Noting<'a> {
    pub(crate) catalog: &'a dyn Catalog,
    pub(crate) seen: &'a Mutex<Seen>,
    pub(crate) now: Timestamp,
}

impl Noting<'_> {
    /// Writes down that somebody looked at a centre's list, or at a study of it, and over what; once in a while.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(crate) async fn note(
        &self,
        actor: &Actor,
        action: Action,
        centre: &CentreId,
        study: Option<&StudyKey>,
        over: &str,
    ) -> Known<()> {
        let look = Look {
            actor: actor.text(),
            action: action.as_str(),
            centre: centre.clone(),
            study: study.cloned(),
        };
        if !self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_new(&look, self.now) {
            return Ok(());
        }
        let detail = format!("{over}, centre {centre}");
        let noted = self.catalog.record(actor, action, study, &detail, self.now).await;
        if noted.is_err() {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).forget(&look);
        }
        noted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(actor: usize) -> Look {
        Look {
            actor: format!("token:{actor}"),
            action: Action::ListViewed.as_str(),
            centre: CentreId::parse("c1").unwrap(),
            study: None,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_look_counts_once_in_a_while() {
        let mut seen = Seen::default();
        assert!(seen.is_new(&look(1), at(0)));
        assert!(!seen.is_new(&look(1), at(899)));
        assert!(seen.is_new(&look(2), at(899)));
        assert!(seen.is_new(&look(1), at(900)));
        assert!(!seen.is_new(&look(1), at(901)));
        seen.forget(&look(1));
        assert!(seen.is_new(&look(1), at(902)));
    }

    #[test]
    fn looks_do_not_pile_up() {
        let mut seen = Seen::default();
        for actor in 0..LOOKS_MAX + 500 {
            assert!(seen.is_new(&look(actor), at(0)));
        }
        assert!(seen.when.len() <= LOOKS_MAX && seen.order.len() <= LOOKS_MAX);
        assert!(seen.is_new(&look(0), at(1)));
        assert!(!seen.is_new(&look(LOOKS_MAX + 499), at(1)));
    }
}
