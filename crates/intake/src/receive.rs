//! One object on its way in, whatever brought it: guard, storage, header, catalog, in that order.

use std::sync::Arc;

use bytes::Bytes;
use dimse::{FileMeta, Status};
use domain::{
    audit::Actor,
    digest::Sha256Digest,
    id::CentreId,
    image::{Arrival, ArrivalOutcome, FrameIndex, Instance, InstanceAttributes, Source},
    object::ObjectName,
    port::{Clock, Incoming, Storage, StorageError, storage::Found},
    quarantine::Way,
    study::StudyKey,
    text::CharacterSetRule,
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};
use imaging::{
    guard::{Flaw, Guard, GuardLimits, GuardedHeader, Progress},
    header::Header,
    layout::Follower,
};
use sha2::{Digest as _, Sha256};

use crate::{
    Ledger,
    config::Config,
    quarantine::{self, Aside, Keeper, Unreadable, Written},
};

/// What intake needs of the world.
#[derive(Clone)]
pub struct Intake {
    /// Where objects rest.
    pub storage: Arc<dyn Storage>,
    /// The way to the catalog.
    pub ledger: Ledger,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Largest object in bytes.
    pub object_bytes_max: u64,
    /// What the guard lets in.
    pub guard: GuardLimits,
    /// Who keeps what cannot be read.
    pub keeper: Option<Keeper>,
}

/// Which object a sender announces.
#[derive(Debug, Clone)]
pub struct Announced {
    /// For which centre.
    pub centre: CentreId,
    /// Which way it comes.
    pub source: Source,
    /// SOP class, if the sender said it outside of the data set.
    pub sop_class: Option<SopClassUid>,
    /// SOP instance, if the sender said it outside of the data set.
    pub sop_instance: Option<SopInstanceUid>,
    /// The study, if the sender said it outside of the data set.
    pub study: Option<StudyInstanceUid>,
    /// How the data set is encoded.
    pub transfer_syntax: TransferSyntaxUid,
    /// Which way it comes, in a person's words.
    pub way: Way,
    /// Who sends it, where the source does not say so.
    pub by: Option<Actor>,
    /// What came before the data set: preamble and file meta, if it is a file.
    pub head: Bytes,
    /// How its texts are read, where a rule says so.
    pub character_set: Option<CharacterSetRule>,
}

/// An object that is durable and known.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its study.
    pub study: StudyKey,
    /// Its series.
    pub series: SeriesInstanceUid,
    /// Its SOP class.
    pub sop_class: SopClassUid,
    /// Which one.
    pub sop_instance: SopInstanceUid,
    /// Whether these very bytes were known already.
    pub was_known: bool,
}

/// How the words of [`Refusal::TakenOut`] begin. A sender that is refused with 0124H knows by them that this is about the study and not
/// about itself, also in an Error Comment, which is cut at 64 characters.
pub const STUDY_TAKEN_OUT: &str = "its study was taken out";

