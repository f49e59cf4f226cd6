//! The MCP door: a server over standard input and output, whose tools are made from the list.
//!
//! Promises: no tool is named here by hand, except in `moves`, the order that the model is told; a
//! reply is whole in its structured form and in its text; a failure is in-band, with its hint; the
//! server ends within 200 ms of its input's end, and commands that run go on.

mod answer;
mod bound;
mod call;
mod cancelled;
mod consent;
mod end_of_input;
mod http;
mod instructions;
mod legible;
mod moves;
mod outline;
mod oversized;
mod prompts;
mod resources;
mod roots;
mod serve;
mod server;
mod spoken;
pub mod text;
mod tools;

pub use http::{address, serve_http};
pub use instructions::instructions;
pub use prompts::prompts;
pub use serve::{Serving, serve};
pub use tools::{Surface, described};
