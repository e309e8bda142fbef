//! Rows of studies, series and instances, as domain types.

use domain::{
    Timestamp,
    id::{OrderId, PersonId},
    image::{FrameIndex, Instance, InstanceAttributes, RequestAttributes, SeriesAttributes, StudyAttributes},
    object::ObjectRef,
    order::OrderMatch,
    reading::{Claim, Reading, ReadingState},
    study::{Series, Study, StudyKey},
    text::{AccessionNumber, CharacterSetRule, PatientId, PersonName},
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, TransferSyntaxUid},
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    database::Change,
    error::Problem,
    sql::{Columns, Sql, json},
    wire::{WireCompleteness, WireRequest, decimals, read_decimals},
};

/// A row of `study`: the study and its work item.
pub(crate) struct StudyRow {
    pub(crate) study: Study,
    pub(crate) reading: Reading,
}

impl StudyRow {
    /// Number of the latest signed version; 0 for none.
    pub(crate) fn signed_version(&self) -> u32 {
        match self.reading.state {
            ReadingState::Unread | ReadingState::Claimed(_) => 0,
            ReadingState::Signed { version, .. } => version,
        }
    }
}

/// Reads a study without locking it.
pub(crate) async fn load(
    connection: &mut AnyConnection,
    key: &StudyKey,
) -> Result<Option<StudyRow>, Problem> {
    let sql =
        Sql::new("SELECT * FROM study WHERE centre = $1 AND study = $2").bind(&key.centre).bind(&key.uid);
    sql.first(connection).await?.as_ref().map(read).transpose()
}

/// Reads a study that nobody else may change until the transaction ends.
pub(crate) async fn lock(change: &mut Change, key: &StudyKey) -> Result<Option<StudyRow>, Problem> {
    let mut sql =
        Sql::new("SELECT * FROM study WHERE centre = $1 AND study = $2").bind(&key.centre).bind(&key.uid);
    sql.push(change.dialect.for_update());
    sql.first(change).await?.as_ref().map(read).transpose()
}

const fn match_word(found: OrderMatch) -> &'static str {
    match found {
        OrderMatch::PatientAndDate => "patient_and_date",
        OrderMatch::AccessionNumber => "accession_number",
    }
}

fn read_match(word: &str) -> Option<OrderMatch> {
    [OrderMatch::PatientAndDate, OrderMatch::AccessionNumber]
        .into_iter()
        .find(|found| match_word(*found) == word)
}

/// Reads a row that has all columns of `study`.
pub(crate) fn read(row: &impl Columns) -> Result<StudyRow, Problem> {
    let key = StudyKey { centre: row.centre("centre")?, uid: row.study_uid("study")? };
    let order_id = row.parsed_maybe("order_id", |text| OrderId::parse(text).ok())?;
    let order_match = row.parsed_maybe("order_match", read_match)?;
    let study = Study {
        key: key.clone(),
        attributes: attributes_of(row)?,
        modalities: row.json("modalities")?,
        series_count: row.number("series_count")?,
        instance_count: row.number("instance_count")?,
        bytes: row.number("bytes")?,
        generation: row.number("generation")?,
        first_received: row.time("first_received")?,
        last_received: row.time("last_received")?,
        completeness: row
            .json::<WireCompleteness>("completeness")?
            .read()
            .ok_or(Problem::Unreadable { column: "completeness" })?,
        order: order_id.zip(order_match),
        priority: row.lane("priority")?,
        conflict_count: row.number("conflict_count")?,
    };
    Ok(StudyRow { study, reading: Reading { study: key, state: state_of(row)? } })
}

fn attributes_of(row: &impl Columns) -> Result<StudyAttributes, Problem> {
    let date = |column: &'static str| {
        row.parsed_maybe(
            column,
            |text| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) },
        )
        .map(Option::flatten)
    };
    Ok(StudyAttributes {
        patient_id: row.text_maybe("patient_id")?.as_deref().and_then(PatientId::new),
        patient_name: row.text_maybe("patient_name")?.as_deref().and_then(PersonName::new),
        patient_birth_date: date("patient_birth_date")?,
        patient_sex: row.text_maybe("patient_sex")?,
        study_date: date("study_date")?,
        study_time: Some(row.text("study_time")?).filter(|time| !time.is_empty()),
        accession_number: row.text_maybe("accession_number")?.as_deref().and_then(AccessionNumber::new),
        study_id: row.text_maybe("study_id")?,
        description: row.text_maybe("description")?,
        referring_physician: row.text_maybe("referring_physician")?.as_deref().and_then(PersonName::new),
        institution: row.text_maybe("institution")?,
        timezone_offset: row.text_maybe("timezone_offset")?,
    })
}

