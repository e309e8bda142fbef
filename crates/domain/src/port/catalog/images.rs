//! Studies, series, instances: what arrived and what we believe about it.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    id::CentreId,
    image::{Arrival, ArrivalOutcome, Instance},
    study::{Evidence, ImageSet, Series, Study, StudyKey},
    uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
};

/// Studies, series, instances.
#[async_trait]
pub trait Images {
    /// Makes arrivals known, all in one transaction: rows of instance, series and study, the reading of a new study, its order (see
    /// [`crate::order::choose`]), conflicts with their tasks, completeness ([`crate::study::Completeness`]; the quiet period is
    /// the centre's), audit, and one outbox row per study that is due when waiting is over. Two arrivals of one
    /// batch may be of the same instance.
    /// An image after sign-off opens a task [`crate::task::TaskKind::ImagesAfterSignature`]. An image that names another patient than its
    /// study ([`crate::conflict::is_another_patient`]) is stored like any other and belongs to a conflict; when people said that this
    /// is not the study's patient, it is set aside.
    ///
    /// The outcomes stand in the order of the arrivals.
    async fn record_arrivals(&self, arrivals: &[Arrival], at: Timestamp) -> Known<Vec<ArrivalOutcome>>;

    /// The sender told something about completeness. When it decides the matter, the study's outbox row is due at once.
    async fn sender_said(&self, study: &StudyKey, evidence: &Evidence) -> Known<()>;

    /// The waiting time of a study is over: applies [`crate::study::Completeness::decide`] and keeps the result with its audit; a
    /// short study opens a task [`crate::task::TaskKind::MissingImages`]. When it is not over after all, nothing
    /// changes. Gives the study as it then stands.
    async fn decide_completeness(&self, study: &StudyKey, now: Timestamp) -> Known<Option<Study>>;

    /// A study.
    async fn study(&self, key: &StudyKey) -> Known<Option<Study>>;

    /// Studies that match, at most `filter.limit`.
    async fn studies(&self, filter: &StudyFilter) -> Known<Vec<Study>>;

    /// Series of a study, by number, then UID.
    async fn series(&self, study: &StudyKey) -> Known<Vec<Series>>;

    /// Current instances of a study, or of one of its series, by series UID, instance number, SOP Instance UID.
    async fn instances(&self, study: &StudyKey, series: Option<&SeriesInstanceUid>) -> Known<Vec<Instance>>;

    /// One current instance.
    async fn instance(&self, centre: &CentreId, sop_instance: &SopInstanceUid) -> Known<Option<Instance>>;

    /// One instance, also when people set it aside: it is kept as safely, and not shown.
    async fn kept_instance(
        &self,
        centre: &CentreId,
        sop_instance: &SopInstanceUid,
    ) -> Known<Option<Instance>>;

    /// The images of a study now, with their digest.
    async fn image_set(&self, study: &StudyKey) -> Known<Option<ImageSet>>;

    /// Instances of all centres after `(centre, SOP instance)`, also those that people set aside, for `telerad verify`; at most `limit`.
    async fn instances_after(
        &self,
        after: Option<(&CentreId, &SopInstanceUid)>,
        limit: u32,
    ) -> Known<Vec<Instance>>;
}

/// Which studies. Texts match as QIDO-RS has it (PS3.18 section 8.3.4, PS3.4 section C.2.2.2): `*` any run, `?` one character; names
/// without regard to case, other texts exactly. Unset fields match all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StudyFilter {
    /// Only these centres; empty means all.
    pub centres: Vec<CentreId>,
    /// Any of these.
    pub study_uids: Vec<StudyInstanceUid>,
    /// (0010,0020).
    pub patient_id: Option<String>,
    /// (0010,0010).
    pub patient_name: Option<String>,
    /// (0008,0050).
    pub accession_number: Option<String>,
    /// (0008,1030).
    pub description: Option<String>,
    /// (0008,0090).
    pub referring_physician: Option<String>,
    /// (0020,0010).
    pub study_id: Option<String>,
    /// Any of these modalities is in the study.
    pub modalities: Vec<String>,
    /// First study date, inclusive.
    pub from: Option<jiff::civil::Date>,
    /// Last study date, inclusive.
    pub to: Option<jiff::civil::Date>,
    /// How they stand.
    pub order: StudyOrder,
    /// How many to skip.
    pub offset: u32,
    /// At most so many; 0 means none.
    pub limit: u32,
}

/// How studies stand in a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StudyOrder {
    /// Latest study date and time first, then UID.
    #[default]
    LatestFirst,
    /// Earliest arrival first, then UID.
    ArrivalFirst,
}
