//! Blocks as files. A file says what it is in its head, and is believed only when both of its sums hold; it is written beside its name
//! first, so that a process that is killed leaves no half of one. Nothing is flushed: what a power cut changes, the sums find.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use domain::{digest::Sha256Digest, object::ObjectKey};

use super::BLOCK_BYTES;

const MAGIC: &[u8; 8] = b"TLRDBLK1";
const HEAD_BYTES: usize = 64;
/// Where the sum of the bytes and that of the head itself stand.
const SUM_AT: usize = 56;
const HEAD_SUM_AT: usize = 60;
/// Names of files that are being written.
const UNFINISHED: &str = ".part-";

/// Names a block: the digest of its object's key, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockId {
    object: [u8; 32],
    number: u32,
}

/// A block, and how many bytes its object has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) object_bytes: u64,
    pub(super) bytes: Bytes,
}

/// A file that an earlier process left.
#[derive(Debug)]
pub(super) struct FoundBlock {
    pub(super) id: BlockId,
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

impl BlockId {
    pub(super) fn of(key: &ObjectKey, number: u32) -> Self {
        Self { object: *Sha256Digest::of(key.as_str().as_bytes()).as_bytes(), number }
    }

    #[cfg(test)]
    pub(super) const fn new(object: [u8; 32], number: u32) -> Self {
        Self { object, number }
    }

    /// The last block that its object could have.
    pub(super) const fn last(self) -> Self {
        Self { number: u32::MAX, ..self }
    }

    /// Folder and name of its file.
    fn path(self, folder: &Path) -> PathBuf {
        let object = Sha256Digest::from_bytes(self.object).to_string();
        folder.join(&object[..2]).join(format!("{object}-{}", self.number))
    }

    fn parse(name: &str) -> Option<Self> {
        let (object, number) = name.split_once('-')?;
        Some(Self { object: *Sha256Digest::parse(object)?.as_bytes(), number: number.parse().ok()? })
    }
}

/// The folder.
#[derive(Debug)]
pub(super) struct Blocks {
    folder: PathBuf,
}

impl Blocks {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        for first in 0..=u8::MAX {
            fs::create_dir_all(folder.join(format!("{first:02x}")))?;
        }
        Ok(Self { folder })
    }

    /// A block; `None` when its file is not what was written.
    pub(super) fn read(&self, id: BlockId) -> io::Result<Option<Block>> {
        let mut file = match File::open(id.path(&self.folder)) {
            Ok(file) => file.take(HEAD_BYTES as u64 + BLOCK_BYTES + 1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        file.read_to_end(&mut all)?;
        let Some((head, _)) = all.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let object_bytes = u64::from_le_bytes(head[48..56].try_into().unwrap_or_default());
        let all = Bytes::from(all);
        let bytes = all.slice(HEAD_BYTES..);
        let is_whole = head_of(id, object_bytes, &bytes) == all[..HEAD_BYTES];
        Ok(is_whole.then_some(Block { object_bytes, bytes }))
    }

    /// Writes a block; how many bytes its file has.
    pub(super) fn write(&self, id: BlockId, block: &Block) -> io::Result<u64> {
        let path = id.path(&self.folder);
        let folder = path.parent().unwrap_or(&self.folder);
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        file.write_all(&head_of(id, block.object_bytes, &block.bytes))?;
        file.write_all(&block.bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok((HEAD_BYTES + block.bytes.len()) as u64)
    }

    /// Removes a block; one that is not there is no error.
    pub(super) fn remove(&self, id: BlockId) -> io::Result<()> {
        match fs::remove_file(id.path(&self.folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What is there; removes what was never finished.
    pub(super) fn list(&self) -> io::Result<Vec<FoundBlock>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.folder)? {
            for entry in fs::read_dir(folder?.path())? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_str().unwrap_or_default();
                let data = entry.metadata()?;
                match BlockId::parse(name) {
                    Some(id) => found.push(FoundBlock { id, bytes: data.len(), used: data.modified()? }),
                    // Another process of now may be writing it.
                    None if name.starts_with(UNFINISHED) && is_old(&data) => {
                        drop(fs::remove_file(entry.path()))
                    }
                    None => {}
                }
            }
        }
        Ok(found)
    }
}

/// Whether nobody can be writing a file any more: writing a block takes no hour.
fn is_old(data: &fs::Metadata) -> bool {
    let age = data.modified().ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > 3_600)
}

fn head_of(id: BlockId, object_bytes: u64, bytes: &[u8]) -> [u8; HEAD_BYTES] {
    let sum = |bytes: &[u8]| (crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_le_bytes();
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..40].copy_from_slice(&id.object);
    head[40..44].copy_from_slice(&id.number.to_le_bytes());
    head[44..48].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    head[48..SUM_AT].copy_from_slice(&object_bytes.to_le_bytes());
    head[SUM_AT..HEAD_SUM_AT].copy_from_slice(&sum(bytes));
    let of_head = sum(&head[..HEAD_SUM_AT]);
    head[HEAD_SUM_AT..].copy_from_slice(&of_head);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_was_written_or_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(folder.path().join("cache")).unwrap();
        let (id, other) = (BlockId::new([1; 32], 3), BlockId::new([1; 32], 4));
        assert_eq!(blocks.read(id).unwrap(), None);
        let block = Block { object_bytes: 9 << 20, bytes: Bytes::from(vec![7; 5_000]) };
        assert_eq!(blocks.write(id, &block).unwrap(), 5_064);
        assert_eq!(blocks.read(id).unwrap().as_ref(), Some(&block));

        let path = id.path(&blocks.folder);
        let good = fs::read(&path).unwrap();
        fs::copy(&path, other.path(&blocks.folder)).unwrap();
        assert_eq!(blocks.read(other).unwrap(), None, "it is another block");
        for at in (0..good.len()).step_by(7) {
            let mut wrong = good.clone();
            wrong[at] ^= 4;
            fs::write(&path, wrong).unwrap();
            assert_eq!(blocks.read(id).unwrap(), None, "byte {at}");
        }
        for wrong in [&good[..good.len() - 1], &good[..10], &[], &[good.as_slice(), b"x"].concat()] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(blocks.read(id).unwrap(), None);
        }

        let names = |found: Vec<FoundBlock>| found.len();
        fs::write(path.with_file_name(".part-x"), b"half").unwrap();
        assert_eq!(names(blocks.list().unwrap()), 2);
        blocks.remove(id).unwrap();
        blocks.remove(id).unwrap();
        assert_eq!(names(blocks.list().unwrap()), 1);
    }
}
