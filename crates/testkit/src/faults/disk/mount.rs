//! Answers the kernel from the model. Translates; decides nothing.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::{
    Shared,
    model::{BLOCK_BYTES, Body, EEXIST, EINVAL, Ino, Model, Refused},
    rules::Call,
};

/// Nothing changes behind the kernel's back, so it may remember for as long as it likes.
const FRESH: Duration = Duration::from_secs(3600);

/// Longest name, in bytes.
const NAME_BYTES_MAX: u32 = 255;

/// Blocks of a disk without end.
const ENDLESS_BLOCKS: u64 = 1 << 28;

/// `FALLOC_FL_KEEP_SIZE`, `FALLOC_FL_PUNCH_HOLE` and `FALLOC_FL_ZERO_RANGE` of `linux/falloc.h`.
const KEEP_SIZE: i32 = 1;
const PUNCH_HOLE: i32 = 2;
const ZERO_RANGE: i32 = 16;

/// The file system that the kernel talks to.
pub(super) struct System {
    shared: Arc<Shared>,
    /// Names as they were when a folder was opened, so that removing while reading skips nothing.
    listings: Mutex<HashMap<u64, Vec<Listed>>>,
    next_handle: AtomicU64,
}

/// A name in a folder, and what it stands for.
type Listed = (OsString, Ino, FileType);

impl System {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, listings: Mutex::default(), next_handle: AtomicU64::new(1) }
    }
}

fn errno(refused: Refused) -> Errno {
    Errno::from_i32(refused.0)
}

