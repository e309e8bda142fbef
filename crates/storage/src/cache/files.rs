//! Objects as files. A file says what it is in its head, and is believed only when both of its sums hold; it is written beside its name
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

use super::NEAR_BYTES_MAX;

const MAGIC: &[u8; 8] = b"TLRDNEA1";
const HEAD_BYTES: usize = 56;
/// Where the sum of the bytes and that of the head itself stand.
const SUM_AT: usize = 48;
const HEAD_SUM_AT: usize = 52;
/// Names of files that are being written.
const UNFINISHED: &str = ".part-";

/// Names an object: the digest of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name([u8; 32]);

/// A file that an earlier process left.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub(super) name: Name,
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

impl Name {
    pub(super) fn of(key: &ObjectKey) -> Self {
        Self(*Sha256Digest::of(key.as_str().as_bytes()).as_bytes())
    }

    #[cfg(test)]
    pub(super) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Folder and name of its file.
    fn path(self, folder: &Path) -> PathBuf {
        let name = Sha256Digest::from_bytes(self.0).to_string();
        folder.join(&name[..2]).join(name)
    }
}

/// The folder.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        for first in 0..=u8::MAX {
            fs::create_dir_all(folder.join(format!("{first:02x}")))?;
        }
        Ok(Self { folder })
    }

    /// An object; `None` when its file is not what was written.
    pub(super) fn read(&self, name: Name) -> io::Result<Option<Bytes>> {
        let path = name.path(&self.folder);
        let mut file = File::open(&path)?.take(HEAD_BYTES as u64 + NEAR_BYTES_MAX + 1);
        let mut all = Vec::new();
        file.read_to_end(&mut all)?;
        if all.len() < HEAD_BYTES {
            return Ok(None);
        }
        let all = Bytes::from(all);
        let bytes = all.slice(HEAD_BYTES..);
        let is_whole = head_of(name, &bytes) == all[..HEAD_BYTES];
        if is_whole {
            touch(&path);
        }
        Ok(is_whole.then_some(bytes))
    }

    /// Writes an object; how many bytes its file has.
    pub(super) fn write(&self, name: Name, bytes: &[u8]) -> io::Result<u64> {
        let path = name.path(&self.folder);
        let folder = path.parent().unwrap_or(&self.folder);
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        file.write_all(&head_of(name, bytes))?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok((HEAD_BYTES + bytes.len()) as u64)
    }

    /// Removes an object; one that is not there is no error.
    pub(super) fn remove(&self, name: Name) -> io::Result<()> {
        match fs::remove_file(name.path(&self.folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What is there; removes what was never finished.
    pub(super) fn list(&self) -> io::Result<Vec<FoundFile>> {
        let mut found = Vec::new();
        // Only our own folders: a folder that is a file system of its own has others beside them (`lost+found`) that nobody may read.
        for first in 0..=u8::MAX {
            for entry in fs::read_dir(self.folder.join(format!("{first:02x}")))? {
                let entry = entry?;
                // It got its name, or was removed, since the folder was read.
                let data = match entry.metadata() {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    data => data?,
                };
                let name = entry.file_name();
                let name = name.to_str().unwrap_or_default();
                match Sha256Digest::parse(name) {
                    Some(digest) => found.push(FoundFile {
                        name: Name(*digest.as_bytes()),
                        bytes: data.len(),
                        used: data.modified()?,
                    }),
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

/// Notes for the next process that a file was used now. Only a hint: without it the file goes a little earlier.
fn touch(path: &Path) {
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
    };
    let _ = rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty());
}

/// Whether nobody can be writing a file any more: writing one takes no hour.
fn is_old(data: &fs::Metadata) -> bool {
    let age = data.modified().ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > 3_600)
}

fn head_of(name: Name, bytes: &[u8]) -> [u8; HEAD_BYTES] {
    let sum = |bytes: &[u8]| (crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_le_bytes();
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..40].copy_from_slice(&name.0);
    head[40..SUM_AT].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    head[SUM_AT..HEAD_SUM_AT].copy_from_slice(&sum(bytes));
    let of_head = sum(&head[..HEAD_SUM_AT]);
    head[HEAD_SUM_AT..].copy_from_slice(&of_head);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_what_was_written_or_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path().join("cache")).unwrap();
        let (name, other) = (Name::new([1; 32]), Name::new([2; 32]));
        assert!(files.read(name).is_err());
        let bytes = vec![7; 5_000];
        assert_eq!(files.write(name, &bytes).unwrap(), 5_056);
        assert_eq!(files.read(name).unwrap().as_deref(), Some(bytes.as_slice()));

        let path = name.path(&files.folder);
        let good = fs::read(&path).unwrap();
        fs::copy(&path, other.path(&files.folder)).unwrap();
        assert_eq!(files.read(other).unwrap(), None, "it is another object");
        for at in (0..good.len()).step_by(7) {
            let mut wrong = good.clone();
            wrong[at] ^= 4;
            fs::write(&path, wrong).unwrap();
            assert_eq!(files.read(name).unwrap(), None, "byte {at}");
        }
        for wrong in [&good[..good.len() - 1], &good[..10], &[], &[good.as_slice(), b"x"].concat()] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(files.read(name).unwrap(), None);
        }

        fs::write(path.with_file_name(".part-x"), b"half").unwrap();
        fs::create_dir(files.folder.join("lost+found")).unwrap();
        fs::write(files.folder.join("stray"), b"x").unwrap();
        assert_eq!(files.list().unwrap().len(), 2);
        files.remove(name).unwrap();
        files.remove(name).unwrap();
        assert_eq!(files.list().unwrap().len(), 1);
    }
}
