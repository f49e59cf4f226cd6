//! New processes: a plain fork, and a child in new namespaces.
//!
//! Both go around the C library, so they are only for programs of one thread (the launcher and the
//! agent): a copy of a threaded process holds locks that nobody will ever release.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::{process::Pid, thread::UnshareFlags};

use crate::{Context, Result, SysError};

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, with the child's process id and a descriptor of it.
    Parent {
        /// Its process id.
        pid: Pid,
        /// Readable once it has ended; close-on-exec.
        pidfd: OwnedFd,
    },
}

/// The namespaces that a child can get for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces(u64);

impl Namespaces {
    /// None: a plain fork.
    pub const NONE: Self = Self(0);
    /// Only a user namespace.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u64);
    /// All that a container has: user, mount, pid, network, ipc, uts and cgroup.
    pub const CONTAINER: Self = Self(
        (libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP) as u64,
    );
}

/// Forks; the caller has one thread.
///
/// # Errors
/// Out of processes or memory.
pub fn fork() -> Result<Forked> {
    clone(Namespaces::NONE, None)
}

/// Forks into new namespaces and, with `cgroup` (a directory of a version 2 hierarchy), into that
/// cgroup; the caller has one thread.
///
/// # Errors
/// The kernel refuses the namespaces (`EPERM`, `ENOSPC`, `EINVAL`) or is out of processes.
pub fn clone(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked> {
    let mut pidfd: libc::c_int = -1;
    let mut flags = namespaces.0 | libc::CLONE_PIDFD as u64;
    let mut into = 0;
    if let Some(cgroup) = cgroup {
        // CLONE_INTO_CGROUP; libc has no constant of it for every target.
        flags |= 0x2_0000_0000;
        into = cgroup.as_raw_fd().unsigned_abs().into();
    }
    let arguments = CloneArguments {
        flags,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: into,
        ..CloneArguments::default()
    };
    // SAFETY: the structure is the kernel's `clone_args` of its stated size and lives through the
    // call. Without CLONE_VM and with no stack given the child goes on with a copy of this one, as
    // after fork; the caller promises one thread, so no lock is held by a thread that is not there.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>())
    };
    match pid {
        0 => Ok(Forked::Child),
        1.. => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // SAFETY: clone succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor of ours.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            pid.map(|pid| Forked::Parent { pid, pidfd })
                .ok_or_else(|| SysError::invalid("clone", &"a process", "no process id"))
        }
        _ => Err(SysError::last("clone", &"a process")),
    }
}

/// Moves this process into new namespaces; the caller has one thread.
///
/// # Errors
/// The kernel refuses the namespaces.
pub fn unshare(namespaces: UnshareFlags) -> Result<()> {
    // SAFETY: rustix calls this unsafe for the sake of CLONE_FILES, which would take descriptors
    // away from under other threads; the caller promises that there are none.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.doing("take", "new namespaces")
}

/// The kernel's `struct clone_args` up to the field `cgroup` (kernel 5.7).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{self, Ended};

    #[test]
    fn a_child_ends_with_its_code_and_is_seen_through_its_pidfd() {
        match fork().unwrap() {
            Forked::Child => process::exit_now(7),
            Forked::Parent { pidfd, .. } => {
                assert!(process::wait_readable(&pidfd, None).unwrap());
                assert_eq!(process::reap(&pidfd).unwrap(), Some(Ended::Code(7)));
            }
        }
    }
}
