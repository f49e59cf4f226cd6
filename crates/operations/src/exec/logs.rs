//! `workspace_logs`: the commands of a workspace, and the kept output of one.

use pyro_model::{ExecState, OutputStream, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request};

/// Asks for the commands, or for the output of one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceLogs {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// Whose output; without it the commands are listed, newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-position" = 1))]
    pub exec_id: Option<String>,
    /// Which stream; `stdout` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<OutputStream>,
    /// Byte to begin at (`next_offset` of the part before), or rows of the list to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Bytes at most (30,000), or rows of the list (50).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 40000))]
    pub limit: Option<u64>,
}

/// The commands, or the output of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceLogged {
    /// One line to act on.
    pub verdict: String,
    /// The commands, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub execs: Vec<LoggedExec>,
    /// The part of the output; bytes that are not UTF-8 are shown replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Where the next part begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
    /// There is nothing after this part, and the command has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eof: Option<bool>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// One command of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedExec {
    /// Its id.
    pub exec_id: String,
    /// The line, cut to 200 characters.
    pub command: String,
    /// How it stands.
    pub state: ExecState,
    /// Only when it exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// When it was started.
    pub started_at: Timestamp,
    /// The end of what it wrote, cut to 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

impl Request for WorkspaceLogs {
    type Reply = WorkspaceLogged;
    const NAME: &'static str = "workspace_logs";

    fn check(&self) -> Result<(), Failure> {
        if self.stream.is_some() && self.exec_id.is_none() {
            return Err(Failure::new(Code::InvalidArgument, "stream needs exec_id"));
        }
        match self.limit {
            Some(limit) if !(1..=40_000).contains(&limit) => {
                Err(Failure::new(Code::InvalidArgument, "limit: give 1 to 40,000"))
            }
            _ => Ok(()),
        }
    }
}
