//! Settings of queries and retrieves.

use serde::Deserialize;

/// Settings, each with its unit in its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most matches of one query; a query with more is answered A700H behind them.
    pub answers_max: u32,
    /// Queries at one time, in all.
    pub queries_at_once: usize,
    /// Queries at one time of one AE title.
    pub queries_per_ae_title: usize,
    /// Retrieves at one time, in all.
    pub retrieves_at_once: usize,
    /// Retrieves at one time of one AE title.
    pub retrieves_per_ae_title: usize,
    /// Most objects of one retrieve; their number has two bytes in an answer, so that 65 535 is the most that can be set.
    pub objects_max: usize,
    /// How long a peer may take for one answer, to an object or to an association, in seconds.
    pub answer_seconds_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            answers_max: 10_000,
            queries_at_once: 16,
            queries_per_ae_title: 8,
            retrieves_at_once: 8,
            retrieves_per_ae_title: 4,
            objects_max: 50_000,
            answer_seconds_max: 60,
        }
    }
}

impl Settings {
    /// [`Self::objects_max`] as far as it can be.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.objects_max.min(usize::from(u16::MAX))
    }
}
