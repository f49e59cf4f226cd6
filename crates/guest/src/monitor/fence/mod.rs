//! The fence around QEMU (Q): everything between a clone and its first instruction.
//!
//! Promises: Q has namespaces, a root and an id of its own, no capability, no way to gain one, no
//! descriptor but those that it is given, and opens nothing for writing but what `Opens` answers.
//! It ends when M ends. When a step fails, nothing of it is left.

mod child;
mod filter;
mod inherited;
mod opens;
mod root;

use std::{
    ffi::CString,
    io::Write as _,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::Duration,
};

use pyro_protocol::vm::{Identity, VmLaunch};
use pyro_sys::{
    Context, Result, SysError,
    clone::{Forked, Namespaces, clone},
    ids::{self, Kind, Stretch},
    process, socket,
};
use serde::{Deserialize, Serialize};

pub(super) use inherited::Inherited;
pub(super) use opens::Opens;

use crate::holder::Cgroups;

/// How long the steps up to QEMU's first instruction may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where kernel and initramfs are in Q's root.
pub(super) const KERNEL: &str = "/kernel";
/// As `KERNEL`.
pub(super) const INITRAMFS: &str = "/initramfs";
/// What Q calls the file of its RAM; there is no such file in its root.
pub(super) const RAM: &str = "/ram";

/// From C to M.
#[derive(Debug, Serialize, Deserialize)]
enum FromChild {
    /// Its next step is QEMU. The descriptor comes with it at which its opens are answered.
    Fenced {
        /// Cgroups that could not be entered.
        refused: Vec<(PathBuf, i32)>,
    },
    /// A step failed, and it has ended.
    Failed { step: String, what: String, errno: i32 },
}

/// Q, before its first instruction.
pub(super) struct Fenced {
    pub(super) pid: i32,
    /// Readable once it has ended.
    pub(super) process: OwnedFd,
    talk: UnixStream,
}

#[cfg(test)]
impl Fenced {
    /// One that a test plays.
    pub(super) fn played(process: OwnedFd, talk: UnixStream) -> Self {
        Self { pid: 0, process, talk }
    }
}

/// What Q is made of.
pub(super) struct Plan<'a> {
    pub(super) launch: &'a VmLaunch,
    pub(super) arguments: Vec<CString>,
    pub(super) inherited: Inherited,
    /// M is root: it may map any id, and leave all groups.
    pub(super) by_root: bool,
    /// The longest file that Q may make of those that it may write.
    pub(super) longest_file: u64,
}

/// Clones C and lets it go on up to QEMU's first instruction.
///
/// # Errors
/// The kernel refuses the namespaces or their ids.
pub(super) fn start(plan: Plan<'_>, cgroups: &mut Cgroups) -> Result<Fenced> {
    let (talk, childs) = UnixStream::pair().doing("make", "a pair of sockets")?;
    let unified = cgroups.unified.take();
    match clone(Namespaces::CONTAINER, unified.as_ref().map(AsFd::as_fd))? {
        Forked::Child => {
            drop(talk);
            child::main(plan, cgroups, &childs)
        }
        Forked::Parent { pid, pidfd } => {
            drop(childs);
            let pid = pid.as_raw_nonzero().get();
            let mapped = map(pid, plan.launch.identity, plan.by_root)
                .and_then(|()| (&talk).write_all(b"m").doing("tell", "the fenced process"));
            if let Err(error) = mapped {
                end(&pidfd);
                return Err(error);
            }
            Ok(Fenced { pid, process: pidfd, talk })
        }
    }
}

/// Ends Q for good, and waits until it and everything in its namespaces is gone.
pub(super) fn end(process: &OwnedFd) {
    // It is a child of this process: both calls cannot fail while it is there.
    let _ = process::kill(process);
    let _ = process::wait_readable(process, None);
    let _ = process::reap(process);
}

impl Fenced {
    /// Waits until everything is given up that Q will not have; its opens can be answered from
    /// then on. `refused` gets the cgroups that could not be entered.
    ///
    /// # Errors
    /// A step failed, or took too long.
    pub(super) fn listener(&self, refused: &mut Vec<(PathBuf, i32)>) -> Result<OwnedFd> {
        let mut decoder = pyro_protocol::Decoder::default();
        let (mut buffer, mut arrived) = ([0; 4096], Vec::new());
        loop {
            if !process::wait_readable(&self.talk, Some(PATIENCE))? {
                return Err(SysError::invalid("hear from", &"the fenced process", "too late"));
            }
            let bytes = socket::receive(&self.talk, &mut buffer, &mut arrived)?;
            if bytes == 0 {
                return Err(SysError::invalid("hear from", &"the fenced process", "it ended"));
            }
            decoder.push(&buffer[..bytes]);
            let said = decoder.next().map_err(std::io::Error::other);
            match said.doing("understand", "the fenced process")? {
                None => {}
                Some(FromChild::Fenced { refused: more }) => {
                    refused.extend(more);
                    return arrived.pop().ok_or_else(|| {
                        SysError::invalid("take", &"the filter's descriptor", "it is missing")
                    });
                }
                Some(FromChild::Failed { step, what, errno }) => {
                    return Err(childs_error(&step, &what, errno));
                }
            }
        }
    }

    /// Whether QEMU could not be executed after all, which is known once Q has ended.
    pub(super) fn never_ran(&self) -> Option<SysError> {
        let mut decoder = pyro_protocol::Decoder::default();
        let (mut buffer, mut none) = ([0; 4096], Vec::new());
        if !process::wait_readable(&self.talk, Some(Duration::ZERO)).ok()? {
            return None;
        }
        let bytes = socket::receive(&self.talk, &mut buffer, &mut none).ok()?;
        decoder.push(&buffer[..bytes]);
        match decoder.next().ok()?? {
            FromChild::Failed { step, what, errno } => Some(childs_error(&step, &what, errno)),
            FromChild::Fenced { .. } => None,
        }
    }
}

fn childs_error(step: &str, what: &str, errno: i32) -> SysError {
    SysError {
        call: "fence QEMU:",
        what: format!("{step} {what}"),
        source: std::io::Error::from_raw_os_error(errno),
    }
}

/// One id each. Whoever is not root must give up `setgroups` for it.
fn map(pid: i32, identity: Identity, by_root: bool) -> Result<()> {
    let pid = pid.unsigned_abs();
    let one = |outside| [Stretch { inside: 0, outside, count: 1 }];
    if !by_root {
        ids::deny_setgroups(pid)?;
    }
    ids::write_map(pid, Kind::Groups, &one(identity.gid))?;
    ids::write_map(pid, Kind::Users, &one(identity.uid))
}
