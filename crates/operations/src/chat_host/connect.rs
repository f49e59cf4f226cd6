//! `host_connect`: sets pyro's server up in a chat host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChatHost, FileChange, Scope, check_name, check_server, check_written, is_default};
use crate::{Failure, Request, ServerFlags};

/// Sets pyro's server up in a chat host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostConnect {
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
    /// Also deny the chat host its own shell and file-writing tools in this project, so that the
    /// model works in workspaces only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only: bool,
    /// Also let the chat host call pyro's tools without asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow: bool,
    /// The server's name in the chat host: pyro when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-flag" = "as"))]
    pub name: Option<String>,
}

/// What was set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostConnected {
    /// One line to act on.
    pub verdict: String,
    /// The chat host.
    pub chat_host: ChatHost,
    /// The server's name there.
    pub name: String,
    /// For whom.
    pub scope: Scope,
    /// The file that names the server.
    pub file: String,
    /// What the chat host starts.
    pub command: Vec<String>,
    /// What says how the entry looks: the chat host's own command, or pyro.
    pub made_by: String,
    /// Everything that was changed.
    pub changes: Vec<FileChange>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Request for HostConnect {
    type Reply = HostConnected;
    const NAME: &'static str = "host_connect";

    fn check(&self) -> Result<(), Failure> {
        check_written(Some(self.chat_host))?;
        check_name(self.name.as_deref())?;
        check_server(&self.server)
    }
}
