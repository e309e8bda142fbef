//! Making arrivals known: the hot path. A batch costs a fixed number of statements per study and one more per
//! [`INSTANCES_PER_STATEMENT`] instances; nothing is ever counted over stored instances.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{
    Duration, Timestamp,
    audit::{Action, Actor},
    digest::Sha256Digest,
    id::CentreId,
    image::{Arrival, ArrivalOutcome, Source},
    object::ObjectRef,
    order::StudyClues,
    study::{Belief, Completeness, Study, StudyKey},
    task::{NewTask, TaskKind},
    uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
    work::Lane,
};

use super::{remembered::Memory, row};
use crate::{
    conflicts,
    database::Change,
    error::Problem,
    orders,
    outbox::{self, NewRow},
    sql::{Columns as _, Sql, kept},
    taken_out,
    trail::{self, Line, open_task},
    upkeep,
};

/// Rows of one INSERT: 50 instances have 950 values, far below every limit, and more rows gain little.
pub(crate) const INSTANCES_PER_STATEMENT: usize = 50;

/// What is known of an instance that was there before.
struct Current {
    study: StudyInstanceUid,
    sha256: Sha256Digest,
    object: ObjectRef,
}

/// How many arrivals of a study became what.
#[derive(Default)]
pub(crate) struct Tally {
    stored: u32,
    already: u32,
    held: u32,
}

impl Tally {
    pub(crate) fn stored(images: usize) -> Self {
        Self { stored: u32::try_from(images).unwrap_or(u32::MAX), ..Self::default() }
    }
}

/// What became of a batch.
#[derive(Default)]
pub(crate) struct Recorded {
    /// Of each arrival, in their order.
    pub(crate) outcomes: Vec<ArrivalOutcome>,
    /// Studies as they are now, to be remembered once this is committed.
    pub(crate) memories: Vec<Memory>,
}

/// Makes arrivals known. Studies are taken in the order of their names, so that two batches never wait for each other in a circle.
pub(crate) async fn record(
    change: &mut Change,
    arrivals: &[Arrival],
    at: Timestamp,
) -> Result<Recorded, Problem> {
    let mut studies: BTreeMap<StudyKey, Vec<usize>> = BTreeMap::new();
    for (place, arrival) in arrivals.iter().enumerate() {
        let instance = &arrival.instance;
        let key = StudyKey { centre: instance.centre.clone(), uid: instance.study.clone() };
        studies.entry(key).or_default().push(place);
    }
    let mut quiet_periods: HashMap<CentreId, Duration> = HashMap::new();
    let mut outcomes = vec![ArrivalOutcome::Stored; arrivals.len()];
    let objects = arrivals.iter().map(|arrival| arrival.instance.object.to_string());
    let removed = upkeep::take_removed(change, objects).await?;
    if !removed.is_empty() {
        for (arrival, outcome) in arrivals.iter().zip(&mut outcomes) {
            if removed.contains(&arrival.instance.object.to_string()) {
                *outcome = ArrivalOutcome::Swept;
            }
        }
        for places in studies.values_mut() {
            places.retain(|place| outcomes[*place] != ArrivalOutcome::Swept);
        }
        studies.retain(|_, places| !places.is_empty());
    }
    let mut recorded = Recorded { outcomes, memories: Vec::new() };
    for (key, places) in studies {
        let quiet = match quiet_periods.get(&key.centre) {
            Some(quiet) => *quiet,
            None => {
                let quiet = quiet_period(change, &key.centre).await?;
                quiet_periods.insert(key.centre.clone(), quiet);
                quiet
            }
        };
        let of_study: Vec<&Arrival> = places.iter().map(|place| &arrivals[*place]).collect();
        let (became, memory) = record_study(change, &key, &of_study, quiet, at).await?;
        for (place, outcome) in places.into_iter().zip(became) {
            recorded.outcomes[place] = outcome;
        }
        recorded.memories.extend(memory);
    }
    Ok(recorded)
}

/// How long a study of a centre must be quiet.
pub(crate) async fn quiet_period(change: &mut Change, centre: &CentreId) -> Result<Duration, Problem> {
    let row = Sql::new("SELECT quiet_period FROM centre WHERE id = $1").bind(centre).first(change).await?;
    row.ok_or(Problem::Missing("centre"))?.duration("quiet_period")
}

