//! A disk that loses what was not flushed when the power goes, and fails when it is told to.
//!
//! It is a FUSE file system in this process; everything is kept in memory ([`model`]). The kernel's page cache stands before it as before
//! any disk: writes reach it at once, shared memory maps (SQLite's index of its log) when they are flushed, direct writes as they are.
//! Locks are the kernel's. Extended attributes, symbolic links and `O_TMPFILE` are refused, as some file systems do.

pub mod model;
mod mount;
pub mod rules;

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::{
    model::{BLOCK_BYTES, EIO, Ino, Model, Refused},
    rules::{Call, Fault, Moment, Rule},
};

pub use self::model::Survival;

/// Threads that serve the kernel: one slow flush must not hold up the others.
const THREADS: usize = 4;

/// Name of the file system in `/proc/mounts`.
const NAME: &str = "telerad-faults";

/// How long the kernel may take to let go of a mount, before it is detached with what still holds it.
const UNMOUNT_TIME_MAX: Duration = Duration::from_secs(5);

/// Calls that the log keeps; later ones are only counted.
const LOG_MAX: usize = 200_000;

/// One call that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// What.
    pub call: Call,
    /// Where, below the root.
    pub path: String,
    /// Whether it succeeded.
    pub is_ok: bool,
}

/// A mounted disk. Dropping it unmounts.
pub struct Disk {
    folder: PathBuf,
    shared: Arc<Shared>,
    session: Option<fuser::BackgroundSession>,
}

/// What the file system's threads and the test share.
struct Shared {
    state: Mutex<State>,
    struck: Condvar,
}

struct State {
    model: Model,
    rules: Vec<Rule>,
    strikes: u32,
    log: Vec<Logged>,
    is_off: bool,
    victim: Option<u32>,
}

/// What a call may go on with.
enum Verdict {
    Go,
    GoThen(Fault),
    Stop(Refused),
}

