//! Pieces that several replies share.

use std::collections::BTreeMap;

use pyro_model::{Change, Isolation, MachineKind, OriginKind, Timestamp, WorkspaceState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The next tool to call, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Next {
    /// Its name.
    pub tool: String,
    /// Why.
    pub why: String,
}

/// What the workspace was seeded from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seed {
    /// The kind of source.
    pub origin_kind: OriginKind,
    /// The path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_ref: Option<String>,
    /// The commit that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// There were uncommitted changes, which came along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// What could not be read or is no file, with reasons; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Ignored directories that stayed out, with the flag that adds them; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_seeded: Vec<NotSeeded>,
}

/// A path that a seed left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// Relative to the source.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// An ignored directory that stayed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotSeeded {
    /// Relative to the source.
    pub path: String,
    /// At least this much.
    pub bytes: u64,
    /// What adds it.
    pub flag: String,
}

/// Which contacts are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Network {
    /// `off` is no network at all.
    pub policy: String,
    /// The only hosts allowed, if limited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
}

/// Sizes of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Cores' worth of time.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u64,
    /// Disk for changes.
    pub disk_mib: u64,
    /// Bounds that nothing keeps here, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_enforced: Vec<NotEnforced>,
}

/// A bound that nothing keeps here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotEnforced {
    /// Which.
    pub limit: String,
    /// Why, and what would help.
    pub why: String,
}

/// A workspace, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceReply {
    /// One line to act on.
    pub verdict: String,
    /// Its id.
    pub workspace: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// Why, where the state needs a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// What runs it.
    pub machine: MachineKind,
    /// How strongly it isolates.
    pub isolation: Isolation,
    /// The root file system it started from.
    pub environment: String,
    /// What it was seeded from.
    pub seed: Seed,
    /// Which contacts are allowed.
    pub network: Network,
    /// Sizes.
    pub resources: Resources,
    /// Files that differ from the seed, when last counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_files: Option<u64>,
    /// There are changes that no export holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexported: Option<bool>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something was last done in it.
    pub last_activity_at: Timestamp,
    /// Seconds without use after which it is stopped.
    pub idle_ttl_s: u64,
    /// Commands that run now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running_execs: Vec<String>,
    /// It was stopped, and this call started it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub started: bool,
    /// This call made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Tools that the project needs and the environment lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking_tools: Vec<LackingTool>,
    /// What a reset would throw away, or threw away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// The next tool to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// A tool that the project needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LackingTool {
    /// The program.
    pub tool: String,
    /// What says that it is needed.
    pub needed_by: String,
    /// An environment that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// What a reset throws away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// Changed files, at most 50.
    pub files: Vec<Change>,
    /// How many there are in all.
    pub changed_files: u64,
    /// Commands that run and would be ended.
    pub running_execs: Vec<String>,
}
