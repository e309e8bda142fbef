//! Carries objects to a receiver: a queue of loads, workers that take from it, and what is tried again when and how often. An object waits
//! until it is stored, refused for good, or given up; nothing here knows a protocol.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::uid::StudyInstanceUid;
use indicatif::ProgressBar;
use tokio::{task::JoinSet, time::Instant};

use super::{
    Failure, dicom,
    journal::{Journal, JournalError, Past},
    outcome::{Consequence, Kind, Reason, Verdict},
    scan::Found,
    web,
};

/// Most objects of one load, which is one association or one request: few enough that a break costs little, enough that a round trip costs
/// nothing.
const LOAD_OBJECTS_MAX: usize = 200;
/// Least objects of a load of a study that several workers share.
const LOAD_OBJECTS_MIN: usize = 5;
/// Most bytes of one load, unless one object is larger.
const LOAD_BYTES_MAX: u64 = 512 << 20;
/// Waiting before the second try of anything; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest waiting between two tries, unless the receiver asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often a worker without work looks for some.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where to.
pub enum Target {
    /// A DICOM peer.
    Dicom(dicom::Peer),
    /// A DICOMweb server.
    Web(web::Server),
}

/// How much is done at a time, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Associations or requests at a time.
    pub parallel: usize,
    /// Tries of each object.
    pub attempts: u32,
    /// How long is gone on while the receiver stores nothing.
    pub give_up_after: Duration,
}

/// What became of an object.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It has no lasting answer; the last one, if there was one.
    Waits(Option<Reason>),
    /// The receiver stored it.
    Stored,
    /// The receiver stored it in an earlier run.
    StoredBefore,
    /// It is not stored, and not tried again.
    Failed(Reason),
}

/// The study of some objects.
#[derive(Debug)]
pub struct Study {
    /// Its identity.
    pub uid: StudyInstanceUid,
    /// Its objects, as places among all.
    pub objects: Vec<usize>,
}

/// What became of everything.
pub struct Report {
    /// What was to be sent.
    pub found: Vec<Found>,
    /// What became of each.
    pub fates: Vec<Fate>,
    /// The studies.
    pub studies: Vec<Study>,
    /// Why it ended early.
    pub failure: Option<Failure>,
}

impl Report {
    /// Why something is not stored, if so.
    pub fn first_reason(&self) -> Option<String> {
        let failed = self.fates.iter().find_map(|fate| match fate {
            Fate::Failed(reason) | Fate::Waits(Some(reason)) => Some(reason.text.clone()),
            Fate::Waits(None) | Fate::Stored | Fate::StoredBefore => None,
        });
        failed.or_else(|| self.failure.as_ref().map(ToString::to_string))
    }
}

/// A load that did not get through.
#[derive(Debug)]
pub struct Broken {
    /// Why.
    pub failure: Failure,
    /// The objects that may be to blame: those that were under way.
    pub under_way: Vec<usize>,
}

impl Broken {
    /// A failure that is no object's fault.
    pub fn before(failure: impl Into<Failure>) -> Self {
        Self { failure: failure.into(), under_way: Vec::new() }
    }
}

struct Object {
    attempts: u32,
    fate: Fate,
    not_before: Instant,
}

struct Waiting {
    study: usize,
    objects: Vec<usize>,
    not_before: Instant,
}

struct State {
    queue: VecDeque<Waiting>,
    busy: usize,
    objects: Vec<Object>,
    /// By study: the receiver knows that it is complete, or does not want to.
    told: Vec<bool>,
    /// Failures of whole loads since something was stored.
    streak: u32,
    paused_at: Instant,
    paused_until: Instant,
    last_stored: Instant,
    last_failure: Option<Failure>,
    over: Option<Failure>,
    journal: Option<Journal>,
}

/// One run.
pub struct Transfer {
    target: Target,
    found: Vec<Found>,
    studies: Vec<Study>,
    limits: Limits,
    bar: ProgressBar,
    state: Mutex<State>,
}

/// Some objects of one study on their way, and what a protocol tells about them.
pub struct Load<'a> {
    transfer: &'a Transfer,
    study: usize,
    /// The objects, as places among all.
    pub objects: Vec<usize>,
}

