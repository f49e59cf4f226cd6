//! The digest of a tree: SHA-256 over a canonical listing of everything in it.
//!
//! Listing, version 1: depth first, names in byte order; for each entry its type, path, mode,
//! owner, size, and content digest, link target or capability, every field with its length.
//! Times are not in it, so two bootstraps of the same packages can agree.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{names, open_beneath};
use crate::digest::Digest;
use crate::unpack::{Bound, Ownership, UnpackError};

/// Links can stack up directories deeper than any single name in an archive may be.
const DEPTH_MOST: u64 = 400;
const PACKAGE_LIST: &str = "var/lib/dpkg/status";
const PACKAGE_LIST_MOST: u64 = 64 << 20;

/// A tree's digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeMeasure {
    /// Over everything in it.
    pub digest: Digest,
    /// Entries of any type but directories.
    pub files: u64,
    /// Bytes of file content, hard links counted once.
    pub bytes: u64,
    /// Debian packages installed in it, where it has a package list.
    pub packages: Option<u64>,
}

/// Measures the tree below `root`. With [`Ownership::Ignore`] all owners count as 0.
pub fn measure(root: &OwnedFd, ownership: Ownership) -> Result<TreeMeasure, UnpackError> {
    let mut walk = Walk {
        hash: Sha256::new(),
        ownership,
        seen: HashMap::new(),
        files: 0,
        bytes: 0,
        buffer: vec![0; 128 << 10],
    };
    walk.hash.update(b"pyro tree 1\n");
    let status = rustix::fs::fstat(root).map_err(|e| UnpackError::io("look at", b".", e))?;
    walk.head(b'd', b"", &status, 0);
    walk.directory(root.as_fd(), &mut Vec::new(), 0)?;
    let digest = Digest::of(&walk.hash.finalize());
    let packages = packages(root.as_fd());
    Ok(TreeMeasure { digest, files: walk.files, bytes: walk.bytes, packages })
}

struct Walk {
    hash: Sha256,
    ownership: Ownership,
    /// Content digests of files with several names.
    seen: HashMap<(u64, u64), [u8; 32]>,
    files: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Walk {
    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &mut Vec<u8>,
        depth: u64,
    ) -> Result<(), UnpackError> {
        if depth > DEPTH_MOST {
            return Err(UnpackError::too_large(path, Bound::Depth, DEPTH_MOST));
        }
        let mut names = names(directory)?;
        names.sort_unstable();
        for name in names {
            let above = path.len();
            if above > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            self.entry(directory, name.to_bytes(), path, depth)?;
            path.truncate(above);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &mut Vec<u8>,
        depth: u64,
    ) -> Result<(), UnpackError> {
        let failed = |doing, path: &[u8], e| UnpackError::io(doing, path, e);
        let status = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| failed("look at", path, e))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                self.head(b'd', path, &status, 0);
                return self.directory(open_beneath(parent, name)?.as_fd(), path, depth + 1);
            }
            FileType::RegularFile => {
                let size = u64::try_from(status.st_size).unwrap_or_default();
                self.head(b'f', path, &status, size);
                self.content(parent, name, path, &status, size)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|e| failed("read link", path, e))?;
                self.head(b'l', path, &status, target.as_bytes().len() as u64);
                self.hash.update(target.as_bytes());
            }
            // Only something else than unpacking can have put it here; it changes the digest.
            _ => self.head(b'?', path, &status, 0),
        }
        self.files += 1;
        Ok(())
    }

    fn head(&mut self, kind: u8, path: &[u8], status: &Stat, size: u64) {
        let (uid, gid) = match self.ownership {
            Ownership::Keep { .. } => (status.st_uid, status.st_gid),
            Ownership::Ignore => (0, 0),
        };
        // A link's mode says nothing and differs between file systems.
        let mode = if kind == b'l' { 0 } else { status.st_mode & 0o7777 };
        self.hash.update([kind]);
        self.hash.update((path.len() as u64).to_le_bytes());
        self.hash.update(path);
        for number in [mode, uid, gid] {
            self.hash.update(number.to_le_bytes());
        }
        self.hash.update(size.to_le_bytes());
    }

    fn content(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        status: &Stat,
        size: u64,
    ) -> Result<(), UnpackError> {
        let inode = (status.st_dev, status.st_ino);
        if let Some(known) = self.seen.get(&inode) {
            self.hash.update(known);
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::empty())
            .map_err(|e| UnpackError::io("open", path, e))?;
        let mut hash = Sha256::new();
        loop {
            let count = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut self.buffer[..]))
                .map_err(|e| UnpackError::io("read", path, e))?;
            match self.buffer.get(..count) {
                Some(chunk) if !chunk.is_empty() => hash.update(chunk),
                _ => break,
            }
        }
        let mut capability = [0; 64];
        let held = rustix::fs::fgetxattr(&file, "security.capability", &mut capability[..]);
        hash.update(held.ok().and_then(|length| capability.get(..length)).unwrap_or_default());
        let content: [u8; 32] = hash.finalize().into();
        self.hash.update(content);
        self.bytes += size;
        if status.st_nlink > 1 {
            self.seen.insert(inode, content);
        }
        Ok(())
    }
}

/// Counts the installed packages of a Debian root; `None` where there is no list to read.
fn packages(root: BorrowedFd<'_>) -> Option<u64> {
    use std::io::{BufRead, BufReader, Read};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
    let list = rustix::fs::openat2(root, PACKAGE_LIST, flags, Mode::empty(), resolve).ok()?;
    let list = std::fs::File::from(list);
    if !list.metadata().ok()?.is_file() {
        return None;
    }
    let lines = BufReader::new(list.take(PACKAGE_LIST_MOST)).split(b'\n');
    let installed = |line: &Vec<u8>| line.as_slice() == b"Status: install ok installed";
    Some(lines.map_while(Result::ok).filter(installed).count() as u64)
}
