//! Finding records in packs, and stepping through them.

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use domain::object::{ObjectKey, ObjectRef};
use rustix::{fs::SeekFrom, io::Errno};
use uuid::Uuid;

use super::{
    Packs, Spot,
    record::{self, BLOCK_BYTES, HEAD_BYTES, Head},
};
use crate::file::reading::{Opened, Patience, read_exact};

/// Packs that stay open for reading, the one that was used last first.
const HANDLES_MAX: usize = 64;

/// Packs that are open for reading.
#[derive(Debug, Default)]
pub(super) struct Handles(Mutex<Vec<(Uuid, Arc<File>)>>);

impl Handles {
    fn get(&self, pack: Uuid) -> Option<Arc<File>> {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = handles.iter().position(|(known, _)| *known == pack)?;
        handles[..=at].rotate_right(1);
        handles.first().map(|(_, file)| Arc::clone(file))
    }

    fn put(&self, pack: Uuid, file: &Arc<File>) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|(known, _)| *known != pack);
        handles.truncate(HANDLES_MAX - 1);
        handles.insert(0, (pack, Arc::clone(file)));
    }
}

impl Packs {
    /// Where an object lies; `None` when it is not there.
    pub(in crate::file) fn object(
        &self,
        spot: Spot,
        key: &ObjectKey,
        patience: Patience,
    ) -> io::Result<Option<Opened>> {
        let found = self.find(spot, key, patience)?;
        let opened = |(file, head): (_, Head)| Opened {
            file,
            first: spot.at + HEAD_BYTES as u64,
            bytes: head.object_bytes,
            head_bytes: HEAD_BYTES as u64,
            sums: head.sums.map(Arc::new),
        };
        Ok(found.map(opened))
    }

    pub(super) fn find(
        &self,
        spot: Spot,
        key: &ObjectKey,
        patience: Patience,
    ) -> io::Result<Option<(Arc<File>, Head)>> {
        let Some(file) = self.file(spot.pack, patience)? else { return Ok(None) };
        let head = head_at(&file, spot.pack, spot.at, patience)?;
        Ok(head.filter(|head| head.key == *key).map(|head| (file, head)))
    }

    fn file(&self, pack: Uuid, patience: Patience) -> io::Result<Option<Arc<File>>> {
        if let Some(file) = self.handles.get(pack) {
            return Ok(Some(file));
        }
        if patience == Patience::OnlyCached {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some((path, _)) = self.path(pack) else { return Ok(None) };
        let file = match File::open(&path) {
            // It was closed in between, and lies in the other folder now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.path(pack) {
                Some((path, _)) => File::open(path)?,
                None => return Ok(None),
            },
            other => other?,
        };
        let file = Arc::new(file);
        self.handles.put(pack, &file);
        Ok(Some(file))
    }

    /// At most `limit` objects of a pack after a place in it.
    pub(super) fn records(&self, pack: Uuid, after: Option<u64>, limit: usize) -> io::Result<Vec<ObjectRef>> {
        let Some(file) = self.file(pack, Patience::Wait)? else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        let from = after.unwrap_or(BLOCK_BYTES);
        walk(&file, pack, from, |at, head| {
            if records.len() < limit && after.is_none_or(|after| at > after) {
                records.push(ObjectRef { place: Spot { pack, at }.place(), key: head.key.clone() });
            }
            records.len() < limit
        })?;
        Ok(records)
    }

    /// Where the last record of a pack ends.
    pub(super) fn end(&self, file: &File, pack: Uuid) -> io::Result<u64> {
        let mut end = BLOCK_BYTES;
        walk(file, pack, BLOCK_BYTES, |at, head| {
            end = at + head.record_bytes();
            true
        })?;
        Ok(end)
    }
}

/// Gives each record from `at` on with its place, until told to stop. Gaps are stepped over: holes at once, the rest block by block.
fn walk(file: &File, pack: Uuid, mut at: u64, mut each: impl FnMut(u64, &Head) -> bool) -> io::Result<()> {
    let mut block = [0; HEAD_BYTES];
    if read_full(file, &mut block, 0, Patience::Wait)? && !record::is_head_of(&block, pack) {
        return Err(io::Error::other(format!("the pack {} does not begin like one", pack.simple())));
    }
    let length = file.metadata()?.len();
    while at < length {
        match head_at(file, pack, at, Patience::Wait)? {
            Some(head) => {
                if !each(at, &head) {
                    return Ok(());
                }
                at += head.record_bytes();
            }
            None => match next_data(file, at + BLOCK_BYTES)? {
                Some(next) => at = next,
                None => return Ok(()),
            },
        }
    }
    Ok(())
}

/// The first block at or after a place that is not in a hole.
fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(at) => Ok(Some(from.max(at - at % BLOCK_BYTES))),
        Err(Errno::NXIO) => Ok(None),
        // A filesystem that does not know of holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(from)),
        Err(error) => Err(error.into()),
    }
}

fn head_at(file: &File, pack: Uuid, at: u64, patience: Patience) -> io::Result<Option<Head>> {
    let mut bytes = [0; HEAD_BYTES];
    Ok(if read_full(file, &mut bytes, at, patience)? { Head::read(&bytes, pack, at) } else { None })
}

/// Fills the buffer; `false` when the file ends before.
fn read_full(file: &File, buffer: &mut [u8], at: u64, patience: Patience) -> io::Result<bool> {
    match read_exact(file, buffer, at, patience) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
