//! `workspace_exec`: runs one command in a workspace.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Failure, Request, exec::ExecReply, request_checks::Command};

/// Runs one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceExec {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// One shell line, run by bash, else sh.
    #[serde(alias = "cmd")]
    #[schemars(extend("x-command" = true))]
    pub command: String,
    /// Where to run, below `/workspace`; `/workspace` itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "workdir")]
    pub cwd: Option<String>,
    /// Variables to set for this command.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Its standard input, at most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-content" = true))]
    pub stdin: Option<String>,
    /// Seconds after which it is ended; 600 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_s: Option<u64>,
    /// Seconds to wait before the call answers `running`; the command goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 280))]
    pub wait_s: Option<u64>,
    /// Characters of the reply at most; 20,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 45000))]
    pub max_output_chars: Option<usize>,
}

impl Request for WorkspaceExec {
    type Reply = ExecReply;
    const NAME: &'static str = "workspace_exec";

    fn check(&self) -> Result<(), Failure> {
        Command {
            command: &self.command,
            env: &self.env,
            stdin: self.stdin.as_deref(),
            timeout_s: self.timeout_s,
            wait_s: self.wait_s,
            max_output_chars: self.max_output_chars,
        }
        .check()
    }
}
