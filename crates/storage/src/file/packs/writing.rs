//! A pack that is being written: space is given out in order, everybody writes into their own, one flush serves all who wait.

use std::{
    fs::{self, File},
    io::{self, IoSlice},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use uuid::Uuid;

use super::{FRESH, record};
use crate::file::{
    buffers::{Buffers, Closed, Held},
    directories::Flush,
};

/// Room that is set aside at a time, so that writing an object changes no size that would have to be flushed with it. What a killed process
/// leaves unused of it is given back at the next start.
const STEP_BYTES: u64 = 64 * 1024 * 1024;

/// A pack that is being written; closes itself when nobody has it any more.
#[derive(Debug)]
pub(super) struct OpenPack {
    id: Uuid,
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// Held as long as the pack is written: who starts meanwhile leaves it alone.
    _lock: File,
    bytes_max: u64,
    space: Mutex<Space>,
    flush: Flush,
    /// A write or a flush failed. What was promised before stays promised; nothing more is.
    failed: AtomicBool,
}

#[derive(Debug)]
struct Space {
    /// Where the next record goes.
    next: u64,
    /// Up to where room was set aside.
    set_aside: u64,
}

impl OpenPack {
    /// Makes a pack with its head, durable in its folder.
    pub(super) fn create(folder: &Path, open: &Path, buffers: &Buffers, bytes_max: u64) -> io::Result<Self> {
        let id = Uuid::now_v7();
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
        write_all(&file, &head, 0)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(open)?.sync_all()?;
        let next = head.len() as u64;
        Ok(Self {
            id,
            folder: folder.to_owned(),
            path,
            file,
            _lock: lock,
            bytes_max,
            space: Mutex::new(Space { next, set_aside: next }),
            flush: Flush::default(),
            failed: AtomicBool::new(false),
        })
    }

    /// Which pack it is.
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }

    /// Gives out room for a record; `None` when there is none left, or the pack failed.
    pub(super) fn reserve(&self, record_bytes: u64) -> io::Result<Option<u64>> {
        let mut space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        let end = space.next + record_bytes;
        if end > self.bytes_max || self.failed.load(Ordering::Acquire) {
            return Ok(None);
        }
        if end > space.set_aside {
            space.set_aside = self.set_aside(space.set_aside, end)?;
        }
        Ok(Some(std::mem::replace(&mut space.next, end)))
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

    /// Writes a record where room was given, gives its memory back, and returns when it would survive a power cut.
    pub(super) fn write(&self, record: Closed, at: u64) -> io::Result<()> {
        let written = write_all(&self.file, &record, at);
        drop(record);
        let flushed = written.and_then(|()| self.flush.join(|| self.file.sync_data()));
        if flushed.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        flushed
    }
}

impl Drop for OpenPack {
    fn drop(&mut self) {
        let end = self.space.lock().unwrap_or_else(PoisonError::into_inner).next;
        if let Err(error) = close(&self.folder, &self.path, &self.file, end) {
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
    write_all(&file, head, 0).ok().map(|()| file)
}

fn write_all(file: &File, record: &Closed, at: u64) -> io::Result<()> {
    let mut slices = record.slices();
    let mut rest: &mut [IoSlice<'_>] = &mut slices;
    let mut done = 0;
    while done < record.len() {
        match rustix::io::pwritev(file, rest, at + done as u64) {
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
    if end <= record::BLOCK_BYTES {
        return fs::remove_file(path);
    }
    file.set_len(end)?;
    file.sync_all()?;
    fs::rename(path, folder.join(name))?;
    // In this order, the pack is in one of the two folders whenever the power goes.
    File::open(folder)?.sync_all()?;
    path.parent().map_or(Ok(()), |open| File::open(open)?.sync_all())
}
