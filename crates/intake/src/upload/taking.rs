//! Takes in what was uploaded: a DICOM file, or every file of a ZIP, each by [`crate::receive`], and keeps what became of it.
//!
//! Reading and unpacking happen on threads of their own, one per file at a time, with a short bounded way to the task that receives.
//! Whoever takes an upload again after a stop finds what is stored already, and asks only for the rest.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::Read as _,
    path::PathBuf,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use domain::{
    Duration,
    audit::Actor,
    port::{Catalog, CatalogError, Clock},
    quarantine::Way,
    study::{Evidence, StudyKey},
    uid::StudyInstanceUid,
    upload::{FileOutcome, PromisedImage, Upload, UploadEnding, UploadName, UploadedFile},
};
use futures::StreamExt as _;
use imaging::sniff::{PREFIX_BYTES_MAX, Place as DataSetPlace};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Limits,
    archive::{Archive, ArchiveFlaw, Entry, EntryFlaw},
    contents::{self, Kind},
    spool::{Place, Spool},
    words,
};
use crate::{
    receive::{Announced, Intake},
    texts::Texts,
};

/// Bytes that go from the reading thread to the receiving task at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Such pieces on the way of one file.
const PIECES_MAX: usize = 4;
/// Outcomes that are kept in one transaction.
const OUTCOMES_MAX: usize = 64;
/// The pause before an upload is tried again for which something was away.
const AGAIN_PAUSE: Duration = Duration::from_secs(5);
/// A ZIP with this many images of a study is taken for all of them.
const BOUNDARY_IMAGES_MIN: u32 = 2;

/// Takes uploads in.
pub(super) struct Taker {
    pub(super) intake: Intake,
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) spool: Arc<Spool>,
    pub(super) limits: Limits,
    pub(super) texts: Texts,
    pub(super) stop: CancellationToken,
}

/// Why an upload is not over yet.
#[derive(Debug, thiserror::Error)]
enum Later {
    #[error("the service stops")]
    Stopping,
    #[error("a part of the service is away")]
    Away,
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the upload cannot be read")]
    Unreadable(#[source] std::io::Error),
}

/// What became of one file, and what follows for the rest.
enum Taken {
    Outcome(FileOutcome),
    Directory(Vec<PromisedImage>),
    /// The archive must not be read further.
    Over(ArchiveFlaw),
}

/// How a file's bytes come from the thread that reads them.
struct Pieces(mpsc::Receiver<Result<Bytes, EntryFlaw>>);

impl Pieces {
    /// Reads on a thread; it ends when nobody takes its pieces any more.
    fn read(mut next: impl FnMut(&mut [u8]) -> Result<usize, EntryFlaw> + Send + 'static) -> Self {
        let (pieces, taken) = mpsc::channel(PIECES_MAX);
        tokio::task::spawn_blocking(move || {
            loop {
                let mut piece = BytesMut::zeroed(PIECE_BYTES);
                let mut filled = 0;
                while filled < PIECE_BYTES {
                    match next(&mut piece[filled..]) {
                        Ok(0) => break,
                        Ok(read) => filled += read,
                        Err(flaw) => {
                            let _ = pieces.blocking_send(Err(flaw));
                            return;
                        }
                    }
                }
                piece.truncate(filled);
                if filled == 0 || pieces.blocking_send(Ok(piece.freeze())).is_err() {
                    return;
                }
            }
        });
        Self(taken)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, EntryFlaw> {
        self.0.recv().await.transpose()
    }
}

impl Taker {
    /// Takes an upload in, as often as it needs; gives up when its time is over. An upload that a stop leaves is taken at the next start.
    pub(super) async fn take(&self, place: &Place) {
        let upload = &place.upload;
        loop {
            match self.take_once(upload).await {
                Ok(()) => {
                    self.spool.remove(upload.id).await;
                    return;
                }
                Err(Later::Stopping) => return,
                Err(later) => {
                    let error = &later as &dyn std::error::Error;
                    tracing::warn!(error, id = %upload.id, centre = %upload.centre, "an upload is tried again");
                }
            }
            tokio::select! {
                () = self.clock.sleep(AGAIN_PAUSE) => {}
                () = self.stop.cancelled() => return,
            }
            let now = self.clock.now();
            let is_over = now >= upload.expires;
            if is_over && self.catalog.end_upload(upload, &[], &words::given_up(), now).await.is_ok() {
                self.spool.remove(upload.id).await;
                return;
            }
        }
    }

