//! Workspaces as a whole: made, shown, taken back, taken out of, removed.

mod create;
mod delete;
mod destination;
mod diff;
mod export;
mod list;
mod plan;
mod prune;
mod reset;
mod show;
mod source;
mod status;
mod update;

pub(crate) use create::Made;
pub(crate) use plan::all_but_one;
