//! What a disk holds now, and what it would still hold after a power cut. No mounting, no faults: a data structure.
//!
//! Contents are durable as of the last flush of the file, names as of the last flush of their folder. A flush of a new file does not
//! make its name durable: ext4 does more at times, and promises it nowhere.
//!
//! A flush that fails loses what it should have written: Linux marks the pages clean, so a second flush succeeds without writing them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use rand::RngExt as _;

/// Number of an inode.
pub type Ino = u64;

/// The root folder, as FUSE numbers it.
pub const ROOT: Ino = 1;

/// Bytes that a disk writes at once.
pub const BLOCK_BYTES: usize = 4096;

/// Unlinked files that gather before memory is looked through for them.
const UNLINKED_MAX: u32 = 256;

type Block = Arc<[u8; BLOCK_BYTES]>;

static ZEROS: LazyLock<Block> = LazyLock::new(|| Arc::new([0; BLOCK_BYTES]));

/// What happens to what was not flushed when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// All of it is lost.
    FlushedOnly,
    /// A disk writes in an order of its own: some blocks of 4 KiB have made it, others not; of the names, those changed up to some
    /// moment. Drawn from this seed.
    Torn(u64),
}

/// Everything on a disk.
#[derive(Debug)]
pub struct Model {
    inodes: HashMap<Ino, Inode>,
    next: Ino,
    /// Number of the last change of a name.
    changes: u64,
    unlinked: u32,
    /// Room, in blocks; `None` when there is no end of it.
    room: Option<u64>,
}

/// A file or a folder.
#[derive(Debug)]
pub struct Inode {
    /// Contents or names.
    pub body: Body,
    /// Permission bits.
    pub mode: u16,
    /// Last change of the contents.
    pub modified: SystemTime,
    /// How often the kernel was told of it; it may ask for it until it forgets.
    pub lookups: u64,
    /// How many names it has.
    pub links: u32,
    /// The last name that it got, for matching rules.
    name: (Ino, OsString),
}

/// Contents of a file, or names of a folder.
#[derive(Debug)]
pub enum Body {
    /// A regular file.
    File(File),
    /// A folder.
    Folder(Folder),
}

/// Contents of a file; a missing block reads as zeros.
#[derive(Debug, Default)]
pub struct File {
    blocks: BTreeMap<u64, Block>,
    /// Length in bytes.
    pub size: u64,
    flushed_size: u64,
    /// Blocks that changed since the last flush.
    unflushed: BTreeMap<u64, Unflushed>,
}

#[derive(Debug)]
struct Unflushed {
    flushed: Option<Block>,
    /// A flush of it failed; later ones pass it over.
    is_lost: bool,
}

/// Names of a folder.
#[derive(Debug, Default)]
pub struct Folder {
    entries: BTreeMap<OsString, Ino>,
    unflushed: HashMap<OsString, Renamed>,
}

/// A name that changed since its folder was flushed.
#[derive(Debug)]
struct Renamed {
    flushed: Option<Ino>,
    later: Vec<(u64, Option<Ino>)>,
}

/// An error number of the operating system, as in `errno.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub i32);

/// No such file.
pub const ENOENT: Refused = Refused(2);
/// Input or output failed.
pub const EIO: Refused = Refused(5);
/// It is there already.
pub const EEXIST: Refused = Refused(17);
/// Not a folder.
pub const ENOTDIR: Refused = Refused(20);
/// A folder.
pub const EISDIR: Refused = Refused(21);
/// That cannot be asked.
pub const EINVAL: Refused = Refused(22);
/// No room.
pub const ENOSPC: Refused = Refused(28);
/// The folder holds something.
pub const ENOTEMPTY: Refused = Refused(39);

impl File {
    fn touch(&mut self, block: u64) {
        let flushed = self.blocks.get(&block).cloned();
        let unflushed = self.unflushed.entry(block).or_insert(Unflushed { flushed, is_lost: false });
        unflushed.is_lost = false;
    }

