//! Chat hosts (Claude Code, Codex, opencode): pyro's server in their configuration, and out of it
//! again.
//!
//! Promises: a file is changed as a whole or not at all, under a lock, with its mode, comments,
//! order, line ends and everything that is not pyro's as they were; what was changed is recorded
//! first, so that disconnecting undoes exactly that; a file that cannot be read is never written
//! without a copy beside it. A project's file is only followed within the project, and nothing that
//! a project names is started but pyro itself.
//! Knows nothing of workspaces, of the engine or of a terminal; `Surroundings` is all it knows of
//! the process it runs in.

mod apply;
mod change;
mod connect;
mod differ;
mod disconnect;
mod doctor;
mod document;
mod error;
mod examine;
mod file;
mod hosts;
mod print_config;
mod probe;
mod program;
mod reach;
mod record;
mod repair;
mod server;
mod surroundings;
mod trial;
mod undo;
mod wish;

pub use connect::connect;
pub use disconnect::disconnect;
pub use doctor::doctor;
pub use error::{ChatHostError, Result};
pub use print_config::print_config;
pub use repair::repair;
pub use surroundings::Surroundings;
