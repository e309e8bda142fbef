//! The drafter: writes a draft from what is known of a study. The built-in one follows rules; a model may stand behind the same port.

use async_trait::async_trait;

use super::Cause;
use crate::{
    image::Instance,
    order::Order,
    report::{DraftContent, ReportVersion},
    study::{Series, Study},
};

/// Writes drafts.
#[async_trait]
pub trait Drafter: Send + Sync + 'static {
    /// Writes a draft of a study.
    ///
    /// # Errors
    /// When it cannot be written; the worker gives the work back.
    async fn draft(&self, input: DraftInput) -> Result<DraftContent, DraftError>;
}

/// What a drafter is given.
pub struct DraftInput {
    /// The study.
    pub study: Study,
    /// Its series with their instances, in the order of series number, then instance number.
    pub series: Vec<DraftSeries>,
    /// The order it answers.
    pub order: Option<Order>,
    /// Earlier studies of the patient at the centre, the latest first.
    pub priors: Vec<PriorStudy>,
}

/// A series and its instances.
pub struct DraftSeries {
    /// The series.
    pub series: Series,
    /// Its instances in the order of instance number.
    pub instances: Vec<Instance>,
}

/// An earlier study of the same patient.
pub struct PriorStudy {
    /// The study.
    pub study: Study,
    /// Its latest signed version.
    pub report: Option<ReportVersion>,
}

/// Why a draft could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The store was away.
    #[error("the images could not be read")]
    Images(#[source] super::StorageError),
    /// Something else.
    #[error("the draft could not be written while {operation}")]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
}