enum Next {
    Load(Waiting),
    Wait(Instant),
    End,
}

/// The studies of some files.
pub fn studies(found: &[Found]) -> Vec<Study> {
    let mut studies: BTreeMap<&StudyInstanceUid, Vec<usize>> = BTreeMap::new();
    for (place, file) in found.iter().enumerate() {
        studies.entry(&file.study).or_default().push(place);
    }
    studies.into_iter().map(|(uid, objects)| Study { uid: uid.clone(), objects }).collect()
}

impl Transfer {
    /// Prepares a run over what earlier runs left.
    pub fn new(target: Target, found: Vec<Found>, limits: Limits, bar: ProgressBar) -> Self {
        let now = Instant::now();
        let object = |_| Object { attempts: 0, fate: Fate::Waits(None), not_before: now };
        let studies = studies(&found);
        let state = State {
            queue: VecDeque::new(),
            busy: 0,
            objects: found.iter().map(object).collect(),
            told: vec![false; studies.len()],
            streak: 0,
            paused_at: now,
            paused_until: now,
            last_stored: now,
            last_failure: None,
            over: None,
            journal: None,
        };
        Self { target, found, studies, limits, bar, state: Mutex::new(state) }
    }

    /// With a journal, and what it says.
    pub fn with_journal(self, journal: Journal, past: &Past) -> Self {
        let mut state = self.state();
        state.journal = Some(journal);
        for (object, file) in state.objects.iter_mut().zip(&self.found) {
            if past.holds(file) {
                object.fate = Fate::StoredBefore;
                self.bar.inc(file.bytes);
            }
        }
        for (told, study) in state.told.iter_mut().zip(&self.studies) {
            *told = past.is_complete(study.uid.as_str(), study.objects.len());
        }
        drop(state);
        self
    }

