//! Why an archive was refused or could not be unpacked.
//!
//! Promises: every variant names the entry or limit at fault, and all of it can be sent between
//! processes (the unpacking may run in a helper inside a user namespace), which is why the
//! operating system's error is kept as [`OsError`] and not as `std::io::Error`.

use serde::{Deserialize, Serialize};

/// What is wrong with an entry of a hostile (or broken) archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// The name begins with `/` (refused in seeds, stripped in images).
    #[error("its name is absolute")]
    AbsoluteName,
    /// The name or link target holds `..`.
    #[error("its name leads upwards with `..`")]
    ParentName,
    /// The name is empty, or holds a NUL byte.
    #[error("its name is empty or holds a NUL byte")]
    BadName,
    /// The path goes through a link or a file, or out of the target directory.
    #[error("its path goes through a link or a file, or leads outside")]
    EscapingPath,
    /// A hard link to something outside the archive, or not unpacked before it.
    #[error("it is a hard link to something that is not in the archive")]
    OutwardHardLink,
    /// A device node, where those are refused.
    #[error("it is a device node")]
    Device,
    /// A named pipe, where those are refused.
    #[error("it is a named pipe")]
    Fifo,
    /// A sparse file: its size is not bounded by the archive's.
    #[error("it is stored as a sparse file, which is not read; pack it without --sparse")]
    Sparse,
    /// A type of entry that no tar of a file tree holds.
    #[error("its type is unknown")]
    UnknownType,
    /// The owner is outside the ids that a workspace has.
    #[error("its owner id is above the highest id that a workspace has")]
    UnmappedOwner,
}

/// Which bound was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bound {
    /// Number of entries.
    #[error("entries")]
    Entries,
    /// Bytes of the uncompressed archive.
    #[error("unpacked bytes")]
    Bytes,
    /// Uncompressed to compressed size.
    #[error("times its packed size")]
    Expansion,
    /// Directories above an entry.
    #[error("levels of directories")]
    Depth,
    /// Bytes of one name.
    #[error("bytes in a name")]
    NameLength,
    /// Bytes of a path or link target.
    #[error("bytes in a path")]
    PathLength,
    /// Bytes of an entry's extended header.
    #[error("bytes of extended header")]
    ExtendedHeader,
}

impl Bound {
    /// Whether hitting it is the mark of an attack (code `hostile_input`) and not just a large
    /// input (code `too_large`).
    #[must_use]
    pub fn is_hostile(self) -> bool {
        !matches!(self, Self::Entries | Self::Bytes)
    }
}

/// An error of the operating system that can be sent between processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct OsError {
    /// `errno`, where there is one.
    pub errno: Option<i32>,
    /// Its text.
    pub message: String,
}

impl From<std::io::Error> for OsError {
    fn from(error: std::io::Error) -> Self {
        Self { errno: error.raw_os_error(), message: error.to_string() }
    }
}

impl From<rustix::io::Errno> for OsError {
    fn from(errno: rustix::io::Errno) -> Self {
        std::io::Error::from(errno).into()
    }
}

/// Why unpacking, measuring or removing a tree failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "failure")]
#[non_exhaustive]
pub enum UnpackError {
    /// An entry is not allowed.
    #[error("unpack `{entry}`: {reason}")]
    Refused {
        /// The entry's name, made printable and cut.
        entry: String,
        /// The rule it breaks.
        reason: Refusal,
    },
    /// A bound was hit.
    #[error("unpack `{entry}`: the archive has more than {limit} {bound}")]
    TooLarge {
        /// The entry at which it was hit.
        entry: String,
        /// Which bound.
        bound: Bound,
        /// The bound's value.
        limit: u64,
    },
    /// Not a tar, or a broken one.
    #[error("read the archive: {message}")]
    Malformed {
        /// What is wrong.
        message: String,
    },
    /// The bytes are not those that were promised.
    #[error("verify the archive: {what} is {found} instead of {expected}")]
    Mismatch {
        /// `digest` or `size`.
        what: String,
        /// The promise.
        expected: String,
        /// What came.
        found: String,
    },
    /// The disk is full.
    #[error("write `{entry}`: no space left on the disk")]
    NoSpace {
        /// What was being written.
        entry: String,
    },
    /// The operating system refused.
    #[error("{doing} `{path}`")]
    Io {
        /// The act, as a verb.
        doing: String,
        /// What it was done to.
        path: String,
        /// Why it failed.
        #[source]
        source: OsError,
    },
    /// The process that was to do the work did not.
    #[error("run the unpacking process: {message}")]
    Process {
        /// What became of it.
        message: String,
    },
}

impl UnpackError {
    /// An operating system's failure while `doing` something to `path`.
    pub fn io(doing: &str, path: &[u8], source: impl Into<OsError>) -> Self {
        let source = source.into();
        let full = [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT];
        if full.iter().any(|e| source.errno == Some(e.raw_os_error())) {
            return Self::NoSpace { entry: printable(path) };
        }
        Self::Io { doing: doing.to_owned(), path: printable(path), source }
    }

    /// A refusal of `entry`.
    pub(crate) fn refused(entry: &[u8], reason: Refusal) -> Self {
        Self::Refused { entry: printable(entry), reason }
    }

    /// `bound` was hit at `entry`.
    pub(crate) fn too_large(entry: &[u8], bound: Bound, limit: u64) -> Self {
        Self::TooLarge { entry: printable(entry), bound, limit }
    }

    /// The archive is broken.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed { message: message.into() }
    }

    /// Takes back an error of ours that travelled through a reader, or wraps the reader's own.
    pub(crate) fn from_reader(error: std::io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(other) if other.raw_os_error().is_some() => Self::io("read", b"archive", other),
            Err(other) => Self::malformed(other.to_string()),
        }
    }
}

/// A hostile name as text: control characters escaped, at most 200 characters.
pub(crate) fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text
        .chars()
        .take(200)
        .flat_map(|c| {
            let escape = c.is_control();
            let plain = (!escape).then_some(c);
            plain.into_iter().chain(c.escape_default().filter(move |_| escape))
        })
        .collect();
    if text.chars().nth(200).is_some() {
        shown.push('…');
    }
    shown
}
