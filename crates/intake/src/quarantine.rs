//! Objects that cannot be read and that their centre wants kept: what is taken to its end all the same, what its sender hears, and the
//! page's routes ([`web`]) on which people decide. What is kept is no instance; I3 holds for its sender.
//!
//! Only what guard or header reading refuses comes here. What is no DICOM at all, too large, another object than was announced, or a
//! conflict is answered as ever.

pub mod web;

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    Duration,
    audit::Actor,
    digest::Sha256Digest,
    id::{CentreId, QuarantineId},
    image::Source,
    object::ObjectRef,
    port::{Catalog, Clock},
    quarantine::{Claim, KeepOutcome, QuarantineLimits, QuarantineState, Quarantined, REASON_CHARS_MAX, Way},
    uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid},
};
use imaging::{
    guard::{self, Flaw},
    header::HeaderError,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{receive::Announced, room::Room};

/// The first bytes of an object's file: a file meta with what the object claims to be.
pub(crate) fn prefix(claim: &Claim) -> Vec<u8> {
    let (class, instance) = (claim.sop_class.as_ref(), claim.sop_instance.as_ref());
    dimse::file_meta::partial_prefix(
        class.map(SopClassUid::as_str),
        instance.map(SopInstanceUid::as_str),
        claim.transfer_syntax.as_str(),
    )
}

/// What the file meta at the beginning of a file claims; nothing of what is missing or malformed there.
#[must_use]
pub fn claim_of_meta(beginning: &[u8], transfer_syntax: &TransferSyntaxUid) -> Claim {
    let meta = match dimse::split_part10(beginning, true) {
        Ok(dimse::Split::Found(head)) => head,
        Ok(_) | Err(_) => dimse::Part10Head::default(),
    };
    Claim {
        sop_class: meta.sop_class_uid.and_then(|uid| SopClassUid::parse(&uid).ok()),
        sop_instance: meta.sop_instance_uid.and_then(|uid| SopInstanceUid::parse(&uid).ok()),
        transfer_syntax: transfer_syntax.clone(),
    }
}

/// How often objects are forgotten whose retention time is over.
const FORGET_INTERVAL: Duration = Duration::from_mins(10);
/// Objects forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 100;

/// Limits of the quarantine, each with its unit in its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Objects in quarantine of one centre, discarded ones too.
    pub centre_objects_max: u64,
    /// Bytes in quarantine of one centre, discarded objects too.
    pub centre_bytes_max: u64,
    /// For so long discarded objects can be had back, and what was decided is listed, in days.
    pub decided_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { centre_objects_max: 1000, centre_bytes_max: 10 << 30, decided_days: 30 }
    }
}

impl Settings {
    const fn limits(&self) -> QuarantineLimits {
        QuarantineLimits { objects: self.centre_objects_max, bytes: self.centre_bytes_max }
    }
}

/// Why a data set cannot be read. It holds no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The guard does not let it in.
    #[error(transparent)]
    Guard(guard::Refusal),
    /// It does not say which instance it is.
    #[error(transparent)]
    Header(HeaderError),
}

impl Unreadable {
    /// What a person does about it.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Guard(refusal) => match refusal.flaw {
                Flaw::TooDeep | Flaw::TooManyElements | Flaw::TooLong | Flaw::InflateRatio => {
                    "Ask the operator whether the limits below intake.guard are too low. If they are raised, try again; else discard it."
                }
                Flaw::Truncated => {
                    "Its end is missing: have it sent again from its source, then discard this one."
                }
                Flaw::Overrun
                | Flaw::UndefinedLength
                | Flaw::StrayDelimiter
                | Flaw::NoItem
                | Flaw::ForeignGroup
                | Flaw::Inflate => {
                    "The device or program that wrote it made a mistake: have it exported anew, tell the maker, then discard this one."
                }
                Flaw::UnknownSyntax => "Have it sent in another transfer syntax, then discard this one.",
                Flaw::Busy => "Try again.",
            },
            Self::Header(HeaderError::Missing(_) | HeaderError::Invalid(_)) => {
                "It does not say which image it is: have it exported anew from its source, then discard this one."
            }
        }
    }
}

/// Keeps what cannot be read, for centres that want it. Clones are the same.
#[derive(Clone)]
pub struct Keeper {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    room: Room,
    settings: Settings,
}

/// An object for the quarantine that is durable.
pub(crate) struct Written {
    pub(crate) claim: Claim,
    pub(crate) object: ObjectRef,
    pub(crate) sha256: Sha256Digest,
    pub(crate) bytes: u64,
    pub(crate) data_set_bytes: u64,
}

/// An object that is taken to its end though it cannot be read.
pub(crate) struct Aside {
    keeper: Keeper,
    pub(crate) why: Unreadable,
    /// Bytes that its file may have.
    room: u64,
}