    /// Sends.
    pub async fn run(self) -> Report {
        for study in 0..self.studies.len() {
            self.enqueue(study);
        }
        let transfer = Arc::new(self);
        let mut workers = JoinSet::new();
        for _ in 0..transfer.limits.parallel {
            let transfer = Arc::clone(&transfer);
            workers.spawn(async move { transfer.work().await });
        }
        workers.join_all().await;
        transfer.bar.finish_and_clear();
        let Ok(transfer) = Arc::try_unwrap(transfer).map_err(|_| ()) else {
            unreachable!("the workers are gone")
        };
        let state = transfer.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let synced = state.journal.as_ref().map_or(Ok(()), Journal::sync);
        Report {
            found: transfer.found,
            fates: state.objects.into_iter().map(|object| object.fate).collect(),
            studies: transfer.studies,
            failure: state.over.or(synced.err().map(Failure::Journal)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays out a study in loads; one that is stored but was not told to be complete makes an empty load.
    fn enqueue(&self, study: usize) {
        let mut state = self.state();
        let objects = &self.studies[study].objects;
        let waiting: Vec<usize> =
            objects.iter().copied().filter(|place| state.objects[*place].waits()).collect();
        let share = waiting.len().div_ceil(self.limits.parallel);
        let most = share.clamp(LOAD_OBJECTS_MIN, LOAD_OBJECTS_MAX);
        let not_before = Instant::now();
        let (mut load, mut bytes) = (Vec::new(), 0);
        for place in waiting {
            let size = self.found[place].bytes;
            if load.len() == most || (bytes + size > LOAD_BYTES_MAX && !load.is_empty()) {
                state.queue.push_back(Waiting { study, objects: std::mem::take(&mut load), not_before });
                bytes = 0;
            }
            load.push(place);
            bytes += size;
        }
        if !load.is_empty() || self.may_tell(&state, study) {
            state.queue.push_back(Waiting { study, objects: load, not_before });
        }
    }

    /// Whether all of a study is stored and the receiver was not told so.
    fn may_tell(&self, state: &State, study: usize) -> bool {
        let stored = |place: &usize| matches!(state.objects[*place].fate, Fate::Stored | Fate::StoredBefore);
        matches!(self.target, Target::Dicom(_))
            && !state.told[study]
            && self.studies[study].objects.iter().all(stored)
    }

    async fn work(&self) {
        loop {
            match self.next() {
                Next::Load(waiting) => self.carry(waiting).await,
                Next::Wait(until) => tokio::time::sleep_until(until).await,
                Next::End => return,
            }
        }
    }

    fn next(&self) -> Next {
        let now = Instant::now();
        let mut state = self.state();
        if state.over.is_some() {
            return Next::End;
        }
        let soonest = state.queue.iter().enumerate().min_by_key(|(_, waiting)| waiting.not_before);
        let Some((place, begins)) = soonest.map(|(place, waiting)| (place, waiting.not_before)) else {
            return if state.busy == 0 { Next::End } else { Next::Wait(now + LOOK_EVERY) };
        };
        let begins = begins.max(state.paused_until);
        if begins > now {
            let gives_up = begins > state.last_stored + self.limits.give_up_after;
            if gives_up && state.busy == 0 {
                let last = state.last_failure.take().map(Box::new);
                state.over = Some(Failure::GaveUp { after: self.limits.give_up_after, last });
                return Next::End;
            }
            return Next::Wait(begins.min(now + LOOK_EVERY));
        }
        match state.queue.remove(place) {
            Some(waiting) => {
                state.busy += 1;
                Next::Load(waiting)
            }
            None => Next::Wait(now + LOOK_EVERY),
        }
    }

    async fn carry(&self, waiting: Waiting) {
        let began = Instant::now();
        let study = waiting.study;
        let load = Load { transfer: self, study, objects: waiting.objects };
        let sent = match &self.target {
            Target::Dicom(peer) => Box::pin(dicom::send(peer, &load)).await,
            Target::Web(server) => Box::pin(server.send(&load)).await,
        };
        let mut state = self.state();
        state.busy -= 1;
        let left = match sent {
            Ok(()) => load.objects,
            Err(broken) => self.broke(&mut state, began, load.objects, broken),
        };
        // What the receiver wants later goes apart from what it was not asked about.
        let left = left.into_iter().filter(|place| state.objects[*place].waits());
        let (later, now): (Vec<_>, Vec<_>) =
            left.partition(|place| state.objects[*place].not_before > Instant::now());
        for objects in [later, now] {
            if let Some(not_before) = objects.iter().map(|place| state.objects[*place].not_before).max() {
                state.queue.push_back(Waiting { study, objects, not_before });
            }
        }
        if let Some(Err(error)) = state.journal.as_ref().map(Journal::sync) {
            state.over.get_or_insert(Failure::Journal(error));
        }
    }

    /// Draws the consequence; the objects that go back into the queue in one piece.
    fn broke(&self, state: &mut State, began: Instant, objects: Vec<usize>, broken: Broken) -> Vec<usize> {
        let Broken { failure, under_way } = broken;
        let objects: Vec<usize> = objects.into_iter().filter(|place| state.objects[*place].waits()).collect();
        let study = objects.first().or(under_way.first()).map(|place| self.study_of(*place));
        let mut blamed: Vec<usize> = Vec::new();
        match failure.consequence() {
            Consequence::GoOn => return objects,
            Consequence::End => {
                state.over.get_or_insert(failure);
                return objects;
            }
            Consequence::Divide if let [place] = objects[..] => {
                let reason = Reason { status: failure.status(), ..Reason::refused(failure.to_string()) };
                self.settle(state, place, reason);
                return Vec::new();
            }
            Consequence::Divide => blamed.clone_from(&objects),
            Consequence::Later(wait) => {
                for place in
                    under_way.into_iter().filter(|place| state.objects[*place].waits()).collect::<Vec<_>>()
                {
                    let reason = Reason { status: failure.status(), ..Reason::later(failure.to_string()) };
                    self.settle(state, place, reason);
                    blamed.push(place);
                }
                // Workers that fail together are one failure.
                if began >= state.paused_at {
                    state.streak = state.streak.saturating_add(1);
                    state.paused_at = Instant::now();
                    let pause = pause(state.streak).max(wait.unwrap_or_default());
                    state.paused_until = state.paused_at + pause;
                }
                tracing::warn!(error = %failure, "a transfer broke off; it is tried again");
                state.last_failure = Some(failure);
            }
        }
        let rest = objects.iter().copied().filter(|place| !blamed.contains(place)).collect();
        blamed.retain(|place| state.objects[*place].waits());
        if let (Some(study), false) = (study, blamed.is_empty()) {
            // In halves, so that one object that no request survives is found.
            for half in blamed.chunks(blamed.len().div_ceil(2)) {
                let last = half.iter().map(|place| state.objects[*place].not_before).max();
                let not_before = last.unwrap_or_else(Instant::now);
                state.queue.push_back(Waiting { study, objects: half.to_vec(), not_before });
            }
        }
        rest
    }

    fn study_of(&self, place: usize) -> usize {
        let uid = &self.found[place].study;
        self.studies.binary_search_by(|study| study.uid.cmp(uid)).unwrap_or_default()
    }

    /// An object was not stored: not now, or not at all.
    fn settle(&self, state: &mut State, place: usize, reason: Reason) {
        let object = &mut state.objects[place];
        object.attempts += 1;
        if reason.kind == Kind::Later && object.attempts < self.limits.attempts {
            object.not_before = Instant::now() + pause(object.attempts);
            object.fate = Fate::Waits(Some(reason));
        } else {
            object.fate = Fate::Failed(reason);
            self.bar.inc(self.found[place].bytes);
        }
    }

    fn note(state: &mut State, write: impl FnOnce(&mut Journal) -> Result<(), JournalError>) {
        if let Some(Err(error)) = state.journal.as_mut().map(write) {
            state.over.get_or_insert(Failure::Journal(error));
        }
    }
}

impl Object {
    fn waits(&self) -> bool {
        matches!(self.fate, Fate::Waits(_))
    }
}

impl<'a> Load<'a> {
    /// A file among all.
    pub fn file(&self, place: usize) -> &'a Found {
        &self.transfer.found[place]
    }

    /// The study.
    pub fn study(&self) -> &'a Study {
        &self.transfer.studies[self.study]
    }

    /// Whether the run ends early, so that no further object is begun.
    pub fn is_over(&self) -> bool {
        self.transfer.state().over.is_some()
    }

    /// The receiver answered, or the file cannot be sent.
    pub fn told(&self, place: usize, verdict: Verdict) {
        let mut state = self.transfer.state();
        match verdict {
            Verdict::Stored(status) => {
                let file = self.file(place);
                state.objects[place].fate = Fate::Stored;
                (state.streak, state.last_stored) = (0, Instant::now());
                Transfer::note(&mut state, |journal| journal.stored(file, &status));
                self.transfer.bar.inc(file.bytes);
            }
            Verdict::Not(reason) => self.transfer.settle(&mut state, place, reason),
        }
    }

    /// The files of the study, when all are stored and the receiver is to be told so.
    pub fn complete(&self) -> Option<Vec<&'a Found>> {
        let may_tell = self.transfer.may_tell(&self.transfer.state(), self.study);
        may_tell.then(|| self.study().objects.iter().map(|place| self.file(*place)).collect())
    }

    /// The receiver knows that the study is complete.
    pub fn told_complete(&self) {
        let study = self.study();
        let mut state = self.transfer.state();
        state.told[self.study] = true;
        Transfer::note(&mut state, |journal| journal.complete(study.uid.as_str(), study.objects.len()));
    }
}

/// How long to wait after so many failures: doubled with each, with chance in it, so that senders that failed together do not come back
/// together.
fn pause(failures: u32) -> Duration {
    let doubled =
        PAUSE_FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(PAUSE_MAX).mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for (failures, most) in [(1, 1), (2, 2), (3, 4), (7, 60), (40, 60), (u32::MAX, 60)] {
            let most = Duration::from_secs(most);
            for _ in 0..50 {
                let pause = pause(failures);
                assert!(pause <= most && pause >= most / 2, "{failures}: {pause:?}");
            }
        }
    }
}
