//! Upkeep: what rests is looked after while everything else runs.
//!
//! [`sweep`] removes objects that no row of the catalog names; [`scrub`] reads every object again and compares it with its SHA-256. Of
//! several processes one at a time does each, by a lease in the catalog, which also keeps how far it is. Not here: deciding whether an
//! object is named (the catalog does), and bringing damaged objects back (people do, from their backup).

mod purge;
pub mod scrub;
pub mod sweep;

use std::sync::Arc;

use domain::{
    Duration, Timestamp,
    limit::{Limit, Section, TellsLimits, Unit},
    port::{Catalog, CatalogError, Clock, Storage, StorageError},
    upkeep::{Job, Progress},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

/// The youngest leftover that a sweep may remove, in seconds, whatever the settings say.
pub const SWEEP_AFTER_SECONDS_MIN: u64 = 600;
/// How long a process that does a job may be silent before another one takes it.
const LEASE: Duration = Duration::from_mins(2);
/// How often it is looked whether something is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Settings of upkeep.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Objects that no row names are removed when they are older, in seconds; at least [`SWEEP_AFTER_SECONDS_MIN`].
    #[serde(deserialize_with = "sweep_after_seconds")]
    pub sweep_after_seconds: u64,
    /// How fast objects are read again, in bytes per second; 0 turns it off.
    pub scrub_bytes_per_second: u64,
    /// Every object is read again once in so many days, if the rate allows it.
    pub scrub_every_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { sweep_after_seconds: 3600, scrub_bytes_per_second: 8 << 20, scrub_every_days: 30 }
    }
}

fn sweep_after_seconds<'de, D: Deserializer<'de>>(reader: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(reader)?;
    if seconds < SWEEP_AFTER_SECONDS_MIN {
        return Err(D::Error::custom(format!(
            "it is at least {SWEEP_AFTER_SECONDS_MIN}: a younger object may be about to become known"
        )));
    }
    Ok(seconds)
}

/// What upkeep needs; clones share it.
#[derive(Clone)]
pub struct Upkeep {
    /// What is known.
    pub catalog: Arc<dyn Catalog>,
    /// What rests.
    pub storage: Arc<dyn Storage>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Settings.
    pub config: Config,
    /// Which process this is, for the leases.
    pub holder: Uuid,
}

/// What kept a job from being done; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The catalog is away.
    #[error("the catalog could not be asked or changed")]
    Catalog(#[from] CatalogError),
    /// The store is away.
    #[error("the object store could not be read or changed")]
    Storage(#[from] StorageError),
    /// Another process took the job meanwhile.
    #[error("another process does this job")]
    Taken,
}

impl Upkeep {
    /// Upkeep by this process.
    #[must_use]
    pub fn new(
        catalog: Arc<dyn Catalog>,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Self {
        Self { catalog, storage, clock, config, holder: Uuid::now_v7() }
    }

    /// Does both jobs until `shutdown`. What is stopped in the middle goes on where it was.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            ((), ()) = futures::future::join(self.sweep_for_ever(), self.scrub_for_ever()) => {}
        }
    }

    async fn sweep_for_ever(&self) {
        loop {
            match self.sweep_when_due().await {
                Ok(()) | Err(UpkeepError::Taken) => {}
                Err(error) => warn!(error = %told(&error), "the store was not swept; it is tried again"),
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// Keeps where a job stands, if this process still has it.
    async fn keep(&self, job: Job, progress: &Progress) -> Result<(), UpkeepError> {
        let until = self.clock.now() + LEASE;
        let kept = self.catalog.keep_job(job, self.holder, progress, until).await?;
        if kept { Ok(()) } else { Err(UpkeepError::Taken) }
    }

    /// Keeps where a job stands, and lets others take it.
    async fn leave(&self, job: Job, progress: &Progress) -> Result<(), UpkeepError> {
        let kept = self.catalog.keep_job(job, self.holder, progress, Timestamp::UNIX_EPOCH).await?;
        if kept { Ok(()) } else { Err(UpkeepError::Taken) }
    }

    async fn scrub_for_ever(&self) {
        loop {
            match self.scrub_some().await {
                Ok(scrub::Step::Again) => continue,
                Ok(scrub::Step::Rest) | Err(UpkeepError::Taken) => {}
                Err(error) => warn!(error = %told(&error), "objects were not read again; it is tried again"),
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }
}

impl TellsLimits for Upkeep {
    fn section(&self) -> Section {
        let Config { sweep_after_seconds, scrub_bytes_per_second, scrub_every_days } = self.config;
        let limits = vec![
            Limit::new("Age of an object that no row names", sweep_after_seconds, Unit::Seconds)
                .set_by("upkeep.sweep_after_seconds"),
            Limit::new("Objects are read again at", scrub_bytes_per_second, Unit::BytesPerSecond)
                .set_by("upkeep.scrub_bytes_per_second"),
            Limit::new("Days until every object was read again", u64::from(scrub_every_days), Unit::Count)
                .set_by("upkeep.scrub_every_days"),
        ];
        Section { title: "Upkeep of the store", limits, refused: Vec::new() }
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_of_what_is_young_cannot_be_set() {
        let read = |json: &str| serde_json::from_str::<Config>(json);
        assert_eq!(read("{}").unwrap(), Config::default());
        assert_eq!(read(r#"{"sweep_after_seconds":600}"#).unwrap().sweep_after_seconds, 600);
        for bad in [r#"{"sweep_after_seconds":599}"#, r#"{"sweep_after_seconds":0}"#, r#"{"sweep":1}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
