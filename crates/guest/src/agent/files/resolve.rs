//! Paths beneath the workspace's handle.
//!
//! The kernel refuses what leads out (`RESOLVE_BENEATH`). Links are resolved here, by reading them,
//! so that an absolute one that points below `/workspace` works as it does for programs; the path
//! without links that comes out is opened with links forbidden. A guest that swaps a directory for
//! a link in between gets an error.

use std::{collections::VecDeque, os::fd::OwnedFd};

use pyro_model::limits::PATH_BYTES;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat},
    io::{Errno, Result},
};

use super::Workspace;

/// Links on the way to one file, as the kernel counts them.
const LINKS: usize = 40;

/// Opens `path` beneath `root`; a link anywhere on it is `ELOOP`.
pub(super) fn open_beneath(root: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    open_beneath_with(root, path, flags, Mode::empty())
}

pub(super) fn open_beneath_with(
    root: &OwnedFd,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, mode, how)
}

impl Workspace {
    /// Opens what `path` names, following links inside.
    pub(super) fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        check(path)?;
        match open_beneath(&self.root, path, flags) {
            Err(Errno::LOOP) => open_beneath(&self.root, &self.resolve(path, true)?, flags),
            result => result,
        }
    }

    /// The path without links that `path` stands for. Its last names need not exist.
    pub(super) fn resolve(&self, path: &[u8], follow_last: bool) -> Result<Vec<u8>> {
        check(path)?;
        let mut ahead: VecDeque<Vec<u8>> = names(path).collect();
        let mut behind: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                behind.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            behind.push(name);
            if ahead.is_empty() && !follow_last {
                break;
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            let entry = match open_beneath(&self.root, &behind.join(&b'/'), flags) {
                Ok(entry) => entry,
                Err(Errno::NOENT) if !ahead.iter().any(|name| name == b"..") => {
                    behind.extend(ahead);
                    break;
                }
                Err(errno) => return Err(errno),
            };
            let target = match readlinkat(&entry, "", Vec::new()) {
                Ok(target) => target.into_bytes(),
                // Not a link.
                Err(Errno::INVAL | Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            };
            links += 1;
            if links > LINKS || target.len() > PATH_BYTES {
                return Err(Errno::LOOP);
            }
            behind.pop();
            let mut target = &target[..];
            if target.starts_with(b"/") {
                target = self.below(target).ok_or(Errno::XDEV)?;
                behind.clear();
            }
            for name in names(target).collect::<Vec<_>>().into_iter().rev() {
                ahead.push_front(name);
            }
        }
        Ok(behind.join(&b'/'))
    }

    /// What an absolute path is, relative to the workspace, if it lies in it.
    fn below<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        [&self.path[..], b"/workspace"].into_iter().find_map(|root| {
            let rest = path.strip_prefix(root)?;
            (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
        })
    }
}

fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
}

/// What a caller may name: relative, without `..`, not too long.
pub(super) fn check(path: &[u8]) -> Result<()> {
    if path.len() > PATH_BYTES {
        return Err(Errno::NAMETOOLONG);
    }
    if path.contains(&0) {
        return Err(Errno::INVAL);
    }
    if path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|name| name == b"..") {
        return Err(Errno::XDEV);
    }
    Ok(())
}
