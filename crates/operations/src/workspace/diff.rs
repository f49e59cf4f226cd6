//! `workspace_diff`: what changed, as a patch that `git apply` takes.

use pyro_model::ChangeKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, reply::Next};

/// Asks what changed since the seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceDiff {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// Only these files or directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-flag" = "path"))]
    pub paths: Vec<String>,
    /// Only the list of files with counts, no patch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stat: bool,
    /// Against `baseline` (what was seeded), or `head` (its HEAD commit, so with the user's own
    /// uncommitted changes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DiffFrom>,
    /// Byte of the patch to begin at; `next_offset` of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Characters of the reply at most; 20,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 45000))]
    pub max_output_chars: Option<usize>,
}

/// What a diff is against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiffFrom {
    /// What was seeded.
    Baseline,
    /// The HEAD commit of what was seeded.
    Head,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceDiffed {
    /// One line to act on.
    pub verdict: String,
    /// Against what.
    pub from: DiffFrom,
    /// Files that were not there.
    pub created: u64,
    /// Files with other content or type.
    pub modified: u64,
    /// Files that are gone.
    pub deleted: u64,
    /// Files under another name.
    pub renamed: u64,
    /// Lines added, of text files.
    pub insertions: u64,
    /// Lines taken away, of text files.
    pub deletions: u64,
    /// One row each, in order of their paths; cut to what fits, `patch` first loses.
    pub files: Vec<DiffFile>,
    /// Files left out of `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_omitted: Option<u64>,
    /// Ignored paths that were touched and are not in the diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<u64>,
    /// The patch, or the part of it that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// Size of the whole patch.
    pub patch_bytes: u64,
    /// SHA-256 of the whole patch.
    pub patch_sha256: String,
    /// Where the next part begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
    /// The next tool to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffFile {
    /// Relative to `/workspace`.
    pub path: String,
    /// What happened.
    pub change: ChangeKind,
    /// For a rename, the path it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Lines added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insertions: Option<u64>,
    /// Lines taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions: Option<u64>,
    /// Not text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
}

impl Request for WorkspaceDiff {
    type Reply = WorkspaceDiffed;
    const NAME: &'static str = "workspace_diff";

    fn check(&self) -> Result<(), Failure> {
        if self.paths.len() > 1_000 {
            return Err(Failure::new(Code::InvalidArgument, "paths: at most 1,000"));
        }
        for path in &self.paths {
            crate::request_checks::path("paths", path)?;
        }
        crate::request_checks::output_characters(self.max_output_chars)
    }
}