    fn write(&mut self, offset: u64, mut data: &[u8]) {
        let mut at = offset;
        while !data.is_empty() {
            let (block, within) = split(at);
            let length = data.len().min(BLOCK_BYTES - within);
            self.touch(block);
            let bytes = Arc::make_mut(self.blocks.entry(block).or_insert_with(|| ZEROS.clone()));
            bytes[within..within + length].copy_from_slice(&data[..length]);
            data = &data[length..];
            at += length as u64;
        }
        self.size = self.size.max(at);
    }

    /// Bytes of a range, as far as the file goes.
    #[must_use]
    pub fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let end = self.size.min(offset.saturating_add(length as u64));
        let mut bytes = Vec::with_capacity(usize::try_from(end.saturating_sub(offset)).unwrap_or(0));
        let mut at = offset;
        while at < end {
            let (block, within) = split(at);
            let some = (BLOCK_BYTES - within).min(usize::try_from(end - at).unwrap_or(BLOCK_BYTES));
            let from = self.blocks.get(&block).unwrap_or(&ZEROS);
            bytes.extend_from_slice(&from[within..within + some]);
            at += some as u64;
        }
        bytes
    }

    fn resize(&mut self, size: u64) {
        if size < self.size {
            self.clear(size, self.size);
        }
        self.size = size;
    }

    /// Makes a range zeros, and gives back whole blocks.
    fn clear(&mut self, from: u64, to: u64) {
        let end = to.div_ceil(BLOCK_BYTES as u64);
        let first = from / BLOCK_BYTES as u64;
        let there: Vec<u64> = self.blocks.range(first..end).map(|(block, _)| *block).collect();
        for block in there {
            self.touch(block);
            let begin = block * BLOCK_BYTES as u64;
            let within = |at: u64| usize::try_from(at.clamp(begin, begin + 4096) - begin).unwrap_or(0);
            let (start, stop) = (within(from), within(to));
            if (start, stop) == (0, BLOCK_BYTES) || (start == 0 && to >= self.size) {
                self.blocks.remove(&block);
            } else if let Some(bytes) = self.blocks.get_mut(&block) {
                Arc::make_mut(bytes)[start..stop].fill(0);
            }
        }
    }

    fn reserve(&mut self, from: u64, to: u64) {
        for block in from / BLOCK_BYTES as u64..to.div_ceil(BLOCK_BYTES as u64) {
            if !self.blocks.contains_key(&block) {
                self.touch(block);
                self.blocks.insert(block, ZEROS.clone());
            }
        }
    }

    fn missing_blocks(&self, from: u64, to: u64) -> u64 {
        let range = from / BLOCK_BYTES as u64..to.div_ceil(BLOCK_BYTES as u64);
        range.end.saturating_sub(range.start) - self.blocks.range(range).count() as u64
    }

    fn flush(&mut self) {
        self.unflushed.retain(|_, unflushed| unflushed.is_lost);
        self.flushed_size = self.size;
    }

    fn fail_to_flush(&mut self) {
        self.unflushed.values_mut().for_each(|unflushed| unflushed.is_lost = true);
    }

    fn lose(&mut self, luck: &mut Option<rand::rngs::StdRng>) {
        for (block, unflushed) in std::mem::take(&mut self.unflushed) {
            let survives = !unflushed.is_lost && luck.as_mut().is_some_and(|luck| luck.random_bool(0.5));
            match unflushed.flushed {
                _ if survives => {}
                Some(flushed) => drop(self.blocks.insert(block, flushed)),
                None => drop(self.blocks.remove(&block)),
            }
        }
        let keeps_size = luck.as_mut().is_some_and(|luck| luck.random_bool(0.5));
        self.size = if keeps_size { self.size } else { self.flushed_size };
        self.flushed_size = self.size;
        let (block, within) = split(self.size);
        self.blocks.split_off(&if within == 0 { block } else { block + 1 });
        if let Some(bytes) = self.blocks.get_mut(&block) {
            Arc::make_mut(bytes)[within..].fill(0);
        }
    }
}