fn state_of(row: &impl Columns) -> Result<ReadingState, Problem> {
    let claim = match row.parsed_maybe("claim_by", |text| PersonId::parse(text).ok())? {
        None => None,
        Some(by) => Some(Claim { by, since: row.time("claim_since")?, until: row.time("claim_until")? }),
    };
    let version = row.number("signed_version")?;
    if version > 0 {
        let (at, generation) = (row.time("signed_at")?, row.number("signed_generation")?);
        return Ok(ReadingState::Signed { version, at, generation, addendum: claim });
    }
    Ok(claim.map_or(ReadingState::Unread, ReadingState::Claimed))
}

/// Keeps who holds a reading.
pub(crate) async fn write_claim(change: &mut Change, reading: &Reading) -> Result<(), Problem> {
    let claim = match &reading.state {
        ReadingState::Unread => None,
        ReadingState::Claimed(claim) => Some(claim),
        ReadingState::Signed { addendum, .. } => addendum.as_ref(),
    };
    Sql::new(
        "UPDATE study SET claim_by = $3, claim_since = $4, claim_until = $5 WHERE centre = $1 AND study = $2",
    )
    .bind(&reading.study.centre)
    .bind(&reading.study.uid)
    .bind(claim.map(|claim| claim.by))
    .bind(claim.map(|claim| claim.since))
    .bind(claim.map(|claim| claim.until))
    .execute(change)
    .await?;
    Ok(())
}

