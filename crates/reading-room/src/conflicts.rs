//! `/api/v1/conflicts`: what arrived and cannot simply stand beside what is known, side by side, and what people decide.
//!
//! Whoever sees a centre's studies may look. A centre's own people and administrators decide: they can ask the sender, and answer for the
//! images.

#![allow(unused_qualifications, reason = "utoipa::path writes full paths for query types")]

mod compare;
mod names;

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use domain::{
    conflict::{Choice, Conflict, ConflictId, Contents, Matter, OtherPatient, Patient, REASON_CHARS_MAX},
    digest::Sha256Digest,
    id::CentreId,
    image::{Instance, Source},
    person::Role,
    port::{
        ChangeError,
        catalog::{ConflictFilter, Ruling, RulingRefusal},
    },
    study::{Study, StudyKey},
    text::{PatientId, PersonName},
    uid::StudyInstanceUid,
};
use gate::{ErrorBody, JsonBody, PathPart, Problem, QueryPart, SignedInPerson};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::compare::{PixelsView, RowView, SideView};
use crate::{bound::tagged, people::Names, room::Room};

/// Most conflicts of one list.
const CONFLICTS_MAX: u32 = 200;

/// Which conflicts.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct ConflictsQuery {
    /// Those that are decided, instead of those that wait.
    #[serde(default)]
    decided: bool,
    /// Only of this centre, with `study`.
    centre: Option<String>,
    /// Only those that touch this study.
    study: Option<String>,
}

/// Conflicts: open ones, the latest found first, or decided ones, the latest decided first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConflictsView {
    conflicts: Vec<ConflictView>,
    /// There are more; they come up as these are decided.
    more: bool,
}

/// A conflict, as a list shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConflictView {
    centre: String,
    centre_name: String,
    id: String,
    /// `contents`: two contents under one SOP Instance UID; `patient`: images in one study that name another patient.
    kind: &'static str,
    /// What tells both apart: `other_study`, `other_patient`, `other_transfer_syntax`, `other_bytes`.
    differs: Vec<&'static str>,
    /// The study in which people look for it.
    study: Option<StudyHeadView>,
    study_uid: String,
    /// The study that the second content names, when it is another one.
    other_study_uid: Option<String>,
    object: Option<ObjectView>,
    /// Whom the second one names.
    other_patient: Option<PersonView>,
    /// How many images name the other patient.
    images: Option<u32>,
    opened: String,
    /// Which way it came: an AE title, or a word.
    source: Option<String>,
    seen_count: u32,
    last_seen: String,
    revision: u64,
    current_sha256: Option<String>,
    decision: Option<DecisionView>,
    may_decide: bool,
}

/// A study, as the worklist shows it.
#[derive(Debug, Serialize, ToSchema)]
struct StudyHeadView {
    patient: PersonView,
    accession_number: Option<String>,
    description: Option<String>,
    study_date: Option<String>,
    signed: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConflictPersonView)]
struct PersonView {
    name: Option<String>,
    id: Option<String>,
    birth_date: Option<String>,
}

/// An object, as a person names it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConflictObjectView)]
struct ObjectView {
    sop_instance_uid: String,
    kind: String,
    series_number: Option<i64>,
    instance_number: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct DecisionView {
    /// `keep_first`, `use_second`, `same_patient` or `other_patient`.
    choice: &'static str,
    by_name: Option<String>,
    at: String,
    reason: String,
}

/// A conflict with both objects side by side.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparedView {
    conflict: ConflictView,
    first: Option<SideView>,
    second: Option<SideView>,
    /// What both headers say.
    rows: Vec<RowView>,
    pixels: PixelsView,
    /// The decision can be taken back: what it set aside is still kept, and nothing was decided on top of it.
    can_undo: bool,
    /// Why not, in a sentence.
    cannot_undo_because: Option<&'static str>,
}

/// What to do about a conflict, and what was seen when that was wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulingInput {
    /// `keep_first`, `use_second`, `same_patient`, `other_patient`, or `undo`.
    choice: String,
    /// Why; at most 2000 characters.
    reason: String,
    revision: u64,
    current_sha256: Option<String>,
}