/// Why an object was not taken. What is said here goes to the sender; it holds no patient data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The data set cannot be read.
    #[error("cannot understand the data set: {0}")]
    NotUnderstood(String),
    /// The data set cannot be read, by guard or header.
    #[error("cannot understand the data set: {0}")]
    Unreadable(Unreadable),
    /// The same; its bytes are kept for a person to look at. It is no instance, and its sender has not handed it over.
    #[error("kept in quarantine, not stored: {0}")]
    Quarantined(Unreadable),
    /// What was sent beside the data set is missing or makes no object with it.
    #[error("cannot make an object: {0}")]
    BulkData(String),
    /// Pixels came in a form in which they cannot rest.
    #[error("cannot take the pixels: {0}")]
    TransferSyntax(&'static str),
    /// The data set is another object than was announced.
    #[error("the data set does not match the announced {0}")]
    Mismatch(&'static str),
    /// Larger than the limit.
    #[error("the object is larger than {0} bytes")]
    TooLarge(u64),
    /// The same SOP Instance UID is known with other bytes; both are kept, and people see the conflict.
    #[error("this SOP Instance UID is stored with other contents; both are kept for review")]
    Conflict,
    /// An administrator took its study out, and it can still be brought back.
    #[error("{}: have an administrator bring it back", STUDY_TAKEN_OUT)]
    TakenOut,
    /// No room.
    #[error("out of resources: there is no room for images")]
    Full,
    /// A part of us is away.
    #[error("out of resources: {0}")]
    Unavailable(&'static str),
}

impl Refusal {
    /// A sweep is removing what an earlier try left.
    const SWEPT: Self = Self::Unavailable("what an earlier try left is being removed; send the object again");

    /// The C-STORE status (PS3.4 table B.2-1, PS3.7 annex C); STOW-RS uses the same numbers as failure reasons (PS3.18 section I.2.2).
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::NotUnderstood(_) | Self::Unreadable(_) | Self::Quarantined(_) | Self::BulkData(_) => {
                Status::CANNOT_UNDERSTAND
            }
            Self::TransferSyntax(_) => Status::TRANSFER_SYNTAX_NOT_SUPPORTED,
            Self::Mismatch(_) => Status::DATA_SET_DOES_NOT_MATCH,
            Self::TooLarge(_) | Self::Full | Self::Unavailable(_) => Status::OUT_OF_RESOURCES,
            Self::Conflict => Status::DUPLICATE_SOP_INSTANCE,
            Self::TakenOut => Status::NOT_AUTHORISED,
        }
    }
}

impl From<imaging::guard::Refusal> for Refusal {
    fn from(refusal: imaging::guard::Refusal) -> Self {
        match refusal.flaw {
            Flaw::Busy => Self::Unavailable("too many large headers at one time"),
            _ => Self::Unreadable(Unreadable::Guard(refusal)),
        }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "object not stored");
        match error {
            StorageError::Full(_) => Self::Full,
            StorageError::NotFound(_)
            | StorageError::TooLarge { .. }
            | StorageError::Corrupt(_)
            | StorageError::Unavailable { .. } => Self::Unavailable("the object store is unavailable"),
        }
    }
}

impl Intake {
    /// Intake with the limits of a configuration.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, ledger: Ledger, clock: Arc<dyn Clock>, config: &Config) -> Self {
        let guard = config.guard_limits();
        Self { storage, ledger, clock, object_bytes_max: config.object_bytes_max, guard, keeper: None }
    }

    /// Keeps what cannot be read, for centres that want it.
    #[must_use]
    pub fn with_keeper(self, keeper: Keeper) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    /// Opens a place for an object. The data set follows by [`Receiving::write`].
    ///
    /// When the sender did not say which object it is outside of the data set (as STOW-RS does not), the place in storage
    /// is opened once the header was read.
    #[must_use]
    pub fn receive(&self, announced: Announced) -> Receiving {
        Receiving {
            intake: self.clone(),
            guard: Watch::Reading(Box::new(Guard::new(&announced.transfer_syntax, self.guard))),
            announced,
            file: None,
            held: Vec::new(),
            data_set_bytes: 0,
            turning: None,
        }
    }
}

/// Where the guard stands.
enum Watch {
    Reading(Box<Guard>),
    Passed(Box<Passed>),
    /// It refused, and the object is taken to its end for the quarantine.
    Aside(Box<Aside>),
    /// It refused, and the object with it.
    Refused,
}

impl Watch {
    /// Lets the guard look at the bytes, as long as it has not seen the whole header; then notes where frames are. The bytes begin at an
    /// offset of the data set.
    fn look(&mut self, offset: u64, bytes: &[u8], announced: &Announced) -> Result<(), Refusal> {
        if let Self::Reading(guard) = self {
            match guard.push(bytes)? {
                Progress::Header => return Ok(()),
                Progress::HeaderEnded => self.pass(announced)?,
            }
        }
        if let Self::Passed(passed) = self
            && let Some(frames) = &mut passed.frames
        {
            frames.push(offset, bytes);
        }
        Ok(())
    }

