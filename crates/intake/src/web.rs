//! STOW-RS (PS3.18 section 10.5): files (`type="application/dicom"`), or metadata and bulk data ([`described`]).
//!
//! The body is read as a stream, part by part; each object goes the way of [`crate::receive`]. The answer names every instance.

mod described;
mod negotiate;
mod waiting;

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::{Bytes, BytesMut};
use dimse::Status;
use domain::{
    audit::Actor,
    id::CentreId,
    port::{Catalog, Clock},
    quarantine::Way,
    study::{Evidence, StudyKey},
    text::CharacterSetRule,
    uid::{SopClassUid, SopInstanceUid, StudyInstanceUid},
};
use futures::{Stream, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use gate::{Caller, Problem};
use imaging::sniff::{self, Sniffed};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    negotiate::{Form, Payload},
    waiting::Waiting,
};
use crate::{
    config::Config,
    multipart::{Multipart, MultipartError},
    pulse::{Pulse, Reason},
    receive::{Announced, Intake, Received, Receiving, Refusal},
    room::Room,
    texts::Texts,
};

/// Instances of a study that a sender will send in all, said in a request header so that completeness does not have to wait.
pub const EXPECTED_HEADER: &str = "telerad-study-instances";
/// Texts of metadata that are read at one time: their values take memory that nothing else counts.
const READERS_MAX: usize = 2;
/// Seconds after which a client that was told to come back may do so.
const RETRY_AFTER_SECONDS: u32 = 2;
/// One request of this many instances of a study is taken for all of them; clients that send one instance a request say nothing by it.
const BOUNDARY_INSTANCES_MIN: u32 = 2;

/// Objects of one request that become durable and known at one time, each with its header in memory.
const FINISHING_MAX: usize = 4;
pub use self::{
    described::{METADATA_BYTES_MAX, OBJECTS_MAX},
    negotiate::BOUNDARY_CHARS_MAX,
    waiting::WAITING_BYTES_MAX,
};

/// What STOW-RS needs.
#[derive(Clone)]
pub struct Stow {
    intake: Intake,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    places: Arc<Semaphore>,
    room: Room,
    centres: Arc<Mutex<HashMap<CentreId, Arc<Semaphore>>>>,
    pulse: Pulse,
    texts: Texts,
    waiting: Waiting,
    readers: Arc<Semaphore>,
}

impl Stow {
    /// STOW-RS over an intake.
    #[must_use]
    pub fn new(intake: Intake, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, config: Config) -> Self {
        let places = Arc::new(Semaphore::new(config.requests_max));
        let centres = Arc::default();
        let (room, pulse) = (Room::default(), Pulse::default());
        let texts = Texts::new(Arc::clone(&catalog));
        let waiting = Waiting::new(std::env::temp_dir());
        let readers = Arc::new(Semaphore::new(READERS_MAX));
        Self {
            intake,
            catalog,
            clock,
            config: Arc::new(config),
            places,
            room,
            centres,
            pulse,
            texts,
            waiting,
            readers,
        }
    }

    /// Refuses images when there is no room for them.
    #[must_use]
    pub fn with_room(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// Lets bulk data wait in a folder, in files without a name; else they wait in the system's own for such files.
    #[must_use]
    pub fn with_folder(self, folder: std::path::PathBuf) -> Self {
        Self { waiting: Waiting::new(folder), ..self }
    }

    /// Counts into a pulse that others see.
    #[must_use]
    pub fn with_pulse(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    /// A place among all requests and among those of a centre. Centres are as many as the catalog has, since callers were let in.
    fn place(&self, centre: &CentreId) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let mut centres = self.centres.lock().unwrap_or_else(PoisonError::into_inner);
        let of_centre = centres
            .entry(centre.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(self.config.requests_per_centre_max)));
        let of_centre = Arc::clone(of_centre).try_acquire_owned().ok()?;
        Some((of_centre, Arc::clone(&self.places).try_acquire_owned().ok()?))
    }

    /// The routes, to be merged into those of `/dicomweb`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/dicomweb/studies", post(store))
            .route("/dicomweb/studies/{study}", post(store_into))
            .route("/dicomweb/centres/{centre}/studies", post(store_for))
            .route("/dicomweb/centres/{centre}/studies/{study}", post(store_into_for))
            .with_state(self)
    }
}

/// Where a request wants its instances.
struct Target {
    centre: CentreId,
    study: Option<StudyInstanceUid>,
    /// The path below which the instances can be retrieved.
    base: String,
    /// Who sends.
    by: Actor,
}

