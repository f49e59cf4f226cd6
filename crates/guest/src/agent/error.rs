//! How the agent itself fails; what a call asked for and could not have is a `Refusal` instead.

use std::io;

/// The agent cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A system call that the agent cannot do without.
    #[error("{step} {what}: {source}")]
    System {
        /// What was being done, as a verb.
        step: &'static str,
        /// To what.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl AgentError {
    /// For `map_err`.
    pub(crate) fn on<E: Into<io::Error>>(
        step: &'static str,
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::System { step, what, source: source.into() }
    }
}

impl From<crate::spool::SpoolError> for AgentError {
    fn from(error: crate::spool::SpoolError) -> Self {
        Self::System { step: error.step, what: error.what, source: error.source.into() }
    }
}