/// Records the arrivals of one study, in their order.
async fn record_study(
    change: &mut Change,
    key: &StudyKey,
    arrivals: &[&Arrival],
    quiet: Duration,
    at: Timestamp,
) -> Result<(Vec<ArrivalOutcome>, Option<Memory>), Problem> {
    let (mut row, is_new) = match row::lock(change, key).await? {
        Some(row) => (row, false),
        None if taken_out::refuse(change, key, arrivals, at).await? => {
            return Ok((vec![ArrivalOutcome::TakenOut; arrivals.len()], None));
        }
        None => make_study(change, key, arrivals[0], quiet, at).await?,
    };
    let fresh = insert_instances(change, arrivals).await?;
    let current = current_contents(change, &key.centre, arrivals, &fresh).await?;
    let mut tally = Tally::default();
    let mut outcomes = Vec::with_capacity(arrivals.len());
    let mut memory = None;
    for (place, arrival) in arrivals.iter().enumerate() {
        if fresh.contains(&place) {
            outcomes.push(ArrivalOutcome::Stored);
            continue;
        }
        let known = current.get(&arrival.instance.sop_instance).ok_or(Problem::Missing("instance"))?;
        if known.sha256 == arrival.instance.file_sha256 && known.study == key.uid {
            tally.already += 1;
            outcomes.push(ArrivalOutcome::AlreadyStored { object: known.object.clone() });
        } else {
            tally.held += 1;
            let object = conflicts::hold(change, arrival, &known.study, known.sha256, at).await?;
            outcomes.push(ArrivalOutcome::Conflict { object });
        }
    }
    let mut stored: Vec<&Arrival> = fresh.iter().map(|place| arrivals[*place]).collect();
    set_aside(change, &row.study, &mut stored, at).await?;
    tally.stored = u32::try_from(stored.len()).unwrap_or(u32::MAX);
    if !stored.is_empty() {
        count(change, &mut row.study, &stored).await?;
        row.study.completeness = if is_new {
            Completeness::arriving(at, quiet)
        } else {
            row.study.completeness.clone().image_came(at, quiet)
        };
        row::write_counts(change, &row.study).await?;
        for statement in follow_up(&row.study, &stored[0].source, &tally, at) {
            statement.execute(change).await?;
        }
        if row.signed_version() > 0 {
            images_after_signature(change, key, at).await?;
        } else {
            let series = stored.iter().map(|arrival| arrival.instance.series.clone()).collect();
            memory = Some(Memory { study: row.study, quiet, series, read_at: at });
        }
    } else if is_new {
        // Every image of it is held as a conflict of another study: nothing to show under this name.
        forget(change, &row.study).await?;
    }
    Ok((outcomes, memory))
}

/// Takes those images away that name a patient of whom people said that they are not this study's.
async fn set_aside(
    change: &mut Change,
    study: &Study,
    stored: &mut Vec<&Arrival>,
    at: Timestamp,
) -> Result<(), Problem> {
    let aside = conflicts::note_patients(change, study, stored, at).await?;
    for arrival in stored.iter().filter(|arrival| aside.contains(&arrival.instance.sop_instance)) {
        add_series(change, arrival).await?;
    }
    stored.retain(|arrival| !aside.contains(&arrival.instance.sop_instance));
    Ok(())
}

/// The study's row, locked; made from its first arrival when there is none, with the order that it answers.
pub(crate) async fn study_for(
    change: &mut Change,
    key: &StudyKey,
    first: &Arrival,
    quiet: Duration,
    at: Timestamp,
) -> Result<(row::StudyRow, bool), Problem> {
    match row::lock(change, key).await? {
        Some(row) => Ok((row, false)),
        None => make_study(change, key, first, quiet, at).await,
    }
}

