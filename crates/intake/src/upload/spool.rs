//! The folder in which uploads rest until they are taken in: bounded in bytes and number, and what was said to be here is on disk.
//!
//! A file carries an identity that we gave; nothing of a sender's ever becomes a path. One process owns the folder at a time.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use domain::{
    Timestamp,
    id::{CentreId, UploadId, UploadSpoolId},
    upload::{Upload, UploadState},
};
use futures::StreamExt as _;
use sha1::Digest as _;
use tokio::{
    io::{AsyncSeekExt as _, AsyncWriteExt as _, BufWriter},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::Limits;

/// Bytes gathered before they are given to the system.
const WRITE_BYTES: usize = 1 << 20;
/// Bytes of one request after which those that came are put down, so that a process that dies loses no more than these.
const CHECKPOINT_BYTES: u64 = 64 << 20;
/// How long a request waits for one before it to put down what it has.
const HAND_OVER_TIME_MAX: Duration = Duration::from_secs(10);
const LOCK_FILE: &str = "spool.lock";
const ID_FILE: &str = "spool.id";
const PART: &str = "part";
/// Says how many bytes of a part are on disk. After a power cut the length of a file alone says little about its bytes.
const MARK: &str = "mark";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It cannot be made, read or written.
    #[error("the folder for uploads {folder} cannot be used")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the folder for uploads {0} is in use by another process: give each process that runs the role intake a folder of its own"
    )]
    InUse(PathBuf),
}

/// Why there is no place for an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The centre has as much here as it may.
    CentreFull,
    /// Everybody together has.
    Full,
}

/// Why bytes were not appended.
#[derive(Debug)]
pub(super) enum AppendError {
    /// Somebody else is writing and does not end.
    Busy,
    /// The bytes do not begin where those that are here end.
    Offset(u64),
    /// More bytes than were announced.
    TooLarge,
    /// The bytes are not those of the check sum; none of them is kept.
    Checksum,
    /// The sender broke off, stalled, or came back on another connection; what came is kept.
    Cut,
    /// The disk.
    Disk(io::Error),
}

/// The folder.
pub(super) struct Spool {
    folder: PathBuf,
    id: UploadSpoolId,
    limits: Limits,
    places: Mutex<Places>,
    _lock: File,
}

#[derive(Default)]
struct Places {
    by_id: HashMap<UploadId, Arc<Place>>,
    taken: HashMap<CentreId, Taken>,
    all: Taken,
}

#[derive(Clone, Copy, Default)]
struct Taken {
    bytes: u64,
    uploads: usize,
}

/// One upload in the folder.
pub(super) struct Place {
    pub(super) upload: Upload,
    /// How many of its bytes would survive a power cut.
    durable: AtomicU64,
    /// The catalog knows that all bytes are here, and it is in the queue.
    pub(super) is_queued: AtomicBool,
    writing: tokio::sync::Mutex<()>,
    stop: Mutex<CancellationToken>,
}

/// Room that was promised to an upload; given back when dropped without having become a place.
pub(super) struct Room<'a> {
    spool: &'a Spool,
    centre: CentreId,
    bytes: u64,
    is_used: bool,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            self.spool.places().release(&self.centre, self.bytes);
        }
    }
}

impl Places {
    fn take(&mut self, centre: &CentreId, bytes: u64) {
        for taken in [&mut self.all, self.taken.entry(centre.clone()).or_default()] {
            taken.bytes += bytes;
            taken.uploads += 1;
        }
    }

    fn release(&mut self, centre: &CentreId, bytes: u64) {
        for taken in [&mut self.all, self.taken.entry(centre.clone()).or_default()] {
            taken.bytes -= bytes;
            taken.uploads -= 1;
        }
        self.taken.retain(|_, taken| taken.uploads > 0);
    }
}

impl Place {
    pub(super) fn offset(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.offset() == self.upload.bytes
    }

    /// Ends a request that is writing, and waits until what it had is on disk.
    async fn hand_over(&self) -> Option<(tokio::sync::MutexGuard<'_, ()>, CancellationToken)> {
        let token = CancellationToken::new();
        let before =
            std::mem::replace(&mut *self.stop.lock().unwrap_or_else(PoisonError::into_inner), token.clone());
        before.cancel();
        let held = timeout(HAND_OVER_TIME_MAX, self.writing.lock()).await.ok()?;
        Some((held, token))
    }

    /// How many bytes are on disk, once nobody writes any more.
    pub(super) async fn settled_offset(&self) -> Option<u64> {
        let held = self.hand_over().await?;
        drop(held);
        Some(self.offset())
    }
}

