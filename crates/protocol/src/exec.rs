//! Commands: what starts one, how one ended, and how the machine as a whole stands.

use serde::{Deserialize, Serialize};

use pyro_model::{ExecId, ExecState};

/// One command to run. The agent adds nothing to `environment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecStart {
    /// Chosen by the host.
    pub exec: ExecId,
    /// The line as the caller gave it: recorded, never interpreted by the agent.
    pub line: String,
    /// What is executed.
    pub program: Program,
    /// Absolute path inside; refused when it is not a directory.
    pub cwd: String,
    /// The whole environment, in order.
    pub environment: Vec<(String, String)>,
    /// Standard input; `/dev/null` when absent.
    pub stdin: Option<Vec<u8>>,
    /// Milliseconds after which the tree is ended.
    pub timeout_ms: u64,
    /// Bytes kept of each stream: half as the head, half as a ring of the tail.
    pub kept_bytes: u64,
    /// Whether the stream is followed.
    pub follow: Follow,
    /// Wall-clock time at the host, milliseconds since the epoch.
    pub at_ms: u64,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// A program found on the `PATH` of the environment given, with its arguments; no shell.
    Words(Vec<String>),
    /// A line for `bash -c`, or `sh -c` where there is no bash.
    Shell(String),
}

/// Whether the answers carry the command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Follow {
    /// Only its end.
    End,
    /// Everything from these offsets on; what is no longer kept is skipped.
    Output { stdout: u64, stderr: u64 },
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its id.
    pub exec: ExecId,
    /// Never `Running`.
    pub state: ExecState,
    /// Only for `Exited`.
    pub exit_code: Option<i32>,
    /// Only for `Signaled`.
    pub signal: Option<i32>,
    /// From fork to the end.
    pub duration_ms: u64,
    /// Bytes it wrote, kept or not.
    pub stdout_bytes: u64,
    /// Bytes it wrote, kept or not.
    pub stderr_bytes: u64,
    /// Processes of its tree that could not be ended within the agent's bound for that.
    pub survivors: u32,
}

/// How the machine stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStatus {
    /// Processes inside, the agent's own not counted.
    pub processes: u32,
    /// Commands that still run, oldest first, at most 1,000.
    pub running: Vec<ExecId>,
    /// Milliseconds since the last command or call that counts as use.
    pub idle_ms: u64,
    /// Milliseconds since the machine started.
    pub uptime_ms: u64,
}
