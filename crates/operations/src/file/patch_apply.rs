//! `workspace_patch_apply`: several files at once, all of it or nothing.

use pyro_model::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, file::WorkspaceFileChanged};

/// Applies a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspacePatchApply {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// A unified or git diff, or the `*** Begin Patch` form; at most 8 MiB.
    #[serde(alias = "diff", alias = "input", alias = "patchText")]
    #[schemars(extend("x-content" = true))]
    pub patch: String,
}

impl Request for WorkspacePatchApply {
    type Reply = WorkspaceFileChanged;
    const NAME: &'static str = "workspace_patch_apply";

    fn check(&self) -> Result<(), Failure> {
        if self.patch.len() > limits::PATCH_BYTES {
            return Err(Failure::new(
                Code::TooLarge,
                format!("patch: at most {} bytes", limits::PATCH_BYTES),
            )
            .hint("apply it in parts"));
        }
        Ok(())
    }
}
