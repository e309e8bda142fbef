//! Writing into the outbox, inside the transaction of the change that the event follows from.

use domain::{
    Timestamp,
    event::Event,
    id::{CentreId, EventId},
    study::StudyKey,
    uid::StudyInstanceUid,
    work::Lane,
};
use sqlx::AnyConnection;

use crate::{error::Problem, sql::Sql};

/// An event to be published.
pub(crate) struct NewRow<'a> {
    pub(crate) centre: &'a CentreId,
    /// The study it is about: a change of the study's priority moves the row to another lane.
    pub(crate) study: Option<&'a StudyInstanceUid>,
    pub(crate) lane: Lane,
    pub(crate) event: Event,
    pub(crate) due: Timestamp,
}

impl<'a> NewRow<'a> {
    /// The row that leads to a decision on completeness, and then to a draft.
    pub(crate) fn study_stored(study: &'a StudyKey, lane: Lane, due: Timestamp) -> Self {
        let event = Event::StudyStoredV1 { centre: study.centre.to_string(), study: study.uid.to_string() };
        Self { centre: &study.centre, study: Some(&study.uid), lane, event, due }
    }
}

/// The statement that writes the one unpublished row of the event's subject: a new row, or the next revision of the one that waits.
pub(crate) fn row(row: &NewRow<'_>) -> Sql {
    Sql::new(
        "INSERT INTO outbox (centre, id, revision, subject, study, lane, event, due)
         VALUES ($1, $2, 1, $3, $4, $5, $6, $7)
         ON CONFLICT (subject) DO UPDATE SET revision = outbox.revision + 1, lane = excluded.lane, due = excluded.due",
    )
    .bind(row.centre)
    .bind(EventId::fresh())
    .bind(row.event.subject())
    .bind(row.study.map(StudyInstanceUid::as_str))
    .bind(row.lane)
    .bind(row.event.to_json())
    .bind(row.due)
}

/// Writes such a row.
pub(crate) async fn write(connection: &mut AnyConnection, new: NewRow<'_>) -> Result<(), Problem> {
    row(&new).execute(connection).await.map(drop)
}

/// Writes the row that leads to a decision on completeness, and then to a draft.
pub(crate) async fn study_stored(
    connection: &mut AnyConnection,
    study: &StudyKey,
    lane: Lane,
    due: Timestamp,
) -> Result<(), Problem> {
    write(connection, NewRow::study_stored(study, lane, due)).await
}

/// Moves everything that waits for a study to another lane.
pub(crate) async fn change_lane(
    connection: &mut AnyConnection,
    study: &StudyKey,
    lane: Lane,
) -> Result<(), Problem> {
    Sql::new(
        "UPDATE outbox SET lane = $3, revision = revision + 1 WHERE centre = $1 AND study = $2 AND lane <> $3",
    )
    .bind(&study.centre)
    .bind(&study.uid)
    .bind(lane)
    .execute(connection)
    .await?;
    Ok(())
}
