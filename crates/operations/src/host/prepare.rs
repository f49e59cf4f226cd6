//! `prepare`: everything made that the first workspace would wait for, and proven.

use pyro_model::{Isolation, MachineChoice, MachineKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request};

/// Makes everything ready for workspaces of an environment, and proves it once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// The root file system; what a create without one takes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-position" = 0))]
    pub environment: Option<String>,
    /// What runs workspaces of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineChoice>,
    /// Also prove that workspaces with a network have one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub network: bool,
    /// Make it anew even when all is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// How ready something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// Nothing is made yet: the first workspace waits.
    Cold,
    /// Everything is made.
    Warm,
    /// Something was made of what has changed since.
    Stale,
}

impl Readiness {
    /// As it is spelled on every door.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Readiness::Cold => "cold",
            Readiness::Warm => "warm",
            Readiness::Stale => "stale",
        }
    }
}

/// What is ready now, and how fast it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrepareReport {
    /// One line to act on.
    pub verdict: String,
    /// The root file system.
    pub environment: String,
    /// What runs workspaces of it.
    pub machine: MachineKind,
    /// How strongly that isolates.
    pub isolation: Isolation,
    /// How ready it is now.
    pub state: Readiness,
    /// How ready it was before.
    pub was: Readiness,
    /// Why it was not warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The microVMs' kernel, and where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// What the machine's template takes on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_bytes: Option<u64>,
    /// How long making it took.
    pub prepare_ms: u64,
    /// How long a cold boot took, from the start of the machine to its agent, where one was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_ms: Option<u64>,
    /// How long one create took.
    pub create_ms: u64,
    /// How long one command took, there and back.
    pub exec_ms: u64,
    /// How long one reset took.
    pub reset_ms: u64,
    /// How long one delete took.
    pub delete_ms: u64,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Request for Prepare {
    type Reply = PrepareReport;
    const NAME: &'static str = "prepare";

    fn check(&self) -> Result<(), Failure> {
        if self.network {
            return Err(Failure::new(
                Code::Unsupported,
                "network: workspaces have no network yet (policy `off`)",
            )
            .hint("prepare without it")
            .detail("instead", "prepare without network"));
        }
        Ok(())
    }
}
