//! The agent inside a machine: process 1 of a container, later of a VM.
//!
//! One thread, one epoll loop, no polling. It is given handles (`AgentConfig`) and speaks
//! `pyro-protocol` on every connection; commands outlive the connection that started them.

mod config;
mod error;

pub use config::{AgentConfig, Confine, ExitReason};
pub use error::AgentError;

/// Serves until the machine ends.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "the agent owns its handles")]
pub fn run(config: AgentConfig) -> ExitReason {
    let _ = config;
    ExitReason::Asked
}
