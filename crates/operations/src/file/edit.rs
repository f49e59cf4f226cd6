//! `workspace_file_edit`: replaces exact text in a file.

use pyro_model::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, file::WorkspaceFileChanged, request_checks};

/// Replaces exact text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceFileEdit {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// The file, relative to `/workspace`.
    #[serde(alias = "file_path", alias = "filePath")]
    #[schemars(extend("x-position" = 1))]
    pub path: String,
    /// The exact text that is there, with enough around it to be the only place.
    #[serde(alias = "oldString", alias = "old_str")]
    pub old_string: String,
    /// The text to put there.
    #[serde(alias = "newString", alias = "new_str")]
    pub new_string: String,
    /// Replace every place; without it there must be exactly one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", alias = "replaceAll")]
    pub replace_all: bool,
}

impl Request for WorkspaceFileEdit {
    type Reply = WorkspaceFileChanged;
    const NAME: &'static str = "workspace_file_edit";

    fn check(&self) -> Result<(), Failure> {
        request_checks::path("path", &self.path)?;
        if self.old_string.is_empty() {
            return Err(Failure::new(Code::InvalidArgument, "old_string: it is empty")
                .hint("use workspace_file_write to make a new file"));
        }
        if self.old_string == self.new_string {
            return Err(Failure::new(
                Code::InvalidArgument,
                "old_string and new_string are the same: nothing to do",
            ));
        }
        if self.old_string.len() + self.new_string.len() > limits::FILE_WRITE_BYTES {
            return Err(Failure::new(
                Code::TooLarge,
                format!("old_string and new_string: at most {} bytes", limits::FILE_WRITE_BYTES),
            ));
        }
        Ok(())
    }
}