async fn store(stow: State<Stow>, caller: Caller, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    answer(stow, caller, None, None, (&uri, &headers), body).await
}

async fn store_into(
    stow: State<Stow>,
    caller: Caller,
    Path(study): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(stow, caller, None, Some(study), (&uri, &headers), body).await
}

async fn store_for(
    stow: State<Stow>,
    caller: Caller,
    Path(centre): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(stow, caller, Some(centre), None, (&uri, &headers), body).await
}

async fn store_into_for(
    stow: State<Stow>,
    caller: Caller,
    Path((centre, study)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(stow, caller, Some(centre), Some(study), (&uri, &headers), body).await
}

async fn answer(
    State(stow): State<Stow>,
    caller: Caller,
    centre: Option<String>,
    study: Option<String>,
    (uri, headers): (&Uri, &HeaderMap),
    body: Body,
) -> Response {
    let asked = target(&caller, centre.as_deref(), study.as_deref(), headers);
    let (target, form) = match asked.and_then(|target| Ok((target, negotiate::answer(headers, uri)?))) {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let Some(_place) = stow.place(&target.centre) else {
        stow.pulse.refused(Reason::TooManyRequests);
        let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many uploads are under way.");
        return busy.next_step("Send the request again.").retry_after(RETRY_AFTER_SECONDS).into_response();
    };
    let _under_way = stow.pulse.request();
    match stow.take(&target, headers, body).await {
        Ok(outcomes) => {
            for refusal in outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()) {
                stow.pulse.refused(Reason::from(refusal));
            }
            stow.tell(headers, &outcomes).await;
            module(&target, &outcomes, form)
        }
        Err(problem) => {
            stow.pulse.refused(Reason::BrokenRequest);
            problem.into_response()
        }
    }
}

fn target(
    caller: &Caller,
    centre: Option<&str>,
    study: Option<&str>,
    headers: &HeaderMap,
) -> Result<Target, Problem> {
    let own = caller.centre().cloned();
    let (centre, prefix) = match centre {
        Some(text) => {
            let centre = CentreId::parse(text)
                .ok()
                .filter(|centre| caller.may_see(centre))
                .ok_or_else(Problem::unknown)?;
            let prefix = format!("/dicomweb/centres/{centre}");
            (centre, prefix)
        }
        None => {
            let centre = own.ok_or_else(|| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "centre_missing",
                    "The address does not say for which centre.",
                )
                .next_step("Use a centre's token, or /dicomweb/centres/CENTRE/studies.")
            })?;
            (centre, "/dicomweb".to_owned())
        }
    };
    let study = study.map(StudyInstanceUid::parse).transpose();
    let study =
        study.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid_uid", error.to_string()))?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Ok(Target { centre, study, base: format!("http://{host}{prefix}"), by: caller.actor() })
}

/// What became of one part.
struct Outcome {
    sop_class: Option<SopClassUid>,
    sop_instance: Option<SopInstanceUid>,
    result: Result<Received, Refusal>,
}

/// A part that was read to its end.
enum Taken {
    Refused(Outcome),
    /// Complete, and neither durable nor known.
    Complete(Box<Receiving>),
}

/// Objects of a request that become durable and known while the next ones are read, so that they share flushes.
#[derive(Default)]
struct Finishing<'a> {
    under_way: FuturesOrdered<BoxFuture<'a, Outcome>>,
    outcomes: Vec<Outcome>,
}

impl Finishing<'_> {
    /// Runs a future while objects are finished.
    async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return done,
                Some(outcome) = self.under_way.next() => self.outcomes.push(outcome),
            }
        }
    }

    /// Adds a part; waits while too many are under way.
    async fn add(&mut self, taken: Taken) {
        self.under_way.push_back(Box::pin(async {
            match taken {
                Taken::Refused(outcome) => outcome,
                Taken::Complete(receiving) => {
                    let (sop_class, sop_instance) = receiving.names();
                    Outcome { sop_class, sop_instance, result: receiving.finish().await }
                }
            }
        }));
        while self.under_way.len() > FINISHING_MAX {
            self.outcomes.extend(self.under_way.next().await);
        }
    }

    /// Everything, in the order of the parts.
    async fn all(mut self) -> Vec<Outcome> {
        while let Some(outcome) = self.under_way.next().await {
            self.outcomes.push(outcome);
        }
        self.outcomes
    }
}

