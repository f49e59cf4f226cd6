//! The launcher: starts the machine, holds its lock from outside, and cleans up after it. Its death
//! ends the machine; the machine's end ends it.

use std::os::{
    fd::{AsFd, OwnedFd},
    unix::net::UnixStream,
};

use pyro_protocol::launch::{LaunchReport, LaunchSpec};
use pyro_sys::{
    Context, Result, SysError,
    clone::{Forked, Namespaces, clone},
    process,
};
use rustix::event::{PollFd, PollFlags, poll};

use super::inside;
use crate::holder::{self, Begun, Cgroups, channel};

/// Runs the machine to its end; the exit code.
#[must_use]
pub fn launch() -> i32 {
    match start() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn start() -> Result<()> {
    let Some(Begun { socket, lock, launch }) = holder::begin::<LaunchSpec>()? else {
        return Ok(());
    };
    let mut cgroups = Cgroups::make(&launch.cgroups);
    let refused = cgroups.enter();
    cgroups.refused.extend(refused);
    let ended = run(&launch, &socket, lock, &mut cgroups);
    cgroups.leave();
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
    let listener = holder::listen(&spec.directory).map_err(failed)?;
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
    let ready = holder::sign(&lock, pid, cgroups)
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
