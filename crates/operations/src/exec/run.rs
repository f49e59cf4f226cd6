//! What every operation on one command answers.

use pyro_model::{ExecState, Isolation, MachineKind, OutputStream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reply::Next;

/// How a command stands, and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecReply {
    /// One line to act on.
    pub verdict: String,
    /// The command's id; wait for it again by it.
    pub exec_id: String,
    /// How it stands. A command that failed is a reply, not a failure of the call.
    pub state: ExecState,
    /// Only when it exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// How long it ran, or has run so far.
    pub duration_ms: u64,
    /// What it wrote: head and tail, within the bound.
    pub stdout: String,
    /// What it wrote: head and tail, within the bound.
    pub stderr: String,
    /// All that it wrote.
    pub stdout_bytes: u64,
    /// All that it wrote.
    pub stderr_bytes: u64,
    /// What was left out of `stdout` and `stderr` here; `workspace_logs` has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<Omitted>,
    /// Where it ran, relative to `/workspace`.
    pub cwd: String,
    /// The workspace's id.
    pub workspace: String,
    /// The workspace was stopped, and this call started it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub started: bool,
    /// What runs it.
    pub machine: MachineKind,
    /// How strongly it isolates.
    pub isolation: Isolation,
    /// Which contacts were allowed.
    pub network: ExecNetwork,
    /// The next tool to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// A part of the output that is not in the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Omitted {
    /// Of which stream.
    pub stream: OutputStream,
    /// Where it begins.
    pub offset: u64,
    /// How much it is.
    pub bytes: u64,
}

/// Which contacts were allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecNetwork {
    /// `off` is no network at all.
    pub policy: String,
    /// Contacts that were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}