/// Number of a block, and the place in it.
fn split(offset: u64) -> (u64, usize) {
    let bytes = BLOCK_BYTES as u64;
    (offset / bytes, usize::try_from(offset % bytes).unwrap_or(0))
}

impl Folder {
    fn set(&mut self, name: &OsStr, ino: Option<Ino>, change: u64) {
        let flushed = self.entries.get(name).copied();
        let renamed = self.unflushed.entry(name.to_owned()).or_insert(Renamed { flushed, later: Vec::new() });
        renamed.later.push((change, ino));
        match ino {
            Some(ino) => drop(self.entries.insert(name.to_owned(), ino)),
            None => drop(self.entries.remove(name)),
        }
    }

    fn lose(&mut self, changes_kept: u64) {
        for (name, renamed) in std::mem::take(&mut self.unflushed) {
            let kept = renamed.later.iter().rev().find(|(change, _)| *change <= changes_kept);
            match kept.map_or(renamed.flushed, |(_, ino)| *ino) {
                Some(ino) => drop(self.entries.insert(name, ino)),
                None => drop(self.entries.remove(&name)),
            }
        }
    }

    fn mentions(&self) -> impl Iterator<Item = Ino> + '_ {
        let unflushed = self
            .unflushed
            .values()
            .flat_map(|renamed| renamed.later.iter().filter_map(|(_, ino)| *ino).chain(renamed.flushed));
        self.entries.values().copied().chain(unflushed)
    }
}

