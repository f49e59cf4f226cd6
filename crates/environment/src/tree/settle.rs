//! Makes an unpacked root file system fit to be shared by many workspaces: no machine id, no
//! resolver of the machine that built it, no package lists or downloaded packages.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{names, remove_beneath};
use crate::unpack::UnpackError;

/// Directories whose content can always be fetched again.
const CACHES: [&str; 3] = ["var/lib/apt/lists", "var/cache/apt/archives", "var/cache/apt"];

/// Makes the tree below `root` ready; `package_caches` also empties apt's.
pub fn settle(root: &OwnedFd, package_caches: bool) -> Result<(), UnpackError> {
    if let Some(etc) = directory(root, "etc")? {
        blank(&etc, "machine-id", 0o444)?;
        blank(&etc, "resolv.conf", 0o644)?;
    }
    for cache in CACHES.into_iter().filter(|_| package_caches) {
        let Some(cache) = directory(root, cache)? else { continue };
        for name in names(&cache)? {
            let name = name.to_bytes();
            // apt wants these two directories to be there, and to be empty.
            if name == b"partial" || name == b"archives" {
                continue;
            }
            remove_beneath(cache.as_fd(), name)?;
        }
    }
    Ok(())
}

fn directory(root: &OwnedFd, path: &str) -> Result<Option<OwnedFd>, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(opened) => Ok(Some(opened)),
        // A link there is the image's own affair.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(e) => Err(UnpackError::io("open", path.as_bytes(), e)),
    }
}

fn blank(etc: &OwnedFd, name: &str, mode: u32) -> Result<(), UnpackError> {
    remove_beneath(etc.as_fd(), name.as_bytes())?;
    let failed = |e| UnpackError::io("create", name.as_bytes(), e);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(etc, name, flags, Mode::from_raw_mode(mode)).map_err(failed)?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(failed)
}