impl Spool {
    /// Opens the folder, makes it if it is missing, and locks it.
    pub(super) fn open(folder: &Path, limits: Limits) -> Result<Self, SpoolError> {
        let refuse = |source| SpoolError::Folder { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(refuse)?;
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK_FILE));
        let lock = lock.map_err(refuse)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(refuse(error)),
        }
        let id = identity(folder).map_err(refuse)?;
        Ok(Self { folder: folder.to_owned(), id, limits, places: Mutex::default(), _lock: lock })
    }

    pub(super) const fn id(&self) -> UploadSpoolId {
        self.id
    }

    /// Where an upload's bytes are.
    pub(super) fn path(&self, id: UploadId) -> PathBuf {
        self.folder.join(format!("{id}.{PART}"))
    }

    pub(super) fn place(&self, id: UploadId) -> Option<Arc<Place>> {
        self.places().by_id.get(&id).cloned()
    }

    /// Uploads whose time is over and whose bytes are not all here.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<Arc<Place>> {
        let places = self.places();
        let is_over = |place: &&Arc<Place>| now >= place.upload.expires && !place.is_whole();
        places.by_id.values().filter(is_over).cloned().collect()
    }

    /// Promises room for an upload.
    pub(super) fn reserve(&self, centre: &CentreId, bytes: u64) -> Result<Room<'_>, NoPlace> {
        let mut places = self.places();
        let has_room = |taken: Taken, bytes_max: u64, uploads_max: usize| {
            taken.uploads < uploads_max && taken.bytes.saturating_add(bytes) <= bytes_max
        };
        let of_centre = places.taken.get(centre).copied().unwrap_or_default();
        if !has_room(of_centre, self.limits.centre_bytes_max, self.limits.centre_uploads_max) {
            return Err(NoPlace::CentreFull);
        }
        if !has_room(places.all, self.limits.spool_bytes_max, self.limits.spool_uploads_max) {
            return Err(NoPlace::Full);
        }
        places.take(centre, bytes);
        Ok(Room { spool: self, centre: centre.clone(), bytes, is_used: false })
    }

    /// Makes the file of an upload, which is there after a power cut.
    pub(super) async fn make(&self, upload: Upload) -> io::Result<Arc<Place>> {
        let (path, folder) = (self.path(upload.id), self.folder.clone());
        let made = tokio::task::spawn_blocking(move || {
            File::create_new(path)?;
            File::open(folder)?.sync_all()
        });
        made.await.map_err(io::Error::other)??;
        Ok(Arc::new(Place::new(upload, 0)))
    }

    /// Lets an upload be found by its identity.
    pub(super) fn admit(&self, place: Arc<Place>, mut room: Room<'_>) {
        room.is_used = true;
        self.places().by_id.insert(place.upload.id, place);
    }

    /// Takes an upload up again that the catalog knows; `None` when its file is gone.
    pub(super) fn restore(&self, upload: Upload) -> io::Result<Option<Arc<Place>>> {
        let file = match File::options().write(true).open(self.path(upload.id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let here = file.metadata()?.len();
        let marked = match upload.state {
            UploadState::Waiting => upload.bytes,
            UploadState::Arriving | UploadState::Ended { .. } => self.mark(upload.id),
        };
        let bytes = marked.min(here).min(upload.bytes);
        let place = Arc::new(Place::new(upload, bytes));
        let mut places = self.places();
        places.take(&place.upload.centre, place.upload.bytes);
        places.by_id.insert(place.upload.id, Arc::clone(&place));
        Ok(Some(place))
    }

    /// Removes files that belong to no upload; gives how many.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        let mut swept = 0;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_part = path.extension().is_some_and(|extension| extension == PART || extension == MARK);
            let id = path.file_stem().and_then(|stem| UploadId::parse(stem.to_str()?).ok());
            let is_known = id.is_some_and(|id| self.place(id).is_some());
            if is_part && !is_known {
                fs::remove_file(&path)?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Removes an upload and its bytes.
    pub(super) async fn remove(&self, id: UploadId) {
        let removed = self.places().by_id.remove(&id);
        if let Some(place) = removed {
            self.places().release(&place.upload.centre, place.upload.bytes);
        }
        self.unlink(id).await;
    }

    /// Removes the bytes of an upload that nobody has heard of.
    pub(super) async fn unlink(&self, id: UploadId) {
        for path in [self.path(id), self.mark_path(id)] {
            if let Err(error) = tokio::fs::remove_file(path).await
                && error.kind() != io::ErrorKind::NotFound
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, %id, "an upload's file stays until the next start");
            }
        }
    }

    /// Appends a request's bytes at an offset. What came is on disk when this returns, whether the sender broke off or not.
    pub(super) async fn append(
        &self,
        place: &Place,
        offset: u64,
        body: Body,
        sha1: Option<[u8; 20]>,
    ) -> Result<u64, AppendError> {
        let Some((_held, stop)) = place.hand_over().await else { return Err(AppendError::Busy) };
        let here = place.offset();
        if here != offset {
            return Err(AppendError::Offset(here));
        }
        let mut file = tokio::fs::File::options()
            .write(true)
            .open(self.path(place.upload.id))
            .await
            .map_err(AppendError::Disk)?;
        file.seek(io::SeekFrom::Start(here)).await.map_err(AppendError::Disk)?;
        let writer = BufWriter::with_capacity(WRITE_BYTES, file);
        let mut writing =
            Writing { spool: self, place, writer, here, put_down: here, is_checked: sha1.is_some() };
        let (outcome, digest) = writing.copy(body, &stop).await?;
        if let Some(expected) = sha1
            && (outcome.is_err() || digest != expected)
        {
            // A part of a chunk cannot be checked, so none of it is kept: the next bytes overwrite it.
            return outcome.and(Err(AppendError::Checksum));
        }
        writing.put_down().await.map_err(AppendError::Disk)?;
        outcome.map(|()| writing.here)
    }

    fn mark_path(&self, id: UploadId) -> PathBuf {
        self.folder.join(format!("{id}.{MARK}"))
    }

    fn mark(&self, id: UploadId) -> u64 {
        let bytes = fs::read(self.mark_path(id)).unwrap_or_default();
        bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Notes durably how many bytes of an upload are on disk.
    async fn note(&self, id: UploadId, bytes: u64) -> io::Result<()> {
        let (path, folder) = (self.mark_path(id), self.folder.clone());
        let noted = tokio::task::spawn_blocking(move || {
            let is_new = !path.exists();
            let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
            io::Write::write_all(&mut file, &bytes.to_le_bytes())?;
            file.sync_data()?;
            if is_new { File::open(folder)?.sync_all() } else { Ok(()) }
        });
        noted.await.map_err(io::Error::other)?
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that appends to an upload.
struct Writing<'a> {
    spool: &'a Spool,
    place: &'a Place,
    writer: BufWriter<tokio::fs::File>,
    /// Bytes of the upload that were given to the writer.
    here: u64,
    /// Bytes of the upload that are on disk.
    put_down: u64,
    /// The bytes count only when their check sum was seen.
    is_checked: bool,
}

impl Writing<'_> {
    /// Copies a request's body to its end, or until something ends it; with the digest of what was copied.
    async fn copy(
        &mut self,
        body: Body,
        stop: &CancellationToken,
    ) -> Result<(Result<(), AppendError>, [u8; 20]), AppendError> {
        let mut pieces = body.into_data_stream();
        let mut digest = sha1::Sha1::new();
        let idle = Duration::from_secs(self.spool.limits.idle_seconds_max);
        let outcome = loop {
            let piece = tokio::select! {
                () = stop.cancelled() => break Err(AppendError::Cut),
                piece = timeout(idle, pieces.next()) => piece,
            };
            let piece = match piece {
                Ok(None) => break Ok(()),
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(_))) | Err(_) => break Err(AppendError::Cut),
            };
            if piece.len() as u64 > self.place.upload.bytes - self.here {
                break Err(AppendError::TooLarge);
            }
            if self.is_checked {
                digest.update(&piece);
            }
            self.writer.write_all(&piece).await.map_err(AppendError::Disk)?;
            self.here += piece.len() as u64;
            if !self.is_checked && self.here - self.put_down >= CHECKPOINT_BYTES {
                self.put_down().await.map_err(AppendError::Disk)?;
            }
        };
        Ok((outcome, digest.finalize().into()))
    }

    /// Flushes what was written, and says so where a later process looks. Of a whole upload the catalog will say it.
    async fn put_down(&mut self) -> io::Result<()> {
        self.writer.flush().await?;
        self.writer.get_ref().sync_data().await?;
        if self.here < self.place.upload.bytes && self.here > self.put_down {
            self.spool.note(self.place.upload.id, self.here).await?;
        }
        self.put_down = self.here;
        self.place.durable.store(self.here, Ordering::Release);
        Ok(())
    }
}

impl Place {
    fn new(upload: Upload, durable: u64) -> Self {
        Self {
            upload,
            durable: AtomicU64::new(durable),
            is_queued: AtomicBool::new(false),
            writing: tokio::sync::Mutex::new(()),
            stop: Mutex::default(),
        }
    }
}

/// The folder's own name in the catalog, made once.
fn identity(folder: &Path) -> io::Result<UploadSpoolId> {
    let path = folder.join(ID_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => return UploadSpoolId::parse(text.trim()).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = UploadSpoolId::fresh();
    let fresh = folder.join("spool.id.new");
    let mut file = File::create(&fresh)?;
    io::Write::write_all(&mut file, id.to_string().as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}
