//! Writing packs: one thread takes the objects that wait, puts them one behind the other, and flushes once for all of them.
//!
//! What comes while it writes is the next batch: nobody is delayed to wait for company.

use std::{
    fs::{self, File},
    io::{self, IoSlice},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use domain::object::{ObjectKey, ObjectRef};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    FRESH, OPEN, Spot,
    record::{self, BLOCK_BYTES, Head},
};
use crate::file::buffers::{Buffers, Closed, Held};

/// Room that is set aside at a time, so that writing an object changes no size that would have to be flushed with it. What a killed process
/// leaves unused of it is given back at the next start.
const STEP_BYTES: u64 = 64 * 1024 * 1024;
/// Most objects of one write and flush. Objects that wait are bounded by the memory that they wait in.
const BATCH_MAX: usize = 32;

/// Most buffers in one gathering write (`IOV_MAX` on Linux).
const WRITE_SLICES_MAX: usize = 1024;

type Answer = oneshot::Sender<io::Result<ObjectRef>>;

/// The thread that writes. Dropping it ends the thread, once all that waits is written, and closes the pack.
#[derive(Debug)]
pub(super) struct Writer {
    waiting: Option<mpsc::Sender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Waiting {
    held: Held,
    key: ObjectKey,
    answer: Answer,
}

impl Writer {
    pub(super) fn start(folder: &Path, buffers: Buffers, pack_bytes_max: u64) -> io::Result<Self> {
        let (waiting, objects) = mpsc::channel();
        let mut writing = Writing {
            folder: folder.to_owned(),
            buffers,
            pack_bytes_max,
            current: None,
            run: Run::default(),
        };
        let thread =
            thread::Builder::new().name("packs".to_owned()).spawn(move || writing.serve(&objects))?;
        Ok(Self { waiting: Some(waiting), thread: Some(thread) })
    }

    pub(super) fn put(&self, held: Held, key: ObjectKey) -> oneshot::Receiver<io::Result<ObjectRef>> {
        let (answer, outcome) = oneshot::channel();
        if let Some(waiting) = &self.waiting {
            // Without its thread nobody answers, which whoever waits sees.
            let _ = waiting.send(Waiting { held, key, answer });
        }
        outcome
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.waiting.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes packs had failed");
        }
    }
}

/// What the thread has.
struct Writing {
    folder: PathBuf,
    buffers: Buffers,
    pack_bytes_max: u64,
    current: Option<OpenPack>,
    run: Run,
}

/// Objects that stand one behind the other in the current pack and are to be written.
#[derive(Default)]
struct Run {
    at: u64,
    records: Vec<Closed>,
    answers: Vec<(Answer, ObjectRef)>,
}

impl Writing {
    fn serve(&mut self, objects: &mpsc::Receiver<Waiting>) {
        while let Ok(first) = objects.recv() {
            for waiting in std::iter::once(first).chain(objects.try_iter()).take(BATCH_MAX) {
                let Waiting { held, key, answer } = waiting;
                match self.add(held, &key) {
                    Ok(object) => self.run.answers.push((answer, object)),
                    Err(error) => drop(answer.send(Err(error))),
                }
            }
            self.write();
        }
    }

    /// Adds an object to the run; a pack that has no room for it ends with what it has.
    fn add(&mut self, mut held: Held, key: &ObjectKey) -> io::Result<ObjectRef> {
        let head = Head { object_bytes: held.len() as u64, key: key.clone(), sums: Some(held.sums()) };
        let record_bytes = head.record_bytes();
        if record_bytes + BLOCK_BYTES > self.pack_bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        loop {
            let pack = match &mut self.current {
                Some(pack) => pack,
                None => {
                    self.current.insert(OpenPack::create(&self.folder, &self.buffers, self.pack_bytes_max)?)
                }
            };
            let Some(at) = pack.room_for(record_bytes)? else {
                self.write();
                self.current = None;
                continue;
            };
            let spot = Spot { pack: pack.id, at };
            let (Some(before), Some(place)) = (head.to_bytes(spot.pack, at), spot.place()) else {
                return Err(io::Error::other("the key of the object is too long for a pack"));
            };
            let record = held.close(&before, BLOCK_BYTES as usize)?;
            pack.next += record_bytes;
            if self.run.records.is_empty() {
                self.run.at = at;
            }
            self.run.records.push(record);
            return Ok(ObjectRef { key: key.clone(), place: Some(place) });
        }
    }

