//! The states of a workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a workspace is in its life. `Running` and `Stopped` are derived from the machine's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkspaceState {
    /// Being made by a call that is still going on.
    Creating,
    /// Its machine is up.
    Running,
    /// Its machine is being taken down.
    Stopping,
    /// On disk only; the next call that needs the guest starts it.
    Stopped,
    /// It cannot be started; `state_reason` says why.
    Failed,
    /// Being removed by a call that is still going on.
    Deleting,
}
crate::machine::spelled!(WorkspaceState {
    Creating => "creating",
    Running => "running",
    Stopping => "stopping",
    Stopped => "stopped",
    Failed => "failed",
    Deleting => "deleting",
});
