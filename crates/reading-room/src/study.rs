//! `GET /api/v1/studies/{centre}/{study}`: all that a reader must see before signing.

use std::collections::BTreeSet;

use axum::{extract::State, http::HeaderMap, response::Response};
use domain::{
    Timestamp,
    delivery::{Delivery, Recipient},
    person::{Role, Scope},
    port::catalog::{DeliveryFilter, StudyFilter, StudyOrder, TaskFilter, WorklistEntry},
    reading::{Reading, ReadingState},
    report::{Draft, ReportVersion, SectionKind, WorkingCopy},
    study::{Study, StudyKey},
    task::Task,
};
use gate::{ErrorBody, PathPart, Problem, SignedInPerson};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    bound::tagged,
    people::Names,
    pictures::draft_index,
    room::Room,
    tasks::{TaskView, task_views},
    views::{
        DeliveryView, DraftSectionView, EntryView, ImageSetView, KeyImageView, QualityView, SectionView,
        VersionView, all_sections, order_match, study_path,
    },
};

/// Most earlier studies shown.
const PRIORS_MAX: usize = 20;
/// Most earlier studies looked through: patient ids match exactly, while the catalog reads wild cards in them.
const PRIORS_READ_MAX: u32 = 60;
/// Most deliveries and tasks of one study shown.
const OF_ONE_STUDY_MAX: u32 = 200;

/// A study with everything around it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StudyView {
    entry: EntryView,
    order: Option<OrderView>,
    referring_physician: Option<String>,
    image_set: ImageSetView,
    /// Body Part Examined (0018,0015) of its series.
    body_parts: Vec<String>,
    priors: Vec<PriorView>,
    draft: Option<DraftView>,
    working_copy: Option<WorkingCopyView>,
    versions: Vec<VersionView>,
    deliveries: Vec<DeliveryView>,
    tasks: Vec<TaskView>,
    viewer_url: String,
}

/// The order that the study answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MatchedOrderView)]
struct OrderView {
    accession_number: String,
    examination: Option<String>,
    reason: Option<String>,
    priority: &'static str,
    physician_name: Option<String>,
    received: String,
    /// `accession_number` or `patient_and_date`.
    matched_by: &'static str,
}

/// An earlier study of the patient at the same centre.
#[derive(Debug, Serialize, ToSchema)]
struct PriorView {
    study_uid: String,
    study_date: Option<String>,
    description: Option<String>,
    modalities: Vec<String>,
    /// Body Part Examined (0018,0015) of its series.
    body_parts: Vec<String>,
    impression: Option<String>,
    signed_at: Option<String>,
}

/// What the report-generation worker wrote.
#[derive(Debug, Serialize, ToSchema)]
struct DraftView {
    author: String,
    at: String,
    /// Images came since.
    stale: bool,
    sections: Vec<DraftSectionView>,
    quality: Vec<QualityView>,
    key_images: Vec<KeyImageView>,
}

/// What a reader is writing; always all seven parts.
#[derive(Debug, Serialize, ToSchema)]
struct WorkingCopyView {
    revision: u64,
    at: String,
    by_name: String,
    mine: bool,
    sections: Vec<SectionView>,
}

/// A study with order, draft, working copy, signed versions, and what became of them. Text that nobody signed is shown to readers
/// only.
#[utoipa::path(get, path = "/api/v1/studies/{centre}/{study}", tag = "reading",
    params(("centre" = String, Path), ("study" = String, Path)), responses(
    (status = 200, body = StudyView), (status = 304), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn study(
    State(room): State<Room>,
    person: SignedInPerson,
    headers: HeaderMap,
    PathPart((centre, study)): PathPart<(String, String)>,
) -> Result<Response, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    room.note_study_viewed(&person, &study.key).await?;
    let view = room.study_view(&person, &study, room.clock.now()).await?;
    tagged(&headers, &view, &view)
}

