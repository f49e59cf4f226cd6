//! `vm_run`: one command in a fresh, throw-away workspace.

use std::collections::BTreeMap;

use pyro_model::MachineChoice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, exec::ExecReply, request_checks, request_checks::Command};

/// Runs one command in a fresh workspace that is gone afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmRun {
    /// The root file system: `host` (this machine's own toolchains), `debian:12`,
    /// `debian:12-base`, `debian:12-build`, or an imported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-position" = 0))]
    pub environment: Option<String>,
    /// One shell line, run by bash, else sh.
    #[serde(alias = "cmd")]
    #[schemars(extend("x-command" = true))]
    pub command: String,
    /// Where to run, below `/workspace`; `/workspace` itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "workdir")]
    pub cwd: Option<String>,
    /// Variables to set for this command.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Its standard input, at most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-content" = true))]
    pub stdin: Option<String>,
    /// Seconds after which it is ended; 600 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_s: Option<u64>,
    /// Seconds to wait before the call answers `running`; the command goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 280))]
    pub wait_s: Option<u64>,
    /// Characters of the reply at most; 20,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 45000))]
    pub max_output_chars: Option<usize>,
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
    /// A directory or tar file on the host to copy into `/workspace`, which is empty otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-full" = true))]
    pub seed_path: Option<String>,
    /// A repository to clone into `/workspace`: `https://` or `file://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-full" = true))]
    pub repo_url: Option<String>,
}

impl Request for VmRun {
    type Reply = ExecReply;
    const NAME: &'static str = "vm_run";

    fn check(&self) -> Result<(), Failure> {
        if self.seed_path.is_some() && self.repo_url.is_some() {
            return Err(Failure::new(
                Code::InvalidArgument,
                "seed_path and repo_url exclude each other",
            ));
        }
        request_checks::network(self.network.as_deref())?;
        request_checks::sizes(self.cpus, self.memory_mib, None)?;
        Command {
            command: &self.command,
            env: &self.env,
            stdin: self.stdin.as_deref(),
            timeout_s: self.timeout_s,
            wait_s: self.wait_s,
            max_output_chars: self.max_output_chars,
        }
        .check()
    }
}
