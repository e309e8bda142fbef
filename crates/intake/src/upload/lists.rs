//! What became of a centre's uploads, and where its studies stand, as the page asks for it again and again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    Duration, Timestamp,
    audit::Action,
    digest::Sha256Digest,
    id::{CentreId, PersonId, UploadBatchId},
    image::StudyAttributes,
    journey::Journey,
    person::{Role, Scope},
    port::catalog::{BatchFilter, JourneyFilter, TaskFilter},
    study::Belief,
    upload::{BatchStudy, UploadBatch},
};
use gate::{Caller, PathPart, Problem, QueryPart};
use serde::{Deserialize, Serialize};

use super::{Uploads, centre_of};

/// Batches of one answer.
const BATCHES_MAX: u32 = 20;
/// Studies, refusals and missing files of one batch in an answer.
const LINES_MAX: u32 = 200;
/// Most studies of one answer.
const STUDIES_MAX: u32 = 200;
/// Studies of one answer when nothing else is asked for.
const STUDIES: u32 = 50;
/// How far one may leaf; who looks for older studies searches for them.
const OFFSET_MAX: u32 = 100_000;
/// Most characters of a search text.
const SEARCH_CHARS_MAX: usize = 200;
/// For so long one line in the audit speaks for all looks of a caller at a list.
const LOOK_INTERVAL: Duration = Duration::from_mins(15);
/// Most callers remembered; beyond it all are forgotten, and the audit gets a few lines more.
const LOOKS_MAX: usize = 10_000;

