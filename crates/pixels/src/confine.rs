//! What a worker forbids itself before it reads the first byte: memory, time, files, processes, and every system call but those by which
//! memory is managed, its two pipes are used, and a process ends. Where a system cannot forbid something, that is said and not hidden.

use std::os::fd::RawFd;

use rustix::process::{Resource, Rlimit, setrlimit};

/// How far a worker is to be confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// Its address space, in bytes.
    pub memory_bytes: u64,
    /// What it may use of a processor in its life, in seconds.
    pub cpu_seconds: u64,
}

/// Open files that a worker may have: its pipes, and a few that it was born with and cannot use.
const OPEN_FILES_MAX: u64 = 8;

impl Confinement {
    /// Confines this process for good. `from` and `to` are the pipes that it goes on to read and write. Gives what could not be
    /// forbidden.
    #[must_use]
    pub fn confine(&self, from: RawFd, to: RawFd) -> Vec<String> {
        let mut failed = Vec::new();
        end_with_parent(&mut failed);
        for (what, resource, most) in [
            ("memory", Resource::As, self.memory_bytes),
            ("processor time", Resource::Cpu, self.cpu_seconds),
            ("open files", Resource::Nofile, OPEN_FILES_MAX),
            ("processes", Resource::Nproc, 0),
            ("written files", Resource::Fsize, 0),
            ("core dumps", Resource::Core, 0),
        ] {
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            if let Err(error) = setrlimit(resource, limit) {
                failed.push(format!("{what}: {error}"));
            }
        }
        filter(from, to, &mut failed);
        failed
    }
}

#[cfg(target_os = "linux")]
fn end_with_parent(failed: &mut Vec<String>) {
    use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};

    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        failed.push(format!("outliving its parent: {error}"));
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        failed.push(format!("being looked into: {error}"));
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Vec<String>) {
    // A worker whose pipe is closed ends by itself; one that hangs is ended by its processor time.
}

#[cfg(target_os = "linux")]
fn filter(from: RawFd, to: RawFd, failed: &mut Vec<String>) {
    let applied = rustix::thread::set_no_new_privs(true)
        .map_err(|error| error.to_string())
        .and_then(|()| linux::program(from, to).map_err(|error| error.to_string()))
        .and_then(|program| seccompiler::apply_filter(&program).map_err(|error| error.to_string()));
    if let Err(error) = applied {
        failed.push(format!("system calls: {error}"));
    }
}

#[cfg(not(target_os = "linux"))]
fn filter(_: RawFd, _: RawFd, failed: &mut Vec<String>) {
    failed.push("system calls: this system has no seccomp".to_owned());
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{collections::BTreeMap, os::fd::RawFd};

    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, TargetArch,
    };

    /// System calls that may be made with any arguments: memory, locks, time, randomness for hash tables, the end.
    const FREE: [libc::c_long; 17] = [
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// The filter: everything else kills the process.
    pub(super) fn program(from: RawFd, to: RawFd) -> Result<BpfProgram, BackendError> {
        let is = |argument: u8, value: u64| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
        };
        let lacks = |argument: u8, bits: u64| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0)
        };
        let only = |condition| SeccompRule::new(vec![condition]);
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            FREE.iter().map(|call| (*call, Vec::new())).collect();
        rules.insert(libc::SYS_read, vec![only(is(0, from as u64)?)?]);
        // What a process says when it aborts goes to standard error, which goes nowhere.
        let standard_error = 2;
        rules.insert(libc::SYS_write, vec![only(is(0, to as u64)?)?, only(is(0, standard_error)?)?]);
        // Memory that is not a file, and never code.
        let anonymous = SeccompCondition::new(
            3,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(libc::MAP_ANONYMOUS as u64),
            libc::MAP_ANONYMOUS as u64,
        )?;
        let no_code = || lacks(2, libc::PROT_EXEC as u64);
        rules.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![anonymous, no_code()?])?]);
        rules.insert(libc::SYS_mprotect, vec![only(no_code()?)?]);
        // A process that aborts sends itself a signal, and nobody else.
        let own = u64::from(std::process::id());
        rules.insert(libc::SYS_tgkill, vec![only(is(0, own)?)?]);
        let arch: TargetArch = std::env::consts::ARCH.try_into()?;
        SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()
    }
}