impl Room {
    async fn study_view(
        &self,
        person: &SignedInPerson,
        study: &Study,
        now: Timestamp,
    ) -> Result<StudyView, Problem> {
        let key = &study.key;
        let mut names = Names::new(&*self.catalog);
        let image_set = self.catalog.image_set(key).await?.ok_or_else(Problem::unknown)?;
        let versions = self.catalog.versions(key).await?;
        let filter = DeliveryFilter {
            scope: Scope::Centres(vec![key.centre.clone()]),
            study: Some(key.clone()),
            unacknowledged: false,
            limit: OF_ONE_STUDY_MAX,
        };
        let deliveries = self.catalog.deliveries(&filter).await?;
        let filter = TaskFilter {
            scope: filter.scope,
            study: Some(key.clone()),
            closed: true,
            limit: OF_ONE_STUDY_MAX,
        };
        let tasks = self.catalog.tasks(&filter).await?;
        // Drafts and working copies are nobody's result yet.
        let (draft, working_copy) = match person.person.role {
            Role::Reader | Role::Admin => {
                (self.catalog.draft(key).await?, self.catalog.working_copy(key).await?)
            }
            Role::Centre => (None, None),
        };
        let draft_generation = match &draft {
            Some(draft) => Some(draft.images.generation),
            None => self.catalog.draft(key).await?.map(|draft| draft.images.generation),
        };
        let entry =
            self.entry(study, &versions, &deliveries, &tasks, draft_generation, now, &mut names).await?;
        let patient = study.attributes.patient_name.as_ref().map(domain::text::PersonName::display);
        Ok(StudyView {
            entry: EntryView::new(&entry, person.person.id, now),
            order: self.matched_order(study).await?,
            referring_physician: study
                .attributes
                .referring_physician
                .as_ref()
                .map(domain::text::PersonName::display),
            image_set: ImageSetView::from(&image_set),
            body_parts: self.body_parts(key).await?,
            priors: self.priors(study).await?,
            draft: draft.map(|draft| DraftView::new(&draft, study)),
            working_copy: match working_copy {
                Some(copy) => Some(WorkingCopyView::new(&copy, names.of(copy.by).await?, person)),
                None => None,
            },
            versions: VersionView::all(&versions),
            deliveries: deliveries.iter().map(|one| DeliveryView::new(one, patient.clone())).collect(),
            tasks: task_views(&*self.catalog, &tasks, &mut names).await?,
            viewer_url: format!("/viewer?StudyInstanceUIDs={}&centre={}", key.uid, key.centre),
        })
    }

    #[allow(clippy::too_many_arguments, reason = "what was read already is not read again")]
    async fn entry(
        &self,
        study: &Study,
        versions: &[ReportVersion],
        deliveries: &[Delivery],
        tasks: &[Task],
        draft_generation: Option<u64>,
        now: Timestamp,
        names: &mut Names<'_>,
    ) -> Result<WorklistEntry, Problem> {
        let key = &study.key;
        let reading = self.catalog.reading(key).await?;
        let reading = reading.unwrap_or_else(|| Reading { study: key.clone(), state: ReadingState::Unread });
        let holder = reading.claim(now).map(|claim| claim.by);
        let reader_name = match (holder, versions.last()) {
            (Some(holder), _) => Some(names.of(holder).await?),
            (None, latest) => latest.map(|latest| latest.signature.signer_name.clone()),
        };
        let latest = versions.last().map(|latest| latest.number);
        let of_latest = deliveries.iter().filter(|one| {
            Some(one.version) == latest && matches!(one.recipient, Recipient::Physician { .. })
        });
        let total = of_latest.clone().count();
        let acknowledged = of_latest.filter(|one| one.acknowledgement.is_some()).count();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let centre_name = self.catalog.centre(&key.centre).await?.map(|centre| centre.name);
        Ok(WorklistEntry {
            study: study.clone(),
            centre_name: centre_name.unwrap_or_else(|| key.centre.to_string()),
            reading,
            reader_name,
            draft_generation,
            open_tasks: count(tasks.iter().filter(|task| task.closed.is_none()).count()),
            deliveries: (count(total), count(acknowledged)),
        })
    }

