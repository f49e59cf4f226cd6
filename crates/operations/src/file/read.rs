//! `workspace_file_read`: a part of a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, request_checks};

/// Asks for a file, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceFileRead {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// The file, relative to `/workspace`.
    #[serde(alias = "file_path", alias = "filePath")]
    #[schemars(extend("x-position" = 1))]
    pub path: String,
    /// Lines to skip (bytes with `base64`): `next_offset` of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Lines at most (bytes with `base64`); 2,000 lines when absent, and never more than 30,000
    /// characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
    /// `utf8` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}

/// How content is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As it is.
    Utf8,
    /// For any bytes.
    Base64,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceFileContent {
    /// One line to act on.
    pub verdict: String,
    /// Relative to `/workspace`.
    pub path: String,
    /// The part.
    pub content: String,
    /// How it is written.
    pub encoding: Encoding,
    /// Size of the whole file.
    pub bytes: u64,
    /// Lines of the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Where the part begins.
    pub offset: u64,
    /// Where the next part begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Request for WorkspaceFileRead {
    type Reply = WorkspaceFileContent;
    const NAME: &'static str = "workspace_file_read";

    fn check(&self) -> Result<(), Failure> {
        request_checks::path("path", &self.path)?;
        match self.limit {
            Some(0) => Err(Failure::new(Code::InvalidArgument, "limit: give at least 1")),
            _ => Ok(()),
        }
    }
}
