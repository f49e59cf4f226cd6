//! The agent inside a machine: process 1 of a container, later of a VM.
//!
//! One thread, one epoll loop, no polling and no sleeping. It is given handles (`AgentConfig`) and
//! speaks `pyro-protocol` on every connection. Commands outlive the connections that started them;
//! what they write and how they end goes to the spool, where the next door finds it.
//!
//! ```text
//! agent ── supervisor ── command ── …     one supervisor per command, the reaper of its tree
//!   │  └── supervisor ── command
//!   └ connections, output pipes, timers, work in slices: one turn of `Agent::serve` each
//! ```

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

pub use config::{AgentConfig, Confine, ExitReason};
pub use error::AgentError;

use serve::Agent;

/// Serves until the machine ends. The calling process must have one thread; it becomes a
/// subreaper that cannot be traced, with SIGPIPE ignored and SIGCHLD blocked.
#[must_use]
pub fn run(config: AgentConfig) -> ExitReason {
    match Agent::start(config) {
        Ok(mut agent) => agent.serve(),
        Err(error) => ExitReason::Failed(error),
    }
}