/// Lower-case text in which the worklist looks for what a person typed: the name as images and as people write it, ids.
fn search_text(attributes: &StudyAttributes) -> String {
    let name = attributes.patient_name.as_ref();
    let parts = [
        name.map(|name| name.as_str().to_owned()),
        name.map(PersonName::display),
        attributes.patient_id.as_ref().map(|id| id.as_str().to_owned()),
        attributes.accession_number.as_ref().map(|number| number.as_str().to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n").to_lowercase()
}

/// A name as it is compared: lower case, without empty components at its end.
pub(crate) fn comparable_name(name: &str) -> String {
    name.trim_end_matches('^').to_lowercase()
}

/// Writes a new study; `false` when there is one of that name.
pub(crate) async fn insert(change: &mut Change, study: &Study) -> Result<bool, Problem> {
    let attributes = &study.attributes;
    let lower = |name: &Option<PersonName>| name.as_ref().map(|name| comparable_name(name.as_str()));
    let inserted = Sql::new(
        "INSERT INTO study (centre, study, patient_id, patient_name, patient_name_lower, patient_birth_date,
             patient_sex, study_date, study_time, accession_number, study_id, description, referring_physician,
             referring_physician_lower, institution, timezone_offset, search, modalities, series_count,
             instance_count, bytes, generation, first_received, last_received, completeness, order_id, order_match,
             priority, conflict_count, signed_version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
             $22, $23, $24, $25, $26, $27, $28, $29, 0)
         ON CONFLICT (centre, study) DO NOTHING",
    )
    .bind(&study.key.centre)
    .bind(&study.key.uid)
    .bind(&attributes.patient_id)
    .bind(&attributes.patient_name)
    .bind(lower(&attributes.patient_name))
    .bind(attributes.patient_birth_date)
    .bind(&attributes.patient_sex)
    .bind(attributes.study_date.map(|date| date.to_string()).unwrap_or_default())
    .bind(attributes.study_time.as_deref().unwrap_or_default())
    .bind(&attributes.accession_number)
    .bind(&attributes.study_id)
    .bind(&attributes.description)
    .bind(&attributes.referring_physician)
    .bind(lower(&attributes.referring_physician))
    .bind(&attributes.institution)
    .bind(&attributes.timezone_offset)
    .bind(search_text(attributes))
    .bind(json(&study.modalities))
    .bind(study.series_count)
    .bind(study.instance_count)
    .bind(study.bytes)
    .bind(study.generation)
    .bind(study.first_received)
    .bind(study.last_received)
    .bind(json(&WireCompleteness::new(&study.completeness)))
    .bind(study.order.map(|(id, _)| id))
    .bind(study.order.map(|(_, found)| match_word(found)))
    .bind(study.priority)
    .bind(study.conflict_count)
    .execute(change)
    .await?;
    Ok(inserted == 1)
}

/// Keeps what arrivals changed; conflicts are counted where they are held.
pub(crate) async fn write_counts(change: &mut Change, study: &Study) -> Result<(), Problem> {
    Sql::new(
        "UPDATE study SET modalities = $3, series_count = $4, instance_count = $5, bytes = $6, generation = $7,
             first_received = $8, last_received = $9, completeness = $10
         WHERE centre = $1 AND study = $2",
    )
    .bind(&study.key.centre)
    .bind(&study.key.uid)
    .bind(json(&study.modalities))
    .bind(study.series_count)
    .bind(study.instance_count)
    .bind(study.bytes)
    .bind(study.generation)
    .bind(study.first_received)
    .bind(study.last_received)
    .bind(json(&WireCompleteness::new(&study.completeness)))
    .execute(change)
    .await?;
    Ok(())
}

/// Keeps what is believed about completeness.
pub(crate) async fn write_completeness(change: &mut Change, study: &Study) -> Result<(), Problem> {
    Sql::new("UPDATE study SET completeness = $3 WHERE centre = $1 AND study = $2")
        .bind(&study.key.centre)
        .bind(&study.key.uid)
        .bind(json(&WireCompleteness::new(&study.completeness)))
        .execute(change)
        .await?;
    Ok(())
}

/// Keeps which order a study answers, and with it how soon it must be read.
pub(crate) async fn write_order(change: &mut Change, study: &Study) -> Result<(), Problem> {
    Sql::new(
        "UPDATE study SET order_id = $3, order_match = $4, priority = $5 WHERE centre = $1 AND study = $2",
    )
    .bind(&study.key.centre)
    .bind(&study.key.uid)
    .bind(study.order.map(|(id, _)| id))
    .bind(study.order.map(|(_, found)| match_word(found)))
    .bind(study.priority)
    .execute(change)
    .await?;
    Ok(())
}

/// Writes what was performed and asked for in a series, if anything is known and nothing was before.
pub(crate) async fn insert_procedure(
    change: &mut Change,
    instance: &Instance,
    series: &SeriesAttributes,
) -> Result<(), Problem> {
    let SeriesAttributes { performed_start_date: date, performed_start_time: time, requests, .. } = series;
    if date.is_none() && time.is_none() && requests.is_empty() {
        return Ok(());
    }
    let requests: Vec<WireRequest> = requests.iter().map(WireRequest::new).collect();
    let sql = Sql::new(
        "INSERT INTO series_procedure (centre, study, series, performed_date, performed_time, requests)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (centre, study, series) DO NOTHING",
    );
    let sql = sql.bind(&instance.centre).bind(&instance.study).bind(&instance.series);
    sql.bind(*date).bind(time).bind(json(&requests)).execute(change).await.map(drop)
}

fn read_requests(text: &str) -> Option<Vec<RequestAttributes>> {
    let requests: Vec<WireRequest> = serde_json::from_str(text).ok()?;
    Some(requests.into_iter().map(WireRequest::read).collect())
}

/// Reads a row of `series` with that of `series_procedure`.
pub(crate) fn read_series(row: &AnyRow) -> Result<Series, Problem> {
    Ok(Series {
        study: StudyKey { centre: row.centre("centre")?, uid: row.study_uid("study")? },
        uid: row.parsed("series", |text| SeriesInstanceUid::parse(text).ok())?,
        attributes: SeriesAttributes {
            modality: row.text_maybe("modality")?,
            number: row.int_maybe("number")?,
            description: row.text_maybe("description")?,
            body_part: row.text_maybe("body_part")?,
            protocol_name: row.text_maybe("protocol_name")?,
            performed_start_date: row.parsed_maybe("performed_date", |text| text.parse().ok())?,
            performed_start_time: row.text_maybe("performed_time")?,
            requests: row.parsed_maybe("requests", read_requests)?.unwrap_or_default(),
            device: row.text_maybe("device")?,
            character_set: row.parsed_maybe("character_set", CharacterSetRule::parse)?,
        },
        instance_count: row.number("instance_count")?,
    })
}

/// Columns of `instance`, in the order of [`instance_values`].
pub(crate) const INSTANCE_COLUMNS: &str = "centre, sop_instance, study, series, sop_class, transfer_syntax, object, \
     bytes, file_sha256, data_set_sha256, number, pixel_rows, pixel_columns, bits_allocated, frames, position_mm, \
     orientation, header_bytes, received";

/// Writes instances that are not known yet.
pub(crate) fn insert_instances<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Sql {
    let mut sql = Sql::new("INSERT INTO instance (");
    sql.push(INSTANCE_COLUMNS).push(") VALUES ");
    for (n, instance) in instances.into_iter().enumerate() {
        if n > 0 {
            sql.push(", ");
        }
        instance_values(&mut sql, instance, instance.received);
    }
    sql.push(" ON CONFLICT (centre, sop_instance) DO NOTHING");
    sql
}

/// Writes where the frames of some instances are, which may have been of another content; of none when none says it.
pub(crate) fn insert_frame_indexes<'a>(
    instances: impl IntoIterator<Item = &'a Instance>,
) -> Option<(Sql, usize)> {
    let mut sql = Sql::new("INSERT INTO instance_frames (centre, sop_instance, file_sha256, layout) VALUES ");
    let mut rows = 0;
    for instance in instances {
        let Some(FrameIndex(layout)) = &instance.attributes.frame_index else { continue };
        sql.push(if rows == 0 { "(" } else { ", (" }).value(&instance.centre);
        sql.push(", ").value(&instance.sop_instance);
        sql.push(", ").value(instance.file_sha256);
        sql.push(", ").value(layout.to_vec()).push(")");
        rows += 1;
    }
    sql.push(
        " ON CONFLICT (centre, sop_instance) DO UPDATE SET file_sha256 = excluded.file_sha256, layout = excluded.layout",
    );
    (rows > 0).then_some((sql, rows))
}

