//! The states of a command and the streams it writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a command stands. Only `Exited` has an exit code; none is ever invented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecState {
    /// Still going on; wait for it again by its id.
    Running,
    /// It ended by itself.
    Exited,
    /// A signal ended it.
    Signaled,
    /// It ran past `timeout_s` and was ended.
    TimedOut,
    /// It was ended by `exec_stop` or by its caller.
    Cancelled,
    /// Its machine died before the result was known.
    Lost,
}
crate::machine::spelled!(ExecState {
    Running => "running",
    Exited => "exited",
    Signaled => "signaled",
    TimedOut => "timed_out",
    Cancelled => "cancelled",
    Lost => "lost",
});

/// What a command writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}
crate::machine::spelled!(OutputStream { Stdout => "stdout", Stderr => "stderr" });
