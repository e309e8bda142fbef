//! The scrub: every object that a row names is read again, slowly, and compared with its SHA-256.
//!
//! What is bad becomes a task for a person, once; when it is good again, the task is closed.

use std::sync::Mutex;

use async_trait::async_trait;
use domain::{
    Duration, Timestamp,
    id::CentreId,
    port::storage::{Pace, read_again},
    task::{NewTask, TaskKind},
    upkeep::{Damaged, Job, NamedBy, NamedObject, Progress, Tally},
};
use tracing::{error, info};

use super::{LEASE, Upkeep, UpkeepError};

/// Rows of one step.
const ROWS: u32 = 20;
/// Damaged objects that are known at one time. More are not the bits that rot: the store is another one, or a disk of it is missing.
pub const DAMAGED_MAX: u64 = 1_000;
/// Damaged objects that are looked at again at a time.
const AGAIN_MAX: u32 = 100;
/// How often they are.
const AGAIN_EVERY: Duration = Duration::from_mins(10);
/// So long may a lease run before it is prolonged while an object is read.
const PROLONG_AFTER: Duration = Duration::from_secs(30);
/// The subject of the task of a scrub that stopped.
const SUBJECT: &str = "scrub";
const NEXT_STEP: &str = "Bring the object back from the backup, or have the centre send the image again after its copy was removed; ask \
                         the administrator to look at the disk. `telerad verify` lists all that are damaged.";

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to read.
    Again,
    /// Nothing is to be done for now.
    Rest,
}

impl Upkeep {
    /// Reads some objects, if it is time.
    ///
    /// # Errors
    /// When catalog or store are away, or another process reads.
    pub async fn scrub_some(&self) -> Result<Step, UpkeepError> {
        let Some(rate) = std::num::NonZeroU64::new(self.config.scrub_bytes_per_second) else {
            return Ok(Step::Rest);
        };
        if self.rests(&self.catalog.job(Job::Scrub).await?) && self.catalog.damaged_count().await? == 0 {
            return Ok(Step::Rest);
        }
        let now = self.clock.now();
        let taken = self.catalog.take_job(Job::Scrub, self.holder, now, now + LEASE).await?;
        let mut progress = taken.ok_or(UpkeepError::Taken)?;
        let pace = Slowly::new(self, rate.get(), progress.clone());
        self.look_again_at_damaged(&pace).await?;
        if self.catalog.damaged_count().await? >= DAMAGED_MAX {
            return self
                .halt_scrub(progress, &format!("More than {DAMAGED_MAX} stored objects are damaged."))
                .await;
        }
        if self.rests(&progress) {
            self.leave(Job::Scrub, &progress).await?;
            return Ok(Step::Rest);
        }
        if progress.began.is_none() {
            self.begin(&mut progress).await?;
        }
        let after = progress.position.as_deref().and_then(NamedBy::parse);
        let Some((end, objects)) = self.catalog.named_after(after.as_ref(), ROWS).await? else {
            self.end(progress).await?;
            return Ok(Step::Rest);
        };
        let (mut bad, mut good, before) = (Vec::new(), Vec::new(), pace.read());
        for named in &objects {
            let condition = read_again(self.storage.as_ref(), &named.object, named.sha256, &pace).await?;
            match condition.flaw() {
                None => good.push(named.object.clone()),
                Some(how) => bad.push(self.damaged(named, how)),
            }
        }
        if good.is_empty() && bad.len() > 1 && self.storage.list(None, 1).await?.is_empty() {
            let reason = "The store is empty, and the catalog names objects in it: is the disk mounted, is the bucket the right one?";
            return self.halt_scrub(progress, reason).await;
        }
        self.catalog.found_good(&good, self.clock.now()).await?;
        for damaged in &bad {
            self.tell(damaged).await?;
        }
        let read = pace.read() - before;
        progress.now = Tally {
            objects: progress.now.objects + objects.len() as u64,
            bytes: progress.now.bytes + read,
            found: progress.now.found + bad.len() as u64,
        };
        metrics::counter!("telerad_upkeep_scrubbed_objects_total").increment(objects.len() as u64);
        progress.position = Some(end.text());
        if progress.halted.take().is_some() {
            let note = "Objects can be read again.";
            self.catalog.settle_tasks(TaskKind::UpkeepHalted, SUBJECT, note, self.clock.now()).await?;
        }
        self.keep(Job::Scrub, &progress).await?;
        Ok(Step::Again)
    }

    /// Whether the last round is too young for another one.
    fn rests(&self, progress: &Progress) -> bool {
        let (now, days) = (self.clock.now(), i64::from(self.config.scrub_every_days));
        let is_young = |(began, _): (Timestamp, Timestamp)| {
            now >= began && now.duration_since(began) < Duration::from_hours(24 * days)
        };
        progress.began.is_none() && progress.last.is_some_and(is_young)
    }

