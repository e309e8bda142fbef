//! Folders that survive a power cut: made, flushed, remembered; one flush serves all who wait for the same folder.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Folders remembered as durable; when there are more, all are forgotten, which costs a flush each to learn again.
const DURABLE_MAX: usize = 16_384;

/// The folders below a root.
#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    /// Folders that are durable themselves and whose folders above are.
    durable: Mutex<HashSet<PathBuf>>,
    /// Flushes that somebody waits for.
    flushes: Mutex<HashMap<PathBuf, Arc<Flush>>>,
    /// A flush of a folder failed. The next one may succeed without having written what the first one lost, so
    /// nothing is promised any more until the store is opened again.
    failed: AtomicBool,
}

impl Directories {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, durable: Mutex::default(), flushes: Mutex::default(), failed: AtomicBool::new(false) }
    }

    /// Whether flushes can still be relied upon.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other(
                "a folder could not be flushed earlier: look at the disk, then start again",
            ));
        }
        Ok(())
    }

    /// Makes a folder and those above it, without flushing.
    pub(super) fn make(&self, folder: &Path) -> io::Result<()> {
        match fs::create_dir(folder) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder.starts_with(&self.root) => {
                self.forget(folder);
                fs::create_dir_all(folder)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the entry of a folder in the one above durable, and so on up to the root. The folder itself is not remembered: it
    /// holds one instance and comes only once; those above it come again with the next one.
    pub(super) fn make_durable(&self, folder: &Path) -> io::Result<()> {
        let Some(above) = folder.parent().filter(|_| folder != self.root) else { return Ok(()) };
        self.remember(above)?;
        self.sync(above)
    }

    fn remember(&self, folder: &Path) -> io::Result<()> {
        if folder == self.root || lock(&self.durable).contains(folder) {
            return Ok(());
        }
        self.make_durable(folder)?;
        let mut durable = lock(&self.durable);
        if durable.len() >= DURABLE_MAX {
            durable.clear();
        }
        durable.insert(folder.to_owned());
        Ok(())
    }

    /// A remembered folder was not there: somebody removed it or one above it.
    fn forget(&self, folder: &Path) {
        let mut durable = lock(&self.durable);
        for folder in folder.ancestors().take_while(|folder| *folder != self.root) {
            durable.remove(folder);
        }
    }

    /// Flushes the entries of a folder. Whoever asks while a flush runs shares the next one; nobody is delayed to wait
    /// for company.
    pub(super) fn sync(&self, folder: &Path) -> io::Result<()> {
        // One that is not there any more was removed with its last object: no flush failed.
        let opened = File::open(folder)?;
        let flush = Arc::clone(lock(&self.flushes).entry(folder.to_owned()).or_default());
        let outcome = self.check().and_then(|()| flush.join(|| opened.sync_all()));
        if outcome.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        let mut flushes = lock(&self.flushes);
        // This one and the map's: nobody else waits.
        if Arc::strong_count(&flush) <= 2 {
            flushes.remove(folder);
        }
        outcome
    }
}

/// Flushes of one folder or file, numbered from 1.
#[derive(Debug, Default)]
pub(super) struct Flush {
    state: Mutex<FlushState>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct FlushState {
    running: bool,
    started: u64,
    ended: u64,
    /// The first one that failed; all later ones count as failed too.
    failed: Option<u64>,
}

impl Flush {
    /// Returns when a flush that began after this call has ended.
    pub(super) fn join(&self, flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = lock(&self.state);
        let mine = state.started + 1;
        while state.running && state.ended < mine {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended >= mine {
            return match state.failed {
                Some(failed) if failed <= mine => Err(io::Error::other("the shared flush failed")),
                Some(_) | None => Ok(()),
            };
        }
        state.running = true;
        state.started = mine;
        drop(state);
        let outcome = flush();
        let mut state = lock(&self.state);
        state.running = false;
        state.ended = mine;
        if outcome.is_err() {
            state.failed.get_or_insert(mine);
        }
        self.ended.notify_all();
        outcome
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::AtomicU32,
        mpsc::{self, Receiver, Sender},
    };

    use super::*;

    /// Joins from threads of their own while a first flush is held; gives how many flushes ran and how many joins succeeded.
    fn joins_while_held(threads: usize, fails: bool) -> (u32, usize) {
        let flush = Arc::new(Flush::default());
        let flushes = Arc::new(AtomicU32::new(0));
        let (release, held): (Sender<()>, Receiver<()>) = mpsc::channel();
        let (started, running) = mpsc::channel();
        let first = std::thread::spawn({
            let (flush, flushes) = (Arc::clone(&flush), Arc::clone(&flushes));
            move || {
                flush.join(|| {
                    flushes.fetch_add(1, Ordering::SeqCst);
                    started.send(()).unwrap();
                    held.recv().unwrap();
                    Ok(())
                })
            }
        });
        running.recv().unwrap();
        let barrier = Arc::new(Barrier::new(threads + 1));
        let joiners: Vec<_> = (0..threads)
            .map(|_| {
                let (flush, flushes, barrier) =
                    (Arc::clone(&flush), Arc::clone(&flushes), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    flush.join(|| {
                        flushes.fetch_add(1, Ordering::SeqCst);
                        if fails { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
                    })
                })
            })
            .collect();
        barrier.wait();
        release.send(()).unwrap();
        first.join().unwrap().unwrap();
        let good = joiners.into_iter().filter_map(|joiner| joiner.join().unwrap().ok()).count();
        (flushes.load(Ordering::SeqCst), good)
    }

    #[test]
    fn everybody_gets_a_flush_that_began_after_the_question() {
        let (flushes, good) = joins_while_held(8, false);
        assert_eq!(good, 8);
        assert!((2..=9).contains(&flushes), "{flushes}");
    }

    #[test]
    fn a_failed_flush_fails_all_who_shared_it() {
        let (_, good) = joins_while_held(8, true);
        assert_eq!(good, 0);
    }

    #[test]
    fn one_after_another_flushes_each_time() {
        let flush = Flush::default();
        let flushes = AtomicU32::new(0);
        for _ in 0..3 {
            flush
                .join(|| {
                    flushes.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(flushes.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn after_a_failed_flush_nothing_is_promised() {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::new(root.path().to_owned());
        directories.sync(root.path()).unwrap();
        assert!(directories.sync(&root.path().join("gone")).is_err());
        directories.check().expect("a folder that is gone is no failed flush");
        assert!(directories.sync(Path::new("/proc")).is_err(), "it cannot be flushed");
        assert!(directories.check().is_err());
        assert!(directories.sync(root.path()).is_err());
        assert!(lock(&directories.flushes).is_empty());
    }

    #[test]
    fn folders_above_are_remembered_and_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::new(root.path().to_owned());
        let leaf = root.path().join("a/b/c");
        directories.make(&leaf).unwrap();
        directories.make_durable(&leaf).unwrap();
        let remembered: HashSet<PathBuf> = [root.path().join("a"), root.path().join("a/b")].into();
        assert_eq!(*lock(&directories.durable), remembered);
        fs::remove_dir_all(root.path().join("a")).unwrap();
        directories.make(&leaf).unwrap();
        assert!(leaf.is_dir() && lock(&directories.durable).is_empty());
    }
}