impl Stow {
    async fn take(&self, target: &Target, headers: &HeaderMap, body: Body) -> Result<Vec<Outcome>, Problem> {
        let (payload, boundary) = negotiate::request(headers)?;
        let limit = self.config.request_bytes_max;
        let texts = self.texts.rule(&target.centre).await?;
        let mut parts = Multipart::new(counted(body, limit), &boundary);
        if let Payload::Described(form) = payload {
            return self.take_described(target, form, &mut parts).await;
        }
        let mut finishing = Finishing::default();
        let mut count = 0;
        let ended = loop {
            let part = async {
                if parts.next_part().await.map_err(|error| broken(&error, limit))?.is_none() {
                    return Ok(None);
                }
                if count == self.config.request_parts_max {
                    return Err(too_many_parts());
                }
                let taken = self.take_part(target, texts.as_ref(), &mut parts).await;
                taken.map(Some).map_err(|error| broken(&error, limit))
            };
            match finishing.beside(part).await {
                Ok(Some(taken)) => finishing.add(taken).await,
                Ok(None) => break Ok(()),
                Err(problem) => break Err(problem),
            }
            count += 1;
        };
        let outcomes = finishing.all().await;
        ended?;
        if outcomes.is_empty() {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "no_parts",
                "The request holds no DICOM part.",
            ));
        }
        Ok(outcomes)
    }

    /// Takes one part. An error is one of the request as a whole; a refused object is an [`Outcome`].
    async fn take_part<S>(
        &self,
        target: &Target,
        character_set: Option<&CharacterSetRule>,
        part: &mut Multipart<S>,
    ) -> Result<Taken, MultipartError>
    where
        S: Stream<Item = Result<Bytes, std::io::Error>> + Unpin,
    {
        if !self.room.is_there() {
            return drain(part, Refusal::Full).await.map(Taken::Refused);
        }
        let mut beginning = BytesMut::new();
        let head = loop {
            let chunk = part.chunk().await?;
            let is_whole = chunk.is_none();
            beginning.extend_from_slice(&chunk.unwrap_or_default());
            match sniff::part10(&beginning, is_whole) {
                Sniffed::More if is_whole => {
                    let refusal = Refusal::NotUnderstood("it ends within its file meta".to_owned());
                    return drain(part, refusal).await.map(Taken::Refused);
                }
                Sniffed::More => {}
                Sniffed::DataSet(place) => break place,
                Sniffed::NotDicom(reason) => {
                    return drain(part, Refusal::NotUnderstood(reason.to_owned())).await.map(Taken::Refused);
                }
            }
        };
        let data_set = beginning.split_off(head.at.min(beginning.len())).freeze();
        let by = Some(target.by.clone());
        let mut receiving = self.intake.receive(Announced {
            study: target.study.clone(),
            character_set: character_set.cloned(),
            ..Announced::of_file(target.centre.clone(), Way::Web, by, beginning.freeze(), &head)
        });
        let mut next = Some(data_set);
        while let Some(bytes) = next {
            if let Err(refusal) = receiving.write(bytes).await {
                let (sop_class, sop_instance) = receiving.names();
                let drained = drain(part, refusal).await?;
                return Ok(Taken::Refused(Outcome { sop_class, sop_instance, ..drained }));
            }
            next = part.chunk().await?;
        }
        Ok(Taken::Complete(Box::new(receiving)))
    }

    /// Tells the catalog what the end of the request says about completeness.
    async fn tell(&self, headers: &HeaderMap, outcomes: &[Outcome]) {
        let mut studies: BTreeMap<StudyKey, u32> = BTreeMap::new();
        for received in outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok()) {
            *studies.entry(received.study.clone()).or_default() += 1;
        }
        let expected =
            headers.get(EXPECTED_HEADER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        let at = self.clock.now();
        for (study, instances) in studies {
            let evidence = match expected {
                Some(expected) => Evidence::SenderCount { expected, at },
                None if instances >= BOUNDARY_INSTANCES_MIN => Evidence::RequestBoundary { instances, at },
                None => continue,
            };
            if let Err(error) = self.catalog.sender_said(&study, &evidence).await {
                // The images are stored and the quiet period decides in its place, so this is no failure of the request.
                tracing::warn!(
                    centre = %study.centre,
                    error = &error as &dyn std::error::Error,
                    "the end of an upload was not noted; the quiet period decides"
                );
            }
        }
    }
}

fn too_many_parts() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_parts", "The request has too many parts.")
        .next_step("Send the study in several requests.")
}

