//! The upper layer of `/workspace`: what was touched since the seed, whiteouts included.
//!
//! The host drives the walk, level by level, so that it can leave out what the baseline ignores
//! without the guest descending there. The guest compares each upper file with the seed's file of
//! the same path (type, size, then bytes), since much of an upper layer is touched, not changed.

use serde::{Deserialize, Serialize};

/// Directories to list, relative to `/workspace`; the empty path is its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpperList {
    /// As bytes: names need not be UTF-8. At most 10,000.
    pub directories: Vec<Vec<u8>>,
}

/// One directory of the upper layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpperDirectory {
    /// Which one.
    pub path: Vec<u8>,
    /// It hides the seed's directory of the same path: what is not in `entries` is gone.
    pub opaque: bool,
    /// In no order. A directory with more than 100,000 is sent in several messages.
    pub entries: Vec<UpperEntry>,
}

/// One entry of the upper layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpperEntry {
    /// Its name, no slash.
    pub name: Vec<u8>,
    /// What stands there now.
    pub now: UpperKind,
}

/// What stands at a path of the upper layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpperKind {
    /// The seed's entry is gone.
    Whiteout,
    /// A directory; list it to know more. `seeded` when the seed has a directory there.
    Directory { seeded: bool, mode: u32 },
    /// A regular file.
    File {
        /// Size.
        bytes: u64,
        /// Permission bits.
        mode: u32,
        /// How it stands to the seed's entry of that path.
        against_seed: AgainstSeed,
    },
    /// A symlink and where it points.
    Link { target: Vec<u8>, against_seed: AgainstSeed },
    /// A fifo, socket or device, which no diff can hold.
    Other,
}

/// An upper entry beside the seed's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgainstSeed {
    /// The seed has nothing there (or hidden by an opaque parent).
    Absent,
    /// Same type, same content; the executable bit may differ.
    SameContent,
    /// Same type, other content.
    OtherContent,
    /// The seed has another type there.
    OtherType,
}
