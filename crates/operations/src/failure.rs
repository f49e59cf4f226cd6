//! The one failure that all doors show, and the closed table of its codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What went wrong, to what, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// Which kind; the set is closed.
    pub code: Code,
    /// One sentence.
    pub message: String,
    /// The next thing to do, by operation name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Facts: `kind` says which thing, others depend on the code.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// The same call may work later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
}

impl Failure {
    /// A failure with a message and no hint yet.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: String::new(),
            details: Map::new(),
            retryable: code.is_retryable(),
        }
    }

    /// With the next thing to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With one fact.
    #[must_use]
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $text:literal, $exit:literal;)+) => {
        /// The closed set of failure codes. The number beside each is the CLI's exit code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $($(#[$doc])* $variant),+ }

        impl Code {
            /// Every code, in the order of the docs.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// As it is spelled on every door.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text),+ }
            }

            /// What the command line exits with.
            #[must_use]
            pub fn exit(self) -> u8 {
                match self { $(Code::$variant => $exit),+ }
            }
        }
    };
}

codes! {
    /// Unknown field, wrong type, bad name or value, two of a choice.
    InvalidArgument => "invalid_argument", 2;
    /// No such workspace, exec, environment, path, host file.
    NotFound => "not_found", 3;
    /// A prefix that fits more than one.
    Ambiguous => "ambiguous", 3;
    /// A name or an export target that is taken.
    AlreadyExists => "already_exists", 4;
    /// An edit found nowhere or many times, a patch hunk, a sync overlap.
    Conflict => "conflict", 4;
    /// Being created, reset, pulled or deleted by another call.
    Busy => "busy", 4;
    /// Not in this state.
    WrongState => "wrong_state", 4;
    /// Outside the server's ceiling or roots; the person said no.
    NotPermitted => "not_permitted", 5;
    /// A path that leaves `/workspace`.
    PathEscapes => "path_escapes", 5;
    /// An archive, repo, patch or image that was refused.
    HostileInput => "hostile_input", 5;
    /// Over a bound.
    TooLarge => "too_large", 5;
    /// Not UTF-8.
    NotText => "not_text", 5;
    /// As many as allowed already.
    LimitReached => "limit_reached", 5;
    /// This machine cannot.
    Unsupported => "unsupported", 6;
    /// The host lacks what is needed.
    HostUnfit => "host_unfit", 6;
    /// Not pulled and cannot be.
    EnvironmentMissing => "environment_missing", 6;
    /// Its content differs from its digest.
    EnvironmentDamaged => "environment_damaged", 6;
    /// The seed, clone or pull source failed.
    SourceFailed => "source_failed", 6;
    /// Name, proxy, TLS.
    NetworkFailed => "network_failed", 6;
    /// The host's or the workspace's disk is full.
    NoSpace => "no_space", 6;
    /// A chat host's file cannot be read or kept as it is.
    ClientConfig => "client_config", 6;
    /// Boot, panic, out of memory.
    MachineFailed => "machine_failed", 7;
    /// A service did not become ready.
    NotReady => "not_ready", 7;
    /// The guest died before the result was known.
    OutcomeUnknown => "outcome_unknown", 7;
    /// One of pyro's own steps took too long.
    Deadline => "deadline", 7;
    /// The client cancelled.
    Cancelled => "cancelled", 7;
    /// The store is not as it must be.
    StoreDamaged => "store_damaged", 70;
    /// Our fault.
    Internal => "internal", 70;
}

impl Code {
    /// Whether the same call may work later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Code::Busy | Code::NetworkFailed | Code::Deadline | Code::Cancelled)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_the_same_in_text_and_json() {
        for code in Code::ALL {
            let json = serde_json::to_value(code).unwrap();
            assert_eq!(json, Value::String(code.as_str().to_owned()));
        }
    }
}
