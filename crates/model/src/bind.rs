//! A host directory or file that an environment shows inside a container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a bound path may be used inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindMode {
    /// Read-only, recursively, without setuid programs and devices.
    ReadOnly,
    /// A throw-away overlay on top: writes go to the workspace's own layers.
    Overlay,
}

/// One host path and where it shows inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// Absolute path inside.
    pub target: PathBuf,
    /// What may be done with it.
    pub mode: BindMode,
}
