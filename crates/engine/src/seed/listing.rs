//! What a layer's tree will hold: one entry per path, with an identity that says whether it is
//! still the same thing next time.
//!
//! A clean tracked file is known by its blob, anything else by its stat data. Two listings of
//! one project differ exactly where the layer has to differ.

use rustix::fs::{FileType, Stat};
use sha2::{Digest, Sha256};

/// What makes an entry the same thing as before.
pub(crate) type Identity = [u8; 16];

/// The path is tracked by Git, present or not.
pub(crate) const TRACKED: u8 = 1;
/// Nothing stands at the path; it is listed because it is tracked.
pub(crate) const ABSENT: u8 = 2;

/// One path of the layer's tree.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) identity: Identity,
    pub(crate) flags: u8,
    pub(crate) from: From,
    /// As known before reading it; for limits.
    pub(crate) size: u64,
}

/// Where an entry's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    Nowhere,
    /// An empty directory to make.
    Directory,
    /// The file or link at the same path below the source's root.
    Work,
    /// An object file below the common git directory, by its path there.
    Object(Vec<u8>),
    /// Bytes of our own, with a modification time where it matters.
    Bytes(Vec<u8>, Option<(i64, u32)>),
}

impl Entry {
    pub(crate) fn directory(path: Vec<u8>) -> Self {
        Self { path, identity: identity(&[b"dir"]), flags: 0, from: From::Directory, size: 0 }
    }

    pub(crate) fn bytes(path: Vec<u8>, bytes: Vec<u8>, time: Option<(i64, u32)>) -> Self {
        let size = bytes.len() as u64;
        let identity = identity(&[b"bytes", &bytes]);
        Self { path, identity, flags: 0, from: From::Bytes(bytes, time), size }
    }
}

/// The stat data that tell one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    is_link: bool,
    executable: bool,
    pub(crate) size: u64,
    times: [i64; 4],
    inode: u64,
}

impl Found {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            is_link: FileType::from_raw_mode(stat.st_mode) == FileType::Symlink,
            executable: stat.st_mode & 0o111 != 0,
            size: stat.st_size.cast_unsigned(),
            times: [
                stat.st_mtime,
                stat.st_mtime_nsec.cast_signed(),
                stat.st_ctime,
                stat.st_ctime_nsec.cast_signed(),
            ],
            inode: stat.st_ino,
        }
    }

    /// Feeds the facts to a digest.
    pub(crate) fn feed(&self, digest: &mut Sha256) {
        digest.update([b's', u8::from(self.is_link), u8::from(self.executable)]);
        digest.update(self.size.to_le_bytes());
        for time in self.times {
            digest.update(time.to_le_bytes());
        }
        digest.update(self.inode.to_le_bytes());
    }

    pub(crate) fn identity(&self) -> Identity {
        let mut digest = Sha256::new();
        self.feed(&mut digest);
        shortened(digest)
    }
}

/// An identity made of parts, each with its length.
pub(crate) fn identity(parts: &[&[u8]]) -> Identity {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    shortened(digest)
}

fn shortened(digest: Sha256) -> Identity {
    let mut identity = Identity::default();
    identity.copy_from_slice(&digest.finalize()[..16]);
    identity
}

/// A digest in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}
