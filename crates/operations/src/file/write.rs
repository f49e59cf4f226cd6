//! `workspace_file_write`: a whole file, atomically.

use pyro_model::{Change, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, file::Encoding, request_checks};

/// Writes a whole file; its directories are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceFileWrite {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// The file, relative to `/workspace`.
    #[serde(alias = "file_path", alias = "filePath")]
    #[schemars(extend("x-position" = 1))]
    pub path: String,
    /// All of its content, at most 8 MiB.
    #[serde(alias = "file_text")]
    #[schemars(extend("x-content" = true, "x-flag" = "text"))]
    pub content: String,
    /// `utf8` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Its executable bit; as it was when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-either" = true))]
    pub executable: Option<bool>,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceFileChanged {
    /// One line to act on.
    pub verdict: String,
    /// The files.
    pub files: Vec<Change>,
    /// Places replaced by an edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacements: Option<u64>,
    /// The workspace's id.
    pub workspace: String,
    /// The workspace was stopped, and this call started it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub started: bool,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Request for WorkspaceFileWrite {
    type Reply = WorkspaceFileChanged;
    const NAME: &'static str = "workspace_file_write";

    fn check(&self) -> Result<(), Failure> {
        request_checks::path("path", &self.path)?;
        let most = match self.encoding {
            None | Some(Encoding::Utf8) => limits::FILE_WRITE_BYTES,
            Some(Encoding::Base64) => limits::FILE_WRITE_BYTES / 3 * 4 + 4,
        };
        if self.content.len() > most {
            return Err(Failure::new(
                Code::TooLarge,
                format!("content: at most {} bytes", limits::FILE_WRITE_BYTES),
            )
            .hint("write it in parts with a command, or bring it in with the seed"));
        }
        Ok(())
    }
}
