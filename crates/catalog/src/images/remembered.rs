//! The short way for arrivals. What was learnt of a study when its last images were made known serves for the next ones: the same
//! changes are written without asking first, in one go, and hold only if the study is still as it was remembered. When it is not, nothing
//! is written and the long way (`arrivals`) is taken, which asks.
//!
//! Only the plainest case goes this way: every image is new, its series is known, it names the study's patient, none came before the first
//! one that is known, and the report is not signed. What lists are sorted by then stays as it is and is not written: SQLite would write
//! each of their indexes anew.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{
    Duration, Timestamp,
    conflict::is_another_patient,
    image::{Arrival, ArrivalOutcome},
    study::{Study, StudyKey},
    uid::{SeriesInstanceUid, SopInstanceUid},
};

use super::{arrivals, row};
use crate::{
    SqlCatalog,
    error::Problem,
    scribe::Expected,
    sql::{Sql, json},
    wire::WireCompleteness,
};

/// Studies that are remembered; more than associations and requests that arrive at one time.
const STUDIES_MAX: usize = 256;
/// How long a study is remembered before the long way looks again: so long may a change of the centre's quiet period go unnoticed.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// What is remembered of studies whose images are arriving.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<HashMap<StudyKey, Memory>>);

/// A study as a transaction left it.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) study: Study,
    pub(crate) quiet: Duration,
    /// Series that have an image already.
    pub(crate) series: BTreeSet<SeriesInstanceUid>,
    /// When it was last read from the database.
    pub(crate) read_at: Timestamp,
}

/// What is written for one study, and what it leaves.
struct Step<'a> {
    before: Memory,
    after: Memory,
    images: Vec<&'a Arrival>,
}

impl Remembered {
    fn lock(&self) -> MutexGuard<'_, HashMap<StudyKey, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a committed transaction left. Series that were remembered before are known still.
    pub(crate) fn keep(&self, memories: impl IntoIterator<Item = Memory>) {
        let mut all = self.lock();
        for mut memory in memories {
            if let Some(known) = all.remove(&memory.study.key) {
                memory.series.extend(known.series);
            }
            if all.len() >= STUDIES_MAX {
                let oldest = all.values().min_by_key(|known| known.study.last_received);
                if let Some(oldest) = oldest.map(|known| known.study.key.clone()) {
                    all.remove(&oldest);
                }
            }
            all.insert(memory.study.key.clone(), memory);
        }
    }

    fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a StudyKey>) {
        let mut all = self.lock();
        for key in keys {
            all.remove(key);
        }
    }

    /// What would be written for these arrivals; `None` when one of them cannot go the short way.
    fn steps<'a>(&self, arrivals: &'a [Arrival], at: Timestamp) -> Option<Vec<Step<'a>>> {
        let mut by_study: BTreeMap<StudyKey, Vec<&Arrival>> = BTreeMap::new();
        let mut seen: BTreeSet<&SopInstanceUid> = BTreeSet::new();
        for arrival in arrivals {
            let instance = &arrival.instance;
            if !seen.insert(&instance.sop_instance) {
                return None;
            }
            let key = StudyKey { centre: instance.centre.clone(), uid: instance.study.clone() };
            by_study.entry(key).or_default().push(arrival);
        }
        let all = self.lock();
        let step = |(key, images): (StudyKey, Vec<&'a Arrival>)| {
            let before = all.get(&key)?;
            let fresh = before.read_at + REMEMBERED_FOR > at;
            let known = images.iter().all(|arrival| before.series.contains(&arrival.instance.series));
            let study = &before.study.attributes;
            let other = images.iter().any(|arrival| is_another_patient(study, &arrival.study));
            let mut after = before.clone();
            arrivals::count_images(&mut after.study, &images);
            after.study.completeness = after.study.completeness.image_came(at, before.quiet);
            let later = after.study.first_received == before.study.first_received;
            (fresh && known && !other && later).then(|| Step { before: before.clone(), after, images })
        };
        by_study.into_iter().map(step).collect()
    }
}

/// Makes arrivals known the short way; `None`, with nothing written, when that is not possible.
pub(crate) async fn record(
    catalog: &SqlCatalog,
    arrivals: &[Arrival],
    at: Timestamp,
) -> Result<Option<Vec<ArrivalOutcome>>, Problem> {
    let Some(steps) = catalog.remembered().steps(arrivals, at) else { return Ok(None) };
    let mut statements = Vec::new();
    for step in &steps {
        write(step, at, &mut statements);
    }
    match catalog.write_if_as_expected(statements).await {
        Ok(true) => {
            catalog.remembered().keep(steps.into_iter().map(|step| step.after));
            Ok(Some(vec![ArrivalOutcome::Stored; arrivals.len()]))
        }
        outcome => {
            catalog.remembered().forget(steps.iter().map(|step| &step.before.study.key));
            // What is not as remembered, the long way finds out and says; what failed, has failed.
            outcome
                .map(|_| None)
                .or_else(|problem| problem.is_of_the_statement().then_some(None).ok_or(problem))
        }
    }
}

/// Adds the statements for one study, the row of the study first, as the long way locks it.
fn write(step: &Step<'_>, at: Timestamp, statements: &mut Vec<Expected>) {
    let mut add = |statement, rows| statements.push(Expected { statement, rows });
    let Step { before, after, images } = step;
    let (key, before, study) = (&before.study.key, &before.study, &after.study);
    let update = Sql::new(
        "UPDATE study SET instance_count = $3, bytes = $4, generation = $5, last_received = $6, completeness = $7
         WHERE centre = $1 AND study = $2 AND generation = $8 AND instance_count = $9 AND completeness = $10
             AND priority = $11 AND signed_version = 0 AND NOT EXISTS (SELECT 1 FROM removal WHERE object IN ",
    );
    let mut update = update
        .bind(&key.centre)
        .bind(&key.uid)
        .bind(study.instance_count)
        .bind(study.bytes)
        .bind(study.generation)
        .bind(study.last_received)
        .bind(json(&WireCompleteness::new(&study.completeness)))
        .bind(before.generation)
        .bind(before.instance_count)
        .bind(json(&WireCompleteness::new(&before.completeness)))
        .bind(before.priority);
    // What a sweep removes is not made known (`upkeep`); the long way says so.
    update.list(images.iter().map(|arrival| arrival.instance.object.to_string())).push(")");
    add(update, 1);
    for chunk in images.chunks(arrivals::INSTANCES_PER_STATEMENT) {
        add(row::insert_instances(chunk.iter().map(|arrival| &arrival.instance)), chunk.len());
        if let Some((indexes, rows)) =
            row::insert_frame_indexes(chunk.iter().map(|arrival| &arrival.instance))
        {
            add(indexes, rows);
        }
    }
    let mut by_series: BTreeMap<&SeriesInstanceUid, u32> = BTreeMap::new();
    for arrival in images {
        *by_series.entry(&arrival.instance.series).or_default() += 1;
    }
    for (series, count) in by_series {
        let update = Sql::new(
            "UPDATE series SET instance_count = instance_count + $4
             WHERE centre = $1 AND study = $2 AND series = $3 AND instance_count > 0",
        );
        add(update.bind(&key.centre).bind(&key.uid).bind(series).bind(count), 1);
    }
    let tally = arrivals::Tally::stored(images.len());
    for statement in arrivals::follow_up(study, &images[0].source, &tally, at) {
        add(statement, 1);
    }
}
