//! The launcher: starts the machine, holds its lock from outside, and cleans up after it.
//!
//! It is started with the launch socket as descriptor 0 and the held lock as 1, moves both to
//! their numbers, and leaves its creator's session, descriptors, signals and limits. Its death
//! ends the machine; the machine's end ends it.

use std::{
    fmt::Write as _,
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use pyro_protocol::launch::{LOCK_FD, LaunchReport, LaunchSpec, SOCKET_FD};
use pyro_sys::{
    Context, Result, SysError,
    clone::{Forked, Namespaces, clone, fork},
    descriptor, mount,
    process::{self, Identity},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags, open},
    process::{chdir, setsid, umask},
};

use super::{cgroups::Cgroups, channel, inside};

/// How long pyro may take to send the launch.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the machine to its end; the exit code.
#[must_use]
pub fn launch() -> i32 {
    match start() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn start() -> Result<()> {
    let (socket, lock) = take_descriptors()?;
    // The parent's exit tells pyro that nobody of it is left to be waited for.
    if let Forked::Parent { .. } = fork()? {
        return Ok(());
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
    let (spec, _) = channel::receive::<LaunchSpec>(&socket)?;
    let mut cgroups = Cgroups::make(&spec.cgroups);
    let ended = run(&spec, &socket, lock, &mut cgroups);
    cgroups.remove();
    if let Err(report) = ended {
        // Last of all: when pyro hears of the failure nothing is left.
        channel::send(&socket, &report)?;
    }
    Ok(())
}

/// A failure is what pyro is told.
type Launched = std::result::Result<(), LaunchReport>;

/// A failed step in the words of the launch.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed(error: SysError) -> LaunchReport {
    LaunchReport::Failed {
        step: error.call.to_owned(),
        what: error.what.clone(),
        errno: error.errno(),
    }
}

fn run(spec: &LaunchSpec, socket: &OwnedFd, lock: OwnedFd, cgroups: &mut Cgroups) -> Launched {
    let listener = listen(spec).map_err(failed)?;
    let pair = UnixStream::pair().doing("make", "a pair of sockets").map_err(failed)?;
    let (from_child, to_parent) = pair;
    let unified = cgroups.unified.take();
    let into = unified.as_ref().map(AsFd::as_fd);
    let (pid, child) = match clone(Namespaces::CONTAINER, into).map_err(failed)? {
        Forked::Child => {
            drop(from_child);
            inside::main(spec, inside::Given { socket, to_parent, listener, lock })
        }
        Forked::Parent { pid, pidfd } => (pid.as_raw_nonzero().get(), pidfd),
    };
    drop((to_parent, listener, unified));
    let ready = sign(&lock, pid, cgroups)
        .and_then(|()| channel::send(socket, &LaunchReport::Cloned { pid: pid.unsigned_abs() }))
        .map_err(failed)
        .and_then(|()| hear_from_child(&from_child, &child, socket))
        .and_then(|()| {
            let refused = std::mem::take(&mut cgroups.refused);
            channel::send(socket, &LaunchReport::Ready { refused }).map_err(failed)
        });
    drop(from_child);
    let ended = match &ready {
        Ok(()) => hang_up(socket),
        Err(_) => process::kill(&child),
    };
    ended
        .and_then(|()| process::wait_readable(&child, None))
        .and_then(|_| process::reap(&child))
        .map_err(failed)?;
    ready
}

pub(crate) fn take_descriptors() -> Result<(OwnedFd, OwnedFd)> {
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

fn listen(spec: &LaunchSpec) -> Result<UnixListener> {
    // The directory's own path may be longer than a socket's address.
    let directory = mount::open_handle(&spec.directory)?;
    umask(Mode::from_raw_mode(0o177));
    let path = format!("{}/sock", mount::link(directory.as_fd()));
    let listener = UnixListener::bind(path).doing("listen at", spec.directory.display());
    umask(Mode::from_raw_mode(0o022));
    listener
}

/// Writes down in the lock's file who holds it and what must be removed when both are killed.
fn sign(lock: &OwnedFd, child: i32, cgroups: &Cgroups) -> Result<()> {
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

/// Waits until the child is ready, has failed or is gone, or pyro is gone.
fn hear_from_child(from_child: &UnixStream, child: &OwnedFd, socket: &OwnedFd) -> Launched {
    let gone = |who: &str, why| Err(failed(SysError::invalid("hear from", &who, why)));
    loop {
        let mut waited = [
            PollFd::new(from_child, PollFlags::IN),
            PollFd::new(child, PollFlags::IN),
            PollFd::new(socket, PollFlags::RDHUP),
        ];
        match poll(&mut waited, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing("wait for", "the inside").map_err(failed),
        }
        let [spoke, ended, left] = waited.map(|fd| !fd.revents().is_empty());
        if spoke && let Ok((report, _)) = channel::receive::<LaunchReport>(from_child) {
            return match report {
                LaunchReport::Ready { .. } => Ok(()),
                failure => Err(failure),
            };
        }
        if spoke || ended {
            return gone("the inside", "it ended");
        }
        if left {
            return gone("pyro", "it went away");
        }
    }
}

fn hang_up(socket: &OwnedFd) -> Result<()> {
    rustix::net::shutdown(socket, rustix::net::Shutdown::Both).doing("hang up on", "pyro")
}