    async fn take_once(&self, upload: &Upload) -> Result<(), Later> {
        let path = self.spool.path(upload.id);
        let beginning = read_beginning(path.clone()).await.map_err(Later::Unreadable)?;
        if contents::is_zip(&beginning) {
            let ending = self.take_archive(upload, path).await?;
            self.catalog.end_upload(upload, &[], &ending, self.clock.now()).await?;
            return Ok(());
        }
        let mut file = File::open(path).map_err(Later::Unreadable)?;
        let read = move |buffer: &mut [u8]| Ok(file.read(buffer).map_err(ArchiveFlaw::Unreadable)?);
        let (outcome, promised) =
            match self.take_file(upload, upload.name.as_str(), Pieces::read(read)).await? {
                Taken::Outcome(outcome) => (outcome, Vec::new()),
                Taken::Directory(promised) => (directory(), promised),
                Taken::Over(_) => return Err(Later::Away),
            };
        let outcome = if outcome == words::nested_archive() { words::foreign_archive() } else { outcome };
        if !promised.is_empty() {
            self.catalog.keep_uploaded(upload, &[], &promised).await?;
        }
        let file = UploadedFile { position: 0, name: upload.name.clone(), outcome };
        self.catalog.end_upload(upload, &[file], &UploadEnding::TakenIn, self.clock.now()).await?;
        Ok(())
    }

    async fn take_archive(&self, upload: &Upload, path: PathBuf) -> Result<UploadEnding, Later> {
        let limits = self.limits.archive();
        let from = path.clone();
        let opened = tokio::task::spawn_blocking(move || Archive::open(&mut File::open(from)?, limits));
        let archive = match opened.await.map_err(|_| Later::Away)? {
            Ok(archive) => archive,
            Err(flaw) => return words::of_archive(&flaw).ok_or(Later::Away),
        };
        let done: HashSet<u32> = self.catalog.uploaded_positions(upload).await?.into_iter().collect();
        let mut left = Vec::new();
        for entry in archive.entries() {
            if !entry.is_folder() && !done.contains(&entry.position) {
                left.push(entry.position);
            }
        }
        let takes =
            left.into_iter().map(|position| self.take_entry(upload, &archive, position, path.clone()));
        let mut takes =
            std::pin::pin!(futures::stream::iter(takes).buffer_unordered(self.limits.files_at_once));
        let mut outcomes = Outcomes { taker: self, upload, files: Vec::new(), images: BTreeMap::new() };
        while let Some((entry, taken)) = takes.next().await {
            let outcome = match taken {
                Ok(Taken::Outcome(outcome)) => outcome,
                Ok(Taken::Directory(promised)) => {
                    self.catalog.keep_uploaded(upload, &[], &promised).await?;
                    directory()
                }
                Ok(Taken::Over(flaw)) => {
                    outcomes.keep().await?;
                    return words::of_archive(&flaw).ok_or(Later::Away);
                }
                Err(later) => {
                    outcomes.keep().await?;
                    return Err(later);
                }
            };
            let name = UploadName::new(&entry.name);
            outcomes.add(UploadedFile { position: entry.position, name, outcome }).await?;
        }
        outcomes.keep().await?;
        outcomes.tell().await;
        Ok(UploadEnding::TakenIn)
    }

    async fn take_entry<'a>(
        &self,
        upload: &Upload,
        archive: &'a Archive,
        position: u32,
        path: PathBuf,
    ) -> (&'a Entry, Result<Taken, Later>) {
        let Some(entry) = archive.entries().get(position as usize) else {
            unreachable!("positions come from the directory itself")
        };
        if self.stop.is_cancelled() {
            return (entry, Err(Later::Stopping));
        }
        let opened = File::open(path).map_err(|error| EntryFlaw::Archive(ArchiveFlaw::Unreadable(error)));
        let mut reader = match opened.and_then(|file| archive.read(entry, file)) {
            Ok(reader) => reader,
            Err(flaw) => return (entry, Ok(flawed(flaw))),
        };
        let pieces = Pieces::read(move |buffer| reader.next(buffer));
        (entry, self.take_file(upload, &entry.name, pieces).await)
    }

    /// Takes one file, whatever it is.
    async fn take_file(&self, upload: &Upload, name: &str, mut pieces: Pieces) -> Result<Taken, Later> {
        let mut beginning = BytesMut::new();
        let mut is_whole = false;
        let kind = loop {
            match pieces.next().await {
                Ok(Some(piece)) => beginning.extend_from_slice(&piece),
                Ok(None) => is_whole = true,
                Err(flaw) => return Ok(flawed(flaw)),
            }
            if let Some(kind) = contents::look(name, &beginning, is_whole) {
                break kind;
            }
            if is_whole || beginning.len() > PREFIX_BYTES_MAX + PIECE_BYTES {
                break Kind::Unknown("it ends before it can be told what it is");
            }
        };
        match kind {
            Kind::Image(place) => self.take_image(upload, place, beginning, pieces).await,
            Kind::Directory(place) => Ok(read_directory(&place, beginning, pieces).await),
            Kind::Companion(what) => Ok(Taken::Outcome(FileOutcome::NotAnImage { what: what.to_owned() })),
            Kind::Archive => Ok(Taken::Outcome(words::nested_archive())),
            Kind::Unknown(reason) => Ok(Taken::Outcome(words::unknown(reason))),
        }
    }

