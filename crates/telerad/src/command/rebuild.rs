//! `telerad rebuild`: makes the catalog's images again from storage alone. What is known already stays as it is.
//!
//! Only what objects say can come back this way: images, studies, series, and what waits in quarantine. People, orders, reports and
//! deliveries need a backup of the catalog.

use std::{collections::HashSet, process::ExitCode};

use domain::{
    audit::Actor,
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    id::{CentreId, QuarantineId},
    image::{Arrival, ArrivalOutcome, Instance, InstanceAttributes, Source},
    object::{ObjectName, ObjectRef},
    person::Scope,
    port::{
        CatalogError, Storage, StorageError,
        catalog::{ChangeError, DirectoryRefusal, QuarantineFilter},
    },
    quarantine::{Claim, KeepOutcome, QuarantineLimits, QuarantineState, Quarantined, REASON_CHARS_MAX, Way},
};
use imaging::{
    guard::{self, Guard, GuardLimits, GuardedHeader},
    header::Header,
    sniff::{self, Sniffed},
};
use intake::quarantine::{self, Unreadable};
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
    /// Objects that wait in quarantine again.
    waiting: u64,
    wrong: Vec<String>,
}

/// Why an object cannot be taken back.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("its centre cannot be made")]
    Centre(#[from] ChangeError<DirectoryRefusal>),
    #[error(transparent)]
    Unreadable(Unreadable),
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
    if tally.waiting > 0 {
        say(format!("{} objects that cannot be read wait in quarantine again.", tally.waiting));
    }
    for line in tally.wrong.iter().take(LINES_MAX) {
        say(line);
    }
    if tally.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn rebuild(parts: &Parts, tally: &mut Tally) -> Result<(), Box<dyn std::error::Error>> {
    let mut last: Option<ObjectRef> = None;
    let mut waiting = Waiting::default();
    loop {
        let page = parts.storage.list(last.as_ref(), PAGE).await?;
        let Some(end) = page.last().map(|listed| listed.object.clone()) else { return Ok(()) };
        for object in page.into_iter().map(|listed| listed.object) {
            let outcome = match object.key.name() {
                Some(ObjectName::Instance { centre, .. }) => image(parts, &centre, &object, tally).await,
                Some(ObjectName::Quarantined { centre, sha256 }) => {
                    waiting.take_back(parts, centre, sha256, &object, tally).await
                }
                // A document is made again of the images.
                Some(
                    ObjectName::KeyImage { .. }
                    | ObjectName::ReportPdf { .. }
                    | ObjectName::SeriesDocument { .. }
                    | ObjectName::Mark { .. },
                )
                | None => Ok(()),
            };
            match outcome {
                Ok(()) => {}
                Err(Unfit::Damaged(reason)) => tally.wrong.push(format!("{object}: {reason}")),
                Err(Unfit::Unreadable(reason)) => tally.wrong.push(format!("{object}: {reason}")),
                Err(Unfit::Storage(error)) => return Err(error.into()),
                Err(Unfit::Catalog(error)) => return Err(error.into()),
                Err(Unfit::Centre(error)) => return Err(error.into()),
            }
        }
        last = Some(end);
    }
}

/// Makes a centre that nobody knows. It keeps what cannot be read, since it may have objects in quarantine.
async fn require_centre(parts: &Parts, id: &CentreId) -> Result<(), Unfit> {
    if parts.catalog.centre(id).await?.is_some() {
        return Ok(());
    }
    let known = Centre {
        id: id.clone(),
        name: id.as_str().to_owned(),
        address: Vec::new(),
        phone: None,
        contact: None,
        policy: CentrePolicy { keeps_unreadable: true, ..CentrePolicy::default() },
    };
    parts.catalog.put_centre(&known, &Actor::Operator, parts.clock.now()).await?;
    Ok(())
}

async fn image(parts: &Parts, centre: &CentreId, object: &ObjectRef, tally: &mut Tally) -> Result<(), Unfit> {
    require_centre(parts, centre).await?;
    let read = read(parts.storage.as_ref(), object).await?;
    let arrival = arrival(centre.clone(), object, read, parts.clock.now())?;
    match record(parts, arrival).await? {
        Some(ArrivalOutcome::Stored | ArrivalOutcome::Conflict { .. }) => tally.added += 1,
        Some(ArrivalOutcome::AlreadyStored { .. }) | None => tally.known += 1,
        // It can come back as it is: what it holds is known there.
        Some(ArrivalOutcome::TakenOut) => tally.known += 1,
        Some(ArrivalOutcome::Swept) => {
            return Err(Unfit::Damaged("a sweep is removing it; run this again".to_owned()));
        }
    }
    Ok(())
}

/// What the quarantine of the centre that is looked at knows, whatever was decided about it. Storage lists centre by centre.
#[derive(Default)]
struct Waiting {
    known: Option<(CentreId, HashSet<Sha256Digest>)>,
}

impl Waiting {
    async fn knows(
        &mut self,
        parts: &Parts,
        centre: &CentreId,
        object: Sha256Digest,
    ) -> Result<bool, CatalogError> {
        if self.known.as_ref().is_none_or(|(known, _)| known != centre) {
            let scope = Scope::Centres(vec![centre.clone()]);
            let filter = QuarantineFilter { scope, decided: true, limit: u32::MAX };
            let objects = parts.catalog.quarantined_objects(&filter).await?;
            self.known = Some((centre.clone(), objects.into_iter().map(|object| object.sha256).collect()));
        }
        Ok(self.known.as_ref().is_some_and(|(_, objects)| objects.contains(&object)))
    }

    /// Lets an object that nobody knows wait for a person again.
    async fn take_back(
        &mut self,
        parts: &Parts,
        centre: CentreId,
        sha256: Sha256Digest,
        object: &ObjectRef,
        tally: &mut Tally,
    ) -> Result<(), Unfit> {
        require_centre(parts, &centre).await?;
        if self.knows(parts, &centre, sha256).await? {
            return Ok(());
        }
        let Read { bytes, place, claim, guarded } = read(parts.storage.as_ref(), object).await?;
        let why = match guarded {
            Err(refusal) => Some(Unreadable::Guard(refusal)),
            Ok(guarded) => Header::read(&guarded).err().map(Unreadable::Header),
        };
        let now = parts.clock.now();
        let quarantined = Quarantined {
            id: QuarantineId::fresh(),
            centre,
            way: Way::Rebuild,
            by: Actor::Operator.text(),
            claim,
            reason: why.as_ref().map_or_else(
                || "it was refused once, and can be read by the limits that hold now".to_owned(),
                |why| why.to_string().chars().take(REASON_CHARS_MAX).collect(),
            ),
            next_step: why.as_ref().map_or("Try again.", Unreadable::next_step).to_owned(),
            object: object.clone(),
            bytes,
            data_set_bytes: bytes.saturating_sub(place.at as u64),
            sha256,
            received: now,
            times: 1,
            last_received: now,
            state: QuarantineState::Waiting,
        };
        // They were within the limits when they came, and are there now.
        let limits = QuarantineLimits { objects: u64::MAX, bytes: u64::MAX };
        match parts.catalog.quarantine(&quarantined, limits, &Actor::Operator).await? {
            KeepOutcome::Kept => tally.waiting += 1,
            KeepOutcome::AlreadyKept { .. } | KeepOutcome::Discarded { .. } => {}
            KeepOutcome::NotWanted | KeepOutcome::Full => {
                return Err(Unfit::Damaged(
                    "its centre does not keep what cannot be read (`telerad centre add … --keep-unreadable`), so a sweep will remove it"
                        .to_owned(),
                ));
            }
        }
        Ok(())
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

/// An object as it was read again, with all its bytes.
struct Read {
    bytes: u64,
    /// Where its data set begins.
    place: sniff::Place,
    /// What its file meta says that it is.
    claim: Claim,
    guarded: Result<GuardedHeader, guard::Refusal>,
}

/// Reads an object and looks at its header.
async fn read(storage: &dyn Storage, object: &ObjectRef) -> Result<Read, Unfit> {
    let damaged = |reason: &dyn std::fmt::Display| Unfit::Damaged(reason.to_string());
    let Some(name) = object.key.name() else { return Err(damaged(&"its name is none of ours")) };
    let mut reader = storage.read(object, None).await?;
    let mut file = Sha256::new();
    let mut beginning = Vec::new();
    let mut guard: Option<(Result<Guard, guard::Refusal>, sniff::Place)> = None;
    while let Some(piece) = reader.pieces.next().await? {
        file.update(&piece);
        match &mut guard {
            Some((watch, _)) => {
                if let Ok(watching) = watch
                    && let Err(refusal) = watching.push(&piece)
                {
                    *watch = Err(refusal);
                }
            }
            None => {
                beginning.extend_from_slice(&piece);
                let is_whole = beginning.len() as u64 == reader.object_bytes;
                match sniff::part10(&beginning, is_whole) {
                    Sniffed::More => {}
                    Sniffed::NotDicom(reason) => return Err(damaged(&reason)),
                    Sniffed::DataSet(place) => {
                        let mut fresh = Guard::new(&place.transfer_syntax, GuardLimits::default());
                        let pushed = fresh.push(&beginning[place.at..]);
                        guard = Some((pushed.map(|_| fresh), place));
                    }
                }
            }
        }
    }
    if Sha256Digest::from_bytes(file.finalize().into()) != name.sha256() {
        return Err(damaged(&"its bytes are not those that were stored"));
    }
    let Some((guard, place)) = guard else { return Err(damaged(&"it ends too early")) };
    let claim = quarantine::claim_of_meta(&beginning[..place.at], &place.transfer_syntax);
    Ok(Read { bytes: reader.object_bytes, place, claim, guarded: guard.and_then(Guard::finish) })
}

/// The arrival of an image that rests already.
fn arrival(
    centre: CentreId,
    object: &ObjectRef,
    Read { bytes, place, guarded, .. }: Read,
    now: domain::Timestamp,
) -> Result<Arrival, Unfit> {
    let guarded = guarded.map_err(|refusal| Unfit::Unreadable(Unreadable::Guard(refusal)))?;
    let header = Header::read(&guarded).map_err(|error| Unfit::Unreadable(Unreadable::Header(error)))?;
    let header_bytes = guarded.stored_bytes(place.at as u64, bytes);
    let Some(name) = object.key.name() else {
        return Err(Unfit::Damaged("its name is none of ours".to_owned()));
    };
    Ok(Arrival {
        instance: Instance {
            centre,
            study: header.study_uid,
            series: header.series_uid,
            sop_instance: header.sop_instance,
            sop_class: header.sop_class,
            transfer_syntax: place.transfer_syntax,
            object: object.clone(),
            bytes,
            file_sha256: name.sha256(),
            attributes: InstanceAttributes { header_bytes, ..header.instance },
            received: now,
        },
        study: header.study,
        series: header.series,
        source: Source::Rebuild,
    })
}