impl Keeper {
    /// A keeper, for objects as far as there is room on the disks.
    #[must_use]
    pub fn new(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, room: Room, settings: Settings) -> Self {
        Self { catalog, clock, room, settings }
    }

    /// Whether an object of a centre is to be taken to its end.
    pub(crate) async fn offer(&self, centre: &CentreId, why: &Unreadable) -> Option<Aside> {
        if !self.room.is_there() {
            return None;
        }
        let held = match self.catalog.quarantine_use(centre).await {
            Ok(held) => held?,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the quarantine cannot be asked");
                return None;
            }
        };
        match held.room(self.settings.limits()) {
            Some(room) => Some(Aside { keeper: self.clone(), why: why.clone(), room }),
            None => {
                self.say_full(centre).await;
                None
            }
        }
    }

    async fn say_full(&self, centre: &CentreId) {
        tracing::warn!(%centre, "the quarantine is full; an object that cannot be read is not kept");
        if let Err(error) = self.catalog.quarantine_full(centre, self.clock.now()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "nobody is told that the quarantine is full"
            );
        }
    }

    /// Forgets what was decided long ago, until the service stops. What no row names is swept from storage.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let before = self.clock.now() - Duration::from_hours(24 * i64::from(self.settings.decided_days));
            match self.catalog.forget_quarantined(before, FORGOTTEN_AT_ONCE).await {
                Ok(0) => {}
                Ok(forgotten) => {
                    tracing::info!(forgotten, "objects left the quarantine: their retention time is over");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "old objects stay in quarantine for now"
                    );
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(FORGET_INTERVAL) => {}
            }
        }
    }
}

impl Aside {
    /// Whether its file may have so many bytes. When not, a task says that the quarantine is full.
    pub(crate) async fn has_room(&self, centre: &CentreId, file_bytes: u64) -> bool {
        if file_bytes > self.room {
            self.keeper.say_full(centre).await;
            return false;
        }
        true
    }

    /// Records an object that is durable; says whether it is kept, and where else the bytes rest when the ones just written are not
    /// needed.
    pub(crate) async fn keep(&self, announced: &Announced, written: Written) -> (bool, Option<ObjectRef>) {
        let actor = announced.actor();
        let now = self.keeper.clock.now();
        let quarantined = Quarantined {
            id: QuarantineId::fresh(),
            centre: announced.centre.clone(),
            way: announced.way,
            by: actor.text(),
            claim: written.claim,
            reason: self.why.to_string().chars().take(REASON_CHARS_MAX).collect(),
            next_step: self.why.next_step().to_owned(),
            object: written.object,
            bytes: written.bytes,
            data_set_bytes: written.data_set_bytes,
            sha256: written.sha256,
            received: now,
            times: 1,
            last_received: now,
            state: QuarantineState::Waiting,
        };
        let kept = self.keeper.catalog.quarantine(&quarantined, self.keeper.settings.limits(), &actor).await;
        match kept {
            Ok(KeepOutcome::Kept) => {
                tracing::info!(centre = %announced.centre, id = %quarantined.id, "object kept in quarantine");
                (true, None)
            }
            Ok(KeepOutcome::AlreadyKept { object }) => (true, Some(object)),
            Ok(KeepOutcome::Discarded { object }) => (false, Some(object)),
            // What was written has no name in the catalog, so it is swept.
            Ok(KeepOutcome::NotWanted | KeepOutcome::Full) => (false, None),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an object is not kept in quarantine"
                );
                (false, None)
            }
        }
    }
}

impl Announced {
    /// Who sends it, for the audit.
    fn actor(&self) -> Actor {
        match (&self.source, &self.by) {
            (Source::Association(ae), _) => Actor::Peer(ae.clone()),
            (Source::Web | Source::Rebuild, Some(by)) => by.clone(),
            (Source::Web | Source::Rebuild, None) => Actor::Role("intake"),
        }
    }

    /// What the object claims to be, outside of its data set: by the request, or by the file meta that came with it.
    pub(crate) fn claim(&self) -> Claim {
        let of_meta = claim_of_meta(&self.head, &self.transfer_syntax);
        Claim {
            sop_class: self.sop_class.clone().or(of_meta.sop_class),
            sop_instance: self.sop_instance.clone().or(of_meta.sop_instance),
            transfer_syntax: of_meta.transfer_syntax,
        }
    }

    /// An announcement of a file from the web, which names nothing outside of itself.
    pub(crate) fn of_file(
        centre: CentreId,
        way: Way,
        by: Option<Actor>,
        head: Bytes,
        place: &imaging::sniff::Place,
    ) -> Self {
        Self {
            centre,
            source: Source::Web,
            way,
            by,
            sop_class: None,
            sop_instance: None,
            study: None,
            transfer_syntax: place.transfer_syntax.clone(),
            head,
            character_set: None,
        }
    }
}