    async fn take_image(
        &self,
        upload: &Upload,
        place: DataSetPlace,
        mut beginning: BytesMut,
        mut pieces: Pieces,
    ) -> Result<Taken, Later> {
        let character_set = self.texts.rule(&upload.centre).await?;
        let data_set = beginning.split_off(place.at.min(beginning.len())).freeze();
        let by = Actor::parse_sender(&upload.by);
        let mut receiving = self.intake.receive(Announced {
            character_set,
            ..Announced::of_file(upload.centre.clone(), Way::Upload, by, beginning.freeze(), &place)
        });
        let mut next = Some(data_set);
        while let Some(bytes) = next {
            if let Err(refusal) = receiving.write(bytes).await {
                return words::of_refusal(&refusal).map(Taken::Outcome).ok_or(Later::Away);
            }
            next = match pieces.next().await {
                Ok(piece) => piece,
                Err(flaw) => return Ok(flawed(flaw)),
            };
        }
        match receiving.finish().await {
            Ok(received) if received.was_known => {
                Ok(Taken::Outcome(FileOutcome::AlreadyStored { study: received.study.uid }))
            }
            Ok(received) => Ok(Taken::Outcome(FileOutcome::Stored { study: received.study.uid })),
            Err(refusal) => words::of_refusal(&refusal).map(Taken::Outcome).ok_or(Later::Away),
        }
    }
}

/// Outcomes of an archive that are not kept yet, and how many images of each study it had.
struct Outcomes<'a> {
    taker: &'a Taker,
    upload: &'a Upload,
    files: Vec<UploadedFile>,
    images: BTreeMap<StudyInstanceUid, u32>,
}

impl Outcomes<'_> {
    async fn add(&mut self, file: UploadedFile) -> Result<(), Later> {
        match &file.outcome {
            FileOutcome::Stored { study } | FileOutcome::AlreadyStored { study } => {
                *self.images.entry(study.clone()).or_default() += 1;
            }
            FileOutcome::NotAnImage { .. } | FileOutcome::NotStored { .. } => {}
        }
        self.files.push(file);
        if self.files.len() >= OUTCOMES_MAX { self.keep().await } else { Ok(()) }
    }

    async fn keep(&mut self) -> Result<(), Later> {
        if !self.files.is_empty() {
            self.taker.catalog.keep_uploaded(self.upload, &self.files, &[]).await?;
            self.files.clear();
        }
        Ok(())
    }

    /// The end of a ZIP says that its studies are whole, as the end of a STOW-RS request does.
    async fn tell(&self) {
        let at = self.taker.clock.now();
        for (uid, images) in &self.images {
            if *images < BOUNDARY_IMAGES_MIN {
                continue;
            }
            let study = StudyKey { centre: self.upload.centre.clone(), uid: uid.clone() };
            let evidence = Evidence::RequestBoundary { instances: *images, at };
            if let Err(error) = self.taker.catalog.sender_said(&study, &evidence).await {
                // The images are stored and the quiet period decides in its place.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, centre = %study.centre, "the end of an upload was not noted");
            }
        }
    }
}

fn directory() -> FileOutcome {
    FileOutcome::NotAnImage { what: "the disc's table of contents (DICOMDIR)".to_owned() }
}

fn flawed(flaw: EntryFlaw) -> Taken {
    match flaw {
        EntryFlaw::Archive(flaw) => Taken::Over(flaw),
        EntryFlaw::Encrypted | EntryFlaw::Method(_) | EntryFlaw::Damaged => {
            Taken::Outcome(words::of_entry(&flaw))
        }
    }
}

async fn read_directory(place: &DataSetPlace, mut bytes: BytesMut, mut pieces: Pieces) -> Taken {
    loop {
        match pieces.next().await {
            Ok(Some(piece)) if bytes.len() + piece.len() <= contents::DIRECTORY_BYTES_MAX => {
                bytes.extend_from_slice(&piece);
            }
            // It promises nothing that can be checked; the images speak for themselves.
            Ok(Some(_)) => return Taken::Directory(Vec::new()),
            Ok(None) => return Taken::Directory(contents::promised(&bytes.freeze(), place)),
            Err(flaw) => return flawed(flaw),
        }
    }
}

async fn read_beginning(path: PathBuf) -> std::io::Result<Vec<u8>> {
    let read = tokio::task::spawn_blocking(move || {
        let mut beginning = Vec::new();
        File::open(path)?.take(8).read_to_end(&mut beginning)?;
        Ok(beginning)
    });
    read.await.map_err(std::io::Error::other)?
}
