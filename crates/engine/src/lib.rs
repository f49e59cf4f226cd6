//! What the verbs do: the life of a workspace, its journal, and every default once.
//!
//! Promises: a handler stands at the same path as its request; every step of a change can be
//! killed and the next call finishes or undoes it; nothing here knows clap, MCP or a terminal.

mod arguments;
pub mod ceiling;
mod chat_host;
mod choice;
pub mod context;
mod crash;
mod diff;
mod engine;
mod environment;
mod exec;
mod failure;
mod file;
pub mod handle;
pub mod helper;
mod host;
mod life;
mod lookup;
mod microvm;
mod repair;
pub mod seed;
pub mod settings;
mod spool;
mod workspace;

pub use ceiling::{Asker, Fence, NetworkCeiling, ProjectSource, Question};
pub use context::{Context, Door, Live, LiveSink, Progress, ProgressSink};
pub use engine::Engine;
pub use handle::Handle;
pub use pyro_machine::Cancel;
pub use settings::{Config, Settings};
