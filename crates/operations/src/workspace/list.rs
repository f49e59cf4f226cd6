//! `workspace_list`: which workspaces there are, newest activity first.

use std::collections::BTreeMap;

use pyro_model::{Isolation, LabelKey, LabelValue, Timestamp, WorkspaceState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request};

/// Asks which workspaces there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceList {
    /// Only those with all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>", extend("x-flag" = "label"))]
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Only those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<WorkspaceState>,
    /// How many at most; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The workspaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceListed {
    /// One line to act on.
    pub verdict: String,
    /// One row each.
    pub workspaces: Vec<WorkspaceRow>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// One workspace, short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceRow {
    /// Its id.
    pub workspace: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// The root file system it started from.
    pub environment: String,
    /// How strongly it isolates.
    pub isolation: Isolation,
    /// What it was seeded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_ref: Option<String>,
    /// Files that differ from the seed, when last counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_files: Option<u64>,
    /// There are changes that no export holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexported: Option<bool>,
    /// When something was last done in it.
    pub last_activity_at: Timestamp,
}

impl Request for WorkspaceList {
    type Reply = WorkspaceListed;
    const NAME: &'static str = "workspace_list";

    fn check(&self) -> Result<(), Failure> {
        match self.limit {
            Some(limit) if !(1..=500).contains(&limit) => {
                Err(Failure::new(Code::InvalidArgument, "limit: give 1 to 500"))
            }
            _ => Ok(()),
        }
    }
}
