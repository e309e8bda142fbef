//! Small objects, many to a file: no file to create, no folder to flush, and one flush for all objects that wait for it.
//!
//! A pack is written by one process, from its start to its end, and never again; removing an object punches a hole. What is written goes
//! past the page cache where the filesystem allows it: nothing that was just received is read again soon enough to pay for the copy. Packs
//! lie in a folder of their own; those that are being written in one below it, held by a lock, so that the next start finds and closes what
//! a killed process left open.
//!
//! Not here: which object is current, and whether anybody still wants one. The catalog knows both.

mod reading;
mod record;
mod writing;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use domain::object::{ObjectKey, ObjectRef, Place};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use tokio::sync::oneshot;
use uuid::Uuid;

use self::{
    reading::Handles,
    record::{BLOCK_BYTES, HEAD_BYTES},
    writing::Writer,
};
use super::{
    buffers::{Buffers, Held},
    reading::Patience,
};

/// The folder of packs, below the root. Its name can be no centre's id.
const PACKS: &str = ".packs";
/// The folder, below the one of packs, of those that are being written.
const OPEN: &str = "open";
/// What a pack is called before it has its lock and its head.
const FRESH: &str = ".fresh";

/// Largest object that goes into a pack. A CT slice has half a MB; what is larger pays for a file of its own easily.
pub(super) const OBJECT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that an arriving object leaves free for its record's head.
pub(super) const BEFORE_BYTES: usize = HEAD_BYTES;
/// A pack that has no room for the next object ends; packs of this size make a million CT slices 500 files.
const PACK_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The packs below a root.
#[derive(Debug)]
pub(super) struct Packs {
    folder: PathBuf,
    writer: Writer,
    handles: Handles,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pack: Uuid,
    at: u64,
}

impl Spot {
    /// Where a reference says that an object is; `None` for one that has a file of its own.
    pub(super) fn of(object: &ObjectRef) -> Option<io::Result<Self>> {
        let place = object.place.as_ref()?;
        Some(Self::parse(place).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no place of this store", place.as_str()),
            )
        }))
    }

    fn parse(place: &Place) -> Option<Self> {
        let (pack, at) = place.as_str().split_once(':')?;
        let at = at.parse().ok().filter(|at| *at > 0 && at % BLOCK_BYTES == 0)?;
        Some(Self { pack: Uuid::try_parse(pack).ok()?, at })
    }

    /// Whether another record is in the same pack.
    pub(super) fn shares_pack(self, other: Self) -> bool {
        self.pack == other.pack
    }

    fn place(self) -> Option<Place> {
        Place::parse(&format!("{}:{}", self.pack.simple(), self.at))
    }
}

impl Packs {
    /// Makes the folders, and closes packs that no process writes any more.
    pub(super) fn open(root: &Path, buffers: Buffers) -> io::Result<Self> {
        Self::open_with(root, buffers, PACK_BYTES_MAX)
    }

    fn open_with(root: &Path, buffers: Buffers, pack_bytes_max: u64) -> io::Result<Self> {
        let folder = root.join(PACKS);
        fs::create_dir_all(folder.join(OPEN))?;
        for made in [folder.as_path(), root] {
            File::open(made)?.sync_all()?;
        }
        let writer = Writer::start(&folder, buffers, pack_bytes_max)?;
        let packs = Self { folder, writer, handles: Handles::default() };
        packs.close_abandoned()?;
        Ok(packs)
    }

    fn open_folder(&self) -> PathBuf {
        self.folder.join(OPEN)
    }

    /// Writes an object; the answer comes when it would survive a power cut. Objects that wait at one time share a write and a flush.
    pub(super) fn put(&self, held: Held, key: &ObjectKey) -> oneshot::Receiver<io::Result<ObjectRef>> {
        self.writer.put(held, key.clone())
    }