/// Makes a study that was not there a moment ago, unless somebody else did so meanwhile; locked, and whether it is new.
async fn make_study(
    change: &mut Change,
    key: &StudyKey,
    first: &Arrival,
    quiet: Duration,
    at: Timestamp,
) -> Result<(row::StudyRow, bool), Problem> {
    orders::lock_centre(change, &key.centre).await?;
    let clues = StudyClues::of(&first.study, first.instance.received);
    let order = orders::choose_for(change, &key.centre, &clues).await?;
    let study = Study {
        key: key.clone(),
        attributes: first.study.clone(),
        modalities: Vec::new(),
        series_count: 0,
        instance_count: 0,
        bytes: 0,
        generation: 0,
        first_received: kept(first.instance.received),
        last_received: kept(first.instance.received),
        completeness: Completeness::arriving(at, quiet),
        order: order.as_ref().map(|(order, found)| (order.id, *found)),
        priority: order.as_ref().map_or(Lane::Routine, |(order, _)| order.request.priority),
        conflict_count: 0,
    };
    let is_new = row::insert(change, &study).await?;
    if let Some((order, _)) = order.filter(|_| is_new) {
        orders::link(change, &order, Some(&key.uid)).await?;
    }
    let row =
        row::lock(change, key).await?.ok_or_else(|| Problem::lost("the study was removed meanwhile"))?;
    Ok((row, is_new))
}

/// Removes a study that was made a moment ago in this transaction and got no image.
async fn forget(change: &mut Change, study: &Study) -> Result<(), Problem> {
    if let Some((order, _)) = study.order {
        orders::unlink(change, &study.key.centre, order).await?;
    }
    Sql::new("DELETE FROM study WHERE centre = $1 AND study = $2")
        .bind(&study.key.centre)
        .bind(&study.key.uid)
        .execute(change)
        .await?;
    Ok(())
}

/// Writes the instances that are new and gives their places, in order. Of two of one batch the first one is written.
async fn insert_instances(change: &mut Change, arrivals: &[&Arrival]) -> Result<BTreeSet<usize>, Problem> {
    let mut firsts: HashMap<&SopInstanceUid, usize> = HashMap::new();
    for (place, arrival) in arrivals.iter().enumerate() {
        firsts.entry(&arrival.instance.sop_instance).or_insert(place);
    }
    let mut places: Vec<usize> = firsts.values().copied().collect();
    places.sort_unstable();
    let mut fresh = BTreeSet::new();
    for chunk in places.chunks(INSTANCES_PER_STATEMENT) {
        let mut sql = row::insert_instances(chunk.iter().map(|place| &arrivals[*place].instance));
        sql.push(" RETURNING sop_instance");
        for row in sql.all(change).await? {
            let uid = row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?;
            fresh.extend(firsts.get(&uid));
        }
        let stored = chunk.iter().copied().filter(|place| fresh.contains(place));
        let stored = stored.map(|place| &arrivals[place].instance);
        if let Some((indexes, _)) = row::insert_frame_indexes(stored) {
            indexes.execute(change).await?;
        }
    }
    Ok(fresh)
}

/// What is known of the instances that were not new.
async fn current_contents(
    change: &mut Change,
    centre: &CentreId,
    arrivals: &[&Arrival],
    fresh: &BTreeSet<usize>,
) -> Result<HashMap<SopInstanceUid, Current>, Problem> {
    let known: HashSet<&SopInstanceUid> = (0..arrivals.len())
        .filter(|place| !fresh.contains(place))
        .map(|place| &arrivals[place].instance.sop_instance)
        .collect();
    let known: Vec<&SopInstanceUid> = known.into_iter().collect();
    let mut contents = HashMap::new();
    for chunk in known.chunks(INSTANCES_PER_STATEMENT) {
        let mut sql =
            Sql::new("SELECT sop_instance, study, file_sha256, object FROM instance WHERE centre = ");
        sql.value(centre).push(" AND sop_instance IN ").list(chunk.iter().copied());
        for row in sql.all(change).await? {
            let uid = row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?;
            let current = Current {
                study: row.study_uid("study")?,
                sha256: row.digest("file_sha256")?,
                object: row.parsed("object", ObjectRef::parse)?,
            };
            contents.insert(uid, current);
        }
    }
    Ok(contents)
}

