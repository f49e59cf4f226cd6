//! `workspace_file_list`: what is below a directory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, request_checks};

/// Asks what is below a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceFileList {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// The directory; `/workspace` when absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        alias = "file_path",
        alias = "filePath"
    )]
    #[schemars(extend("x-position" = 1))]
    pub path: Option<String>,
    /// Levels to descend; 2 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub depth: Option<u32>,
    /// Only paths that match, such as `**/*.rs`; relative to `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// Entries at most; 500 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5000))]
    pub limit: Option<u32>,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceFileListed {
    /// One line to act on.
    pub verdict: String,
    /// In order of their paths.
    pub entries: Vec<FileEntry>,
    /// More are there than fit.
    pub truncated: bool,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// Relative to `/workspace`.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Size of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// A file that can be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// Where a link points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symlink.
    Link,
    /// A fifo, socket or device.
    Other,
}

impl Request for WorkspaceFileList {
    type Reply = WorkspaceFileListed;
    const NAME: &'static str = "workspace_file_list";

    fn check(&self) -> Result<(), Failure> {
        if let Some(path) = &self.path {
            request_checks::path("path", path)?;
        }
        if self.depth.is_some_and(|depth| !(1..=64).contains(&depth)) {
            return Err(Failure::new(Code::InvalidArgument, "depth: give 1 to 64"));
        }
        if self.limit.is_some_and(|limit| !(1..=5_000).contains(&limit)) {
            return Err(Failure::new(Code::InvalidArgument, "limit: give 1 to 5,000"));
        }
        if self.glob.as_ref().is_some_and(|glob| glob.len() > 1_024) {
            return Err(Failure::new(Code::InvalidArgument, "glob: at most 1,024 bytes"));
        }
        Ok(())
    }
}
