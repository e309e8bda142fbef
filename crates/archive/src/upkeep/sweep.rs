//! The sweep: objects that no row of the catalog names are removed once they are old enough (decision 13).
//!
//! A round walks the whole store by pages and only notes what it would remove. Then it looks whether that is plausible; when it is not, a
//! person is asked. What remains is condemned in the catalog, where whoever would make it known meets the sweep, and removed.

use std::collections::BTreeSet;

use domain::{
    Duration, Timestamp,
    id::CentreId,
    object::{ObjectName, ObjectRef},
    port::storage::{Listed, store_bytes},
    task::{NewTask, TaskKind},
    upkeep::{Job, Progress, Tally},
};
use tracing::{error, info, warn};

use super::{LEASE, Upkeep, UpkeepError};

/// Objects of one question to the store and to the catalog.
const PAGE: usize = 500;
/// Most objects that one round removes; the next one removes the others.
const REMOVED_MAX: usize = 10_000;
/// Objects that are condemned together, and then removed.
pub(super) const REMOVED_TOGETHER: usize = 50;
/// So few leftovers are plausible whatever their share.
const PLAUSIBLE: u64 = 10;
/// A round begins so long after the one before ended.
const EVERY: Duration = Duration::from_hours(1);
/// How often the store is told how far the catalog's history is: an older copy of the catalog is recognised by it.
const MARK_EVERY: Duration = Duration::from_mins(10);
/// Marks that are kept; older ones say nothing that these do not say.
const MARKS_KEPT: u64 = 3;
/// How long condemned objects may be on their way out before another round takes them over; longer than any request to a store takes.
const TAKE_OVER_AFTER: Duration = Duration::from_hours(1);
/// How long after objects were condemned their removal may begin.
const REMOVAL_TIME_MAX: Duration = Duration::from_secs(60);
/// The subject of the task of a sweep that stopped.
const SUBJECT: &str = "sweep";

/// What a sweep may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leave {
    /// Nothing is removed.
    pub dry_run: bool,
    /// A person has looked: many leftovers, and marks of another history, are no reason to stop.
    pub even_if_many: bool,
}

/// What a round found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects in the store.
    pub objects: u64,
    /// How many no row names and are old enough.
    pub unnamed: u64,
    /// These: all, or the first [`REMOVED_MAX`].
    pub leftovers: Vec<ObjectRef>,
    /// Those that no row names and that are younger, or whose age the store does not know.
    pub too_young: u64,
    /// How many were removed.
    pub removed: u64,
    /// Why nothing was removed, in a sentence.
    pub halted: Option<String>,
}

/// What a walk through the store found.
#[derive(Default)]
struct Found {
    objects: u64,
    images: u64,
    old: u64,
    unnamed: u64,
    too_young: u64,
    leftovers: Vec<ObjectRef>,
    /// A page was full of leftovers.
    crowded: bool,
    /// Marks of another catalog, or of a later moment of this one.
    strange_marks: Vec<(ObjectRef, uuid::Uuid, u64)>,
}

impl Upkeep {
    /// Sweeps if the time has come.
    ///
    /// # Errors
    /// When catalog or store are away.
    pub(super) async fn sweep_when_due(&self) -> Result<(), UpkeepError> {
        let now = self.clock.now();
        let progress = self.catalog.job(Job::Sweep).await?;
        let rests =
            |since: Option<Timestamp>, time| since.is_some_and(|since| now >= since && now < since + time);
        if !rests(progress.last.map(|(_, ended)| ended), EVERY) {
            self.sweep(Leave::default()).await?;
        } else if !rests(self.catalog.mark().await?.at, MARK_EVERY) {
            let progress = self.take_sweep().await?;
            self.mark_beyond(0).await?;
            self.leave(Job::Sweep, &progress).await?;
        }
        Ok(())
    }

    /// One round.
    ///
    /// # Errors
    /// When catalog or store are away, or another process sweeps.
    pub async fn sweep(&self, leave: Leave) -> Result<Swept, UpkeepError> {
        let mut progress = self.take_sweep().await?;
        let before = progress.clone();
        let began = self.clock.now();
        progress.began = Some(began);
        progress.now = Tally::default();
        if !leave.dry_run {
            self.storage.tidy().await?;
        }
        let found = self.walk(&mut progress).await?;
        let mut swept = Swept {
            objects: found.objects,
            unnamed: found.unnamed,
            leftovers: found.leftovers.clone(),
            too_young: found.too_young,
            ..Swept::default()
        };
        swept.halted = self.why_not(&found, leave.even_if_many).await?;
        if leave.dry_run {
            self.leave(Job::Sweep, &before).await?;
            return Ok(swept);
        }
        match &swept.halted {
            Some(reason) => self.halt(&found, reason).await?,
            None => {
                for (mark, _, _) in &found.strange_marks {
                    self.storage.remove(mark).await?;
                }
                self.finish_what_was_begun().await?;
                self.remove(&found.leftovers, &mut progress).await?;
                self.purge(&progress).await?;
                self.mark_beyond(found.strange_marks.iter().map(|(_, _, number)| *number).max().unwrap_or(0))
                    .await?;
                let note = "A later sweep found nothing unusual.";
                self.catalog.settle_tasks(TaskKind::UpkeepHalted, SUBJECT, note, self.clock.now()).await?;
            }
        }
        swept.removed = progress.now.found;
        progress.rounds += 1;
        progress.last = Some((began, self.clock.now()));
        progress.before = progress.now;
        progress.began = None;
        progress.halted.clone_from(&swept.halted);
        self.leave(Job::Sweep, &progress).await?;
        Ok(swept)
    }