fn attributes(model: &Model, ino: Ino) -> Result<FileAttr, Refused> {
    let inode = model.inode(ino)?;
    let (kind, size) = match &inode.body {
        Body::File(file) => (FileType::RegularFile, file.size),
        Body::Folder(_) => (FileType::Directory, BLOCK_BYTES as u64),
    };
    Ok(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: inode.modified,
        mtime: inode.modified,
        ctime: inode.modified,
        crtime: inode.modified,
        kind,
        perm: inode.mode,
        nlink: inode.links,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

/// The attributes of what the kernel now knows once more.
fn told(model: &mut Model, ino: Ino) -> Result<FileAttr, Refused> {
    model.inode_mut(ino)?.lookups += 1;
    attributes(model, ino)
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or(0o600)
}

fn end(offset: u64, length: u64) -> u64 {
    offset.saturating_add(length)
}

fn answer_entry(outcome: Result<FileAttr, Refused>, reply: ReplyEntry) {
    match outcome {
        Ok(attributes) => reply.entry(&FRESH, &attributes, Generation(0)),
        Err(refused) => reply.error(errno(refused)),
    }
}

fn answer_attributes(outcome: Result<FileAttr, Refused>, reply: ReplyAttr) {
    match outcome {
        Ok(attributes) => reply.attr(&FRESH, &attributes),
        Err(refused) => reply.error(errno(refused)),
    }
}

fn answer_empty(outcome: Result<(), Refused>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(refused) => reply.error(errno(refused)),
    }
}

impl Filesystem for System {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.shared.look(|model| {
            let ino = model.lookup(parent.0, name)?;
            told(model, ino)
        });
        answer_entry(found, reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        let forgotten = self.shared.look(|model| {
            let inode = model.inode_mut(ino.0)?;
            inode.lookups = inode.lookups.saturating_sub(lookups);
            Ok(())
        });
        // Without power, nothing is counted; the next mount begins from nothing.
        let _ = forgotten;
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer_attributes(self.shared.look(|model| attributes(model, ino.0)), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = match size {
            Some(size) => self.shared.call(
                Call::Resize,
                |model| model.path(ino.0),
                ino.0,
                |model| model.resize(ino.0, size),
            ),
            None => Ok(()),
        };
        let changed = resized.and_then(|()| {
            self.shared.look(|model| {
                let inode = model.inode_mut(ino.0)?;
                if let Some(mode) = mode {
                    inode.mode = permissions(mode);
                }
                if let Some(TimeOrNow::SpecificTime(time)) = mtime {
                    inode.modified = time;
                }
                attributes(model, ino.0)
            })
        });
        answer_attributes(changed, reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let made = self.shared.call(
            Call::MakeFolder,
            |model| model.path_in(parent.0, name),
            parent.0,
            |model| {
                let ino = model.make(parent.0, name, true, permissions(mode & !umask))?;
                told(model, ino)
            },
        );
        answer_entry(made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let path = |model: &Model| model.path_in(parent.0, name);
        let act = |model: &mut Model| model.unlink(parent.0, name, false);
        answer_empty(self.shared.call(Call::Unlink, path, parent.0, act), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let path = |model: &Model| model.path_in(parent.0, name);
        let act = |model: &mut Model| model.unlink(parent.0, name, true);
        answer_empty(self.shared.call(Call::Unlink, path, parent.0, act), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.intersects(RenameFlags::RENAME_EXCHANGE | RenameFlags::RENAME_WHITEOUT) {
            return reply.error(errno(EINVAL));
        }
        let may_replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        let path = |model: &Model| {
            format!("{} -> {}", model.path_in(parent.0, name), model.path_in(newparent.0, newname))
        };
        let act = |model: &mut Model| model.rename((parent.0, name), (newparent.0, newname), may_replace);
        answer_empty(self.shared.call(Call::Rename, path, parent.0, act), reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let path =
            |model: &Model| format!("{} -> {}", model.path(ino.0), model.path_in(newparent.0, newname));
        let act = |model: &mut Model| {
            model.link(ino.0, newparent.0, newname)?;
            told(model, ino.0)
        };
        answer_entry(self.shared.call(Call::Link, path, ino.0, act), reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.shared.call(
            Call::Create,
            |model| model.path_in(parent.0, name),
            parent.0,
            |model| {
                let ino = match model.make(parent.0, name, false, permissions(mode & !umask)) {
                    Err(EEXIST) if flags & O_EXCL == 0 => model.lookup(parent.0, name)?,
                    made => made?,
                };
                told(model, ino)
            },
        );
        match made {
            Ok(attributes) => {
                let flags = FopenFlags::FOPEN_KEEP_CACHE;
                reply.created(&FRESH, &attributes, Generation(0), FileHandle(0), flags);
            }
            Err(refused) => reply.error(errno(refused)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.shared.look(|model| Ok(model.file(ino.0)?.read(offset, size as usize))) {
            Ok(bytes) => reply.data(&bytes),
            Err(refused) => reply.error(errno(refused)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let act = |model: &mut Model| model.write(ino.0, offset, data);
        match self.shared.call(Call::Write, |model| model.path(ino.0), ino.0, act) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(refused) => reply.error(errno(refused)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let act = |model: &mut Model| model.flush(ino.0);
        answer_empty(self.shared.call(Call::Flush, |model| model.path(ino.0), ino.0, act), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let act = |model: &mut Model| model.flush(ino.0);
        answer_empty(self.shared.call(Call::FlushFolder, |model| model.path(ino.0), ino.0, act), reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let names = self.shared.look(|model| {
            let names = model.names(ino.0)?.into_iter().map(|(name, ino)| {
                let kind = attributes(model, ino)?.kind;
                Ok((name, ino, kind))
            });
            names.collect::<Result<Vec<_>, Refused>>()
        });
        match names {
            Ok(names) => {
                let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
                self.listings.lock().unwrap_or_else(PoisonError::into_inner).insert(handle, names);
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(refused) => reply.error(errno(refused)),
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let own =
            [(OsString::from("."), ino.0, FileType::Directory), ("..".into(), ino.0, FileType::Directory)];
        let names = listings.get(&handle.0).map(Vec::as_slice).unwrap_or_default();
        let all = own.iter().chain(names).zip(1_u64..);
        for ((name, ino, kind), next) in all.skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(INodeNo(*ino), next, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (taken, free) = {
            let state = self.shared.lock();
            (state.model.blocks_taken(), state.model.blocks_free().unwrap_or(ENDLESS_BLOCKS))
        };
        reply.statfs(taken + free, free, free, ENDLESS_BLOCKS, ENDLESS_BLOCKS, 4096, NAME_BYTES_MAX, 4096);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let (from, to) = (offset, end(offset, length));
        let act = |model: &mut Model| match mode {
            0 | KEEP_SIZE => model.reserve(ino.0, from, to, mode == KEEP_SIZE),
            mode if mode == PUNCH_HOLE | KEEP_SIZE => model.punch(ino.0, from, to),
            mode if mode & !KEEP_SIZE == ZERO_RANGE => {
                model.punch(ino.0, from, to)?;
                model.reserve(ino.0, from, to, mode & KEEP_SIZE != 0)
            }
            _ => Err(EINVAL),
        };
        answer_empty(self.shared.call(Call::Allocate, |model| model.path(ino.0), ino.0, act), reply);
    }
}

/// `O_EXCL` of `fcntl.h` on Linux.
const O_EXCL: i32 = 0o200;