    async fn matched_order(&self, study: &Study) -> Result<Option<OrderView>, Problem> {
        let Some((id, found)) = study.order else { return Ok(None) };
        let Some(order) = self.catalog.order(&study.key.centre, id).await? else { return Ok(None) };
        let request = &order.request;
        let physician_name = self.ordering_physician(&study.key, &order.request).await?;
        Ok(Some(OrderView {
            accession_number: request.accession_number.as_str().to_owned(),
            examination: request.examination.clone(),
            reason: request.reason.clone(),
            priority: request.priority.as_str(),
            physician_name,
            received: order.received.to_string(),
            matched_by: order_match(found),
        }))
    }

    /// The physician's name: from the directory, else as the order gives it.
    pub(crate) async fn ordering_physician(
        &self,
        study: &StudyKey,
        request: &domain::order::OrderRequest,
    ) -> Result<Option<String>, Problem> {
        let known = match request.physician {
            Some(id) => self.catalog.physician(&study.centre, id).await?.map(|physician| physician.name),
            None => None,
        };
        Ok(known.or_else(|| request.physician_name.clone()).map(|name| name.display()))
    }

    /// What the series of a study say that they show; each once.
    async fn body_parts(&self, study: &StudyKey) -> Result<Vec<String>, Problem> {
        let series = self.catalog.series(study).await?;
        let parts: BTreeSet<String> =
            series.into_iter().filter_map(|series| series.attributes.body_part).collect();
        Ok(parts.into_iter().collect())
    }

    /// Earlier studies of the same patient at the same centre: same patient id, no other birth date, not after this study.
    async fn priors(&self, study: &Study) -> Result<Vec<PriorView>, Problem> {
        let attributes = &study.attributes;
        let Some(patient) = &attributes.patient_id else { return Ok(Vec::new()) };
        let filter = StudyFilter {
            centres: vec![study.key.centre.clone()],
            patient_id: Some(patient.as_str().to_owned()),
            order: StudyOrder::LatestFirst,
            limit: PRIORS_READ_MAX,
            ..StudyFilter::default()
        };
        let found = self.catalog.studies(&filter).await?;
        let is_prior = |other: &&Study| {
            let born = (other.attributes.patient_birth_date, attributes.patient_birth_date);
            let dates = (other.attributes.study_date, attributes.study_date);
            other.key != study.key
                && other.attributes.patient_id.as_ref() == Some(patient)
                && !matches!(born, (Some(theirs), Some(ours)) if theirs != ours)
                && !matches!(dates, (Some(theirs), Some(ours)) if theirs > ours)
        };
        let mut priors = Vec::new();
        for prior in found.iter().filter(is_prior).take(PRIORS_MAX) {
            let versions = self.catalog.versions(&prior.key).await?;
            let latest = versions.iter().rev().find_map(|version| {
                let impression = version.content.text(SectionKind::Impression);
                (!impression.is_empty()).then(|| (impression.to_owned(), version.signature.at))
            });
            priors.push(PriorView {
                study_uid: prior.key.uid.to_string(),
                study_date: prior.attributes.study_date.map(|day| day.to_string()),
                description: prior.attributes.description.clone(),
                modalities: prior.modalities.clone(),
                body_parts: self.body_parts(&prior.key).await?,
                impression: latest.as_ref().map(|(impression, _)| impression.clone()),
                signed_at: latest.map(|(_, at)| at.to_string()),
            });
        }
        Ok(priors)
    }
}

impl DraftView {
    fn new(draft: &Draft, study: &Study) -> Self {
        let base = study_path(&draft.study);
        let pictures = draft.content.key_images.iter().enumerate();
        Self {
            author: draft.content.author.clone(),
            at: draft.at.to_string(),
            stale: draft.images.generation != study.generation,
            sections: draft.content.sections.iter().map(DraftSectionView::from).collect(),
            quality: draft.content.quality.iter().map(QualityView::from).collect(),
            key_images: pictures
                .map(|(place, image)| KeyImageView::new(&base, draft_index(draft, place), image))
                .collect(),
        }
    }
}

impl WorkingCopyView {
    fn new(copy: &WorkingCopy, by_name: String, person: &SignedInPerson) -> Self {
        Self {
            revision: copy.revision,
            at: copy.at.to_string(),
            by_name,
            mine: copy.by == person.person.id,
            sections: all_sections(&copy.content),
        }
    }
}
