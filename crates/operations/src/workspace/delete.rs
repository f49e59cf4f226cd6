//! `workspace_delete`: ends a workspace and removes its files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Request, reply::Next};

/// Removes a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceDelete {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceDeleted {
    /// One line to act on.
    pub verdict: String,
    /// Its id.
    pub workspace: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It held changes that no export holds.
    pub unexported: bool,
    /// Where the last patch is kept on the host, for 7 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_patch: Option<String>,
    /// The next tool to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Request for WorkspaceDelete {
    type Reply = WorkspaceDeleted;
    const NAME: &'static str = "workspace_delete";
}
