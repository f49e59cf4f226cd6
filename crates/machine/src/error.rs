//! How a machine fails. Each variant names the thing acted on and keeps its source.

use std::{io, path::PathBuf};

use crate::GuestError;

/// A failure of a machine, below the workspace's own.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A system call of the host side failed.
    #[error("{step} {what}: {source}")]
    System {
        /// What was being done, as a verb: `open`, `clone`, `write the id map of`.
        step: &'static str,
        /// To what.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The launcher could not set the machine up; nothing is left running.
    #[error("set up the machine: {step} {what}: {source}")]
    Launch {
        /// The step inside the launcher.
        step: String,
        /// To what.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The host lacks what this machine needs; `check` is the doctor's check of it.
    #[error("use this host: {reason}")]
    HostUnfit {
        /// The doctor's name of the check.
        check: &'static str,
        /// What is missing.
        reason: String,
        /// The command or setting that mends it.
        mend: String,
    },
    /// This machine cannot do that at all.
    #[error("{operation}: {reason}")]
    Unsupported {
        /// What was asked.
        operation: &'static str,
        /// Why not.
        reason: String,
        /// What can.
        instead: String,
    },
    /// A machine already runs in that directory.
    #[error("start a second machine in {0}")]
    Busy(PathBuf),
    /// No machine runs in that directory.
    #[error("reach a machine in {0}: none runs")]
    NotRunning(PathBuf),
    /// The agent broke the protocol, went away, or did not answer in time.
    #[error(transparent)]
    Guest(#[from] GuestError),
}
