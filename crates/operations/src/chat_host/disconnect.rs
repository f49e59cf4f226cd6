//! `host_disconnect`: undoes what `host_connect` did, and nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChatHost, FileChange, Scope, check_name, check_written};
use crate::{Failure, Request};

/// Takes pyro's server out of a chat host, with everything that connecting changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostDisconnect {
    /// The chat host.
    #[schemars(extend("x-position" = 0))]
    pub chat_host: ChatHost,
    /// For whom: both when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The server's name in the chat host: pyro when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-flag" = "as"))]
    pub name: Option<String>,
}

/// What was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostDisconnected {
    /// One line to act on.
    pub verdict: String,
    /// The chat host.
    pub chat_host: ChatHost,
    /// The server's name there.
    pub name: String,
    /// Everything that was changed.
    pub changes: Vec<FileChange>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Request for HostDisconnect {
    type Reply = HostDisconnected;
    const NAME: &'static str = "host_disconnect";

    fn check(&self) -> Result<(), Failure> {
        check_written(Some(self.chat_host))?;
        check_name(self.name.as_deref())
    }
}
