//! Environments: chosen for a new workspace, shown, pulled, imported, pruned.

mod choose;
mod import;
mod inspect;
mod kernel;
mod list;
mod prune;
mod pull;
mod row;
mod unpacker;

pub(crate) use choose::{Chosen, HOST};
pub(crate) use kernel::in_words;
pub(crate) use unpacker::MappedUnpacker;