    async fn take_sweep(&self) -> Result<Progress, UpkeepError> {
        let now = self.clock.now();
        let taken = self.catalog.take_job(Job::Sweep, self.holder, now, now + LEASE).await?;
        taken.ok_or(UpkeepError::Taken)
    }

    /// Removes what a process that died, or that did not hear from the store, had condemned. Nobody could make it known since, unless this
    /// is an older copy of the catalog: so it is done once that was ruled out.
    async fn finish_what_was_begun(&self) -> Result<(), UpkeepError> {
        loop {
            let before = self.clock.now() - TAKE_OVER_AFTER;
            let limit = u32::try_from(REMOVED_TOGETHER).unwrap_or(u32::MAX);
            let condemned = self.catalog.condemned(before, limit).await?;
            if condemned.is_empty() {
                return Ok(());
            }
            self.remove_together(&condemned).await?;
        }
    }

    async fn walk(&self, progress: &mut Progress) -> Result<Found, UpkeepError> {
        let mut found = Found::default();
        let mut last: Option<ObjectRef> = None;
        let mark = self.catalog.mark().await?;
        let age = Duration::from_secs(i64::try_from(self.config.sweep_after_seconds).unwrap_or(i64::MAX));
        loop {
            let page = self.storage.list(last.as_ref(), PAGE).await?;
            let Some(end) = page.last() else { return Ok(found) };
            last = Some(end.object.clone());
            let now = self.clock.now();
            let is_old =
                |listed: &Listed| listed.written.is_some_and(|written| now.duration_since(written) > age);
            let mut old = 0;
            let mut asked = Vec::with_capacity(page.len());
            let mut young = BTreeSet::new();
            for listed in page {
                found.objects += 1;
                match listed.object.key.name() {
                    Some(ObjectName::Mark { catalog, number, .. }) => {
                        if catalog != mark.catalog || number > mark.number {
                            found.strange_marks.push((listed.object, catalog, number));
                        }
                        continue;
                    }
                    Some(ObjectName::Instance { .. }) => found.images += 1,
                    Some(
                        ObjectName::KeyImage { .. }
                        | ObjectName::ReportPdf { .. }
                        | ObjectName::SeriesDocument { .. }
                        | ObjectName::Quarantined { .. },
                    )
                    | None => {}
                }
                if is_old(&listed) {
                    old += u64::from(!is_made_again(&listed.object));
                } else {
                    young.insert(listed.object.clone());
                }
                asked.push(listed.object);
            }
            let unnamed = self.catalog.unnamed(&asked).await?;
            let (young, leftovers): (Vec<_>, Vec<_>) =
                unnamed.into_iter().partition(|object| young.contains(object));
            let count = leftovers.iter().filter(|object| !is_made_again(object)).count() as u64;
            found.too_young += young.len() as u64;
            found.old += old;
            found.unnamed += count;
            found.crowded |= is_implausible(old, count);
            let room = REMOVED_MAX.saturating_sub(found.leftovers.len());
            found.leftovers.extend(leftovers.into_iter().take(room));
            progress.now.objects = found.objects;
            self.keep(Job::Sweep, progress).await?;
        }
    }

    /// Why what was found must not be removed.
    async fn why_not(&self, found: &Found, even_if_many: bool) -> Result<Option<String>, UpkeepError> {
        if found.images > 0 && !self.catalog.knows_images().await? {
            let reason = format!("The catalog knows no image at all, and the store has {}.", found.images);
            return Ok(Some(reason));
        }
        if even_if_many {
            return Ok(None);
        }
        if let Some((_, catalog, _)) = found.strange_marks.first() {
            let reason = if *catalog == self.catalog.mark().await?.catalog {
                "The store has seen a later state of this catalog: an older copy of the catalog was brought back."
            } else {
                "The store was kept by another catalog."
            };
            return Ok(Some(reason.to_owned()));
        }
        if found.crowded || is_implausible(found.old, found.unnamed) {
            let reason = format!(
                "No row names {} of {} objects that are old enough to judge.",
                found.unnamed, found.old
            );
            return Ok(Some(reason));
        }
        Ok(None)
    }

