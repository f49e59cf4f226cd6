//! Operations on the host that pyro runs on.

mod prepare;

pub use prepare::{Prepare, PrepareReport, Readiness};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Request;

/// Asks what works here, what does not, and the command that mends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Doctor {
    /// Also check that this environment is here and starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Boot no guest to see whether that works.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quick: bool,
}

/// What works here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorReport {
    /// One line to act on.
    pub verdict: String,
    /// Everything that is needed works.
    pub healthy: bool,
    /// What runs workspaces here.
    pub machine: String,
    /// How strongly it isolates.
    pub isolation: String,
    /// One row each.
    pub checks: Vec<DoctorCheck>,
    /// Where pyro keeps its files.
    pub home: String,
    /// What lies there.
    pub home_use: Vec<HomeUse>,
    /// Processes that pyro owns on this host.
    pub processes: Vec<OwnedProcess>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorCheck {
    /// Its name; failures name it in `details.check`.
    pub check: String,
    /// It is as it should be.
    pub ok: bool,
    /// Nothing works without it.
    pub required: bool,
    /// What was found.
    pub found: String,
    /// What it is needed for.
    pub needed_for: String,
    /// The command or setting that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// A part of pyro's home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HomeUse {
    /// Relative to the home.
    pub path: String,
    /// What it holds.
    pub holds: String,
    /// How many.
    pub entries: u64,
}

/// A process that pyro owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnedProcess {
    /// Its process id.
    pub pid: u32,
    /// What it is for.
    pub purpose: String,
    /// Its workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

impl Request for Doctor {
    type Reply = DoctorReport;
    const NAME: &'static str = "doctor";
}