    /// Writes the run, gives its memory back, flushes, and answers all who wait.
    fn write(&mut self) {
        let Run { at, records, answers } = std::mem::take(&mut self.run);
        let Some(pack) = self.current.as_ref().filter(|_| !answers.is_empty()) else { return };
        let written = write_all(&pack.file, &records, at);
        drop(records);
        let Err(error) = written.and_then(|()| pack.file.sync_data()) else {
            for (answer, object) in answers {
                // Who went away sends again; the sweep removes what nobody names.
                let _ = answer.send(Ok(object));
            }
            return;
        };
        // Nobody knows what the disk has of it, and a later flush would not say: what comes next begins a pack of its own.
        self.current = None;
        for (answer, _) in answers {
            let again =
                error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            let _ = answer.send(Err(again));
        }
    }
}

/// A pack that is being written; closes itself when dropped.
struct OpenPack {
    id: Uuid,
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// Held as long as the pack is written: who starts meanwhile leaves it alone.
    _lock: File,
    bytes_max: u64,
    /// Where the next record goes.
    next: u64,
    /// Up to where room was set aside.
    set_aside: u64,
}

impl OpenPack {
    /// Makes a pack with its head, durable in its folder.
    fn create(folder: &Path, buffers: &Buffers, bytes_max: u64) -> io::Result<Self> {
        let (id, open) = (Uuid::now_v7(), folder.join(OPEN));
        let fresh = open.join(format!("{FRESH}-{}", id.simple()));
        let path = open.join(id.simple().to_string());
        let lock = File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let head = record::pack_head(id);
        let mut held = Held::new(buffers.clone(), 0);
        if !held.push(&head) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let head = held.close(&[], head.len())?;
        let file = direct(&fresh, &head).map_or_else(|| lock.try_clone(), Ok)?;
        write_all(&file, std::slice::from_ref(&head), 0)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(&open)?.sync_all()?;
        let next = head.len() as u64;
        Ok(Self { id, folder: folder.to_owned(), path, file, _lock: lock, bytes_max, next, set_aside: next })
    }

    /// Where a record can go; `None` when the pack has no room left for it.
    fn room_for(&mut self, record_bytes: u64) -> io::Result<Option<u64>> {
        let end = self.next + record_bytes;
        if end > self.bytes_max {
            return Ok(None);
        }
        if end > self.set_aside {
            self.set_aside = self.set_aside(self.set_aside, end)?;
        }
        Ok(Some(self.next))
    }

    /// Sets room aside up to `end` at least, and gives up to where it did.
    fn set_aside(&self, from: u64, end: u64) -> io::Result<u64> {
        let generous = (end + STEP_BYTES).min(self.bytes_max);
        for to in [generous, end] {
            match fallocate(&self.file, FallocateFlags::empty(), from, to - from) {
                Ok(()) => return Ok(to),
                // Filesystems that cannot do it grow the file as it is written.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => return Ok(to),
                Err(rustix::io::Errno::NOSPC) if to > end => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl Drop for OpenPack {
    fn drop(&mut self) {
        if let Err(error) = close(&self.folder, &self.path, &self.file, self.next) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a pack could not be closed; the next start does it"
            );
        }
    }
}

/// The file for writing past the page cache, if the filesystem shows that it can.
fn direct(path: &Path, head: &Closed) -> Option<File> {
    let direct = OFlags::DIRECT.bits().cast_signed();
    let file = File::options().write(true).custom_flags(direct).open(path).ok()?;
    write_all(&file, std::slice::from_ref(head), 0).ok().map(|()| file)
}

/// Writes records one behind the other.
fn write_all(file: &File, records: &[Closed], at: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = records.iter().flat_map(Closed::slices).collect();
    let mut rest: &mut [IoSlice<'_>] = &mut slices;
    let total: usize = records.iter().map(Closed::len).sum();
    let mut done = 0;
    while done < total {
        match rustix::io::pwritev(file, &rest[..rest.len().min(WRITE_SLICES_MAX)], at + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                done += written;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Gives back what was set aside and not used, and moves a pack to those that are never written again.
pub(super) fn close(folder: &Path, path: &Path, file: &File, end: u64) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
    if end <= BLOCK_BYTES {
        return fs::remove_file(path);
    }
    file.set_len(end)?;
    file.sync_all()?;
    fs::rename(path, folder.join(name))?;
    // In this order, the pack is in one of the two folders whenever the power goes.
    File::open(folder)?.sync_all()?;
    path.parent().map_or(Ok(()), |open| File::open(open)?.sync_all())
}
