//! `workspace_export`: takes a file, a tree or the patch out to the host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request};

/// Takes something out of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceExport {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// What to take out: a file or directory below `/workspace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-position" = 1))]
    pub path: Option<String>,
    /// `path` (files as they are) when a path is given, else `patch` (the diff).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ExportKind>,
    /// Where to, which must not exist yet: a name below the export directory; on the command line
    /// any path on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// Files as they are.
    Path,
    /// The diff against the baseline.
    Patch,
}

/// What was written to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceExported {
    /// One line to act on.
    pub verdict: String,
    /// The workspace's id.
    pub workspace: String,
    /// Where it is now.
    pub host_path: String,
    /// What it is.
    pub kind: ExportKind,
    /// Files written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
    /// SHA-256 of a single file's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Request for WorkspaceExport {
    type Reply = WorkspaceExported;
    const NAME: &'static str = "workspace_export";

    fn check(&self) -> Result<(), Failure> {
        match (self.kind, &self.path) {
            (Some(ExportKind::Path), None) => {
                Err(Failure::new(Code::InvalidArgument, "kind `path` needs path"))
            }
            (Some(ExportKind::Patch), Some(_)) => Err(Failure::new(
                Code::InvalidArgument,
                "kind `patch` is of the whole workspace: leave path out",
            )),
            (_, Some(path)) => crate::request_checks::path("path", path),
            (_, None) => Ok(()),
        }
    }
}
