//! The rows, each with the name that `--only` takes.

mod alive;
mod create;
mod diff;
mod door;
mod exec;
mod microvm;
mod ordinary_user;
mod reset;
mod run;
mod words;

use crate::{bench::Bench, error::Result, row::Row};

/// What makes a row, or several that share their preparation.
pub(crate) type Make = fn(&Bench) -> Result<Vec<Row>>;

/// All rows, in the order of the table.
pub(crate) const ALL: &[(&str, Make)] = &[
    ("run", run::rows),
    ("run-user", ordinary_user::rows),
    ("exec", exec::from_the_command_line),
    ("mcp", exec::over_mcp),
    ("mcp-start", door::start),
    ("mcp-door", door::overhead),
    ("mcp-tools", words::rows),
    ("reset", reset::rows),
    ("story-small", create::story_small),
    ("story-large", create::story_large),
    ("create-cold", create::cold),
    ("create-edited", create::edited),
    ("diff", diff::rows),
    ("idle", alive::idle),
    ("crowd", alive::crowd),
    ("microvm", microvm::rows),
];
