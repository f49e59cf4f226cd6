//! `workspace_create`: a fresh workspace from a project.

use pyro_model::{LabelKey, LabelValue, MachineChoice, WorkspaceName, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{Code, Failure, Request, reply::WorkspaceReply};

/// Asks for a fresh workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceCreate {
    /// A unique name, used instead of the id: a-z, 0-9, `.`, `_`, `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub name: Option<WorkspaceName>,
    /// Labels to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>", extend("x-flag" = "label"))]
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// The root file system: `host` (this machine's own toolchains), `debian:12`,
    /// `debian:12-base`, `debian:12-build`, or an imported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-position" = 0))]
    pub environment: Option<String>,
    /// A directory or tar file on the host to copy into `/workspace`; the project when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_path: Option<String>,
    /// A repository to clone into `/workspace`: `https://` or `file://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_url: Option<String>,
    /// The branch, tag or commit of `repo_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_ref: Option<String>,
    /// Begin with an empty `/workspace`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_seed: bool,
    /// Globs of ignored files that come along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// What runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-full" = true))]
    pub machine: Option<MachineChoice>,
    /// Which contacts are allowed; `off` is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-full" = true))]
    pub network: Option<String>,
    /// Cores' worth of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-full" = true), range(min = 1, max = 1024))]
    pub cpus: Option<u32>,
    /// Memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-full" = true), range(min = 16))]
    pub memory_mib: Option<u64>,
    /// Disk for changes, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-full" = true), range(min = 16))]
    pub disk_mib: Option<u64>,
    /// Seconds without use after which it is stopped; its files stay. 0 is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-full" = true))]
    pub idle_ttl_s: Option<u64>,
}

impl Request for WorkspaceCreate {
    type Reply = WorkspaceReply;
    const NAME: &'static str = "workspace_create";

    fn check(&self) -> Result<(), Failure> {
        let sources = usize::from(self.seed_path.is_some())
            + usize::from(self.repo_url.is_some())
            + usize::from(self.no_seed);
        if sources > 1 {
            return Err(Failure::new(
                Code::InvalidArgument,
                "seed_path, repo_url and no_seed exclude each other",
            )
            .hint("give one of them, or none to use the project"));
        }
        if self.repo_ref.is_some() && self.repo_url.is_none() {
            return Err(Failure::new(Code::InvalidArgument, "repo_ref needs repo_url"));
        }
        if self.labels.len() > limits::LABELS {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("labels: {} given, at most {}", self.labels.len(), limits::LABELS),
            ));
        }
        if self.include.len() > 64 || self.include.iter().any(|glob| glob.len() > 1024) {
            return Err(Failure::new(
                Code::InvalidArgument,
                "include: at most 64 globs of at most 1,024 bytes",
            ));
        }
        crate::request_checks::network(self.network.as_deref())?;
        crate::request_checks::sizes(self.cpus, self.memory_mib, self.disk_mib)
    }
}