    /// Takes the header from the guard and reads it, if that has not been done yet.
    fn pass(&mut self, announced: &Announced) -> Result<(), Refusal> {
        *self = match std::mem::replace(self, Self::Refused) {
            Self::Reading(guard) => {
                let guarded = guard.finish()?;
                let header = Header::read_under(&guarded, announced.character_set.as_ref())
                    .map_err(|error| Refusal::Unreadable(Unreadable::Header(error)))?;
                let follow = |shape| Follower::new(&guarded, shape, &announced.transfer_syntax);
                let frames = header.shape.and_then(follow);
                Self::Passed(Box::new(Passed { guarded, header, frames }))
            }
            passed @ (Self::Passed(_) | Self::Aside(_)) => passed,
            Self::Refused => return Err(Refusal::NotUnderstood("it was refused before".to_owned())),
        };
        Ok(())
    }
}

/// A header that was let in, and read once.
struct Passed {
    guarded: GuardedHeader,
    header: Header,
    /// Notes where frames are, while they stream past.
    frames: Option<Follower>,
}

/// The file in storage.
struct File {
    incoming: Box<dyn Incoming>,
    digest: Sha256,
    prefix_bytes: u64,
}

/// An object on its way in. Dropping it leaves nothing.
pub struct Receiving {
    intake: Intake,
    announced: Announced,
    guard: Watch,
    file: Option<File>,
    /// The beginning of the data set while it is not known yet which object it is; bounded by the guard's header limit.
    held: Vec<Bytes>,
    data_set_bytes: u64,
    /// What [`Self::filled`] refused; what follows from it waits for the next step that may wait.
    turning: Option<Refusal>,
}