/// Goes on with the values of an instance, in parentheses.
pub(crate) fn instance_values(sql: &mut Sql, instance: &Instance, received: Timestamp) {
    let attributes = &instance.attributes;
    sql.push("(").value(&instance.centre);
    sql.push(", ").value(&instance.sop_instance);
    sql.push(", ").value(&instance.study);
    sql.push(", ").value(&instance.series);
    sql.push(", ").value(&instance.sop_class);
    sql.push(", ").value(&instance.transfer_syntax);
    sql.push(", ").value(instance.object.to_string());
    sql.push(", ").value(instance.bytes);
    sql.push(", ").value(instance.file_sha256);
    // `data_set_sha256`, from when it was another digest: `docs/decisions/0010-packs.md`.
    sql.push(", ").value(instance.file_sha256);
    sql.push(", ").value(attributes.number);
    sql.push(", ").value(attributes.rows);
    sql.push(", ").value(attributes.columns);
    sql.push(", ").value(attributes.bits_allocated.map(u32::from));
    sql.push(", ").value(attributes.frames);
    sql.push(", ").value(attributes.position.map(|axes| decimals(&axes)));
    sql.push(", ").value(attributes.orientation.map(|cosines| decimals(&cosines)));
    sql.push(", ").value(attributes.header_bytes);
    sql.push(", ").value(received).push(")");
}

/// Reads a row of `instance`.
pub(crate) fn read_instance(row: &impl Columns) -> Result<Instance, Problem> {
    Ok(Instance {
        centre: row.centre("centre")?,
        study: row.study_uid("study")?,
        series: row.parsed("series", |text| SeriesInstanceUid::parse(text).ok())?,
        sop_instance: row.parsed("sop_instance", |text| SopInstanceUid::parse(text).ok())?,
        sop_class: row.parsed("sop_class", |text| SopClassUid::parse(text).ok())?,
        transfer_syntax: row.parsed("transfer_syntax", |text| TransferSyntaxUid::parse(text).ok())?,
        object: row.parsed("object", ObjectRef::parse)?,
        bytes: row.number("bytes")?,
        file_sha256: row.digest("file_sha256")?,
        attributes: InstanceAttributes {
            number: row.int_maybe("number")?,
            rows: row.number_maybe("pixel_rows")?,
            columns: row.number_maybe("pixel_columns")?,
            bits_allocated: row.number_maybe("bits_allocated")?,
            frames: row.number_maybe("frames")?,
            position: row.parsed_maybe("position_mm", read_decimals)?,
            orientation: row.parsed_maybe("orientation", read_decimals)?,
            header_bytes: row.number("header_bytes")?,
            frame_index: None,
        },
        received: row.time("received")?,
    })
}

/// Reads a row of `instance` with the `layout` of `instance_frames`.
pub(crate) fn read_instance_with_frames(row: &impl Columns) -> Result<Instance, Problem> {
    let mut instance = read_instance(row)?;
    instance.attributes.frame_index = row.bytes_maybe("layout")?.map(|layout| FrameIndex(layout.into()));
    Ok(instance)
}