    /// Tells people; nothing is removed.
    async fn halt(&self, found: &Found, reason: &str) -> Result<(), UpkeepError> {
        error!(reason, "the sweep stopped before it removed anything");
        metrics::counter!("telerad_upkeep_sweeps_halted_total").increment(1);
        let mut centres: BTreeSet<CentreId> = BTreeSet::new();
        for object in &found.leftovers {
            if let Some(ObjectName::Instance { centre, .. }) = object.key.name() {
                centres.insert(centre);
            }
        }
        let known: BTreeSet<CentreId> =
            self.catalog.centres().await?.into_iter().map(|centre| centre.id).collect();
        let affected: Vec<&CentreId> = known.intersection(&centres).collect();
        // Where no centre that has objects is known, any centre's page is better than none.
        let told: Vec<&CentreId> =
            if affected.is_empty() { known.iter().take(1).collect() } else { affected };
        for centre in told {
            let task = NewTask {
                centre: centre.clone(),
                study: None,
                kind: TaskKind::UpkeepHalted,
                subject: SUBJECT.to_owned(),
                reason: format!("{reason} The sweep has removed nothing."),
                next_step: "Ask the administrator to run `telerad rebuild`, which makes the catalog know what the store has. If \
                            the objects are leftovers indeed (`telerad sweep --dry-run` lists them): `telerad sweep \
                            --even-if-many`."
                    .to_owned(),
            };
            self.catalog.open_task(&task, self.clock.now()).await?;
        }
        Ok(())
    }

    async fn remove(&self, leftovers: &[ObjectRef], progress: &mut Progress) -> Result<(), UpkeepError> {
        for some in leftovers.chunks(REMOVED_TOGETHER) {
            self.keep(Job::Sweep, progress).await?;
            let condemned = self.catalog.condemn(some, self.clock.now()).await?;
            progress.now.found += condemned.len() as u64;
            self.remove_together(&condemned).await?;
        }
        Ok(())
    }

    /// Removes condemned objects. Whatever keeps it from going on leaves them condemned, for a later round; gives how many it removed.
    pub(super) async fn remove_together(&self, condemned: &[ObjectRef]) -> Result<usize, UpkeepError> {
        let began = self.clock.now();
        let mut gone = Vec::with_capacity(condemned.len());
        let mut outcome = Ok(());
        for object in condemned {
            // Asleep for long, another process may have finished this, and the name may be used again.
            let time = self.clock.now().duration_since(began);
            if time > REMOVAL_TIME_MAX || time.is_negative() {
                break;
            }
            if let Err(error) = self.storage.remove(object).await {
                outcome = Err(error);
                break;
            }
            info!(%object, "removed an object that no row names");
            gone.push(object.clone());
        }
        if !gone.is_empty() {
            self.catalog.removed(&gone, self.clock.now()).await?;
            metrics::counter!("telerad_upkeep_swept_objects_total").increment(gone.len() as u64);
        }
        if gone.len() < condemned.len() {
            warn!(left = condemned.len() - gone.len(), "condemned objects are left for a later sweep");
        }
        outcome?;
        Ok(gone.len())
    }

    /// Tells the store how far the catalog's history is. The catalog's number is always the higher one, or a crash in between would look
    /// like an older copy.
    async fn mark_beyond(&self, number: u64) -> Result<(), UpkeepError> {
        let mark = self.catalog.next_mark(number, self.clock.now()).await?;
        let (name, bytes) = ObjectName::mark(mark.catalog, mark.number);
        store_bytes(self.storage.as_ref(), &name.key(), bytes.into()).await?;
        if let Some(old) = mark.number.checked_sub(MARKS_KEPT) {
            let (name, _) = ObjectName::mark(mark.catalog, old);
            self.storage.remove(&name.key().into()).await?;
        }
        Ok(())
    }
}

/// Objects that are made of others and made again when they are missing: an older one is left behind whenever one is made anew, and none
/// says anything about the catalog.
fn is_made_again(object: &ObjectRef) -> bool {
    matches!(object.key.name(), Some(ObjectName::SeriesDocument { .. }))
}

/// Whether so many leftovers are more than what killed processes leave.
const fn is_implausible(old: u64, unnamed: u64) -> bool {
    unnamed > PLAUSIBLE && unnamed * 2 > old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plausible() {
        for (old, unnamed, implausible) in [
            (1, 1, false),
            (10, 10, false),
            (11, 11, true),
            (100, 50, false),
            (100, 51, true),
            (500, 30, false),
        ] {
            assert_eq!(is_implausible(old, unnamed), implausible, "{unnamed} of {old}");
        }
    }
}