impl Model {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        let mut model = Self { inodes: HashMap::new(), next: ROOT, changes: 0, unlinked: 0, room: None };
        let root = model.insert(Body::Folder(Folder::default()), 0o755, (ROOT, OsString::new()));
        if let Some(root) = model.inodes.get_mut(&root) {
            root.links = 1;
        }
        model
    }

    fn insert(&mut self, body: Body, mode: u16, name: (Ino, OsString)) -> Ino {
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, Inode { body, mode, modified: now(), lookups: 0, links: 0, name });
        ino
    }

    /// An inode.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn inode(&self, ino: Ino) -> Result<&Inode, Refused> {
        self.inodes.get(&ino).ok_or(ENOENT)
    }

    /// An inode, to be changed.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn inode_mut(&mut self, ino: Ino) -> Result<&mut Inode, Refused> {
        self.inodes.get_mut(&ino).ok_or(ENOENT)
    }

    /// A file.
    ///
    /// # Errors
    /// When it is none.
    pub fn file(&self, ino: Ino) -> Result<&File, Refused> {
        match &self.inode(ino)?.body {
            Body::File(file) => Ok(file),
            Body::Folder(_) => Err(EISDIR),
        }
    }

    fn file_mut(&mut self, ino: Ino) -> Result<&mut File, Refused> {
        let inode = self.inode_mut(ino)?;
        inode.modified = now();
        match &mut inode.body {
            Body::File(file) => Ok(file),
            Body::Folder(_) => Err(EISDIR),
        }
    }

    fn folder(&self, ino: Ino) -> Result<&Folder, Refused> {
        match &self.inode(ino)?.body {
            Body::Folder(folder) => Ok(folder),
            Body::File(_) => Err(ENOTDIR),
        }
    }

    fn set(&mut self, folder: Ino, name: &OsStr, ino: Option<Ino>, change: u64) -> Result<(), Refused> {
        let inode = self.inode_mut(folder)?;
        inode.modified = now();
        let Body::Folder(body) = &mut inode.body else { return Err(ENOTDIR) };
        body.set(name, ino, change);
        if let Some(ino) = ino {
            self.inode_mut(ino)?.name = (folder, name.to_owned());
        }
        Ok(())
    }

    /// What a name in a folder stands for.
    ///
    /// # Errors
    /// When it stands for nothing.
    pub fn lookup(&self, folder: Ino, name: &OsStr) -> Result<Ino, Refused> {
        self.folder(folder)?.entries.get(name).copied().ok_or(ENOENT)
    }

    /// The names of a folder.
    ///
    /// # Errors
    /// When it is none.
    pub fn names(&self, folder: Ino) -> Result<Vec<(OsString, Ino)>, Refused> {
        let entries = &self.folder(folder)?.entries;
        Ok(entries.iter().map(|(name, ino)| (name.clone(), *ino)).collect())
    }

    /// The path of an inode below the root, by the last name that it got.
    #[must_use]
    pub fn path(&self, ino: Ino) -> String {
        let mut parts = Vec::new();
        let mut at = ino;
        while at != ROOT
            && let Some(inode) = self.inodes.get(&at)
        {
            parts.push(inode.name.1.to_string_lossy().into_owned());
            at = inode.name.0;
        }
        parts.reverse();
        parts.join("/")
    }

    /// The path of a name in a folder.
    #[must_use]
    pub fn path_in(&self, folder: Ino, name: &OsStr) -> String {
        let above = self.path(folder);
        let name = name.to_string_lossy();
        if above.is_empty() { name.into_owned() } else { format!("{above}/{name}") }
    }

    /// Makes a file or a folder.
    ///
    /// # Errors
    /// When the name is taken, or there is no room.
    pub fn make(&mut self, folder: Ino, name: &OsStr, is_folder: bool, mode: u16) -> Result<Ino, Refused> {
        if self.folder(folder)?.entries.contains_key(name) {
            return Err(EEXIST);
        }
        self.need(1)?;
        let body = if is_folder { Body::Folder(Folder::default()) } else { Body::File(File::default()) };
        let ino = self.insert(body, mode, (folder, name.to_owned()));
        self.inode_mut(ino)?.links = 1;
        let change = self.change();
        self.set(folder, name, Some(ino), change)?;
        Ok(ino)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn link(&mut self, ino: Ino, folder: Ino, name: &OsStr) -> Result<(), Refused> {
        self.file(ino)?;
        if self.folder(folder)?.entries.contains_key(name) {
            return Err(EEXIST);
        }
        let change = self.change();
        self.set(folder, name, Some(ino), change)?;
        self.inode_mut(ino)?.links += 1;
        Ok(())
    }

    /// Takes a name away; a folder must be empty.
    ///
    /// # Errors
    /// When there is no such name, or it is of the other kind.
    pub fn unlink(&mut self, folder: Ino, name: &OsStr, is_folder: bool) -> Result<(), Refused> {
        let ino = self.lookup(folder, name)?;
        match (&self.inode(ino)?.body, is_folder) {
            (Body::File(_), false) => {}
            (Body::Folder(body), true) if body.entries.is_empty() => {}
            (Body::Folder(_), true) => return Err(ENOTEMPTY),
            (Body::File(_), true) => return Err(ENOTDIR),
            (Body::Folder(_), false) => return Err(EISDIR),
        }
        let change = self.change();
        self.set(folder, name, None, change)?;
        self.inode_mut(ino)?.links -= 1;
        self.unlinked += 1;
        if self.unlinked > UNLINKED_MAX {
            self.sweep();
        }
        Ok(())
    }

    /// Moves a name, over another one if that is allowed; for a power cut it is one change.
    ///
    /// # Errors
    /// When there is no such name, or the new one is taken.
    pub fn rename(
        &mut self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        may_replace: bool,
    ) -> Result<(), Refused> {
        let ino = self.lookup(from.0, from.1)?;
        if let Ok(there) = self.lookup(to.0, to.1) {
            if !may_replace {
                return Err(EEXIST);
            }
            if there == ino {
                return Ok(());
            }
            self.unlink(to.0, to.1, matches!(self.inode(there)?.body, Body::Folder(_)))?;
        }
        let change = self.change();
        self.set(to.0, to.1, Some(ino), change)?;
        self.set(from.0, from.1, None, change)
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// When there is no room.
    pub fn write(&mut self, ino: Ino, offset: u64, data: &[u8]) -> Result<(), Refused> {
        self.need(self.file(ino)?.missing_blocks(offset, offset + data.len() as u64))?;
        self.file_mut(ino)?.write(offset, data);
        Ok(())
    }

    /// Sets the length.
    ///
    /// # Errors
    /// When it is no file.
    pub fn resize(&mut self, ino: Ino, size: u64) -> Result<(), Refused> {
        self.file_mut(ino)?.resize(size);
        Ok(())
    }

    /// Reserves room for a range.
    ///
    /// # Errors
    /// When there is none.
    pub fn reserve(&mut self, ino: Ino, from: u64, to: u64, keeps_size: bool) -> Result<(), Refused> {
        self.need(self.file(ino)?.missing_blocks(from, to))?;
        let file = self.file_mut(ino)?;
        file.reserve(from, to);
        if !keeps_size {
            file.size = file.size.max(to);
        }
        Ok(())
    }

    /// Punches a hole.
    ///
    /// # Errors
    /// When it is no file.
    pub fn punch(&mut self, ino: Ino, from: u64, to: u64) -> Result<(), Refused> {
        let file = self.file_mut(ino)?;
        file.clear(from, to);
        Ok(())
    }

    /// Makes the contents of a file, or the names of a folder, durable.
    ///
    /// # Errors
    /// When there is no such inode.
    pub fn flush(&mut self, ino: Ino) -> Result<(), Refused> {
        match &mut self.inode_mut(ino)?.body {
            Body::File(file) => file.flush(),
            Body::Folder(folder) => folder.unflushed.clear(),
        }
        Ok(())
    }

    /// A flush that fails: what it should have written will not be written by a later one either.
    pub fn fail_to_flush(&mut self, ino: Ino) {
        if let Some(Inode { body: Body::File(file), .. }) = self.inodes.get_mut(&ino) {
            file.fail_to_flush();
        }
    }

    /// The power goes: what was not flushed is gone, and nobody has anything open.
    pub fn lose_power(&mut self, survival: Survival) {
        let mut luck = match survival {
            Survival::FlushedOnly => None,
            Survival::Torn(seed) => Some(<rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed)),
        };
        let changes_kept = luck.as_mut().map_or(0, |luck| luck.random_range(0..=self.changes));
        let mut inos: Vec<Ino> = self.inodes.keys().copied().collect();
        // In an order of its own a map would spoil the seed.
        inos.sort_unstable();
        for ino in inos {
            match self.inodes.get_mut(&ino).map(|inode| &mut inode.body) {
                Some(Body::File(file)) => file.lose(&mut luck),
                Some(Body::Folder(folder)) => folder.lose(changes_kept),
                None => {}
            }
        }
        self.count_links();
    }

    /// Counts names from the root, and drops what none leads to.
    fn count_links(&mut self) {
        let mut links: HashMap<Ino, u32> = HashMap::from([(ROOT, 1)]);
        let mut names: HashMap<Ino, (Ino, OsString)> = HashMap::new();
        let mut ways = vec![ROOT];
        while let Some(at) = ways.pop() {
            for (name, ino) in self.names(at).unwrap_or_default() {
                let count = links.entry(ino).or_default();
                *count += 1;
                if *count == 1 && self.folder(ino).is_ok() {
                    ways.push(ino);
                }
                names.insert(ino, (at, name));
            }
        }
        self.inodes.retain(|ino, _| links.contains_key(ino));
        for (ino, inode) in &mut self.inodes {
            inode.links = links[ino];
            inode.lookups = 0;
            if let Some(name) = names.remove(ino) {
                inode.name = name;
            }
        }
    }

    /// Frees inodes that no name leads to, now or after a power cut, and that the kernel has forgotten.
    fn sweep(&mut self) {
        self.unlinked = 0;
        let folders = self.inodes.values().filter_map(|inode| match &inode.body {
            Body::Folder(folder) => Some(folder),
            Body::File(_) => None,
        });
        let mentioned: BTreeSet<Ino> = folders.flat_map(Folder::mentions).chain([ROOT]).collect();
        self.inodes.retain(|ino, inode| inode.lookups > 0 || mentioned.contains(ino));
    }

    fn change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// Blocks that are taken by what has a name or is open.
    #[must_use]
    pub fn blocks_taken(&self) -> u64 {
        let taken = self.inodes.values().filter(|inode| inode.links > 0 || inode.lookups > 0).map(|inode| {
            1 + match &inode.body {
                Body::File(file) => file.blocks.len() as u64,
                Body::Folder(_) => 0,
            }
        });
        taken.sum()
    }

    /// Blocks that are free; `None` when there is no end of them.
    #[must_use]
    pub fn blocks_free(&self) -> Option<u64> {
        self.room.map(|room| room.saturating_sub(self.blocks_taken()))
    }

    /// How large the disk is, in blocks.
    pub fn set_room(&mut self, blocks: Option<u64>) {
        self.room = blocks;
    }

    fn need(&self, blocks: u64) -> Result<(), Refused> {
        match self.blocks_free() {
            Some(free) if blocks > 0 && free < blocks => Err(ENOSPC),
            Some(_) | None => Ok(()),
        }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "a disk stamps its files with the machine's time")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn file(model: &mut Model, text: &str) -> Ino {
        model.make(ROOT, name(text), false, 0o600).unwrap()
    }

    fn contents(model: &Model, text: &str) -> Option<Vec<u8>> {
        let ino = model.lookup(ROOT, name(text)).ok()?;
        Some(model.file(ino).unwrap().read(0, 1 << 20))
    }

    #[test]
    fn a_name_needs_a_flush_of_its_folder_and_contents_one_of_the_file() {
        for (file_flushed, folder_flushed, expected) in [
            (false, false, None),
            (true, false, None),
            (false, true, Some(vec![])),
            (true, true, Some(b"abc".to_vec())),
        ] {
            let mut model = Model::new();
            let ino = file(&mut model, "a");
            model.write(ino, 0, b"abc").unwrap();
            if file_flushed {
                model.flush(ino).unwrap();
            }
            if folder_flushed {
                model.flush(ROOT).unwrap();
            }
            model.lose_power(Survival::FlushedOnly);
            assert_eq!(contents(&model, "a"), expected, "{file_flushed} {folder_flushed}");
        }
    }

    #[test]
    fn what_was_overwritten_truncated_or_punched_comes_back_until_it_is_flushed() {
        for is_flushed in [false, true] {
            let mut model = Model::new();
            let before: Vec<u8> = (0..3 * BLOCK_BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let inos: Vec<Ino> = ["w", "t", "p"].iter().map(|text| file(&mut model, text)).collect();
            for ino in &inos {
                model.write(*ino, 0, &before).unwrap();
                model.flush(*ino).unwrap();
            }
            model.flush(ROOT).unwrap();
            model.write(inos[0], 4095, b"xy").unwrap();
            model.resize(inos[1], 5000).unwrap();
            model.resize(inos[1], 9000).unwrap();
            model.punch(inos[2], 100, 9000).unwrap();
            let after: Vec<_> = ["w", "t", "p"].iter().map(|text| contents(&model, text).unwrap()).collect();
            assert_eq!(&after[0][4094..4098], &[before[4094], b'x', b'y', before[4097]]);
            assert!(after[1].len() == 9000 && after[1][5000..].iter().all(|byte| *byte == 0));
            assert!(after[2][100..9000].iter().all(|byte| *byte == 0) && after[2][9000..] == before[9000..]);
            if is_flushed {
                inos.iter().for_each(|ino| model.flush(*ino).unwrap());
            }
            model.lose_power(Survival::FlushedOnly);
            for (text, after) in ["w", "t", "p"].iter().zip(after) {
                let found = contents(&model, text).unwrap();
                assert!(found == if is_flushed { after } else { before.clone() }, "{text} {is_flushed}");
            }
        }
    }

    #[test]
    fn a_second_flush_does_not_write_what_the_first_one_lost() {
        let mut model = Model::new();
        let ino = file(&mut model, "a");
        model.flush(ROOT).unwrap();
        model.write(ino, 0, b"lost").unwrap();
        model.fail_to_flush(ino);
        model.flush(ino).unwrap();
        model.lose_power(Survival::FlushedOnly);
        assert_eq!(contents(&model, "a").unwrap(), [0; 4], "the length is there, the bytes are not");
        model.write(ino, 0, b"kept").unwrap();
        model.flush(ino).unwrap();
        model.lose_power(Survival::FlushedOnly);
        assert_eq!(contents(&model, "a").unwrap(), b"kept");
    }

    #[test]
    fn torn_writes_keep_some_blocks_and_one_seed_is_one_outcome() {
        let outcome = |seed| {
            let mut model = Model::new();
            let ino = file(&mut model, "a");
            model.write(ino, 0, &[0; 64 * BLOCK_BYTES]).unwrap();
            model.flush(ino).unwrap();
            model.flush(ROOT).unwrap();
            model.write(ino, 0, &[1; 64 * BLOCK_BYTES]).unwrap();
            model.lose_power(Survival::Torn(seed));
            contents(&model, "a").unwrap()
        };
        let found = outcome(7);
        assert_eq!(found, outcome(7));
        let written = found.chunks(BLOCK_BYTES).filter(|block| block[0] == 1).count();
        assert!((1..64).contains(&written), "{written}");
        assert!(found.chunks(BLOCK_BYTES).all(|block| block.iter().all(|byte| *byte == block[0])));
        assert_ne!(outcome(8), found);
    }

    #[test]
    fn a_rename_is_one_change_and_replaces() {
        for seed in 0..32 {
            let mut model = Model::new();
            let (a, b) = (file(&mut model, "a"), file(&mut model, "b"));
            for (ino, text) in [(a, "a"), (b, "b")] {
                model.write(ino, 0, text.as_bytes()).unwrap();
                model.flush(ino).unwrap();
            }
            model.flush(ROOT).unwrap();
            assert_eq!(model.rename((ROOT, name("a")), (ROOT, name("b")), false), Err(EEXIST));
            model.rename((ROOT, name("a")), (ROOT, name("b")), true).unwrap();
            model.lose_power(Survival::Torn(seed));
            let found = (contents(&model, "a"), contents(&model, "b"));
            let (before, replaced, after) = (
                (Some(b"a".to_vec()), Some(b"b".to_vec())),
                (Some(b"a".to_vec()), None),
                (None, Some(b"a".to_vec())),
            );
            assert!([before, replaced, after].contains(&found), "{found:?}");
        }
    }

    #[test]
    fn a_full_disk_takes_nothing_new_but_lets_old_blocks_be_written() {
        let mut model = Model::new();
        let ino = file(&mut model, "a");
        model.write(ino, 0, &[1; BLOCK_BYTES]).unwrap();
        model.set_room(Some(model.blocks_taken()));
        assert_eq!(model.write(ino, BLOCK_BYTES as u64, b"x"), Err(ENOSPC));
        assert_eq!(model.make(ROOT, name("b"), false, 0o600), Err(ENOSPC));
        model.write(ino, 5, b"fits").unwrap();
        model.punch(ino, 0, BLOCK_BYTES as u64).unwrap();
        model.write(ino, 0, b"again").unwrap();
    }

    #[test]
    fn what_nothing_leads_to_is_freed() {
        let mut model = Model::new();
        for round in 0..2 * UNLINKED_MAX {
            file(&mut model, &round.to_string());
            model.unlink(ROOT, name(&round.to_string()), false).unwrap();
            model.flush(ROOT).unwrap();
        }
        assert!(model.inodes.len() <= UNLINKED_MAX as usize + 2, "{}", model.inodes.len());
    }
}
