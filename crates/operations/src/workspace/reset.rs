//! `workspace_reset`: a fresh machine at the baseline.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, reply::WorkspaceReply};

/// Takes a workspace back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceReset {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// Where to: `baseline` (what was seeded) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Only say what would be lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl Request for WorkspaceReset {
    type Reply = WorkspaceReply;
    const NAME: &'static str = "workspace_reset";

    fn check(&self) -> Result<(), Failure> {
        match self.snapshot.as_deref() {
            None | Some("baseline") => Ok(()),
            Some(name) => Err(Failure::new(
                Code::NotFound,
                format!("snapshot `{}` does not exist", name.chars().take(80).collect::<String>()),
            )
            .hint("the only snapshot so far is `baseline`: leave snapshot out")
            .detail("kind", "snapshot")),
        }
    }
}
