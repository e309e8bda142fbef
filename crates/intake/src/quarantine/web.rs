//! The routes of the page on which people decide about objects in quarantine: what there is, try again, discard, undo, download. For
//! administrators and the people of a centre, each for the centres that they see. The page itself is in the reading room's UI.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::{Bytes, BytesMut};
use domain::{
    Duration,
    audit::{Action, Actor},
    centre::Centre,
    digest::Sha256Digest,
    id::{PersonId, QuarantineId},
    image::Source,
    person::Role,
    port::{Catalog, Clock, ObjectReader, StorageError, catalog::QuarantineFilter},
    quarantine::{QuarantineChange, QuarantineState, Quarantined, Way},
};
use futures::stream;
use gate::{PathPart, Problem, QueryPart, SignedInPerson};
use imaging::sniff::{self, Place, Sniffed};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Settings;
use crate::receive::{Announced, Intake, Refusal};

/// Most objects of one answer.
const OBJECTS_MAX: u32 = 500;
const BASE: &str = "/api/v1/quarantine";

/// The quarantine, as people see it.
#[derive(Clone)]
pub struct QuarantinePage {
    intake: Intake,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    settings: Settings,
}

impl QuarantinePage {
    /// The page over an intake: what is tried again goes its ordinary way.
    #[must_use]
    pub fn new(intake: Intake, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        // What is in quarantine already is not kept there a second time.
        Self { intake: Intake { keeper: None, ..intake }, catalog, clock, settings }
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route(BASE, get(list))
            .route(&format!("{BASE}/{{id}}/retry"), post(retry))
            .route(&format!("{BASE}/{{id}}/discard"), post(discard))
            .route(&format!("{BASE}/{{id}}/restore"), post(restore))
            .route(&format!("{BASE}/{{id}}/object"), get(object))
            .with_state(self)
    }
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    /// Also what was decided.
    #[serde(default)]
    decided: bool,
}

#[derive(Serialize)]
struct ListView {
    centres: Vec<CentreView>,
    /// Whether the caller may download objects.
    may_download: bool,
    decided_days: u32,
    objects: Vec<ObjectView>,
    /// There are more than these.
    more: bool,
}

/// A centre and what its quarantine holds; nothing when it keeps nothing there.
#[derive(Serialize)]
struct CentreView {
    id: String,
    name: String,
    held: Option<HeldView>,
}

#[derive(Serialize)]
struct HeldView {
    objects: u64,
    objects_max: u64,
    bytes: u64,
    bytes_max: u64,
}

#[derive(Serialize)]
struct ObjectView {
    id: String,
    centre: String,
    centre_name: String,
    /// A word of [`Way::as_str`].
    way: &'static str,
    ae_title: Option<String>,
    /// The person who sent it; none for a program with a token.
    by_name: Option<String>,
    sop_class: Option<String>,
    sop_instance: Option<String>,
    transfer_syntax: String,
    reason: String,
    next_step: String,
    bytes: u64,
    data_set_bytes: u64,
    sha256: String,
    received: String,
    times: u64,
    last_received: String,
    /// A word of [`QuarantineState::as_str`].
    state: &'static str,
    decided: Option<DecisionView>,
    study_uid: Option<String>,
}

#[derive(Serialize)]
struct DecisionView {
    by_name: String,
    at: String,
    /// Until when it is listed and, where it is a discard, can be undone.
    until: String,
}

async fn list(
    State(page): State<QuarantinePage>,
    person: SignedInPerson,
    QueryPart(query): QueryPart<ListQuery>,
) -> Result<Json<ListView>, Problem> {
    person.require_role(&[Role::Centre, Role::Admin])?;
    let scope = person.scope().clone();
    let filter = QuarantineFilter { scope, decided: query.decided, limit: OBJECTS_MAX + 1 };
    let mut found = page.catalog.quarantined_objects(&filter).await?;
    let more = found.len() > OBJECTS_MAX as usize;
    found.truncate(OBJECTS_MAX as usize);
    let mut centres = Vec::new();
    for centre in page.catalog.centres().await? {
        if person.scope().includes(&centre.id) {
            centres.push(page.centre_view(&centre).await?);
        }
    }
    let mut names = Names::new(&page);
    let mut objects = Vec::with_capacity(found.len());
    for object in &found {
        objects.push(page.object_view(object, &mut names).await?);
    }
    let may_download = person.person.role == Role::Admin;
    Ok(Json(ListView { centres, may_download, decided_days: page.settings.decided_days, objects, more }))
}

