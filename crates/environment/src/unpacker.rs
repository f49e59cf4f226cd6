//! Who does the work on trees: this process, or one inside a user namespace.
//!
//! Rootless, an image's files belong to sub-ids and only a process in a user namespace of that
//! map can write, read or delete them. The caller supplies that process as an [`Unpacker`] and
//! in it calls [`perform`]; [`Work`] and [`Done`] are serializable for the way there and back.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::tree::{self, TreeMeasure};
use crate::unpack::{self, Ownership, UnpackError, UnpackPlan, UnpackSummary};

/// How owners in images are stored on the host's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StoredOwnership {
    /// As in the image; to be mounted with an id map. Made by root.
    Unshifted,
    /// 0 is the user, `u >= 1` is `subuid_base + u - 1`, and the same for groups.
    Mapped {
        /// First subordinate user id.
        subuid_base: u32,
        /// First subordinate group id.
        subgid_base: u32,
    },
    /// Everything is the user's.
    Single,
}

impl StoredOwnership {
    /// What unpacking does about owners.
    #[must_use]
    pub fn when_unpacking(self) -> Ownership {
        match self {
            Self::Unshifted | Self::Mapped { .. } => Ownership::KEEP,
            Self::Single => Ownership::Ignore,
        }
    }
}

/// One piece of work on a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "work")]
pub enum Work {
    /// Unpack the archive that comes along into the directory.
    Unpack {
        /// How.
        plan: UnpackPlan,
    },
    /// Make an unpacked root file system ready for use.
    Settle {
        /// Also empty apt's caches.
        package_caches: bool,
    },
    /// Compute its digest and size.
    Measure {
        /// Whether owners count.
        ownership: Ownership,
    },
    /// Delete the path and all below it.
    Remove,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "done")]
pub enum Done {
    /// Of [`Work::Unpack`].
    Unpacked(UnpackSummary),
    /// Of [`Work::Measure`].
    Measured(TreeMeasure),
    /// Of the others.
    Finished,
}

/// Does the work with enough privilege for it.
pub trait Unpacker: Send + Sync {
    /// How what it unpacks lies on the disk.
    fn ownership(&self) -> StoredOwnership;

    /// Does one piece of work on `target`, an absolute path; `archive` (a file or a pipe) is
    /// there for [`Work::Unpack`] only. [`perform`] is the implementation, to be called by a
    /// process that may do it.
    fn perform(
        &self,
        work: &Work,
        target: &Path,
        archive: Option<File>,
    ) -> Result<Done, UnpackError>;

    /// Unpacks `archive` into the directory `target`.
    fn unpack(
        &self,
        archive: File,
        target: &Path,
        plan: UnpackPlan,
    ) -> Result<UnpackSummary, UnpackError> {
        match self.perform(&Work::Unpack { plan }, target, Some(archive))? {
            Done::Unpacked(summary) => Ok(summary),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a root file system ready for use.
    fn settle(&self, root: &Path, package_caches: bool) -> Result<(), UnpackError> {
        self.perform(&Work::Settle { package_caches }, root, None).map(drop)
    }

    /// Digest and size of the tree at `root`.
    fn measure(&self, root: &Path) -> Result<TreeMeasure, UnpackError> {
        let ownership = self.ownership().when_unpacking();
        match self.perform(&Work::Measure { ownership }, root, None)? {
            Done::Measured(measure) => Ok(measure),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes `path` and all below it; nothing there is fine.
    fn remove(&self, path: &Path) -> Result<(), UnpackError> {
        self.perform(&Work::Remove, path, None).map(drop)
    }
}

/// Does `work` here and now, with the rights of the calling process.
pub fn perform(work: &Work, target: &Path, archive: Option<File>) -> Result<Done, UnpackError> {
    use std::os::unix::ffi::OsStrExt;
    let open = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(target, flags, Mode::empty())
            .map_err(|e| UnpackError::io("open", target.as_os_str().as_bytes(), e))
    };
    match work {
        Work::Unpack { plan } => {
            let nothing = || UnpackError::Process { message: "no archive came along".into() };
            unpack::run(archive.ok_or_else(nothing)?, open()?, plan).map(Done::Unpacked)
        }
        Work::Settle { package_caches } => {
            tree::settle(&open()?, *package_caches).map(|()| Done::Finished)
        }
        Work::Measure { ownership } => tree::measure(&open()?, *ownership).map(Done::Measured),
        Work::Remove => tree::remove(target).map(|()| Done::Finished),
    }
}

fn unexpected(done: &Done) -> UnpackError {
    UnpackError::Process { message: format!("it answered {done:?} to another question") }
}

/// Works in the calling process: for root, and for an ordinary user with a single id.
#[derive(Debug, Clone, Copy)]
pub struct InProcess {
    ownership: StoredOwnership,
}

impl InProcess {
    /// Keeps owners as root, ignores them as anybody else.
    #[must_use]
    pub fn new() -> Self {
        let root = rustix::process::geteuid().is_root();
        Self { ownership: if root { StoredOwnership::Unshifted } else { StoredOwnership::Single } }
    }

    /// Ignores owners.
    #[must_use]
    pub fn single() -> Self {
        Self { ownership: StoredOwnership::Single }
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl Unpacker for InProcess {
    fn ownership(&self) -> StoredOwnership {
        self.ownership
    }

    fn perform(
        &self,
        work: &Work,
        target: &Path,
        archive: Option<File>,
    ) -> Result<Done, UnpackError> {
        perform(work, target, archive)
    }
}
