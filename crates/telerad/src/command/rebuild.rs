//! `telerad rebuild`: makes the catalog's images again from storage alone. What is known already stays as it is.
//!
//! Only what objects say can come back this way: images, studies, series. People, orders, reports and deliveries
//! need a backup of the catalog.

use std::process::ExitCode;

use domain::{
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    image::{Arrival, ArrivalOutcome, Instance, InstanceAttributes, Source},
    object::{ObjectName, ObjectRef},
    port::{CatalogError, Storage, StorageError},
};
use imaging::{
    guard::{Guard, GuardLimits},
    header::Header,
    sniff::{self, Sniffed},
};
use sha2::{Digest as _, Sha256};

use crate::{
    command::{self, say},
    settings::Settings,
    wiring::{self, Parts},
};

/// Keys of one question to storage.
const PAGE: usize = 500;
/// Most lines about single objects.
const LINES_MAX: usize = 100;

#[derive(Default)]
struct Tally {
    added: u64,
    known: u64,
    wrong: Vec<String>,
}

/// Why an object cannot be taken back.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{0}")]
    Damaged(String),
}

/// Rebuilds.
pub async fn run(settings: &Settings) -> ExitCode {
    let parts = match wiring::open(settings).await {
        Ok(parts) => parts,
        Err(error) => return command::fail(&error),
    };
    let mut tally = Tally::default();
    if let Err(error) = rebuild(&parts, &mut tally).await {
        return command::fail(error.as_ref());
    }
    say(format!(
        "{} images were taken back, {} were known, {} cannot be used.",
        tally.added,
        tally.known,
        tally.wrong.len()
    ));
    for line in tally.wrong.iter().take(LINES_MAX) {
        say(line);
    }
    if tally.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn rebuild(parts: &Parts, tally: &mut Tally) -> Result<(), Box<dyn std::error::Error>> {
    let mut last: Option<ObjectRef> = None;
    loop {
        let page = parts.storage.list(last.as_ref(), PAGE).await?;
        let Some(end) = page.last().map(|listed| listed.object.clone()) else { return Ok(()) };
        for object in page.into_iter().map(|listed| listed.object) {
            let Some(ObjectName::Instance { centre, .. }) = object.key.name() else { continue };
            if parts.catalog.centre(&centre).await?.is_none() {
                let name = centre.as_str().to_owned();
                let known = Centre {
                    id: centre,
                    name,
                    address: Vec::new(),
                    phone: None,
                    contact: None,
                    policy: CentrePolicy::default(),
                };
                parts.catalog.put_centre(&known, &domain::audit::Actor::Operator, parts.clock.now()).await?;
            }
            match examine(parts.storage.as_ref(), &object, parts.clock.now()).await {
                Ok(arrival) => match record(parts, arrival).await? {
                    Some(ArrivalOutcome::Stored | ArrivalOutcome::Conflict { .. }) => tally.added += 1,
                    Some(ArrivalOutcome::AlreadyStored { .. }) | None => tally.known += 1,
                    Some(ArrivalOutcome::Swept) => {
                        tally.wrong.push(format!("{object}: a sweep is removing it; run this again"));
                    }
                },
                Err(Unfit::Damaged(reason)) => tally.wrong.push(format!("{object}: {reason}")),
                Err(Unfit::Storage(error)) => return Err(error.into()),
            }
        }
        last = Some(end);
    }
}

/// Makes an image known. Of one that a sweep had removed the catalog says so once; this one was just read.
async fn record(parts: &Parts, arrival: Arrival) -> Result<Option<ArrivalOutcome>, CatalogError> {
    let arrivals = [arrival];
    let mut outcome = parts.catalog.record_arrivals(&arrivals, parts.clock.now()).await?.pop();
    if outcome == Some(ArrivalOutcome::Swept)
        && parts.storage.size(&arrivals[0].instance.object).await.is_ok_and(|size| size.is_some())
    {
        outcome = parts.catalog.record_arrivals(&arrivals, parts.clock.now()).await?.pop();
    }
    Ok(outcome)
}

async fn examine(
    storage: &dyn Storage,
    object: &ObjectRef,
    now: domain::Timestamp,
) -> Result<Arrival, Unfit> {
    let damaged = |reason: &dyn std::fmt::Display| Unfit::Damaged(reason.to_string());
    let Some(ObjectName::Instance { centre, sha256, .. }) = object.key.name() else {
        return Err(damaged(&"its name is not that of an image"));
    };
    let mut reader = storage.read(object, None).await?;
    let mut file = Sha256::new();
    let mut beginning = Vec::new();
    let mut guard: Option<(Guard, sniff::Place)> = None;
    while let Some(piece) = reader.pieces.next().await? {
        file.update(&piece);
        if let Some((guard, _)) = &mut guard {
            guard.push(&piece).map_err(|refusal| damaged(&refusal))?;
            continue;
        }
        beginning.extend_from_slice(&piece);
        let is_whole = beginning.len() as u64 == reader.object_bytes;
        match sniff::part10(&beginning, is_whole) {
            Sniffed::More => {}
            Sniffed::NotDicom(reason) => return Err(damaged(&reason)),
            Sniffed::DataSet(place) => {
                let mut fresh = Guard::new(&place.transfer_syntax, GuardLimits::default());
                fresh.push(&beginning[place.at..]).map_err(|refusal| damaged(&refusal))?;
                guard = Some((fresh, place));
            }
        }
    }
    if Sha256Digest::from_bytes(file.finalize().into()) != sha256 {
        return Err(damaged(&"its bytes are not those that were stored"));
    }
    let Some((guard, place)) = guard else { return Err(damaged(&"it ends too early")) };
    let guarded = guard.finish().map_err(|refusal| damaged(&refusal))?;
    let header = Header::read(&guarded).map_err(|error| damaged(&error))?;
    let header_bytes = guarded.stored_bytes(place.at as u64, reader.object_bytes);
    Ok(Arrival {
        instance: Instance {
            centre,
            study: header.study_uid,
            series: header.series_uid,
            sop_instance: header.sop_instance,
            sop_class: header.sop_class,
            transfer_syntax: place.transfer_syntax,
            object: object.clone(),
            bytes: reader.object_bytes,
            file_sha256: sha256,
            attributes: InstanceAttributes { header_bytes, ..header.instance },
            received: now,
        },
        study: header.study,
        series: header.series,
        source: Source::Rebuild,
    })
}
