//! `workspace_exec_stop`: ends a command and everything it started.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, exec::ExecReply};

/// Ends a command: the signal first, SIGKILL for what is left of its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceExecStop {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// The command's id.
    #[schemars(extend("x-position" = 1))]
    pub exec_id: String,
    /// The signal to begin with: `TERM` when absent; `INT`, `HUP`, `QUIT`, `KILL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

impl WorkspaceExecStop {
    /// The number of the signal to begin with.
    ///
    /// # Errors
    /// `invalid_argument` for any other name.
    pub fn signal_number(&self) -> Result<i32, Failure> {
        let name = self.signal.as_deref().unwrap_or("TERM");
        match name.strip_prefix("SIG").unwrap_or(name) {
            "HUP" => Ok(1),
            "INT" => Ok(2),
            "QUIT" => Ok(3),
            "KILL" => Ok(9),
            "USR1" => Ok(10),
            "USR2" => Ok(12),
            "TERM" => Ok(15),
            _ => Err(Failure::new(
                Code::InvalidArgument,
                "signal: give TERM, INT, HUP, QUIT, KILL, USR1 or USR2",
            )),
        }
    }
}

impl Request for WorkspaceExecStop {
    type Reply = ExecReply;
    const NAME: &'static str = "workspace_exec_stop";

    fn check(&self) -> Result<(), Failure> {
        self.signal_number().map(|_| ())
    }
}
