//! One changed path, as diffs, writes and patches report it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Created,
    /// Its content or type differs.
    Modified,
    /// It is gone.
    Deleted,
    /// It has the content of a path that is gone.
    Renamed,
    /// Only its executable bit differs.
    Mode,
}
crate::machine::spelled!(ChangeKind {
    Created => "created",
    Modified => "modified",
    Deleted => "deleted",
    Renamed => "renamed",
    Mode => "mode",
});

/// One changed path below `/workspace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Relative to `/workspace`.
    pub path: String,
    /// What happened.
    pub change: ChangeKind,
    /// For a rename, the path it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its size now, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}