/// Who looked at which list lately.
#[derive(Default)]
pub(super) struct RecentlySeen {
    looks: Mutex<HashMap<String, Timestamp>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BatchesQuery {
    centre: Option<String>,
    batch: Option<String>,
}

#[derive(Serialize)]
struct BatchesView {
    /// Centres for which the caller may send.
    centres: Vec<CentreView>,
    /// The one whose batches these are; none when the caller must choose first.
    centre: Option<String>,
    upload_bytes_max: u64,
    batches: Vec<BatchView>,
}

#[derive(Serialize)]
struct CentreView {
    id: String,
    name: String,
}

#[derive(Serialize)]
struct BatchView {
    id: String,
    began: String,
    by_name: Option<String>,
    arriving: u64,
    waiting: u64,
    ended: u64,
    bytes: u64,
    studies: Vec<BatchStudyView>,
    not_images: u64,
    not_stored: u64,
    refusals: Vec<RefusalView>,
    promised: u64,
    missing: u64,
    missing_names: Vec<String>,
}

#[derive(Serialize)]
struct BatchStudyView {
    study_uid: String,
    #[serde(flatten)]
    names: Option<NamesView>,
    modalities: Vec<String>,
    stored: u64,
    already_stored: u64,
    not_stored: u64,
}

#[derive(Serialize)]
struct NamesView {
    patient_name: Option<String>,
    patient_id: Option<String>,
    accession_number: Option<String>,
    description: Option<String>,
    study_date: Option<String>,
}

#[derive(Serialize)]
struct RefusalView {
    name: String,
    reason: String,
    next_step: String,
}

/// What became of a centre's uploads, the latest batch first.
pub(super) async fn batches(
    State(uploads): State<Uploads>,
    caller: Caller,
    headers: HeaderMap,
    QueryPart(query): QueryPart<BatchesQuery>,
) -> Result<Response, Problem> {
    caller.require_role(&[Role::Centre, Role::Admin])?;
    let centres = uploads.centres(&caller).await?;
    let centre = match (&query.centre, centres.len()) {
        (Some(named), _) => Some(centre_of(&caller, Some(named))?),
        (None, 1) => CentreId::parse(&centres[0].id).ok(),
        (None, _) => None,
    };
    let batch =
        query.batch.as_deref().map(UploadBatchId::parse).transpose().map_err(|_| Problem::unknown())?;
    let mut batches = Vec::new();
    if let Some(centre) = &centre {
        uploads.note_list(&caller, "uploads").await?;
        let filter = BatchFilter { centre: centre.clone(), batch, limit: BATCHES_MAX, lines_max: LINES_MAX };
        let found = uploads.catalog.upload_batches(&filter).await?;
        let mut names = HashMap::new();
        for batch in found {
            let by_name = uploads.name_of(&batch.by, &mut names).await?;
            batches.push(batch_view(batch, by_name));
        }
    }
    let view = BatchesView {
        centres,
        centre: centre.map(|centre| centre.to_string()),
        upload_bytes_max: uploads.limits.upload_bytes_max,
        batches,
    };
    tagged(&headers, &view)
}

fn batch_view(batch: UploadBatch, by_name: Option<String>) -> BatchView {
    let refusals = batch.refusals.into_iter().map(|refusal| RefusalView {
        name: refusal.name.as_str().to_owned(),
        reason: refusal.reason,
        next_step: refusal.next_step,
    });
    BatchView {
        id: batch.id.to_string(),
        began: batch.began.to_string(),
        by_name,
        arriving: batch.arriving,
        waiting: batch.waiting,
        ended: batch.ended,
        bytes: batch.bytes,
        studies: batch.studies.into_iter().map(batch_study_view).collect(),
        not_images: batch.not_images,
        not_stored: batch.not_stored,
        refusals: refusals.collect(),
        promised: batch.promised,
        missing: batch.missing,
        missing_names: batch.missing_names.iter().map(|name| name.as_str().to_owned()).collect(),
    }
}

fn batch_study_view(study: BatchStudy) -> BatchStudyView {
    BatchStudyView {
        study_uid: study.study.to_string(),
        names: study.attributes.as_ref().map(names_view),
        modalities: study.modalities,
        stored: study.stored,
        already_stored: study.already_stored,
        not_stored: study.not_stored,
    }
}

fn names_view(attributes: &StudyAttributes) -> NamesView {
    NamesView {
        patient_name: attributes.patient_name.as_ref().map(|name| name.as_str().to_owned()),
        patient_id: attributes.patient_id.as_ref().map(|id| id.as_str().to_owned()),
        accession_number: attributes.accession_number.as_ref().map(|number| number.as_str().to_owned()),
        description: attributes.description.clone(),
        study_date: attributes.study_date.map(|date| date.to_string()),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct StudiesQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    offset: u32,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct StudiesView {
    now: String,
    #[serde(flatten)]
    page: PageView,
}

#[derive(Serialize)]
struct PageView {
    offset: u32,
    /// There are more after these.
    more: bool,
    studies: Vec<StudyView>,
}

#[derive(Serialize)]
struct StudyView {
    study_uid: String,
    #[serde(flatten)]
    names: NamesView,
    modalities: Vec<String>,
    series_count: u32,
    instance_count: u32,
    expected_instances: Option<u32>,
    priority: &'static str,
    first_received: String,
    last_received: String,
    /// A word of [`domain::journey::Stage::as_str`].
    stage: &'static str,
    since: String,
    new_images_after_signature: bool,
    deliveries: u64,
    acknowledged: u64,
    needs_attention: Vec<AttentionView>,
}

#[derive(Serialize)]
struct AttentionView {
    reason: String,
    next_step: String,
}

/// A centre's studies with where each stands, the latest arrival first.
pub(super) async fn studies(
    State(uploads): State<Uploads>,
    caller: Caller,
    headers: HeaderMap,
    PathPart(centre): PathPart<String>,
    QueryPart(query): QueryPart<StudiesQuery>,
) -> Result<Response, Problem> {
    let centre = centre_of(&caller, Some(&centre))?;
    let limit = query.limit.unwrap_or(STUDIES).clamp(1, STUDIES_MAX);
    let offset = query.offset.min(OFFSET_MAX);
    let text: String = query.q.trim().chars().take(SEARCH_CHARS_MAX).collect();
    let text = (!text.is_empty()).then_some(text);
    let filter = JourneyFilter { centre, text, offset, limit: limit + 1 };
    let mut found = uploads.catalog.journeys(&filter).await?;
    uploads.note_list(&caller, "centre's studies").await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let now = uploads.clock.now();
    let mut studies = Vec::with_capacity(found.len());
    for journey in &found {
        studies.push(uploads.study_view(journey, now).await?);
    }
    let view = StudiesView { now: now.to_string(), page: PageView { offset, more, studies } };
    let tag = tag_of(&view.page)?;
    Ok(answer(&headers, &tag, &view))
}

impl Uploads {
    async fn study_view(&self, journey: &Journey, now: Timestamp) -> Result<StudyView, Problem> {
        let study = &journey.study;
        let (stage, since) = journey.stage(now);
        let (expected_instances, new_images_after_signature) = (
            match study.completeness.belief {
                Belief::Short { expected, .. } => Some(expected),
                Belief::Arriving { .. } | Belief::Complete { .. } => None,
            },
            match &journey.reading.state {
                domain::reading::ReadingState::Signed { generation, .. } => study.generation > *generation,
                domain::reading::ReadingState::Unread | domain::reading::ReadingState::Claimed(_) => false,
            },
        );
        Ok(StudyView {
            study_uid: study.key.uid.to_string(),
            names: names_view(&study.attributes),
            modalities: study.modalities.clone(),
            series_count: study.series_count,
            instance_count: study.instance_count,
            expected_instances,
            priority: study.priority.as_str(),
            first_received: study.first_received.to_string(),
            last_received: study.last_received.to_string(),
            stage: stage.as_str(),
            since: since.to_string(),
            new_images_after_signature,
            deliveries: journey.deliveries.len() as u64,
            acknowledged: journey.deliveries.iter().filter(|(_, at)| at.is_some()).count() as u64,
            needs_attention: self.attention(journey).await?,
        })
    }

    async fn attention(&self, journey: &Journey) -> Result<Vec<AttentionView>, Problem> {
        if !journey.needs_attention() {
            return Ok(Vec::new());
        }
        let key = &journey.study.key;
        let filter = TaskFilter {
            scope: Scope::Centres(vec![key.centre.clone()]),
            study: Some(key.clone()),
            closed: false,
            limit: 10,
        };
        let tasks = self.catalog.tasks(&filter).await?;
        let of_task =
            |task: domain::task::Task| AttentionView { reason: task.reason, next_step: task.next_step };
        let mut attention: Vec<_> = tasks.into_iter().map(of_task).collect();
        if attention.is_empty() {
            attention.push(AttentionView {
                reason: "Not all is right with its images.".to_owned(),
                next_step: "Look at the page of what needs attention.".to_owned(),
            });
        }
        Ok(attention)
    }

    /// Centres for which a caller may send.
    async fn centres(&self, caller: &Caller) -> Result<Vec<CentreView>, Problem> {
        let centres = self.catalog.centres().await?;
        let own = centres.into_iter().filter(|centre| match caller.centre() {
            Some(own) => *own == centre.id,
            None => caller.may_see(&centre.id),
        });
        Ok(own.map(|centre| CentreView { id: centre.id.to_string(), name: centre.name }).collect())
    }

    async fn name_of(
        &self,
        actor: &str,
        names: &mut HashMap<String, Option<String>>,
    ) -> Result<Option<String>, Problem> {
        if let Some(known) = names.get(actor) {
            return Ok(known.clone());
        }
        let person = actor.strip_prefix("person:").and_then(|id| PersonId::parse(id).ok());
        let name = match person {
            Some(id) => self.catalog.person(id).await?.map(|person| person.name),
            None => None,
        };
        names.insert(actor.to_owned(), name.clone());
        Ok(name)
    }

    /// Writes into the audit that somebody looks at a list, once per quarter of an hour.
    async fn note_list(&self, caller: &Caller, list: &'static str) -> Result<(), Problem> {
        let now = self.clock.now();
        let look = format!("{} {list}", caller.actor().text());
        if self.seen.is_recent(&look, now) {
            return Ok(());
        }
        self.catalog.record(&caller.actor(), Action::ListViewed, None, list, now).await?;
        self.seen.remember(look, now);
        Ok(())
    }
}

impl RecentlySeen {
    fn is_recent(&self, look: &str, now: Timestamp) -> bool {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(look).is_some_and(|at| now < *at + LOOK_INTERVAL)
    }

    fn remember(&self, look: String, now: Timestamp) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= LOOKS_MAX {
            looks.clear();
        }
        looks.insert(look, now);
    }
}

fn tagged(headers: &HeaderMap, view: &impl Serialize) -> Result<Response, Problem> {
    let tag = tag_of(view)?;
    Ok(answer(headers, &tag, view))
}

fn tag_of(view: &impl Serialize) -> Result<HeaderValue, Problem> {
    let bytes = serde_json::to_vec(view).map_err(|error| Problem::internal(&error))?;
    let tag = format!("\"{}\"", Sha256Digest::of(&bytes).short());
    HeaderValue::try_from(tag).map_err(|error| Problem::internal(&error))
}

/// Answers with a body, or with 304 when the caller has it already (RFC 9110 section 13.1.2).
fn answer(headers: &HeaderMap, tag: &HeaderValue, view: &impl Serialize) -> Response {
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag);
    let tagged = [(header::ETAG, tag.clone())];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, tagged).into_response(),
        false => (tagged, Json(view)).into_response(),
    }
}
