//! The command line: subcommands made from the list of operations, and what only a person at a
//! terminal needs.
//!
//! Promises: a flag is a field of a request; what a flag adds beside that (a file read into a
//! field, a short form of the output) never adds meaning; every exit code is a constant in `exit`.
//! Reads arguments and draws replies; decides nothing that the engine decides.

mod arguments;
mod conveniences;
pub mod exit;
mod fields;
mod follow;
mod front;
mod globals;
mod grammar;
mod idiom;
mod pages;
mod perform;
mod reference;
mod render;
mod serve;
mod shell_line;
mod start;
mod terminal;

#[cfg(test)]
mod parity_tests;

pub use reference::reference_pages;
pub use start::{helper, run};