/// Adds what was stored to the rows of its series and to the study in memory.
async fn count(change: &mut Change, study: &mut Study, stored: &[&Arrival]) -> Result<(), Problem> {
    let mut by_series: BTreeMap<&SeriesInstanceUid, (&Arrival, u32)> = BTreeMap::new();
    count_images(study, stored);
    for arrival in stored {
        by_series.entry(&arrival.instance.series).or_insert((arrival, 0)).1 += 1;
    }
    for (first, added) in by_series.into_values() {
        let row = series_row(first, added).first(change).await?.ok_or(Problem::Missing("series"))?;
        if row.number::<u32>("instance_count")? == added {
            row::insert_procedure(change, &first.instance, &first.series).await?;
            study.series_count = study.series_count.saturating_add(1);
            add_modality(&mut study.modalities, first.series.modality.as_deref());
        }
    }
    Ok(())
}

/// The statement that adds images to a series, which may be new. A series without images is as if it were not there.
fn series_row(first: &Arrival, added: u32) -> Sql {
    let (instance, attributes) = (&first.instance, &first.series);
    Sql::new(
        "INSERT INTO series (centre, study, series, modality, number, description, body_part, protocol_name,
             device, instance_count, character_set)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (centre, study, series)
             DO UPDATE SET instance_count = series.instance_count + excluded.instance_count
         RETURNING instance_count",
    )
    .bind(&instance.centre)
    .bind(&instance.study)
    .bind(&instance.series)
    .bind(&attributes.modality)
    .bind(attributes.number)
    .bind(&attributes.description)
    .bind(&attributes.body_part)
    .bind(&attributes.protocol_name)
    .bind(&attributes.device)
    .bind(added)
    .bind(attributes.character_set.as_ref().map(ToString::to_string))
}

/// Makes sure that the series of an image is there, without counting it.
pub(crate) async fn add_series(change: &mut Change, image: &Arrival) -> Result<(), Problem> {
    series_row(image, 0).execute(change).await?;
    row::insert_procedure(change, &image.instance, &image.series).await
}

/// Adds images to a study in memory.
pub(crate) fn count_images(study: &mut Study, images: &[&Arrival]) {
    for arrival in images {
        let received = kept(arrival.instance.received);
        study.first_received = study.first_received.min(received);
        study.last_received = study.last_received.max(received);
        study.bytes = study.bytes.saturating_add(arrival.instance.bytes);
        study.instance_count = study.instance_count.saturating_add(1);
        study.generation += 1;
    }
}

fn add_modality(modalities: &mut Vec<String>, modality: Option<&str>) {
    let Some(modality) = modality.filter(|modality| !modality.is_empty()) else { return };
    if let Err(place) = modalities.binary_search_by(|known| known.as_str().cmp(modality)) {
        modalities.insert(place, modality.to_owned());
    }
}

/// What is written whenever images are new: the line of the audit, and the outbox row. Each changes one row.
pub(crate) fn follow_up(study: &Study, source: &Source, tally: &Tally, at: Timestamp) -> [Sql; 2] {
    let actor = match source {
        Source::Association(ae) => Actor::Peer(ae.clone()),
        Source::Web => Actor::Role("intake"),
        Source::Rebuild => Actor::Operator,
    };
    let Tally { stored, already, held } = tally;
    let detail = format!("{stored} stored, {already} known already, {held} held as conflicts");
    let due = match study.completeness.belief {
        Belief::Arriving { decide_at } => decide_at,
        Belief::Complete { .. } | Belief::Short { .. } => at,
    };
    [
        trail::line(&Line::of_study(&actor, Action::ImagesStored, &study.key, &detail, at)),
        outbox::row(&NewRow::study_stored(&study.key, study.priority, due)),
    ]
}

/// Opens a task: the report is signed already.
async fn images_after_signature(change: &mut Change, key: &StudyKey, at: Timestamp) -> Result<(), Problem> {
    let task = NewTask {
        centre: key.centre.clone(),
        study: Some(key.uid.clone()),
        kind: TaskKind::ImagesAfterSignature,
        subject: key.uid.to_string(),
        reason: "Images came after the report was signed.".to_owned(),
        next_step: "Look at the new images and sign an addendum if they change the report.".to_owned(),
    };
    open_task(change, &task, at).await?;
    Ok(())
}
