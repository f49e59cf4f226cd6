//! What every process is that holds a machine on the host, be it the launcher of a container or the
//! monitor of a VM: its way out of its creator's hands, its cgroups, its socket, its signature.
//!
//! It is started with the launch socket as descriptor 0 and the held lock as 1, moves both to
//! their numbers, and leaves its creator's session, descriptors, signals and limits.

mod cgroups;
pub(crate) mod channel;

use std::{
    fmt::Write as _,
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
    time::Duration,
};

use pyro_protocol::launch::{LOCK_FD, SOCKET_FD};
use pyro_sys::{
    Context, Result, SysError,
    clone::{Forked, fork},
    descriptor, mount,
    process::{self, Identity},
};
use rustix::{
    fs::{Mode, OFlags, open},
    process::{chdir, setsid, umask},
};
use serde::de::DeserializeOwned;

pub(crate) use cgroups::Cgroups;

/// How long pyro may take to send the launch.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a holder goes on with.
pub(crate) struct Begun<T> {
    pub(crate) socket: OwnedFd,
    pub(crate) lock: OwnedFd,
    pub(crate) launch: T,
}

/// Becomes a process of its own, and hears what it is to hold. `None` in the process that was
/// started, whose exit tells pyro that nobody of it is left to be waited for.
///
/// # Errors
/// A call of the system, or pyro does not say.
pub(crate) fn begin<T: DeserializeOwned>() -> Result<Option<Begun<T>>> {
    let (socket, lock) = take_descriptors()?;
    if let Forked::Parent { .. } = fork()? {
        return Ok(None);
    }
    setsid().doing("start", "a session")?;
    process::reset_signals()?;
    process::lift_limits();
    chdir("/").doing("enter", "/")?;
    // Lowering it back from what the creator has may be refused; the rest does not depend on it.
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    if !process::wait_readable(&socket, Some(PATIENCE))? {
        return Err(SysError::invalid("hear from", &"pyro", "it took too long"));
    }
    let (launch, _) = channel::receive::<T>(&socket)?;
    Ok(Some(Begun { socket, lock, launch }))
}

/// Listens for doors in a machine's directory.
///
/// # Errors
/// The directory is not there, or has a socket already.
pub(crate) fn listen(directory: &Path) -> Result<UnixListener> {
    // The directory's own path may be longer than a socket's address.
    let handle = mount::open_handle(directory)?;
    umask(Mode::from_raw_mode(0o177));
    let path = format!("{}/sock", mount::link(handle.as_fd()));
    let listener = UnixListener::bind(path).doing("listen at", directory.display());
    umask(Mode::from_raw_mode(0o022));
    listener
}

/// Writes down in the lock's file who holds it and what must be removed when both are killed.
///
/// # Errors
/// The lock cannot be written.
pub(crate) fn sign(lock: &OwnedFd, child: i32, cgroups: &Cgroups) -> Result<()> {
    let mut text = String::new();
    for pid in [rustix::process::getpid().as_raw_nonzero().get(), child] {
        let identity = Identity::of(pid)?;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {}", identity.pid, identity.started);
    }
    for cgroup in cgroups.made() {
        let _ = writeln!(text, "{}", cgroup.display());
    }
    rustix::fs::ftruncate(lock, 0).doing("sign", "the lock")?;
    rustix::io::pwrite(lock, text.as_bytes(), 0).doing("sign", "the lock")?;
    Ok(())
}

fn take_descriptors() -> Result<(OwnedFd, OwnedFd)> {
    let given_null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .doing("open", "/dev/null")?;
    let (given_socket, given_lock) = (descriptor::inherited(0)?, descriptor::inherited(1)?);
    // Copies above the numbers that are about to be placed.
    let (socket, lock, null) = (above(&given_socket)?, above(&given_lock)?, above(&given_null)?);
    // Their numbers stay open, as other files.
    std::mem::forget((given_socket, given_lock, given_null));
    descriptor::place(socket.as_fd(), SOCKET_FD)?;
    descriptor::place(lock.as_fd(), LOCK_FD)?;
    for number in 0..3 {
        descriptor::place(null.as_fd(), number)?;
    }
    drop((socket, lock, null));
    let (socket, lock) = (descriptor::inherited(SOCKET_FD)?, descriptor::inherited(LOCK_FD)?);
    descriptor::close_all_but(&[socket.as_fd(), lock.as_fd()])?;
    Ok((socket, lock))
}

fn above(descriptor: &OwnedFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(descriptor, LOCK_FD + 1).doing("copy", "a descriptor")
}