impl Receiving {
    /// Takes the next bytes of the data set.
    ///
    /// # Errors
    /// When the object is refused; nothing of it is kept, and the rest of its bytes need not be given.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        self.count(bytes.len())?;
        self.turn().await?;
        let offset = self.data_set_bytes - bytes.len() as u64;
        if let Err(refusal) = self.guard.look(offset, &bytes, &self.announced) {
            self.turn_aside(refusal).await?;
        }
        let added = self.append(bytes).await;
        added.map_err(|refusal| self.instead_of(refusal))
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        if self.file.is_none() {
            self.open().await?;
        }
        if let Watch::Aside(aside) = &self.guard {
            let prefix_bytes = self.file.as_ref().map_or(0, |file| file.prefix_bytes);
            if !aside.has_room(&self.announced.centre, prefix_bytes + self.data_set_bytes).await {
                return Err(Refusal::Unreadable(aside.why.clone()));
            }
        }
        match &mut self.file {
            Some(file) => {
                file.digest.update(&bytes);
                file.incoming.write(bytes).await?;
            }
            None => self.held.push(bytes),
        }
        Ok(())
    }

    /// Memory where the next bytes may be received, if they may; [`Self::filled`] then takes them.
    pub fn space(&mut self) -> Option<&mut [u8]> {
        // What goes to quarantine goes by `write`, which asks and tells the catalog.
        if self.turning.is_some() || matches!(self.guard, Watch::Aside(_)) {
            return None;
        }
        self.file.as_mut()?.incoming.space()
    }

    /// Takes so many bytes from the start of [`Self::space`], as [`Self::write`] would.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn filled(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.count(bytes)?;
        if let Some(file) = &mut self.file {
            let offset = self.data_set_bytes - bytes as u64;
            let bytes = file.incoming.filled(bytes);
            let looked = self.guard.look(offset, bytes, &self.announced);
            file.digest.update(bytes);
            self.turning = looked.err();
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.data_set_bytes += bytes as u64;
        if self.data_set_bytes > self.intake.object_bytes_max {
            return Err(self.instead_of(Refusal::TooLarge(self.intake.object_bytes_max)));
        }
        Ok(())
    }

    /// Which object it is, as far as its header was read: SOP class and instance, for naming it in a refusal.
    #[must_use]
    pub fn names(&self) -> (Option<SopClassUid>, Option<SopInstanceUid>) {
        match &self.guard {
            Watch::Passed(passed) => {
                (Some(passed.header.sop_class.clone()), Some(passed.header.sop_instance.clone()))
            }
            Watch::Reading(_) | Watch::Aside(_) | Watch::Refused => (None, None),
        }
    }

    /// The data set is complete: makes the object durable and known.
    ///
    /// # Errors
    /// When the object is refused.
    pub async fn finish(mut self) -> Result<Received, Refusal> {
        self.turn().await?;
        if let Err(refusal) = self.guard.pass(&self.announced) {
            self.turn_aside(refusal).await?;
        }
        if matches!(self.guard, Watch::Aside(_)) {
            return Err(self.set_aside().await);
        }
        if self.file.is_none() {
            self.open().await?;
        }
        let passed = std::mem::replace(&mut self.guard, Watch::Refused);
        let Watch::Passed(passed) = passed else { unreachable!("the guard was finished above") };
        let Passed { guarded, header, frames } = *passed;
        let meta = self.agreed_meta(&header)?;
        let Some(file) = self.file.take() else { unreachable!("the file was opened above") };

        let study = StudyKey { centre: self.announced.centre.clone(), uid: header.study_uid.clone() };
        let name = ObjectName::Instance {
            centre: study.centre.clone(),
            study: study.uid.clone(),
            series: header.series_uid.clone(),
            instance: meta.1.clone(),
            sha256: Sha256Digest::from_bytes(file.digest.finalize().into()),
        };
        let object = file.incoming.finish(&name.key(), name.sha256()).await?;

        let file_bytes = file.prefix_bytes + self.data_set_bytes;
        let header_bytes = guarded.stored_bytes(file.prefix_bytes, file_bytes);
        let frame_index = frames
            .and_then(|frames| frames.finish(file.prefix_bytes, self.data_set_bytes)?.to_bytes())
            .map(|bytes| FrameIndex(bytes.into()));
        let arrival = Arrival {
            instance: Instance {
                centre: study.centre.clone(),
                study: study.uid.clone(),
                series: header.series_uid.clone(),
                sop_instance: meta.1.clone(),
                sop_class: meta.0.clone(),
                transfer_syntax: self.announced.transfer_syntax,
                object: object.clone(),
                bytes: file_bytes,
                file_sha256: name.sha256(),
                attributes: InstanceAttributes { header_bytes, frame_index, ..header.instance },
                received: self.intake.clock.now(),
            },
            study: header.study,
            series: header.series,
            source: self.announced.source,
        };
        let away = |_| Refusal::Unavailable("the catalog is unavailable");
        let mut outcome = self.intake.ledger.record(arrival).await.map_err(away)?;
        if let Err(arrival) = outcome {
            // A sweep removed what an earlier try had left under this name. If it is there now, this try has put it.
            if self.intake.storage.size(&object).await?.is_none() {
                return Err(Refusal::SWEPT);
            }
            outcome = self.intake.ledger.record(*arrival).await.map_err(away)?;
        }
        let was_known = match outcome.map_err(|_| Refusal::SWEPT)? {
            ArrivalOutcome::Stored => false,
            // The object stays: it may be the one that comes back. If it is not, it is a leftover for the sweep.
            ArrivalOutcome::TakenOut => return Err(Refusal::TakenOut),
            ArrivalOutcome::Swept => return Err(Refusal::SWEPT),
            ArrivalOutcome::AlreadyStored { object: current } => {
                if current != object {
                    self.intake.storage.remove(&object).await?;
                }
                true
            }
            ArrivalOutcome::Conflict { object: held } => {
                if held != object {
                    self.intake.storage.remove(&object).await?;
                }
                return Err(Refusal::Conflict);
            }
        };
        Ok(Received { study, series: header.series_uid, sop_class: meta.0, sop_instance: meta.1, was_known })
    }

    /// Opens the file in storage as soon as it is known which object it is, and writes what was held back.
    async fn open(&mut self) -> Result<(), Refusal> {
        if matches!(self.guard, Watch::Aside(_)) {
            return self.open_with(quarantine::prefix(&self.announced.claim())).await;
        }
        let (class, instance) = match (&self.announced.sop_class, &self.announced.sop_instance, &self.guard) {
            (Some(class), Some(instance), _) => (class.clone(), instance.clone()),
            (_, _, Watch::Passed(passed)) => self.agreed_meta(&passed.header)?,
            (_, _, Watch::Reading(_) | Watch::Aside(_) | Watch::Refused) => return Ok(()),
        };
        let meta = FileMeta {
            sop_class_uid: class.as_str().to_owned(),
            sop_instance_uid: instance.as_str().to_owned(),
            transfer_syntax_uid: self.announced.transfer_syntax.as_str().to_owned(),
        };
        let prefix = meta.to_prefix().map_err(|error| Refusal::NotUnderstood(error.to_string()))?;
        self.open_with(prefix).await
    }

    async fn open_with(&mut self, prefix: Vec<u8>) -> Result<(), Refusal> {
        let mut file = File {
            incoming: self.intake.storage.receive(Found::ByReference).await?,
            digest: Sha256::new(),
            prefix_bytes: prefix.len() as u64,
        };
        for bytes in std::iter::once(Bytes::from(prefix)).chain(self.held.drain(..)) {
            file.digest.update(&bytes);
            file.incoming.write(bytes).await?;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Does what waits since [`Self::filled`].
    async fn turn(&mut self) -> Result<(), Refusal> {
        match self.turning.take() {
            None => Ok(()),
            Some(refusal) => self.turn_aside(refusal).await,
        }
    }

    /// An object that cannot be read is taken to its end all the same when its centre wants to keep such ones.
    async fn turn_aside(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        let (Refusal::Unreadable(why), Some(keeper)) = (&refusal, &self.intake.keeper) else {
            return Err(refusal);
        };
        match keeper.offer(&self.announced.centre, why).await {
            Some(aside) => {
                self.guard = Watch::Aside(Box::new(aside));
                Ok(())
            }
            None => Err(refusal),
        }
    }

    /// What a sender hears whose object could not even be kept: what is wrong with it, not what is wrong with us.
    fn instead_of(&self, refusal: Refusal) -> Refusal {
        match &self.guard {
            Watch::Aside(aside) => Refusal::Unreadable(aside.why.clone()),
            Watch::Reading(_) | Watch::Passed(_) | Watch::Refused => refusal,
        }
    }

    /// The data set is complete and goes to quarantine; gives what its sender hears. As for an instance, it is durable before the
    /// catalog names it.
    async fn set_aside(&mut self) -> Refusal {
        let Watch::Aside(aside) = std::mem::replace(&mut self.guard, Watch::Refused) else {
            return Refusal::NotUnderstood("it was refused before".to_owned());
        };
        let claim = self.announced.claim();
        let written = async {
            if self.file.is_none() {
                self.open_with(quarantine::prefix(&claim)).await?;
            }
            let Some(file) = self.file.take() else { unreachable!("the file was opened above") };
            let bytes = file.prefix_bytes + self.data_set_bytes;
            if !aside.has_room(&self.announced.centre, bytes).await {
                return Ok(false);
            }
            let sha256 = Sha256Digest::from_bytes(file.digest.finalize().into());
            let name = ObjectName::Quarantined { centre: self.announced.centre.clone(), sha256 };
            let object = file.incoming.finish(&name.key(), sha256).await?;
            let data_set_bytes = self.data_set_bytes;
            let written = Written { claim, object: object.clone(), sha256, bytes, data_set_bytes };
            let (kept, current) = aside.keep(&self.announced, written).await;
            if current.is_some_and(|current| current != object)
                && let Err(error) = self.intake.storage.remove(&object).await
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a second copy is left to the sweep"
                );
            }
            Ok::<_, Refusal>(kept)
        };
        match written.await {
            Ok(true) => Refusal::Quarantined(aside.why),
            Ok(false) | Err(_) => Refusal::Unreadable(aside.why),
        }
    }

    /// SOP class and instance, after checking that data set and announcement agree.
    fn agreed_meta(&self, header: &Header) -> Result<(SopClassUid, SopInstanceUid), Refusal> {
        if self.announced.sop_class.as_ref().is_some_and(|class| *class != header.sop_class) {
            return Err(Refusal::Mismatch("SOP class"));
        }
        if self.announced.sop_instance.as_ref().is_some_and(|instance| *instance != header.sop_instance) {
            return Err(Refusal::Mismatch("SOP instance"));
        }
        if self.announced.study.as_ref().is_some_and(|study| *study != header.study_uid) {
            return Err(Refusal::Mismatch("study"));
        }
        Ok((header.sop_class.clone(), header.sop_instance.clone()))
    }
}