    async fn begin(&self, progress: &mut Progress) -> Result<(), UpkeepError> {
        let now = self.clock.now();
        progress.began = Some(now);
        progress.position = None;
        progress.now = Tally::default();
        progress.bytes_in_all = self.catalog.bytes_in_all().await?;
        self.keep(Job::Scrub, progress).await
    }

    async fn end(&self, mut progress: Progress) -> Result<(), UpkeepError> {
        let now = self.clock.now();
        let began = progress.began.take().unwrap_or(now);
        self.catalog.forget_damage_before(began, now).await?;
        info!(
            objects = progress.now.objects,
            bytes = progress.now.bytes,
            bad = progress.now.found,
            "every object was read again"
        );
        progress.rounds += 1;
        progress.last = Some((began, now));
        progress.before = std::mem::take(&mut progress.now);
        progress.position = None;
        self.leave(Job::Scrub, &progress).await
    }

    fn damaged(&self, named: &NamedObject, how: String) -> Damaged {
        Damaged { object: named.object.clone(), study: named.study.clone(), how, found: self.clock.now() }
    }

    async fn tell(&self, damaged: &Damaged) -> Result<(), UpkeepError> {
        error!(object = %damaged.object, flaw = damaged.how, "a stored object is damaged");
        if self.catalog.found_damaged(damaged, NEXT_STEP).await? {
            metrics::counter!("telerad_upkeep_damaged_objects_total").increment(1);
        }
        Ok(())
    }

    /// Damaged objects may have been brought back: nobody should wait for the next round to see it.
    async fn look_again_at_damaged(&self, pace: &Slowly<'_>) -> Result<(), UpkeepError> {
        let before = self.clock.now() - AGAIN_EVERY;
        for damaged in self.catalog.damaged_seen_before(before, AGAIN_MAX).await? {
            let Some(name) = damaged.object.key.name() else { continue };
            match read_again(self.storage.as_ref(), &damaged.object, name.sha256(), pace).await?.flaw() {
                None => {
                    info!(object = %damaged.object, "an object that was damaged is good again");
                    self.catalog.found_good(std::slice::from_ref(&damaged.object), self.clock.now()).await?;
                }
                Some(how) => {
                    let still = Damaged { how, found: self.clock.now(), ..damaged };
                    self.catalog.found_damaged(&still, NEXT_STEP).await?;
                }
            }
        }
        Ok(())
    }

    async fn halt_scrub(&self, mut progress: Progress, reason: &str) -> Result<Step, UpkeepError> {
        if progress.halted.as_deref() != Some(reason) {
            error!(reason, "reading objects again stopped");
        }
        let centres: Vec<CentreId> =
            self.catalog.centres().await?.into_iter().map(|centre| centre.id).collect();
        if let Some(centre) = centres.into_iter().min() {
            let task = NewTask {
                centre,
                study: None,
                kind: TaskKind::UpkeepHalted,
                subject: SUBJECT.to_owned(),
                reason: format!("{reason} Objects are not read again until this is settled."),
                next_step: "Ask the administrator to look at [storage] and its disk or bucket; `telerad verify` lists what is damaged."
                    .to_owned(),
            };
            self.catalog.open_task(&task, self.clock.now()).await?;
        }
        progress.halted = Some(reason.to_owned());
        self.leave(Job::Scrub, &progress).await?;
        Ok(Step::Rest)
    }
}

/// Reads no faster than the settings say, and keeps the lease meanwhile.
struct Slowly<'a> {
    upkeep: &'a Upkeep,
    bytes_per_second: u64,
    progress: Progress,
    state: Mutex<State>,
}

struct State {
    read: u64,
    /// When the next bytes may be read.
    due: Timestamp,
    prolonged: Timestamp,
}

impl<'a> Slowly<'a> {
    fn new(upkeep: &'a Upkeep, bytes_per_second: u64, progress: Progress) -> Self {
        let now = upkeep.clock.now();
        let state = Mutex::new(State { read: 0, due: now, prolonged: now });
        Self { upkeep, bytes_per_second, progress, state }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn read(&self) -> u64 {
        self.state().read
    }
}

#[async_trait]
impl Pace for Slowly<'_> {
    async fn took(&self, bytes: u64) {
        metrics::counter!("telerad_upkeep_scrubbed_bytes_total").increment(bytes);
        let now = self.upkeep.clock.now();
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        let time = Duration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        let (wait, prolong) = {
            let mut state = self.state();
            state.read += bytes;
            state.due = state.due.max(now) + time;
            let prolong = now.duration_since(state.prolonged) > PROLONG_AFTER;
            if prolong {
                state.prolonged = now;
            }
            (state.due.duration_since(now), prolong)
        };
        if prolong {
            // Whoever lost the lease finds out when the step is kept.
            let _ = self.upkeep.keep(Job::Scrub, &self.progress).await;
        }
        self.upkeep.clock.sleep(wait).await;
    }
}
