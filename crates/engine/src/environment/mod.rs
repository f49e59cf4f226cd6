//! Environments: chosen for a new workspace, shown, pulled, imported, pruned.

mod choose;
mod import;
mod inspect;
mod list;
mod prune;
mod pull;
mod row;
mod unpacker;

pub(crate) use choose::Chosen;
pub(crate) use unpacker::MappedUnpacker;