/// Reads a refused part to its end, so that the next one can be read.
async fn drain<S>(part: &mut Multipart<S>, refusal: Refusal) -> Result<Outcome, MultipartError>
where
    S: Stream<Item = Result<Bytes, std::io::Error>> + Unpin,
{
    tracing::warn!(reason = %refusal, "object refused");
    while part.chunk().await?.is_some() {}
    Ok(Outcome { sop_class: None, sop_instance: None, result: Err(refusal) })
}

/// The request's bytes, counted.
fn counted(body: Body, bytes_max: u64) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin {
    let mut bytes = 0_u64;
    body.into_data_stream().map(move |chunk| {
        let chunk = chunk.map_err(std::io::Error::other)?;
        bytes += chunk.len() as u64;
        if bytes > bytes_max { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(chunk) }
    })
}

fn broken(error: &MultipartError, bytes_max: u64) -> Problem {
    let is_too_large =
        matches!(error, MultipartError::Body(error) if error.kind() == std::io::ErrorKind::FileTooLarge);
    if is_too_large {
        let message = format!("The request is larger than {bytes_max} bytes.");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
            .next_step("Send the study in several requests.");
    }
    tracing::warn!(error = error as &dyn std::error::Error, "upload broke off");
    Problem::new(StatusCode::BAD_REQUEST, "broken_multipart", "The multipart body cannot be read to its end.")
        .next_step("Send the request again; instances that were stored before are recognised.")
}

/// The Store Instances Response Module (PS3.18 annex I).
fn module(target: &Target, outcomes: &[Outcome], form: Form) -> Response {
    let reference = |class: Option<&SopClassUid>, instance: Option<&SopInstanceUid>| {
        let mut item = serde_json::Map::new();
        for (tag, uid) in
            [("00081150", class.map(SopClassUid::as_str)), ("00081155", instance.map(SopInstanceUid::as_str))]
        {
            if let Some(uid) = uid {
                item.insert(tag.to_owned(), json!({"vr": "UI", "Value": [uid]}));
            }
        }
        item
    };
    let (mut stored, mut failed, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let mut studies = std::collections::BTreeSet::new();
    for outcome in outcomes {
        match &outcome.result {
            Ok(received) => {
                let url = format!("{}/studies/{}", target.base, received.study.uid);
                let mut item = reference(Some(&received.sop_class), Some(&received.sop_instance));
                let instance =
                    format!("{url}/series/{}/instances/{}", received.series, received.sop_instance);
                item.insert("00081190".to_owned(), json!({"vr": "UR", "Value": [instance]}));
                stored.push(Value::Object(item));
                studies.insert(url);
            }
            Err(refusal) => {
                let mut item = reference(outcome.sop_class.as_ref(), outcome.sop_instance.as_ref());
                let is_known = item.len() == 2;
                item.insert("00081197".to_owned(), json!({"vr": "US", "Value": [refusal.status().0]}));
                item.insert("00090010".to_owned(), json!({"vr": "LO", "Value": ["TELERAD"]}));
                item.insert("00091001".to_owned(), json!({"vr": "LT", "Value": [refusal.to_string()]}));
                (if is_known { &mut failed } else { &mut unknown }).push(Value::Object(item));
            }
        }
    }
    let status = match (stored.is_empty(), failed.is_empty() && unknown.is_empty()) {
        (false, true) => StatusCode::OK,
        (false, false) => StatusCode::ACCEPTED,
        (true, _) if outcomes.iter().all(is_full) => StatusCode::INSUFFICIENT_STORAGE,
        (true, _) if outcomes.iter().all(is_out_of_resources) => StatusCode::SERVICE_UNAVAILABLE,
        (true, _) => StatusCode::CONFLICT,
    };
    let mut module = serde_json::Map::new();
    let url = match studies.len() {
        1 => json!({"vr": "UR", "Value": studies}),
        _ => json!({"vr": "UR"}),
    };
    module.insert("00081190".to_owned(), url);
    for (tag, items) in [("00081198", failed), ("00081199", stored), ("0008119A", unknown)] {
        if !items.is_empty() {
            module.insert(tag.to_owned(), json!({"vr": "SQ", "Value": items}));
        }
    }
    let mut answer = negotiate::write(status, module, form);
    if status.is_server_error() {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    answer
}

fn is_full(outcome: &Outcome) -> bool {
    matches!(outcome.result, Err(Refusal::Full))
}

fn is_out_of_resources(outcome: &Outcome) -> bool {
    outcome.result.as_ref().is_err_and(|refusal| refusal.status() == Status::OUT_OF_RESOURCES)
}
