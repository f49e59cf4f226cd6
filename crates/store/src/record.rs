//! What is kept of a workspace.

use std::path::PathBuf;

use pyro_model::{Bind, Isolation, Labels, MachineKind, Timestamp, WorkspaceId, WorkspaceName};
use serde::{Deserialize, Serialize};

/// Where a workspace is between two steps of a change. Whether it runs is not here: that is the
/// machine's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Being made; with a free operation lock, the maker died: undo.
    Creating,
    /// Made.
    Live,
    /// Being taken back to the baseline; with a free operation lock: do it again.
    Resetting,
    /// Being removed; with a free operation lock: finish.
    Deleting,
}

impl Phase {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Creating => "creating",
            Phase::Live => "live",
            Phase::Resetting => "resetting",
            Phase::Deleting => "deleting",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Phase::Creating, Phase::Live, Phase::Resetting, Phase::Deleting]
            .into_iter()
            .find(|phase| phase.as_str() == text)
    }
}

/// What a machine of this workspace is started with, always the same until it is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Read-only layers of the root, top first.
    pub root_lowers: Vec<PathBuf>,
    /// Read-only layers of `/workspace`, top first.
    pub tree_lowers: Vec<PathBuf>,
    /// Host paths shown inside.
    pub binds: Vec<Bind>,
    /// Where `/workspace` shows a second time.
    pub also_at: Option<PathBuf>,
    /// Variables of the environment, for every command.
    pub variables: Vec<(String, String)>,
    /// Cores' worth of time.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u64,
    /// Disk, where it was asked for.
    pub disk_mib: Option<u64>,
}

/// One workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: Option<WorkspaceName>,
    /// Its labels.
    pub labels: Labels,
    /// Where it is in a change.
    pub phase: Phase,
    /// It is gone once its one command has ended and was answered.
    pub ephemeral: bool,
    /// What runs it.
    pub machine: MachineKind,
    /// How strongly that isolates.
    pub isolation: Isolation,
    /// The environment's name.
    pub environment: String,
    /// The environment's digest, where it is an installed one.
    pub environment_digest: Option<String>,
    /// What a machine is started with.
    pub run: RunSpec,
    /// The seed's key, unless it began empty.
    pub seed_key: Option<String>,
    /// What a reply says of the seed, as JSON.
    pub seed: serde_json::Value,
    /// Bounds that nothing keeps, as JSON.
    pub not_enforced: serde_json::Value,
    /// The network policy.
    pub network: String,
    /// Seconds without use after which it is stopped.
    pub idle_ttl_s: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something was last done in it.
    pub last_activity_at: Timestamp,
    /// How often it was reset; names the trash of each reset.
    pub generation: u64,
    /// Changed files, when last counted.
    pub changed_files: Option<u64>,
    /// SHA-256 of the patch, when last made.
    pub patch_sha256: Option<String>,
    /// SHA-256 of the patch that was last exported whole.
    pub exported_sha256: Option<String>,
    /// How far the agent's log has been read.
    pub spool_offset: u64,
    /// Why its machine ended, where nobody asked it to.
    pub state_reason: Option<String>,
}