impl Disk {
    /// Mounts an empty disk on a folder; `None`, said loudly on standard error, where FUSE is not to be had.
    ///
    /// # Panics
    /// When `/dev/fuse` is there and mounting fails all the same.
    #[must_use]
    pub fn mount(folder: &Path) -> Option<Self> {
        if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/fuse") {
            #[expect(clippy::print_stderr, reason = "what is skipped is said where people look")]
            {
                eprintln!("SKIPPED: no FUSE on this machine (/dev/fuse: {error}); power cuts are not tested");
            }
            return None;
        }
        unmount_orphans();
        std::fs::create_dir_all(folder).expect("a folder to mount on");
        let state = State {
            model: Model::new(),
            rules: Vec::new(),
            strikes: 0,
            log: Vec::new(),
            is_off: false,
            victim: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), struck: Condvar::new() });
        let mut disk = Self { folder: folder.to_owned(), shared, session: None };
        disk.attach();
        Some(disk)
    }

    fn attach(&mut self) {
        let mut config = fuser::Config::default();
        config.mount_options = vec![fuser::MountOption::FSName(NAME.to_owned())];
        config.n_threads = Some(THREADS);
        let system = mount::System::new(Arc::clone(&self.shared));
        self.session = Some(fuser::spawn_mount(system, &self.folder, &config).expect("FUSE mounts"));
    }

    fn detach(&mut self) {
        let Some(session) = self.session.take() else { return };
        let begin = Instant::now();
        let umount = |options: &[&str]| {
            let mut command = Command::new("umount");
            command.args(options).arg(&self.folder).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        while !umount(&[]) {
            if begin.elapsed() > UNMOUNT_TIME_MAX {
                umount(&["-l"]);
                // Whoever still holds it keeps the session's threads; they end with the process.
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // The session ended with the mount; how is of no interest any more.
        let _ = session.join();
    }

    /// Where it is mounted.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who dies when a rule kills.
    pub fn set_victim(&self, process: u32) {
        self.shared.lock().victim = Some(process);
    }

    /// Adds a rule. The first one that strikes decides.
    pub fn add(&self, rule: Rule) {
        self.shared.lock().rules.push(rule);
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.shared.lock().rules.clear();
    }

    /// How often a rule has struck; one that only arms another does not count.
    #[must_use]
    pub fn strikes(&self) -> u32 {
        self.shared.lock().strikes
    }

    /// Waits until rules have struck so often; whether they did.
    #[must_use]
    pub fn wait_for_strikes(&self, strikes: u32, patience: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.struck.wait_timeout_while(state, patience, |state| state.strikes < strikes);
        waited.unwrap_or_else(PoisonError::into_inner).0.strikes >= strikes
    }

    /// The power goes, at this very moment: from now on every call fails and changes nothing.
    pub fn power_off(&self) {
        self.shared.lock().is_off = true;
    }

    /// Whether the power is off, by [`Self::power_off`] or a rule.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.shared.lock().is_off
    }

    /// Starts again from what was durable when the power went. Whoever had files open must be gone. Rules are forgotten.
    pub fn power_on(&mut self, survival: Survival) {
        self.power_off();
        self.detach();
        {
            let mut state = self.shared.lock();
            state.model.lose_power(survival);
            state.rules.clear();
            state.is_off = false;
        }
        self.attach();
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn bytes_taken(&self) -> u64 {
        self.shared.lock().model.blocks_taken() * BLOCK_BYTES as u64
    }

    /// Sets how large the disk is; `None` for without end.
    pub fn set_size(&self, bytes: Option<u64>) {
        self.shared.lock().model.set_room(bytes.map(|bytes| bytes / BLOCK_BYTES as u64));
    }

    /// The calls so far, at most [`LOG_MAX`], and forgets them.
    #[must_use]
    pub fn take_log(&self) -> Vec<Logged> {
        std::mem::take(&mut self.shared.lock().log)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.power_off();
        self.detach();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks, without changing anything that a power cut could take back.
    fn look<T>(&self, look: impl FnOnce(&mut Model) -> Result<T, Refused>) -> Result<T, Refused> {
        let mut state = self.lock();
        if state.is_off { Err(EIO) } else { look(&mut state.model) }
    }

    /// Makes a call, unless a rule has it otherwise. `ino` is whose flush a failing flush fails.
    fn call<T>(
        &self,
        call: Call,
        path: impl FnOnce(&Model) -> String,
        ino: Ino,
        act: impl FnOnce(&mut Model) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let path = path(&self.lock().model);
        let then = match self.judge(call, &path, ino) {
            Verdict::Go => None,
            Verdict::GoThen(fault) => Some(fault),
            Verdict::Stop(refused) => {
                self.log(call, path, false);
                return Err(refused);
            }
        };
        let outcome = {
            let mut state = self.lock();
            if state.is_off { Err(EIO) } else { act(&mut state.model) }
        };
        self.log(call, path, outcome.is_ok());
        match then {
            Some(fault) => {
                self.strike(&fault);
                Err(EIO)
            }
            None => outcome,
        }
    }

    fn log(&self, call: Call, path: String, is_ok: bool) {
        let mut state = self.lock();
        if state.log.len() < LOG_MAX {
            state.log.push(Logged { call, path, is_ok });
        }
    }

    fn judge(&self, call: Call, path: &str, ino: Ino) -> Verdict {
        let fault = {
            let mut state = self.lock();
            if state.is_off {
                return Verdict::Stop(EIO);
            }
            let Some(rule) =
                state.rules.iter_mut().find_map(|rule| rule.strikes(call, path).then(|| rule.fault.clone()))
            else {
                return Verdict::Go;
            };
            if let Fault::Arm(rule) = rule {
                state.rules.push(*rule);
                return Verdict::Go;
            }
            if let Fault::Fail(_) = rule
                && call == Call::Flush
            {
                state.model.fail_to_flush(ino);
            }
            rule
        };
        match fault {
            Fault::Kill(Moment::After) | Fault::PowerCut(Moment::After) => Verdict::GoThen(fault),
            Fault::Fail(number) => {
                self.strike(&fault);
                Verdict::Stop(Refused(number))
            }
            Fault::Slow(_) => {
                self.strike(&fault);
                Verdict::Go
            }
            Fault::Kill(Moment::Before) | Fault::PowerCut(Moment::Before) => {
                self.strike(&fault);
                Verdict::Stop(EIO)
            }
            Fault::Arm(_) => Verdict::Go,
        }
    }

    /// What the fault does beside the call.
    fn strike(&self, fault: &Fault) {
        let victim = {
            let mut state = self.lock();
            if matches!(fault, Fault::PowerCut(_)) {
                state.is_off = true;
            }
            state.victim
        };
        match fault {
            Fault::Slow(time) => std::thread::sleep(*time),
            Fault::Kill(_) | Fault::PowerCut(_) => {
                if let Some(victim) = victim {
                    kill(victim);
                }
            }
            Fault::Fail(_) | Fault::Arm(_) => {}
        }
        self.lock().strikes += 1;
        self.struck.notify_all();
    }
}

/// Unmounts disks whose tests were killed: nobody answers for them any more.
fn unmount_orphans() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let ours = mounts.lines().filter_map(|line| line.strip_prefix(NAME)?.split_whitespace().next());
    for folder in ours {
        let is_orphan =
            std::fs::metadata(folder).is_err_and(|error| error.kind() == io::ErrorKind::NotConnected);
        if is_orphan {
            // Another test may have been faster.
            let _ = Command::new("umount").args(["-l", folder]).stderr(Stdio::null()).status();
        }
    }
}

/// kill -9, and nothing more of the victim runs when this returns.
fn kill(process: u32) {
    // When it is gone already there is nothing to do.
    let _ = Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::from_raw_os_error(refused.0)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::Write as _,
        os::unix::fs::FileExt as _,
    };

    use super::*;

    fn disk() -> Option<(tempfile::TempDir, Disk)> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::mount(&folder.path().join("disk"))?;
        Some((folder, disk))
    }

    #[test]
    fn programs_see_an_ordinary_disk() {
        let Some((_folder, disk)) = disk() else { return };
        let root = disk.folder();
        fs::create_dir_all(root.join("a/b")).unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        fs::write(root.join("a/b/one"), &bytes).unwrap();
        assert!(fs::read(root.join("a/b/one")).unwrap() == bytes);
        fs::hard_link(root.join("a/b/one"), root.join("two")).unwrap();
        fs::rename(root.join("a/b/one"), root.join("a/three")).unwrap();
        fs::remove_file(root.join("two")).unwrap();
        assert!(fs::remove_dir(root.join("a")).is_err());
        fs::remove_dir(root.join("a/b")).unwrap();
        let names: Vec<_> =
            fs::read_dir(root.join("a")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["three"]);
        let file = File::options().read(true).write(true).open(root.join("a/three")).unwrap();
        file.set_len(10).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10);
        let mut appending = File::options().append(true).open(root.join("a/three")).unwrap();
        appending.write_all(b"end").unwrap();
        assert_eq!(fs::read(root.join("a/three")).unwrap()[10..], *b"end");
        let unlinked = File::create(root.join("gone")).unwrap();
        fs::remove_file(root.join("gone")).unwrap();
        unlinked.write_all_at(b"still there", 0).unwrap();
        fs::remove_dir_all(root.join("a")).unwrap();
        assert_eq!(fs::read_dir(root).unwrap().count(), 0);
    }

    #[test]
    fn a_power_cut_leaves_what_was_flushed() {
        let Some((_folder, mut disk)) = disk() else { return };
        let root = disk.folder().to_owned();
        let sync_folder = || File::open(&root).unwrap().sync_all().unwrap();
        let mut kept = File::create(root.join("kept")).unwrap();
        kept.write_all(b"kept").unwrap();
        kept.sync_data().unwrap();
        sync_folder();
        kept.write_all(b" not").unwrap();
        let mut nameless = File::create(root.join("nameless")).unwrap();
        nameless.write_all(b"x").unwrap();
        nameless.sync_all().unwrap();
        drop((kept, nameless));
        disk.power_on(Survival::FlushedOnly);
        let names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["kept"]);
        assert_eq!(fs::read(root.join("kept")).unwrap(), b"kept");
    }

    #[test]
    fn faults_strike_where_they_are_told_to() {
        let Some((_folder, mut disk)) = disk() else { return };
        let root = disk.folder().to_owned();
        disk.add(Rule::next(&[Call::Flush], "b", Fault::Fail(5)));
        disk.add(Rule::next(&[Call::Rename], "c", Fault::PowerCut(Moment::Before)).once(&[Call::Flush], "a"));
        let (a, b) = (File::create(root.join("a")).unwrap(), File::create(root.join("b")).unwrap());
        fs::rename(root.join("b"), root.join("c")).unwrap();
        fs::rename(root.join("c"), root.join("b")).unwrap();
        a.sync_all().unwrap();
        assert_eq!(b.sync_all().unwrap_err().raw_os_error(), Some(5));
        b.sync_all().unwrap();
        drop((a, b));
        assert!(fs::rename(root.join("b"), root.join("c")).is_err() && disk.is_off());
        assert_eq!(disk.strikes(), 2);
        disk.power_on(Survival::FlushedOnly);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);

        disk.set_size(Some(disk.bytes_taken() + 16 * BLOCK_BYTES as u64));
        let full = fs::write(root.join("large"), vec![1; 64 * BLOCK_BYTES]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        disk.set_size(None);
        fs::write(root.join("large"), vec![1; 64 * BLOCK_BYTES]).unwrap();
        assert!(disk.take_log().iter().any(|logged| logged.call == Call::Rename && !logged.is_ok));
    }
}
