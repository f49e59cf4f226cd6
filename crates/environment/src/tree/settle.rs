//! Makes an unpacked root file system fit to be shared by many workspaces: no machine id, no name
//! and no resolver of the machine that built it, no package lists or downloaded packages; and
//! `localhost` is a name in it like everywhere.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{names, remove_beneath};
use crate::unpack::UnpackError;

/// Directories whose content can always be fetched again.
const CACHES: [&str; 3] = ["var/lib/apt/lists", "var/cache/apt/archives", "var/cache/apt"];

const HOSTS: &[u8] = b"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";

/// Makes the tree below `root` ready; `package_caches` also empties apt's, of a tree that was
/// bootstrapped here and has this machine's name.
pub fn settle(root: &OwnedFd, package_caches: bool) -> Result<(), UnpackError> {
    if let Some(etc) = directory(root, "etc")? {
        fresh(&etc, "machine-id", 0o444, b"")?;
        fresh(&etc, "resolv.conf", 0o644, b"")?;
        let hosts = rustix::fs::statat(&etc, "hosts", AtFlags::SYMLINK_NOFOLLOW);
        if !hosts.is_ok_and(|found| found.st_size > 0) {
            fresh(&etc, "hosts", 0o644, HOSTS)?;
        }
        if package_caches {
            fresh(&etc, "hostname", 0o644, b"localhost\n")?;
        }
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

fn fresh(etc: &OwnedFd, name: &str, mode: u32, content: &[u8]) -> Result<(), UnpackError> {
    remove_beneath(etc.as_fd(), name.as_bytes())?;
    let failed = |e| UnpackError::io("create", name.as_bytes(), e);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(etc, name, flags, Mode::from_raw_mode(mode)).map_err(failed)?;
    rustix::io::write(&file, content).map_err(failed)?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(failed)
}
