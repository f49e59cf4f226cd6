//! `workspace_exec_wait`: takes a running command up again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Failure, Request, exec::ExecReply, request_checks};

/// Waits for a command again, from any door, also after the server was restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceExecWait {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// The command's id.
    #[schemars(extend("x-position" = 1))]
    pub exec_id: String,
    /// Seconds to wait before the call answers `running` again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 280))]
    pub wait_s: Option<u64>,
    /// Characters of the reply at most; 20,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 45000))]
    pub max_output_chars: Option<usize>,
}

impl Request for WorkspaceExecWait {
    type Reply = ExecReply;
    const NAME: &'static str = "workspace_exec_wait";

    fn check(&self) -> Result<(), Failure> {
        request_checks::waiting(self.wait_s, self.max_output_chars)
    }
}
