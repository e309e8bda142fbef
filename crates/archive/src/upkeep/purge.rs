//! The end of studies that were taken out and whose time is over (decision 19): their objects are removed, then what is known of them.
//!
//! It is a part of a sweep, behind what a sweep looks at before it removes anything. Killed in between, it goes on where it was: from the
//! beginning on such a study cannot come back, and it is looked for until all of it is gone. Of other objects of the study (key images,
//! contents of conflicts) no row knows afterwards, so a later sweep takes them.

use domain::{
    study::StudyKey,
    upkeep::{Job, Progress},
};
use tracing::info;

use super::{Upkeep, UpkeepError, sweep::REMOVED_TOGETHER};

/// Most studies that one sweep removes; the next one removes the others.
const STUDIES_MAX: usize = 100;

impl Upkeep {
    /// Removes studies whose time is over. The caller holds the job of the sweep.
    pub(super) async fn purge(&self, progress: &Progress) -> Result<(), UpkeepError> {
        for _ in 0..STUDIES_MAX {
            let Some(study) = self.catalog.begin_purge(self.clock.now()).await? else { return Ok(()) };
            self.purge_study(&study, progress).await?;
        }
        Ok(())
    }

    async fn purge_study(&self, study: &StudyKey, progress: &Progress) -> Result<(), UpkeepError> {
        let limit = u32::try_from(REMOVED_TOGETHER).unwrap_or(u32::MAX);
        let mut last = None;
        loop {
            self.keep(Job::Sweep, progress).await?;
            let now = self.clock.now();
            let page = self.catalog.condemn_to_purge(study, last.as_ref(), limit, now).await?;
            let Some((end, _)) = page.last() else { break };
            let end = end.clone();
            let objects: Vec<_> = page.into_iter().map(|(_, object)| object).collect();
            if self.remove_together(&objects).await? == objects.len() {
                last = Some(end);
            }
        }
        self.catalog.end_purge(study, self.clock.now()).await?;
        info!(centre = %study.centre, study = %study.uid, "removed a study for good that had been taken out");
        Ok(())
    }
}
