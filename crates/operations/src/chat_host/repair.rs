//! `host_repair`: makes what `host_doctor` found drifted as it should be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ChatHost, ConnectionState, FileChange, Scope, check_name, check_server, check_written,
    is_default,
};
use crate::{Failure, Request, ServerFlags};

/// Makes pyro's servers in the chat hosts as they should be; every flag that they were given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostRepair {
    /// Only this chat host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-position" = 0))]
    pub chat_host: Option<ChatHost>,
    /// Flags that the server gets, beside those that it was given.
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

/// What was repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostRepaired {
    /// One line to act on.
    pub verdict: String,
    /// One row for each server that there is, or was.
    pub hosts: Vec<RepairedRow>,
    /// Everything that was changed.
    pub changes: Vec<FileChange>,
    /// Copies of files that could not be read and were written anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<String>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// One server in one chat host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepairedRow {
    /// The chat host.
    pub chat_host: ChatHost,
    /// The server's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// How it stood.
    pub was: ConnectionState,
    /// How it stands now.
    pub state: ConnectionState,
    /// What is left to mend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Request for HostRepair {
    type Reply = HostRepaired;
    const NAME: &'static str = "host_repair";

    fn check(&self) -> Result<(), Failure> {
        check_written(self.chat_host)?;
        check_name(self.name.as_deref())?;
        check_server(&self.server)
    }
}
