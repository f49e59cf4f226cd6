//! Files below `/workspace`, and the layers they are made of.
//!
//! Every path is resolved beneath a handle: a symlink inside is followed where the call follows
//! them at all, one that leads out is refused, and what a hostile guest swaps in between is at
//! worst another file of the same workspace. Fifos and devices are never opened for reading.

mod directory;
pub(super) mod edit;
pub(super) mod list;
mod lowers;
pub(super) mod pack;
pub(super) mod patch;
pub(super) mod read;
mod resolve;
pub(super) mod upper;
pub(super) mod write;

use std::{cell::Cell, os::fd::OwnedFd, os::unix::ffi::OsStrExt};

use rustix::{
    fs::{FileType, OFlags, Stat, fstat},
    io::{Errno, fcntl_dupfd_cloexec, read as read_some},
};

use super::{
    AgentConfig, AgentError,
    refusal::{Answer, from_errno},
};

/// The handles that all file calls work with.
pub(super) struct Workspace {
    root: OwnedFd,
    /// Where programs see the root, for absolute symlinks that point below it.
    path: Vec<u8>,
    upper: Option<OwnedFd>,
    lowers: Vec<OwnedFd>,
    temporary: Cell<u64>,
    /// The machine's kernel ends with it, and what it has not written with that.
    is_own_kernel: bool,
}

impl Workspace {
    pub(super) fn new(config: &AgentConfig, is_own_kernel: bool) -> Result<Self, AgentError> {
        let copy = |fd: &OwnedFd| {
            fcntl_dupfd_cloexec(fd, 0).map_err(AgentError::on("copy", "a layer's handle"))
        };
        Ok(Self {
            root: copy(&config.workspace)?,
            path: config.workspace_path.as_os_str().as_bytes().to_vec(),
            upper: config.tree_upper.as_ref().map(copy).transpose()?,
            lowers: config.tree_lowers.iter().map(copy).collect::<Result<_, _>>()?,
            temporary: Cell::new(0),
            is_own_kernel,
        })
    }

    /// Opens a regular file for reading; anything else is refused without being read from.
    fn open_file(&self, verb: &str, path: &str) -> Answer<(OwnedFd, Stat)> {
        let failed = |errno| from_errno(verb, path, errno);
        // Not blocking: opening a fifo must not wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.open(path.as_bytes(), flags).map_err(failed)?;
        let status = fstat(&file).map_err(failed)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => Ok((file, status)),
            FileType::Directory => Err(failed(Errno::ISDIR)),
            _ => Err(not_a_file(verb, path)),
        }
    }
}

/// All of a file, if it has at most `most` bytes: however much its status said, it may have grown.
fn read_whole(file: &OwnedFd, most: u64) -> rustix::io::Result<Option<Vec<u8>>> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match read_some(file, &mut buffer) {
            Ok(0) => return Ok(Some(bytes)),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if bytes.len() as u64 > most {
            return Ok(None);
        }
    }
}

/// A path's directory and its name there.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], path),
    }
}

fn not_a_file(verb: &str, path: &str) -> pyro_protocol::message::Refusal {
    super::refusal::refuse(
        pyro_protocol::message::RefusalKind::WrongType,
        path,
        format!("{verb} {path}: not a regular file"),
    )
}

/// A size that the system reports is never negative.
fn size_of(status: &Stat) -> u64 {
    u64::try_from(status.st_size).unwrap_or(0)
}
