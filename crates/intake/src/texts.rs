//! How texts of a centre's images are read that come over the web: its rule about character sets, believed for a moment. Peers bring their
//! own rule with their policy.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    id::CentreId,
    port::{Catalog, catalog::Known},
    text::CharacterSetRule,
};
use tokio::time::Instant;

/// How long a rule is believed. A change counts for all that comes after it.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// A rule, or that there is none, and when that was read.
type Seen = (Instant, Option<CharacterSetRule>);

/// The rules of centres. Clones share what they know; centres are as many as the catalog has, since senders were let in.
#[derive(Clone)]
pub(crate) struct Texts {
    catalog: Arc<dyn Catalog>,
    known: Arc<Mutex<HashMap<CentreId, Seen>>>,
}

impl Texts {
    pub(crate) fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self { catalog, known: Arc::default() }
    }

    /// The rule of a centre, if it has one.
    pub(crate) async fn rule(&self, centre: &CentreId) -> Known<Option<CharacterSetRule>> {
        let now = Instant::now();
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, rule)) = known.get(centre)
                && now.duration_since(*at) < LOOK_AFTER
            {
                return Ok(rule.clone());
            }
        }
        let rule = self.catalog.centre(centre).await?.and_then(|centre| centre.policy.character_set);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(centre.clone(), (now, rule.clone()));
        Ok(rule)
    }
}
