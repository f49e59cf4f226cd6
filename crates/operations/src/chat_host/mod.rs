//! Operations on chat hosts: the programs that a person talks to, and that start `pyro mcp serve`.
//!
//! They are the person's, never a model's: what they write decides what a model may do.

mod connect;
mod disconnect;
mod doctor;
mod print_config;
mod repair;

pub use connect::{HostConnect, HostConnected};
pub use disconnect::{HostDisconnect, HostDisconnected};
pub use doctor::{
    ConnectionState, Difference, HostDoctor, HostDoctorReport, HostRow, ServerAnswer,
};
pub use print_config::{ConfigPart, HostConfig, HostPrintConfig};
pub use repair::{HostRepair, HostRepaired, RepairedRow};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure};

/// The name of the server where none is given.
pub const SERVER_NAME: &str = "pyro";

/// A program that a person talks to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ChatHost {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// OpenAI's Codex.
    Codex,
    /// opencode.
    Opencode,
    /// Any other MCP client: its configuration is printed, never written.
    Generic,
}

impl ChatHost {
    /// Those whose configuration pyro writes.
    pub const WRITTEN: &'static [ChatHost] =
        &[ChatHost::ClaudeCode, ChatHost::Codex, ChatHost::Opencode];

    /// As it is spelled on every door.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ChatHost::ClaudeCode => "claude-code",
            ChatHost::Codex => "codex",
            ChatHost::Opencode => "opencode",
            ChatHost::Generic => "generic",
        }
    }
}

impl std::fmt::Display for ChatHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// For whom a server is set up.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// For this user, in every project.
    User,
    /// For everybody who works in this project, in a file of the project.
    Project,
}

impl Scope {
    /// Both.
    pub const ALL: &'static [Scope] = &[Scope::User, Scope::Project];

    /// As it is spelled on every door.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::User => "user",
            Scope::Project => "project",
        }
    }
}

/// What was changed in a chat host's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// The file.
    pub file: String,
    /// The key in it, with dots.
    pub key: String,
    /// What was there, as JSON; absent when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What is there now, as JSON; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The name of a server in a chat host: what all of them take.
pub(crate) fn check_name(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 48 || !name.chars().all(plain) {
        return Err(Failure::new(
            Code::InvalidArgument,
            "the name of a server is 1 to 48 letters, digits, dashes and underscores",
        )
        .hint("give --as NAME")
        .detail("kind", "field")
        .detail("field", "name"));
    }
    Ok(())
}

/// A chat host whose configuration pyro does not write.
pub(crate) fn check_written(chat_host: Option<ChatHost>) -> Result<(), Failure> {
    if chat_host != Some(ChatHost::Generic) {
        return Ok(());
    }
    Err(Failure::new(
        Code::InvalidArgument,
        "pyro does not know where a generic client keeps its configuration",
    )
    .hint("host_print_config prints what to put there")
    .detail("kind", "field")
    .detail("field", "chat_host"))
}

/// A chat host starts its server and speaks over standard input.
pub(crate) fn check_server(server: &crate::ServerFlags) -> Result<(), Failure> {
    server.check()?;
    if server.http.is_some() {
        return Err(Failure::new(
            Code::InvalidArgument,
            "--http: a chat host starts its own server and speaks over standard input",
        )
        .hint("leave --http out; run `pyro mcp serve --http ADDR` yourself and give the client its URL"));
    }
    Ok(())
}

pub(crate) fn is_default(server: &crate::ServerFlags) -> bool {
    *server == crate::ServerFlags::default()
}
