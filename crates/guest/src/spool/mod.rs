//! How a spool is written: the log of what happened and the kept output of each command, as
//! `pyro_protocol::spool` lays them out.
//!
//! Promises: one format, whoever writes it: the agent in a container, the monitor for a VM.
//! Does not: know of calls, doors or commands.

mod error;
mod event_log;
mod kept;

pub(crate) use error::SpoolError;
pub(crate) use event_log::EventLog;
pub(crate) use kept::Kept;
