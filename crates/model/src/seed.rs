//! Where a workspace's files came from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of source that a seed was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OriginKind {
    /// A Git checkout on the host.
    Checkout,
    /// A plain directory on the host.
    Directory,
    /// A tar file on the host.
    Archive,
    /// A repository's URL.
    Repo,
    /// Nothing: `/workspace` began empty.
    None,
}
crate::machine::spelled!(OriginKind {
    Checkout => "checkout",
    Directory => "directory",
    Archive => "archive",
    Repo => "repo",
    None => "none",
});