async fn discard(
    page: State<QuarantinePage>,
    person: SignedInPerson,
    id: PathPart<String>,
) -> Result<Json<ObjectView>, Problem> {
    decide(page, person, id, QuarantineChange::Discard).await
}

async fn restore(
    page: State<QuarantinePage>,
    person: SignedInPerson,
    id: PathPart<String>,
) -> Result<Json<ObjectView>, Problem> {
    decide(page, person, id, QuarantineChange::Restore).await
}

async fn decide(
    State(page): State<QuarantinePage>,
    person: SignedInPerson,
    PathPart(id): PathPart<String>,
    change: QuarantineChange,
) -> Result<Json<ObjectView>, Problem> {
    let known = page.known(&person, &id).await?;
    page.change(&person, &known, &change).await
}

/// Tries again: the bytes go the ordinary way in.
async fn retry(
    State(page): State<QuarantinePage>,
    person: SignedInPerson,
    PathPart(id): PathPart<String>,
) -> Result<Json<ObjectView>, Problem> {
    let known = page.known(&person, &id).await?;
    if known.state != QuarantineState::Waiting {
        // Somebody else was faster; the page shows what they decided.
        return Ok(Json(page.object_view(&known, &mut Names::new(&page)).await?));
    }
    // In a task of its own: it is taken to its end even when the browser goes away meanwhile.
    let trying = page.clone();
    let tried = tokio::spawn(async move {
        let change = trying.try_again(&known).await?;
        trying.change(&person, &known, &change).await
    });
    tried.await.map_err(|error| Problem::internal(&error))?
}

/// The bytes, as a file of ours with the data set as it came. For administrators.
async fn object(
    State(page): State<QuarantinePage>,
    person: SignedInPerson,
    PathPart(id): PathPart<String>,
) -> Result<Response, Problem> {
    person.require_role(&[Role::Admin])?;
    let known = page.known(&person, &id).await?;
    if !known.state.has_bytes() {
        return Err(gone(&known));
    }
    page.catalog
        .note_quarantined(&known, &person.actor(), Action::QuarantineRetrieved, page.clock.now())
        .await?;
    let ObjectReader { object_bytes, pieces, .. } =
        page.intake.storage.read(&known.object, None).await.map_err(|error| unreadable(&error))?;
    let content = stream::try_unfold(pieces, |mut pieces| async move {
        let piece = pieces.next().await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, pieces)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/dicom".to_owned()),
        (header::CONTENT_LENGTH, object_bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"quarantine-{}.dcm\"", known.id)),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(content)).into_response())
}

fn gone(object: &Quarantined) -> Problem {
    let message = match object.state {
        QuarantineState::Conflict(_) => "It is on the list of conflicts now.",
        QuarantineState::Waiting | QuarantineState::Discarded(_) | QuarantineState::Stored { .. } => {
            "It is an ordinary image now."
        }
    };
    Problem::new(StatusCode::CONFLICT, "decided", message)
}

fn unreadable(error: &StorageError) -> Problem {
    match error {
        StorageError::NotFound(_) | StorageError::Corrupt(_) => {
            tracing::error!(error = error as &dyn std::error::Error, "an object in quarantine is damaged");
            damaged()
        }
        StorageError::Full(_) | StorageError::TooLarge { .. } | StorageError::Unavailable { .. } => {
            Problem::unavailable(error)
        }
    }
}

fn damaged() -> Problem {
    let message = "Its bytes in storage are missing, or are not those that came.";
    Problem::new(StatusCode::CONFLICT, "damaged", message)
        .next_step("Have it sent again from its source, then discard this one.")
}

