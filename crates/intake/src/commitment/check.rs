//! Whether objects are safely stored: each is read again, and its size and SHA-256 are compared with what was stored.

use std::collections::BTreeMap;

use dimse::Service;
use domain::{
    commitment::{Commitment, Failure, FailureReason, Reference},
    id::CentreId,
    image::Instance,
    port::{
        Catalog, CatalogError, Storage, StorageError,
        storage::{Unhurried, compare},
    },
    study::StudyKey,
    task::{NewTask, TaskKind},
};

/// What kept objects from being looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("the catalog could not be asked")]
    Catalog(#[from] CatalogError),
    #[error("the object store could not be read")]
    Storage(#[source] StorageError),
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) failures: Vec<Failure>,
    /// One for each study with damaged objects.
    pub(super) tasks: Vec<NewTask>,
}

/// Looks at every object of a commitment. On the last try an object that cannot be read counts as not committed.
pub(super) async fn check(
    catalog: &dyn Catalog,
    storage: &dyn Storage,
    commitment: &Commitment,
    is_last_try: bool,
) -> Result<Found, CheckError> {
    let mut found = Found::default();
    let mut damaged: BTreeMap<StudyKey, Vec<(Instance, String)>> = BTreeMap::new();
    for reference in &commitment.references {
        let reason = if commitment.is_duplicate {
            Some(FailureReason::DuplicateTransaction)
        } else {
            match look(catalog, storage, &commitment.centre, reference).await {
                Ok(Looked::Committed) => None,
                Ok(Looked::Refused(reason)) => Some(reason),
                Ok(Looked::Damaged(instance, how)) => {
                    let study = StudyKey { centre: instance.centre.clone(), uid: instance.study.clone() };
                    damaged.entry(study).or_default().push((*instance, how));
                    Some(FailureReason::ProcessingFailure)
                }
                Err(CheckError::Storage(_)) if is_last_try => Some(FailureReason::ResourceLimitation),
                Err(error) => return Err(error),
            }
        };
        if let Some(reason) = reason {
            found.failures.push(Failure { reference: reference.clone(), reason });
        }
    }
    found.tasks = damaged.iter().map(|(study, objects)| task(study, objects)).collect();
    Ok(found)
}

/// What became of one reference.
enum Looked {
    Committed,
    Refused(FailureReason),
    Damaged(Box<Instance>, String),
}

async fn look(
    catalog: &dyn Catalog,
    storage: &dyn Storage,
    centre: &CentreId,
    reference: &Reference,
) -> Result<Looked, CheckError> {
    if Service::of(reference.sop_class.as_str()) != Service::Storage {
        return Ok(Looked::Refused(FailureReason::ClassNotSupported));
    }
    let Some(instance) = catalog.kept_instance(centre, &reference.sop_instance).await? else {
        return Ok(Looked::Refused(FailureReason::NoSuchInstance));
    };
    if instance.sop_class != reference.sop_class {
        return Ok(Looked::Refused(FailureReason::ClassInstanceConflict));
    }
    let condition = compare(storage, &instance.object, instance.file_sha256, &Unhurried).await;
    let Some(how) = condition.map_err(CheckError::Storage)?.flaw() else { return Ok(Looked::Committed) };
    tracing::error!(object = %instance.object, flaw = how, "a stored object is damaged; it is not committed");
    metrics::counter!("telerad_intake_damaged_objects_total").increment(1);
    Ok(Looked::Damaged(Box::new(instance), how))
}

fn task(study: &StudyKey, objects: &[(Instance, String)]) -> NewTask {
    let (first, how) = &objects[0];
    let reason = match objects.len() {
        1 => format!("The stored image {} {how}.", first.sop_instance),
        count => format!(
            "{count} stored images of this study are missing or not what was stored; the first is {}, which {how}.",
            first.sop_instance
        ),
    };
    NewTask {
        centre: study.centre.clone(),
        study: Some(study.uid.clone()),
        kind: TaskKind::ObjectDamaged,
        subject: format!("study {}", study.uid),
        reason,
        next_step: "Ask the centre to keep its images of this study; ask the administrator to run `telerad verify` and to \
                    bring the objects back from the backup."
            .to_owned(),
    }
}
