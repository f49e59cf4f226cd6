//! `workspace_status`: one workspace, whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Request, reply::WorkspaceReply};

/// Asks how one workspace stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceStatus {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
}

impl Request for WorkspaceStatus {
    type Reply = WorkspaceReply;
    const NAME: &'static str = "workspace_status";
}