impl QuarantinePage {
    /// The object that a path names, if this person may see it. Everything else is answered alike.
    async fn known(&self, person: &SignedInPerson, id: &str) -> Result<Quarantined, Problem> {
        person.require_role(&[Role::Centre, Role::Admin])?;
        let id = QuarantineId::parse(id).map_err(|_| Problem::unknown())?;
        self.catalog.quarantined_object(id, person.scope()).await?.ok_or_else(Problem::unknown)
    }

    async fn change(
        &self,
        person: &SignedInPerson,
        known: &Quarantined,
        change: &QuarantineChange,
    ) -> Result<Json<ObjectView>, Problem> {
        let (me, now) = (person.person.id, self.clock.now());
        let changed = self.catalog.decide_quarantined(known.id, person.scope(), change, me, now).await?;
        let changed = changed.ok_or_else(Problem::unknown)?;
        Ok(Json(self.object_view(&changed, &mut Names::new(self)).await?))
    }

    /// Sends the bytes the ordinary way in; what becomes of them there decides.
    async fn try_again(&self, object: &Quarantined) -> Result<QuarantineChange, Problem> {
        let mut reader =
            self.intake.storage.read(&object.object, None).await.map_err(|error| unreadable(&error))?;
        let mut digest = Sha256::new();
        let mut beginning = BytesMut::new();
        let place = loop {
            let piece = reader.pieces.next().await.map_err(|error| unreadable(&error))?;
            let is_whole = piece.is_none();
            let piece = piece.unwrap_or_default();
            digest.update(&piece);
            beginning.extend_from_slice(&piece);
            match sniff::part10(&beginning, is_whole) {
                Sniffed::DataSet(place) => break place,
                Sniffed::More if !is_whole => {}
                Sniffed::More | Sniffed::NotDicom(_) => return Err(damaged()),
            }
        };
        let data_set = beginning.split_off(place.at.min(beginning.len())).freeze();
        let mut receiving = self.intake.receive(self.announced(object, beginning.freeze(), &place).await?);
        let mut refused = None;
        let mut next = Some(data_set);
        while let Some(piece) = next {
            if let Err(refusal) = receiving.write(piece).await {
                refused = Some(refusal);
                break;
            }
            next = reader.pieces.next().await.map_err(|error| unreadable(&error))?;
            if let Some(piece) = &next {
                digest.update(piece);
            }
        }
        let received = match refused {
            Some(refusal) => Err(refusal),
            // What rots in storage must not become an image.
            None if Sha256Digest::from_bytes(digest.finalize().into()) != object.sha256 => {
                return Err(damaged());
            }
            None => receiving.finish().await,
        };
        match received {
            Ok(received) => Ok(QuarantineChange::Stored { study: received.study.uid }),
            Err(Refusal::Conflict) => Ok(QuarantineChange::Conflict),
            Err(Refusal::Unreadable(why) | Refusal::Quarantined(why)) => Ok(QuarantineChange::Refused {
                reason: why.to_string(),
                next_step: why.next_step().to_owned(),
            }),
            Err(
                refusal @ (Refusal::NotUnderstood(_)
                | Refusal::BulkData(_)
                | Refusal::TransferSyntax(_)
                | Refusal::Mismatch(_)
                | Refusal::TooLarge(_)),
            ) => {
                let next_step = "Have it sent again from its source, then discard this one.".to_owned();
                Ok(QuarantineChange::Refused { reason: refusal.to_string(), next_step })
            }
            Err(refusal @ Refusal::TakenOut) => Ok(QuarantineChange::Refused {
                reason: refusal.to_string(),
                next_step: "Bring the study back, then try again.".to_owned(),
            }),
            Err(refusal @ (Refusal::Full | Refusal::Unavailable(_))) => Err(Problem::unavailable(&refusal)),
        }
    }

