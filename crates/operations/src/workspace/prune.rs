//! `workspace_prune`: deletes what has been stopped for long.

use pyro_model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Request;

/// Deletes workspaces that were stopped long ago.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspacePrune {
    /// Only those without activity for this many seconds; 604,800 (7 days) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_s: Option<u64>,
    /// Only say what would be deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspacePruned {
    /// One line to act on.
    pub verdict: String,
    /// One row each.
    pub workspaces: Vec<PrunedWorkspace>,
    /// It was only said, not done.
    pub dry_run: bool,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// One deleted workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrunedWorkspace {
    /// Its id.
    pub workspace: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When something was last done in it.
    pub last_activity_at: Timestamp,
    /// Files that differ from the seed.
    pub changed_files: u64,
    /// There are changes that no export holds.
    pub unexported: bool,
    /// Where its last patch is kept on the host, for 7 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_patch: Option<String>,
}

impl Request for WorkspacePrune {
    type Reply = WorkspacePruned;
    const NAME: &'static str = "workspace_prune";
}
