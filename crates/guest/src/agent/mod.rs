//! The agent inside a machine: process 1 of a container or a VM.
//!
//! One thread, one epoll loop, no polling and no sleeping. It is given handles (`AgentConfig`) and
//! speaks `pyro-protocol` on every connection, or on the one port that a VM has (`Doors`). Commands
//! outlive the connections that started them; what they write and how they end goes to the spool,
//! where the next door finds it: a container's agent writes it, a VM's sends it to the monitor.
//!
//! ```text
//! agent ── supervisor ── command ── …     one supervisor per command, the reaper of its tree
//!   │  └── supervisor ── command
//!   └ connections, output pipes, timers, work in slices: one turn of `Agent::serve` each
//! ```

mod channel;
mod command;
mod commands;
mod config;
mod connection;
mod dispatch;
mod ending;
mod error;
mod exec;
mod files;
mod follow;
mod jobs;
mod output;
pub mod plain;
mod poller;
mod reap;
mod refusal;
mod report;
mod serve;
mod stop;
mod supervisor;
mod sweep;
mod timers;
mod tree;

pub use config::{AgentConfig, Confine, Doors, ExitReason, Port};
pub use error::AgentError;

use serve::Agent;

/// Serves until the machine ends. The calling process must have one thread; it becomes a
/// subreaper that cannot be traced, with SIGPIPE ignored and SIGCHLD blocked.
#[must_use]
pub fn run(config: AgentConfig, doors: Doors) -> ExitReason {
    match Agent::start(config, doors) {
        Ok(mut agent) => agent.serve(),
        Err(error) => ExitReason::Failed(error),
    }
}