    /// The object as its sender announced it, under the rules that hold now.
    async fn announced(
        &self,
        object: &Quarantined,
        head: Bytes,
        place: &Place,
    ) -> Result<Announced, Problem> {
        let by = Actor::parse_sender(&object.by);
        let of_file = Announced::of_file(object.centre.clone(), object.way, by.clone(), head, place);
        let (Some(Actor::Peer(ae)), Way::Association) = (by, object.way) else {
            let centre = self.catalog.centre(&object.centre).await?;
            let character_set = centre.and_then(|centre| centre.policy.character_set);
            return Ok(Announced { character_set, ..of_file });
        };
        let peer = self.catalog.peer_of_ae(&ae).await?.filter(|peer| peer.centre.id == object.centre);
        Ok(Announced {
            source: Source::Association(ae),
            sop_class: object.claim.sop_class.clone(),
            sop_instance: object.claim.sop_instance.clone(),
            character_set: peer.and_then(|peer| peer.character_set().cloned()),
            ..of_file
        })
    }

    async fn centre_view(&self, centre: &Centre) -> Result<CentreView, Problem> {
        let held = self.catalog.quarantine_use(&centre.id).await?.map(|held| HeldView {
            objects: held.objects,
            objects_max: self.settings.centre_objects_max,
            bytes: held.bytes,
            bytes_max: self.settings.centre_bytes_max,
        });
        Ok(CentreView { id: centre.id.to_string(), name: centre.name.clone(), held })
    }

    async fn object_view(&self, object: &Quarantined, names: &mut Names<'_>) -> Result<ObjectView, Problem> {
        let by = Actor::parse_sender(&object.by);
        let (ae_title, by_name) = match by {
            Some(Actor::Peer(ae)) => (Some(ae.to_string()), None),
            Some(Actor::Person(person)) => (None, Some(names.of(person).await?)),
            Some(Actor::Token(_) | Actor::Link(_) | Actor::Operator | Actor::Role(_)) | None => (None, None),
        };
        let keep = Duration::from_hours(24 * i64::from(self.settings.decided_days));
        let decided = match object.state.decision() {
            None => None,
            Some(decision) => Some(DecisionView {
                by_name: names.of(decision.by).await?,
                at: decision.at.to_string(),
                until: (decision.at + keep).to_string(),
            }),
        };
        let study_uid = match &object.state {
            QuarantineState::Stored { study, .. } => Some(study.to_string()),
            QuarantineState::Waiting | QuarantineState::Discarded(_) | QuarantineState::Conflict(_) => None,
        };
        Ok(ObjectView {
            id: object.id.to_string(),
            centre: object.centre.to_string(),
            centre_name: names.of_centre(object).await?,
            way: object.way.as_str(),
            ae_title,
            by_name,
            sop_class: object.claim.sop_class.as_ref().map(ToString::to_string),
            sop_instance: object.claim.sop_instance.as_ref().map(ToString::to_string),
            transfer_syntax: object.claim.transfer_syntax.to_string(),
            reason: object.reason.clone(),
            next_step: object.next_step.clone(),
            bytes: object.bytes,
            data_set_bytes: object.data_set_bytes,
            sha256: object.sha256.to_string(),
            received: object.received.to_string(),
            times: object.times,
            last_received: object.last_received.to_string(),
            state: object.state.as_str(),
            decided,
            study_uid,
        })
    }
}

/// Names of people and centres, each asked for once.
struct Names<'a> {
    catalog: &'a dyn Catalog,
    people: HashMap<PersonId, String>,
    centres: HashMap<String, String>,
}

impl<'a> Names<'a> {
    fn new(page: &'a QuarantinePage) -> Self {
        Self { catalog: &*page.catalog, people: HashMap::new(), centres: HashMap::new() }
    }

    async fn of(&mut self, person: PersonId) -> Result<String, Problem> {
        if let Some(name) = self.people.get(&person) {
            return Ok(name.clone());
        }
        let found = self.catalog.person(person).await?;
        let name = found.map_or_else(|| "somebody who is gone".to_owned(), |person| person.name);
        self.people.insert(person, name.clone());
        Ok(name)
    }

    async fn of_centre(&mut self, object: &Quarantined) -> Result<String, Problem> {
        if let Some(name) = self.centres.get(object.centre.as_str()) {
            return Ok(name.clone());
        }
        let found = self.catalog.centre(&object.centre).await?;
        let name = found.map_or_else(|| object.centre.to_string(), |centre| centre.name);
        self.centres.insert(object.centre.to_string(), name.clone());
        Ok(name)
    }
}