    /// Removes an object by making a hole where it is; a pack of holes goes. One that is not there is no error.
    pub(super) fn remove(&self, spot: Spot, key: &ObjectKey) -> io::Result<()> {
        let Some((_, head)) = self.find(spot, key, Patience::Wait)? else { return Ok(()) };
        let Some((path, is_open)) = self.path(spot.pack) else { return Ok(()) };
        let file = File::options().write(true).open(&path)?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&file, hole, spot.at, head.record_bytes()) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                std::os::unix::fs::FileExt::write_all_at(&file, &[0; HEAD_BYTES], spot.at)?;
            }
            Err(error) => return Err(error.into()),
        }
        if !is_open && self.records(spot.pack, None, 1)?.is_empty() {
            fs::remove_file(&path)?;
        }
        Ok(())
    }

    /// At most `limit` objects after a spot, pack by pack.
    pub(super) fn list(&self, after: Option<Spot>, limit: usize) -> io::Result<Vec<ObjectRef>> {
        let mut found = Vec::new();
        for pack in self.names()? {
            if found.len() >= limit {
                break;
            }
            let passed = match after {
                Some(after) if after.pack > pack => continue,
                Some(after) if after.pack == pack => Some(after.at),
                Some(_) | None => None,
            };
            found.extend(self.records(pack, passed, limit - found.len())?);
        }
        Ok(found)
    }

    /// The file of a record's pack.
    pub(super) fn metadata(&self, spot: Spot) -> Option<fs::Metadata> {
        fs::metadata(self.path(spot.pack)?.0).ok()
    }

    /// All packs, in order.
    fn names(&self) -> io::Result<Vec<Uuid>> {
        let mut names = Vec::new();
        for folder in [self.open_folder(), self.folder.clone()] {
            for entry in fs::read_dir(folder)? {
                let name = entry?.file_name();
                names.extend(name.to_str().and_then(|name| Uuid::try_parse(name).ok()));
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Where a pack lies, and whether it is being written. It moves once, from there to here.
    fn path(&self, pack: Uuid) -> Option<(PathBuf, bool)> {
        let name = pack.simple().to_string();
        let (closed, open) = (self.folder.join(&name), self.open_folder().join(&name));
        [(closed.clone(), false), (open, true), (closed, false)].into_iter().find(|(path, _)| path.exists())
    }

    /// Closes the packs that a killed process left, so that they stop taking room that was set aside for them.
    pub(super) fn close_abandoned(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.open_folder())? {
            let entry = entry?;
            let Ok(file) = File::options().read(true).write(true).open(entry.path()) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            let name = entry.file_name();
            let Some(pack) = name.to_str().and_then(|name| Uuid::try_parse(name).ok()) else {
                // It never got its head: nothing is in it.
                fs::remove_file(entry.path())?;
                continue;
            };
            let end = self.end(&file, pack)?;
            writing::close(&self.folder, &entry.path(), &file, end)?;
            tracing::info!(pack = %pack.simple(), bytes = end, "closed a pack that was left open");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use domain::{
        digest::Sha256Digest,
        id::CentreId,
        object::ObjectName,
        uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
    };
    use tempfile::TempDir;

    use super::*;

    fn key(number: u32) -> ObjectKey {
        ObjectName::Instance {
            centre: CentreId::parse("c1").unwrap(),
            study: StudyInstanceUid::parse("1.2").unwrap(),
            series: SeriesInstanceUid::parse("1.2.3").unwrap(),
            instance: SopInstanceUid::parse(&format!("1.2.3.{number}")).unwrap(),
            sha256: Sha256Digest::of(&number.to_le_bytes()),
        }
        .key()
    }

    fn put(packs: &Packs, bytes: &[u8], key: &ObjectKey) -> io::Result<ObjectRef> {
        let mut held = Held::new(Buffers::default(), BEFORE_BYTES);
        assert!(held.push(bytes));
        packs.put(held, key).blocking_recv().unwrap()
    }

    fn open(root: &Path) -> Packs {
        Packs::open(root, Buffers::default()).unwrap()
    }

    fn put_some(packs: &Packs, count: u32) -> Vec<ObjectRef> {
        (1..=count).map(|number| put(packs, &bytes(number), &key(number)).unwrap()).collect()
    }

    fn bytes(number: u32) -> Vec<u8> {
        vec![u8::try_from(number).unwrap(); 3000 * number as usize]
    }

    fn read(packs: &Packs, object: &ObjectRef) -> Option<Vec<u8>> {
        let spot = Spot::of(object).unwrap().unwrap();
        let opened = packs.object(spot, &object.key, Patience::Wait).unwrap()?;
        let mut bytes = vec![0; usize::try_from(opened.bytes).unwrap()];
        opened.file.read_exact_at(&mut bytes, opened.first).unwrap();
        assert!(opened.sums.unwrap().hold(0, opened.head_bytes, &bytes));
        Some(bytes)
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).collect()
    }

    /// The folder as a killed process leaves it: its pack is where it was being written, and nobody holds it.
    fn as_left_by_a_killed_process(root: &Path) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        let open = copy.path().join(PACKS).join(OPEN);
        fs::create_dir_all(&open).unwrap();
        for path in files(&root.join(PACKS).join(OPEN)) {
            fs::copy(&path, open.join(path.file_name().unwrap())).unwrap();
        }
        copy
    }

    #[test]
    fn what_a_killed_process_left_is_closed_and_complete() {
        let root = tempfile::tempdir().unwrap();
        let packs = open(root.path());
        let objects = put_some(&packs, 5);
        let copy = as_left_by_a_killed_process(root.path());
        fs::write(copy.path().join(PACKS).join(OPEN).join(".fresh-x"), b"").unwrap();
        let again = open(copy.path());
        assert_eq!(again.list(None, 100).unwrap(), objects);
        for (object, number) in objects.iter().zip(1..) {
            assert_eq!(read(&again, object).unwrap(), bytes(number));
        }
        let closed = files(&copy.path().join(PACKS));
        assert_eq!((closed.len(), files(&copy.path().join(PACKS).join(OPEN)).len()), (1, 0));
        assert!(fs::metadata(&closed[0]).unwrap().len() < 100_000, "unused room was given back");
        // The pack of a process that lives is left alone.
        open(root.path());
        assert_eq!(files(&root.path().join(PACKS).join(OPEN)).len(), 1);
        drop(packs);
        assert_eq!(files(&root.path().join(PACKS).join(OPEN)).len(), 0, "a clean end closes it");
        assert_eq!(open(root.path()).list(None, 100).unwrap(), objects);
    }

    #[test]
    fn what_was_being_written_when_the_power_went_is_stepped_over() {
        let root = tempfile::tempdir().unwrap();
        let objects = put_some(&open(root.path()), 4);
        let pack = files(&root.path().join(PACKS)).remove(0);
        let torn = Spot::of(&objects[1]).unwrap().unwrap();
        let file = File::options().write(true).open(pack).unwrap();
        file.write_all_at(&[0; 4096], torn.at).unwrap();
        let packs = open(root.path());
        let left = [objects[0].clone(), objects[2].clone(), objects[3].clone()];
        assert_eq!(packs.list(None, 100).unwrap(), left);
        assert_eq!(packs.list(Some(torn), 100).unwrap(), left[1..]);
        assert_eq!(read(&packs, &objects[1]), None);
    }

    #[test]
    fn records_inside_an_object_are_not_records() {
        let root = tempfile::tempdir().unwrap();
        let packs = open(root.path());
        put_some(&packs, 3);
        let inside = fs::read(&files(&packs.open_folder())[0]).unwrap();
        // Its blocks stand on block boundaries again, behind a head of one block.
        let mut smuggling = vec![0; BLOCK_BYTES as usize - HEAD_BYTES];
        smuggling.extend_from_slice(&inside[..64 * 1024]);
        let object = put(&packs, &smuggling, &key(9)).unwrap();
        let at = Spot::of(&object).unwrap().unwrap().at;
        let path = files(&packs.open_folder()).remove(0);
        drop(packs);
        let path = root.path().join(PACKS).join(path.file_name().unwrap());
        File::options().write(true).open(path).unwrap().write_all_at(&[0; HEAD_BYTES], at).unwrap();
        assert_eq!(open(root.path()).list(None, 100).unwrap().len(), 3);
    }

    #[test]
    fn removing_gives_the_room_back_and_the_last_one_takes_the_pack_with_it() {
        let root = tempfile::tempdir().unwrap();
        let objects = put_some(&open(root.path()), 3);
        let packs = open(root.path());
        for (gone, object) in objects.iter().enumerate() {
            let spot = Spot::of(object).unwrap().unwrap();
            packs.remove(spot, &key(99)).unwrap();
            assert!(read(&packs, object).is_some(), "it has another name");
            packs.remove(spot, &object.key).unwrap();
            assert_eq!(read(&packs, object), None);
            assert_eq!(packs.list(None, 10).unwrap(), objects[gone + 1..]);
        }
        assert!(files(&root.path().join(PACKS)).is_empty());
    }

    #[test]
    fn a_full_pack_is_followed_by_another() {
        let root = tempfile::tempdir().unwrap();
        let packs = Packs::open_with(root.path(), Buffers::default(), 40 * 1024).unwrap();
        let objects = put_some(&packs, 6);
        assert!(files(&root.path().join(PACKS)).len() >= 2);
        assert_eq!(packs.list(None, 100).unwrap(), objects);
        for (object, number) in objects.iter().zip(1..) {
            assert_eq!(read(&packs, object).unwrap(), bytes(number));
        }
        let too_large = put(&packs, &bytes(20), &key(20));
        assert!(too_large.is_err(), "no pack can hold it: {too_large:?}");
    }

    #[test]
    fn objects_that_wait_together_are_all_written_whatever_packs_they_need() {
        let root = tempfile::tempdir().unwrap();
        let packs = Packs::open_with(root.path(), Buffers::default(), 40 * 1024).unwrap();
        let waiting: Vec<_> = [1, 2, 20, 3, 4, 5, 6, 7]
            .map(|number| {
                let mut held = Held::new(Buffers::default(), BEFORE_BYTES);
                assert!(held.push(&bytes(number)));
                (number, packs.put(held, &key(number)))
            })
            .into();
        for (number, answer) in waiting {
            let outcome = answer.blocking_recv().unwrap();
            if number == 20 {
                assert!(outcome.is_err(), "no pack can hold it");
            } else {
                assert_eq!(read(&packs, &outcome.unwrap()).unwrap(), bytes(number));
            }
        }
    }

    #[test]
    fn places_of_others_are_refused() {
        for text in ["x", "1:4096", "018f:4096", "0190a0b0c0d0e0f00102030405060708:4095"] {
            let object = ObjectRef { key: key(1), place: Place::parse(text) };
            assert!(matches!(Spot::of(&object), Some(Err(_))), "{text}");
        }
        assert!(Spot::of(&key(1).into()).is_none());
    }
}
