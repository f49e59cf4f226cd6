//! Processes: waiting for them, ending them, telling them apart, and what they tell the kernel
//! about themselves.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions,
        pidfd_open, pidfd_send_signal, set_dumpable_behavior, set_parent_process_death_signal,
        setrlimit, waitid,
    },
};

use crate::{Context, Result, SysError};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A process that is told apart from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its process id.
    pub pid: i32,
    /// When it started, in ticks since the boot.
    pub started: u64,
}

impl Identity {
    /// The identity of a living process.
    ///
    /// # Errors
    /// There is none of that id.
    pub fn of(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).doing("read", &path)?;
        // The name in parentheses may hold anything; the 20th field after it is the start.
        let started = text
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19))
            .and_then(|field| field.parse().ok())
            .ok_or_else(|| SysError::invalid("read", &path, "no start time"))?;
        Ok(Self { pid, started })
    }

    /// A descriptor of exactly this process; `None` when it is gone, whoever has its number now.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn open(self) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error).doing("open the process", self.pid),
        };
        // Compared after the descriptor is held: from here on the number cannot change hands
        // unnoticed, since the descriptor stays with the process it was opened for.
        Ok(matches!(Self::of(self.pid), Ok(now) if now == self).then_some(pidfd))
    }
}

/// Ends a process at once; fine when it has ended.
///
/// # Errors
/// It belongs to somebody else.
pub fn kill(pidfd: impl AsFd) -> Result<()> {
    match pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).doing("end", "a process"),
    }
}

/// Takes the end of a child; `None` while it lives.
///
/// # Errors
/// It is no child of this process.
pub fn reap(pidfd: impl AsFd) -> Result<Option<Ended>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), options).doing("wait for", "a child")?;
    Ok(status.map(|status| match status.exit_status() {
        Some(code) => Ended::Code(code),
        None => Ended::Signal(status.terminating_signal().unwrap_or_default()),
    }))
}

/// Waits until a descriptor is readable or its peer is gone; `false` when the time is over first.
///
/// # Errors
/// Out of memory.
pub fn wait_readable(descriptor: impl AsFd, time: Option<Duration>) -> Result<bool> {
    let descriptor = descriptor.as_fd();
    let time = time.map(|time| Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    loop {
        let mut waited = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        match poll(&mut waited, time.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing("wait for", "a descriptor"),
        }
    }
}

/// This process ends when its parent does. A change of ids takes the wish back, so it is said
/// again after one; a parent that is gone already is the caller's to notice.
///
/// # Errors
/// None on a kernel that runs this program.
pub fn die_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).doing("ask for", "an end with the parent")
}

/// Nobody without `CAP_SYS_PTRACE` looks into this process: no `/proc/PID/mem`, `fd`, `environ`.
///
/// # Errors
/// None on a kernel that runs this program.
pub fn hide() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing("hide", "this process")
}

/// Nothing that this process starts gains anything by setuid bits or file capabilities.
///
/// # Errors
/// None on a kernel that runs this program.
pub fn no_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true).doing("give up", "new privileges")
}

/// Takes user and group 0 of the user namespace, and no other group where `setgroups` is allowed.
///
/// # Errors
/// They are not mapped.
pub fn become_root(other_groups: bool) -> Result<()> {
    use rustix::{fs::Gid, fs::Uid, thread};
    if other_groups {
        thread::set_thread_groups(&[]).doing("leave", "all groups")?;
    }
    thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).doing("take", "group 0")?;
    thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).doing("take", "user 0")
}

/// Sets a limit, soft and hard, as near to `value` as the hard limit in force allows.
///
/// # Errors
/// None on a kernel that runs this program.
pub fn limit(resource: Resource, value: u64) -> Result<()> {
    let now = rustix::process::getrlimit(resource);
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    if setrlimit(resource, both(value)).is_ok() {
        return Ok(());
    }
    let value = now.maximum.map_or(value, |maximum| value.min(maximum));
    setrlimit(resource, both(value)).doing("set", "a limit")
}

/// Lifts the limits that a creator may have for its own work (time, memory, sizes of files) as far
/// as this process may.
pub fn lift_limits() {
    let all = [
        Resource::As,
        Resource::Cpu,
        Resource::Data,
        Resource::Fsize,
        Resource::Nproc,
        Resource::Rss,
    ];
    for resource in all {
        let hard = rustix::process::getrlimit(resource).maximum;
        for maximum in [None, hard] {
            // Only root may go over the hard limit; up to it everybody may.
            if setrlimit(resource, Rlimit { current: maximum, maximum }).is_ok() {
                break;
            }
        }
    }
}

/// Lets every signal through and gives each its default action: what a creator blocked or ignored
/// stays with it.
///
/// # Errors
/// None on a kernel that runs this program.
pub fn reset_signals() -> Result<()> {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL runs no code of this program; numbers that cannot be set are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set is filled by sigemptyset before it is read.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) < 0 {
            return Err(SysError::last("unblock", &"signals"));
        }
    }
    Ok(())
}

/// Only runs when nothing else wants the processor or the disk.
///
/// # Errors
/// None on a kernel that runs this program.
pub fn lowest_priority() -> Result<()> {
    rustix::process::setpriority_process(None, 19).doing("lower", "the priority")?;
    // IOPRIO_WHO_PROCESS, this one, IOPRIO_CLASS_IDLE.
    // SAFETY: takes numbers only.
    if unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, 3 << 13) } < 0 {
        return Err(SysError::last("lower", &"the disk priority"));
    }
    Ok(())
}

/// Ends this process at once, without destructors or exit handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: runs no code of this program.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_mistaken_for_another_with_its_number() {
        let me = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.open().unwrap().is_some());
        let earlier = Identity { started: me.started - 1, ..me };
        assert!(earlier.open().unwrap().is_none());
    }
}