/// What cannot simply stand beside what is known.
#[utoipa::path(get, path = "/api/v1/conflicts", tag = "conflicts", params(ConflictsQuery), responses(
    (status = 200, body = ConflictsView), (status = 304), (status = 401, body = ErrorBody)))]
pub(crate) async fn conflicts(
    State(room): State<Room>,
    person: SignedInPerson,
    headers: HeaderMap,
    QueryPart(query): QueryPart<ConflictsQuery>,
) -> Result<Response, Problem> {
    room.note_list_viewed(&person, "conflicts").await?;
    let study = match (&query.centre, &query.study) {
        (Some(centre), Some(study)) => Some(room.study(&person, centre, study).await?.key),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Problem::bad_request("centre and study are given together."));
        }
    };
    let limit = CONFLICTS_MAX + 1;
    let filter = ConflictFilter { scope: person.scope().clone(), study, decided: query.decided, limit };
    let mut found = room.catalog.conflicts(&filter).await?;
    let more = found.len() > CONFLICTS_MAX as usize;
    found.truncate(CONFLICTS_MAX as usize);
    let mut words = Words::new(&room, &person);
    let mut conflicts = Vec::with_capacity(found.len());
    for conflict in &found {
        conflicts.push(words.of(conflict).await?);
    }
    let view = ConflictsView { conflicts, more };
    tagged(&headers, &view, &view)
}

