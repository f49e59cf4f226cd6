//! Environments: the read-only root file systems that workspaces start from, in a verified cache.
//!
//! [`Cache`] pulls the curated ones from a Debian mirror, imports tars and OCI layouts, and
//! resolves a name to a root file system. An environment appears whole or not at all, its digest
//! covers everything in it, and a damaged one is found and repaired by the next pull.
//! [`kernel`] keeps the microVM's kernel in the same way. [`unpack`] is the one place where archives from anybody meet the disk, also for seeds.
//! Knows no workspace, machine or door; works on trees through an [`Unpacker`], since rootless
//! they belong to ids that only a user namespace can act for.

mod bootstrap;
mod cache;
pub mod catalog;
mod crash;
mod digest;
mod error;
pub mod host;
mod import;
pub mod kernel;
mod name;
mod progress;
mod pull;
pub mod tools;
mod tree;
pub mod unpack;
mod unpacker;

pub use cache::{
    Cache, EnvironmentState, EnvironmentStatus, ImageConfig, Installed, InstalledFrom, Manifest,
    Outcome, Pruned, PrunedTree, Pulled,
};
pub use digest::Digest;
pub use error::{EnvironmentError, ErrorKind, Result};
pub use import::ImportSource;
pub use name::EnvironmentName;
pub use progress::{Progress, ProgressSink, Stage};
pub use pull::PullOptions;
pub use tree::{TreeMeasure, measure, remove, settle};
pub use unpacker::{Done, InProcess, StoredOwnership, Unpacker, Work, perform};
