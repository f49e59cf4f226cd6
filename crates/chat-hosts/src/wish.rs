//! What a key of a chat host's file should hold, as far as pyro is concerned.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Format;

/// Why pyro wants something there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// It is the server.
    Server,
    /// `--only`.
    Only,
    /// `--allow`.
    Allow,
}

/// One key, and what should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) key: Vec<String>,
    pub(crate) want: Want,
    pub(crate) reason: Reason,
    /// Where the key's parent is a plain text, that becomes what `*` says in an object.
    pub(crate) lifts: bool,
}

/// What should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// This value.
    Is(Value),
    /// A list with this item, among others.
    Holds(String),
    /// Nothing.
    Absent,
}

/// A file of a chat host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) format: Format,
    /// The project that it must not leave by a link; None for the user's own files.
    pub(crate) within: Option<PathBuf>,
    /// What a new file begins with.
    pub(crate) template: String,
}

/// Wishes for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) place: Place,
    pub(crate) wishes: Vec<Wish>,
}

impl Wish {
    pub(crate) fn new(reason: Reason, key: &[&str], want: Want) -> Self {
        Self {
            key: key.iter().map(|part| (*part).to_owned()).collect(),
            want,
            reason,
            lifts: false,
        }
    }

    /// The same below a parent that may be a plain text.
    pub(crate) fn lifted(self) -> Self {
        Self { lifts: true, ..self }
    }

    /// The same below a key.
    pub(crate) fn below(self, key: &[String]) -> Self {
        Self { key: [key, &self.key].concat(), ..self }
    }

    /// Whether it holds, given what is at its key.
    pub(crate) fn holds(&self, found: Option<&Value>) -> bool {
        match &self.want {
            Want::Is(value) => found == Some(value),
            Want::Holds(item) => found
                .and_then(Value::as_array)
                .is_some_and(|items| items.iter().any(|found| found == item.as_str())),
            Want::Absent => found.is_none(),
        }
    }

    /// The key with dots, for people.
    pub(crate) fn dotted(&self) -> String {
        dotted(&self.key)
    }
}

/// A key with dots; a part that has dots itself is quoted.
pub(crate) fn dotted(key: &[String]) -> String {
    let part = |part: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$' | '*');
        if part.chars().all(plain) { part.clone() } else { format!("\"{part}\"") }
    };
    key.iter().map(part).collect::<Vec<_>>().join(".")
}