/// One conflict, both objects side by side.
#[utoipa::path(get, path = "/api/v1/conflicts/{centre}/{id}", tag = "conflicts",
    params(("centre" = String, Path), ("id" = String, Path)), responses(
    (status = 200, body = ComparedView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn conflict(
    State(room): State<Room>,
    person: SignedInPerson,
    PathPart((centre, id)): PathPart<(String, String)>,
) -> Result<Json<ComparedView>, Problem> {
    let conflict = room.conflict(&person, &centre, &id).await?;
    let key = StudyKey { centre: conflict.centre.clone(), uid: conflict.study().clone() };
    room.note_study_viewed(&person, &key).await?;
    let view = Words::new(&room, &person).of(&conflict).await?;
    let is_admin = person.person.role == Role::Admin;
    Ok(Json(compare::compare(&room, &conflict, view, is_admin).await?))
}

/// Decides a conflict, or takes a decision back.
#[utoipa::path(post, path = "/api/v1/conflicts/{centre}/{id}/decision", tag = "conflicts", request_body = RulingInput,
    params(("centre" = String, Path), ("id" = String, Path)), responses(
    (status = 200, body = ConflictView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(crate) async fn decide(
    State(room): State<Room>,
    person: SignedInPerson,
    PathPart((centre, id)): PathPart<(String, String)>,
    JsonBody(input): JsonBody<RulingInput>,
) -> Result<Json<ConflictView>, Problem> {
    let conflict = room.conflict(&person, &centre, &id).await?;
    person.require_role(&[Role::Admin, Role::Centre])?;
    let ruling = input.ruling(&conflict, &person)?;
    if let Some(returning) = returning(&conflict, ruling.choice)
        && room.storage.size(&returning.object).await? != Some(returning.bytes)
    {
        return Err(gone());
    }
    let decided = room.catalog.decide_conflict(&ruling, room.clock.now()).await;
    let conflict = decided.map_err(|error| match error {
        ChangeError::Refused(refusal) => refused(refusal),
        ChangeError::Catalog(error) => error.into(),
    })?;
    Ok(Json(Words::new(&room, &person).of(&conflict).await?))
}

impl RulingInput {
    fn ruling(self, conflict: &Conflict, person: &SignedInPerson) -> Result<Ruling, Problem> {
        let unfit = |code, message| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
        let choice = match self.choice.as_str() {
            "undo" => None,
            word => Some(Choice::parse(word).ok_or_else(|| refused(RulingRefusal::Unfit))?),
        };
        let reason = self.reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(unfit("reason", "Say in a sentence or two why."));
        }
        let current_sha256 = match self.current_sha256.as_deref().map(Sha256Digest::parse) {
            Some(None) => return Err(unfit("digest", "current_sha256 is no digest.")),
            Some(Some(digest)) => Some(digest),
            None => None,
        };
        Ok(Ruling {
            centre: conflict.centre.clone(),
            id: conflict.id.clone(),
            choice,
            by: person.person.id,
            reason: reason.to_owned(),
            revision: self.revision,
            current_sha256,
        })
    }
}

/// The content that a decision would show, which must still be there.
fn returning(conflict: &Conflict, choice: Option<Choice>) -> Option<&Instance> {
    let Matter::Contents(contents) = &conflict.matter else { return None };
    match (choice, conflict.decision.as_ref().map(|decision| decision.choice)) {
        (Some(Choice::UseSecond), _) => Some(&contents.second),
        (None, Some(Choice::UseSecond)) => Some(&contents.first),
        (Some(_) | None, _) => None,
    }
}

fn gone() -> Problem {
    Problem::new(StatusCode::CONFLICT, "gone", "The bytes that this would show are not kept any more.")
        .next_step("Ask the centre to send the image again.")
}

fn refused(refusal: RulingRefusal) -> Problem {
    let conflict = |code, message| Problem::new(StatusCode::CONFLICT, code, message);
    match refusal {
        RulingRefusal::Unknown => Problem::unknown(),
        RulingRefusal::Changed => conflict("changed", "This conflict has changed since you opened it.")
            .next_step("Look at it again; somebody may have decided it."),
        RulingRefusal::Superseded => {
            conflict("superseded", "Another content of this image has been chosen since then.")
                .next_step("Take that decision back first.")
        }
        RulingRefusal::SendAgain => conflict(
            "send_again",
            "The second image was held by an older version, which did not keep enough of it to show it.",
        )
        .next_step("Ask the centre to send it once more, then decide."),
        RulingRefusal::Unfit => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "choice",
            "This conflict cannot be decided like that.",
        ),
    }
}

impl Room {
    /// The conflict that a path names, if this person may see it. Everything else is answered alike.
    async fn conflict(&self, person: &SignedInPerson, centre: &str, id: &str) -> Result<Conflict, Problem> {
        let centre = CentreId::parse(centre).map_err(|_| Problem::unknown())?;
        let id = ConflictId::parse(id).ok_or_else(Problem::unknown)?;
        person.require_centre(&centre)?;
        self.catalog.conflict(&centre, &id).await?.ok_or_else(Problem::unknown)
    }
}

/// Puts conflicts into words; asks for each centre, study and person once.
struct Words<'a> {
    room: &'a Room,
    may_decide: bool,
    names: Names<'a>,
    centres: HashMap<CentreId, String>,
    studies: HashMap<StudyKey, Option<(Study, bool)>>,
    series: HashMap<StudyKey, Vec<domain::study::Series>>,
}

impl<'a> Words<'a> {
    fn new(room: &'a Room, person: &SignedInPerson) -> Self {
        Self {
            room,
            may_decide: matches!(person.person.role, Role::Admin | Role::Centre),
            names: Names::new(&*room.catalog),
            centres: HashMap::new(),
            studies: HashMap::new(),
            series: HashMap::new(),
        }
    }

    async fn of(&mut self, conflict: &Conflict) -> Result<ConflictView, Problem> {
        let key = StudyKey { centre: conflict.centre.clone(), uid: conflict.study().clone() };
        let study = self.study(&key).await?;
        let mut view = ConflictView {
            centre: key.centre.to_string(),
            centre_name: self.centre(&key.centre).await?,
            id: conflict.id.to_string(),
            kind: "patient",
            differs: Vec::new(),
            study: study.as_ref().map(|(study, signed)| StudyHeadView::new(study, *signed)),
            study_uid: key.uid.to_string(),
            other_study_uid: None,
            object: None,
            other_patient: None,
            images: None,
            opened: conflict.opened.to_string(),
            source: conflict.source.as_ref().map(source),
            seen_count: conflict.seen_count,
            last_seen: conflict.last_seen.to_string(),
            revision: conflict.revision,
            current_sha256: None,
            decision: None,
            may_decide: self.may_decide,
        };
        if let Some(decision) = &conflict.decision {
            let by_name = match decision.by {
                Some(by) => Some(self.names.of(by).await?),
                None => None,
            };
            let (choice, at) = (decision.choice.as_str(), decision.at.to_string());
            view.decision = Some(DecisionView { choice, by_name, at, reason: decision.reason.clone() });
        }
        match &conflict.matter {
            Matter::Contents(contents) => {
                view.contents(contents, study.as_ref().map(|(study, _)| study));
                view.object = Some(self.object(&key, &contents.first).await?);
            }
            Matter::Patient(other) => view.patient(other),
        }
        Ok(view)
    }

    async fn centre(&mut self, id: &CentreId) -> Result<String, Problem> {
        if let Some(name) = self.centres.get(id) {
            return Ok(name.clone());
        }
        let name = self.room.catalog.centre(id).await?.map_or_else(|| id.to_string(), |centre| centre.name);
        self.centres.insert(id.clone(), name.clone());
        Ok(name)
    }

    async fn study(&mut self, key: &StudyKey) -> Result<Option<(Study, bool)>, Problem> {
        if let Some(known) = self.studies.get(key) {
            return Ok(known.clone());
        }
        let found = match self.room.catalog.study(key).await? {
            Some(study) => {
                let reading = self.room.catalog.reading(key).await?;
                let signed = reading.is_some_and(|reading| {
                    matches!(reading.state, domain::reading::ReadingState::Signed { .. })
                });
                Some((study, signed))
            }
            None => None,
        };
        self.studies.insert(key.clone(), found.clone());
        Ok(found)
    }

    async fn object(&mut self, key: &StudyKey, instance: &Instance) -> Result<ObjectView, Problem> {
        if !self.series.contains_key(key) {
            let series = self.room.catalog.series(key).await?;
            self.series.insert(key.clone(), series);
        }
        let mut series = self.series.get(key).into_iter().flatten();
        let series = series.find(|series| series.uid == instance.series);
        Ok(ObjectView {
            sop_instance_uid: instance.sop_instance.to_string(),
            kind: names::of_class(&instance.sop_class).to_owned(),
            series_number: series.and_then(|series| series.attributes.number),
            instance_number: instance.attributes.number,
        })
    }
}

impl ConflictView {
    fn contents(&mut self, contents: &Contents, study: Option<&Study>) {
        let Contents { first, second, second_patient, current_sha256 } = contents;
        let is_other = |patient: &&Patient| {
            study.is_some_and(|study| {
                let named = domain::image::StudyAttributes {
                    patient_id: patient.id.clone(),
                    patient_name: patient.name.clone(),
                    patient_birth_date: patient.birth_date,
                    ..domain::image::StudyAttributes::default()
                };
                domain::conflict::is_another_patient(&study.attributes, &named)
            })
        };
        let other_patient = second_patient.as_ref().filter(is_other);
        let other_study = Some(&second.study).filter(|uid| **uid != first.study);
        self.kind = "contents";
        self.differs = [
            other_study.map(|_| "other_study"),
            other_patient.map(|_| "other_patient"),
            (second.transfer_syntax != first.transfer_syntax).then_some("other_transfer_syntax"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.differs.is_empty() {
            self.differs.push("other_bytes");
        }
        self.other_study_uid = other_study.map(StudyInstanceUid::to_string);
        self.other_patient = other_patient.map(PersonView::new);
        self.current_sha256 = Some(current_sha256.to_string());
    }

    fn patient(&mut self, other: &OtherPatient) {
        self.differs.push("other_patient");
        self.other_patient = Some(PersonView::new(&other.patient));
        self.images = Some(other.images);
    }
}

impl StudyHeadView {
    fn new(study: &Study, signed: bool) -> Self {
        let attributes = &study.attributes;
        Self {
            patient: PersonView::new(&Patient::of(attributes)),
            accession_number: attributes.accession_number.as_ref().map(|text| text.as_str().to_owned()),
            description: attributes.description.clone(),
            study_date: attributes.study_date.map(|day| day.to_string()),
            signed,
        }
    }
}

impl PersonView {
    fn new(patient: &Patient) -> Self {
        Self {
            name: patient.name.as_ref().map(PersonName::display),
            id: patient.id.as_ref().map(PatientId::as_str).map(str::to_owned),
            birth_date: patient.birth_date.map(|day| day.to_string()),
        }
    }
}

/// Which way an object came, as a person reads it.
fn source(source: &Source) -> String {
    match source {
        Source::Association(ae) => format!("AE title {ae}"),
        Source::Web => "DICOMweb or upload".to_owned(),
        Source::Rebuild => "found in storage".to_owned(),
    }
}
