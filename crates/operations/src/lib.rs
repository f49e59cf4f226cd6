//! The verbs of pyro: one request and one reply for each operation, and the list of them all.
//!
//! Promises: an operation is written here once; the command line, the MCP tools, `pyro::Client`,
//! the reference pages and the parity tests are made from `list`. Requests hold no defaults
//! (absent is not the same as typed); defaults live in the engine and replies say what was used.
//! Adding an operation: its file here, one row in `list.rs`, one file at the same path in the
//! engine.

pub mod chat_host;
pub mod environment;
pub mod exec;
pub mod failure;
pub mod file;
pub mod host;
pub mod list;
pub mod reply;
pub mod request;
mod request_checks;
pub mod schema;
pub mod server;
pub mod story;
pub mod workspace;

pub use failure::{Code, Failure};
pub use list::OPERATIONS;
pub use request::{Effect, Mode, Operation, Profile, Reach, Request, Toolset};
pub use server::ServerFlags;
