//! `host_print_config`: what connecting would write, to be put there by hand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChatHost, Scope, check_name, check_server, is_default};
use crate::{Failure, Request, ServerFlags};

/// Prints the configuration that a chat host needs; writes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostPrintConfig {
    /// The chat host.
    #[schemars(extend("x-position" = 0))]
    pub chat_host: ChatHost,
    /// What the server is started with.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-flags" = ServerFlags::HEADING))]
    pub server: ServerFlags,
    /// For whom: user when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Also what denies the chat host its own shell and file-writing tools in this project.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only: bool,
    /// Also what lets the chat host call pyro's tools without asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow: bool,
    /// The server's name in the chat host: pyro when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-flag" = "as"))]
    pub name: Option<String>,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostConfig {
    /// One line to act on.
    pub verdict: String,
    /// The chat host.
    pub chat_host: ChatHost,
    /// The server's name there.
    pub name: String,
    /// What the chat host starts.
    pub command: Vec<String>,
    /// What goes into which file.
    pub parts: Vec<ConfigPart>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// What goes into one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigPart {
    /// The file; absent where pyro does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// `json` or `toml`.
    pub format: String,
    /// The text, beside what is there already.
    pub content: String,
}

impl Request for HostPrintConfig {
    type Reply = HostConfig;
    const NAME: &'static str = "host_print_config";

    fn check(&self) -> Result<(), Failure> {
        check_name(self.name.as_deref())?;
        check_server(&self.server)
    }
}
