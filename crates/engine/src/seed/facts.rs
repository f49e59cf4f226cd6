//! The words that callers of the seed room use: where a seed comes from, what bounds it, and
//! what is known about the layer that was made from it.
//!
//! `SeedFacts` is also the on-disk form (`<key>/seed.json`); adding a field needs a serde
//! default, renaming one needs a new `FORMAT`.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SeedError;
use super::locks::Lease;

/// Version of everything below `<store>/<key>`; part of every key.
pub const FORMAT: u32 = 1;

/// Where a seed comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the doc of each variant covers its fields")]
pub enum SeedSource {
    /// The root of a Git checkout, taken because the caller stands in it.
    Checkout { path: PathBuf },
    /// A directory that the user named; by Git's rules when it lies in a checkout.
    Directory { path: PathBuf },
    /// A tar archive, plain or compressed with gzip or zstd.
    Archive { path: PathBuf },
    /// A `file://` or `https://` repository, at a branch, tag or commit.
    Repo { url: String, reference: Option<String> },
    /// An empty workspace.
    None,
}

/// What a seed may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and the doc of the type say it")]
pub struct SeedLimits {
    pub bytes: u64,
    pub files: u64,
    pub depth: usize,
}

impl Default for SeedLimits {
    fn default() -> Self {
        Self { bytes: 20 << 30, files: 1_000_000, depth: 256 }
    }
}

/// Everything about a seed that is the user's choice.
#[derive(Debug, Clone)]
pub struct SeedOptions {
    /// Globs of the user's flags and config: ignored files that come along all the same.
    pub include: Vec<String>,
    /// Globs that a model named: the same, but never what looks like a credential.
    pub guarded_include: Vec<String>,
    /// A model chose what is seeded: of a directory that Git ignores, what looks like a credential
    /// stays out, and a checkout that is not whole is not taken as a plain directory.
    pub guarded: bool,
    /// What the seed may hold at most.
    pub limits: SeedLimits,
    /// The user's home, which is never taken as a bare checkout.
    pub user_home: Option<PathBuf>,
    /// The user's own ignore file for all repositories; see [`super::user_ignore_file`].
    pub user_ignore_file: Option<PathBuf>,
    /// Proxy and CA variables for `https://` clones.
    pub network_env: Vec<(OsString, OsString)>,
    /// Longest time that one local step of git may take.
    pub git_deadline: Duration,
    /// Longest time that a clone may take.
    pub clone_deadline: Duration,
}

impl Default for SeedOptions {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            guarded_include: Vec::new(),
            guarded: false,
            limits: SeedLimits::default(),
            user_home: None,
            user_ignore_file: None,
            network_env: Vec::new(),
            git_deadline: Duration::from_secs(300),
            clone_deadline: Duration::from_secs(1800),
        }
    }
}

/// Unpacks an archive into an empty directory; the environment crate has the one implementation.
pub trait ArchiveUnpacker {
    /// Unpacks `archive`, which is called `path` in messages, below `into`, refusing escapes,
    /// devices and bombs.
    fn unpack(
        &self,
        archive: File,
        path: &Path,
        into: &Path,
        limits: &SeedLimits,
    ) -> Result<Unpacked, SeedError>;
}

/// What an [`ArchiveUnpacker`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and the doc of the type say it")]
pub struct Unpacked {
    pub files: u64,
    pub bytes: u64,
    pub skipped: Vec<Skipped>,
}

/// The kind of a seed's origin, as replies name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names and the doc of the type say it")]
pub enum OriginKind {
    Checkout,
    Directory,
    Archive,
    Repo,
    None,
}

impl OriginKind {
    /// The word used in payloads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Directory => "directory",
            Self::Archive => "archive",
            Self::Repo => "repo",
            Self::None => "none",
        }
    }
}

/// A path of the source that did not come along, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and the doc of the type say it")]
pub struct Skipped {
    pub path: String,
    pub reason: String,
}

/// An ignored directory that stayed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and the doc of the type say it")]
pub struct NotSeeded {
    pub path: String,
    /// At least this many: counting stops once the directory is worth a mention.
    pub bytes: u64,
    /// The flag that brings it in.
    pub flag: String,
}

/// What is known about a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and the doc of the type say it")]
pub struct SeedFacts {
    pub format: u32,
    pub key: String,
    /// The full layer below, when this one holds only what differs from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    pub origin_kind: OriginKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub dirty: bool,
    /// Files and links of the project, without those of `.git`.
    pub files: u64,
    pub bytes: u64,
    /// Made by Git's rules, so that ignore rules and `head_dirty` mean something.
    pub git_rules: bool,
    /// The tree carries a `.git` that this room wrote.
    pub has_git: bool,
    /// Where the tree's root lies below the root whose ignore rules hold.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    pub skipped: Vec<Skipped>,
    /// How many more were skipped than `skipped` lists.
    #[serde(default)]
    pub skipped_more: u64,
    pub not_seeded: Vec<NotSeeded>,
    pub notices: Vec<String>,
}

/// A finished seed layer. The directories stay as long as this value or a record names them.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names and the doc of the type say it")]
pub struct SeedLayer {
    pub facts: SeedFacts,
    /// Overlay lowers, top first: one, or a delta over its base.
    pub layers: Vec<PathBuf>,
    /// `<store>/<key>`.
    pub(crate) home: PathBuf,
    /// Keeps collection away until the caller's record names the key.
    pub(crate) _lease: Vec<Lease>,
}

impl SeedLayer {
    /// The key that records keep.
    pub fn key(&self) -> &str {
        &self.facts.key
    }
}
