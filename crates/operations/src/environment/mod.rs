//! Operations on environments, the root file systems that workspaces start from.

use pyro_model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request};

/// Asks which environments there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentList {}

/// The environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentListed {
    /// One line to act on.
    pub verdict: String,
    /// One row each: curated ones first.
    pub environments: Vec<EnvironmentRow>,
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentRow {
    /// Its name.
    pub environment: String,
    /// What is in it.
    pub about: String,
    /// It is here.
    pub installed: bool,
    /// It is what a create without `environment` takes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// Its size on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When it was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<Timestamp>,
    /// Workspaces that use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<u64>,
}

impl Request for EnvironmentList {
    type Reply = EnvironmentListed;
    const NAME: &'static str = "environment_list";
}

/// Gets an environment, or repairs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentPull {
    /// Its name.
    #[schemars(extend("x-position" = 0))]
    pub environment: String,
    /// Get it again even when it is here and whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Also get this kernel for microVMs: `debian`, `host` (the one that runs here), or the path
    /// of an image, with its modules in `PATH.modules/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

/// One environment, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentReply {
    /// One line to act on.
    pub verdict: String,
    /// The environment.
    #[serde(flatten)]
    pub row: EnvironmentRow,
    /// Where it lies on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// Files in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Tools that were found in it, with their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// This call installed or repaired it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pulled: bool,
    /// The microVMs' kernel, and where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// How long that took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Request for EnvironmentPull {
    type Reply = EnvironmentReply;
    const NAME: &'static str = "environment_pull";
}

/// Asks what is in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentInspect {
    /// Its name.
    #[schemars(extend("x-position" = 0))]
    pub environment: String,
    /// Read every file and compare with the digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verify: bool,
}

impl Request for EnvironmentInspect {
    type Reply = EnvironmentReply;
    const NAME: &'static str = "environment_inspect";
}

/// Removes environments that no workspace uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentPrune {
    /// Only say what would be removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentPruned {
    /// One line to act on.
    pub verdict: String,
    /// Names, or digests where a name had moved on.
    pub removed: Vec<String>,
    /// What is kept because a workspace uses it.
    pub kept: Vec<String>,
    /// Size of what was removed.
    pub bytes: u64,
    /// It was only said, not done.
    pub dry_run: bool,
}

impl Request for EnvironmentPrune {
    type Reply = EnvironmentPruned;
    const NAME: &'static str = "environment_prune";
}

/// Makes an environment of a root file system or an OCI image on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentImport {
    /// The name it gets.
    #[schemars(extend("x-position" = 0))]
    pub environment: String,
    /// A root file system as tar, tar.gz or tar.zst, or an OCI image layout directory.
    #[schemars(extend("x-position" = 1))]
    pub path: String,
}

impl Request for EnvironmentImport {
    type Reply = EnvironmentReply;
    const NAME: &'static str = "environment_import";

    fn check(&self) -> Result<(), Failure> {
        let name = &self.environment;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:/@+-".contains(&b);
        let valid = !name.is_empty()
            && name.len() <= 255
            && name.bytes().all(allowed)
            && name.as_bytes()[0].is_ascii_alphanumeric()
            && !name.contains("..");
        if !valid {
            return Err(Failure::new(
                Code::InvalidArgument,
                "environment: a name of at most 255 letters, digits, `.`, `_`, `:`, `/`, `@`, `-`",
            ));
        }
        if name == "host" || name.starts_with("debian:12") {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("environment: `{name}` is one of pyro's own; give it another name"),
            ));
        }
        Ok(())
    }
}
