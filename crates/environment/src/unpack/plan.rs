//! What an unpacking is to do, and what it did: plain data, serializable so that the work can
//! be handed to a helper process.

use serde::{Deserialize, Serialize};

/// What the archive is, which decides what is allowed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveKind {
    /// A root file system, or one layer of it. A leading `/` is stripped; parents may be links,
    /// resolved inside the target as if it were `/`; setuid bits are kept (the target must lie
    /// below a 0700 directory); devices and pipes are skipped and counted.
    Image,
    /// A user's project. Absolute names, `..`, hard links outward, devices, pipes and paths
    /// through links are refused; setuid, setgid and sticky bits are stripped; links are stored
    /// verbatim and never followed.
    Seed,
}

/// Who owns what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// As in the archive. Needs root, or a user namespace that maps `0..=highest_id`.
    Keep {
        /// An entry owned by a higher id is refused.
        highest_id: u32,
    },
    /// Everything becomes the caller's, who can read all files and enter all directories.
    Ignore,
}

impl Ownership {
    /// Kept, for the 65,536 ids that a workspace has.
    pub const KEEP: Self = Self::Keep { highest_id: 65_535 };
}

/// Bounds on what an archive may hold (product contract, A6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Entries of any type.
    pub entries: u64,
    /// Bytes of the uncompressed archive.
    pub bytes: u64,
    /// Uncompressed bytes per packed byte.
    pub expansion: u64,
    /// Uncompressed bytes below which the expansion is not looked at.
    pub expansion_floor: u64,
    /// Components of a path.
    pub depth: u64,
    /// Bytes of one component.
    pub name_length: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 20 << 30,
            expansion: 100,
            expansion_floor: 64 << 20,
            depth: 256,
            name_length: 255,
        }
    }
}

/// What the packed bytes must be, checked while they stream by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedArchive {
    /// SHA-256 of the packed bytes, 64 lower-case hex digits.
    pub sha256: String,
    /// Their number.
    pub bytes: u64,
}

/// How to unpack one archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackPlan {
    /// What it is.
    pub kind: ArchiveKind,
    /// Who owns the result.
    pub ownership: Ownership,
    /// Its bounds.
    pub limits: Limits,
    /// Refuse devices and pipes in an image as well (a seed always does).
    pub refuse_devices: bool,
    /// It is an OCI layer: `.wh.` entries delete what earlier layers left.
    pub whiteouts: bool,
    /// What the packed bytes must be.
    pub expected: Option<ExpectedArchive>,
}

impl UnpackPlan {
    /// For a whole root file system.
    #[must_use]
    pub fn image(ownership: Ownership) -> Self {
        Self {
            kind: ArchiveKind::Image,
            ownership,
            limits: Limits::default(),
            refuse_devices: false,
            whiteouts: false,
            expected: None,
        }
    }

    /// For a user's project.
    #[must_use]
    pub fn seed() -> Self {
        let kind = ArchiveKind::Seed;
        Self { kind, refuse_devices: true, ..Self::image(Ownership::Ignore) }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackSummary {
    /// Entries read, of every type.
    pub entries: u64,
    /// Regular files written.
    pub files: u64,
    /// Directories named by the archive.
    pub directories: u64,
    /// Symbolic links made.
    pub symlinks: u64,
    /// Hard links made.
    pub hard_links: u64,
    /// Whiteouts applied.
    pub whiteouts: u64,
    /// Devices and pipes left out.
    pub skipped_devices: u64,
    /// Bytes of file content written.
    pub bytes: u64,
    /// Bytes of the uncompressed archive.
    pub archive_bytes: u64,
}
