//! `host_doctor`: how pyro stands in each chat host, and the command that mends it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChatHost, Scope, check_name, check_server, check_written, is_default};
use crate::{Failure, Request, ServerFlags};

/// Asks how pyro stands in the chat hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostDoctor {
    /// Only this chat host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-position" = 0))]
    pub chat_host: Option<ChatHost>,
    /// Flags that the server should have, beside those that it was given.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-flags" = ServerFlags::HEADING))]
    pub server: ServerFlags,
    /// For whom: both when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Only the server of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-flag" = "as"))]
    pub name: Option<String>,
}

/// How pyro stands in the chat hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostDoctorReport {
    /// One line to act on.
    pub verdict: String,
    /// Nothing is to be mended.
    pub healthy: bool,
    /// This pyro.
    pub binary: String,
    /// One row for each server, and one for each chat host without any.
    pub hosts: Vec<HostRow>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// How a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionState {
    /// Set up as it should be, and it answers.
    Connected,
    /// Set up, but not as it should be, or it does not answer.
    Drifted,
    /// The chat host is here, and pyro is not set up in it.
    Missing,
    /// The chat host is not here.
    Unavailable,
}

impl ConnectionState {
    /// As it is spelled on every door.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionState::Connected => "connected",
            ConnectionState::Drifted => "drifted",
            ConnectionState::Missing => "missing",
            ConnectionState::Unavailable => "unavailable",
        }
    }
}

/// One server in one chat host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostRow {
    /// The chat host.
    pub chat_host: ChatHost,
    /// How it stands.
    pub state: ConnectionState,
    /// Why, in a sentence, where the state needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The chat host's program was found.
    pub installed: bool,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What it says of its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The server's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The file that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What the chat host starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The chat host's own shell and file-writing tools are denied in this project.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only: bool,
    /// pyro's tools are called without asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow: bool,
    /// What is there, and what should be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// What the server answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerAnswer>,
    /// The command that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// What is there, and what should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The file.
    pub file: String,
    /// The key in it, with dots.
    pub key: String,
    /// What is there, as JSON; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What should be there, as JSON; absent when nothing should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
}

/// What a server said when it was started as the chat host starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerAnswer {
    /// Its name and version.
    pub server: String,
    /// The protocol that it agreed to.
    pub protocol: String,
    /// How long it took from its start.
    pub answered_ms: u64,
}

impl Request for HostDoctor {
    type Reply = HostDoctorReport;
    const NAME: &'static str = "host_doctor";

    fn check(&self) -> Result<(), Failure> {
        check_written(self.chat_host)?;
        check_name(self.name.as_deref())?;
        check_server(&self.server)
    }
}
