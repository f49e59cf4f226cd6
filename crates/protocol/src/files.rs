//! Files below `/workspace`, as the merged view shows them. Paths are relative to `/workspace`,
//! without `..`; an empty path is `/workspace` itself. The agent resolves each beneath its own
//! handle of `/workspace`: symlinks inside are followed, one that leads out is refused.

use serde::{Deserialize, Serialize};

/// Lists what is below a directory, in byte order of the paths, depth first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The directory (or one file).
    pub path: String,
    /// Levels to descend; 1 is the directory's own entries.
    pub depth: u32,
    /// Only paths that match, if given; relative to `path`.
    pub glob: Option<String>,
    /// Entries at most.
    pub limit: u32,
}

/// What a listing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// At most `limit`.
    pub entries: Vec<Entry>,
    /// More were there.
    pub truncated: bool,
}

/// One path of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to `/workspace`; bytes that are not UTF-8 are shown replaced.
    pub path: String,
    /// What it is; symlinks are not followed.
    pub kind: EntryKind,
    /// Size of a file.
    pub bytes: u64,
    /// A file with an executable bit.
    pub executable: bool,
    /// Where a symlink points.
    pub target: Option<String>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink.
    Link,
    /// A fifo, socket or device.
    Other,
}

/// Reads a part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The file.
    pub path: String,
    /// What `offset` and `limit` count.
    pub unit: Unit,
    /// Lines or bytes to skip.
    pub offset: u64,
    /// Lines or bytes at most.
    pub limit: u64,
    /// Bytes of content at most; a line is cut only when it alone is longer.
    pub max_bytes: u64,
}

/// What a read counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Lines, ended by a newline; UTF-8 is required of the part that is returned.
    Lines,
    /// Bytes, whatever they are.
    Bytes,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The part.
    pub bytes: Vec<u8>,
    /// Size of the whole file.
    pub total_bytes: u64,
    /// Lines of the whole file; a last one without newline counts.
    pub total_lines: u64,
    /// Where to go on, in the unit asked for.
    pub next_offset: Option<u64>,
    /// SHA-256 of the whole file.
    pub sha256: [u8; 32],
}

/// Writes a whole file: temporary file beside it, then rename. Parents are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The file.
    pub path: String,
    /// All of it.
    pub content: Vec<u8>,
    /// The executable bit; as it was (or off) when absent.
    pub executable: Option<bool>,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// It was not there before.
    pub created: bool,
    /// It was there with exactly this content and bit.
    pub unchanged: bool,
}

/// Replaces exact text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The file; UTF-8, at most `pyro_model::limits::FILE_EDIT_BYTES`.
    pub path: String,
    /// What to find, byte for byte; not empty.
    pub old: String,
    /// What to put there.
    pub new: String,
    /// Every place; without it the text must be there exactly once.
    pub all: bool,
}

/// What an edit did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// Places replaced.
    pub replacements: u64,
    /// Size of the file now.
    pub bytes: u64,
}

/// Sends files whole, as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Files or directories, as bytes: names need not be UTF-8.
    pub paths: Vec<Vec<u8>>,
    /// Descend into directories.
    pub recursive: bool,
    /// Bytes of all files at most; `TooLarge` past it.
    pub max_bytes: u64,
    /// Entries at most; `TooLarge` past it.
    pub max_entries: u64,
}

/// The head of one packed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    /// Path relative to `/workspace`, as bytes: names need not be UTF-8.
    pub path: Vec<u8>,
    /// What it is. `Other` has no content and is only named.
    pub kind: EntryKind,
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Bytes that follow as chunks; exactly that many follow, zero-padded if the file shrank.
    pub bytes: u64,
    /// Where a symlink points.
    pub target: Option<Vec<u8>>,
}
