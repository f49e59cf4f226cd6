//! Workspace names: `[a-z0-9][a-z0-9._-]{0,62}`, not beginning with `ws_`, so that a name and an
//! id can never be taken for each other.

use serde::{Deserialize, Serialize};

/// A text that is not a workspace name, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use `{text}` as a name: {why}")]
pub struct NameError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

/// A unique, human-chosen name of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceName(String);

impl WorkspaceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for WorkspaceName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |why| Err(NameError { text: text.chars().take(80).collect(), why });
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        match text.as_bytes() {
            [] => refuse("it is empty"),
            bytes if bytes.len() > 63 => refuse("it is longer than 63 characters"),
            [first, ..] if !plain(*first) => refuse("it must begin with a-z or 0-9"),
            bytes if !bytes.iter().all(|b| plain(*b) || b"._-".contains(b)) => {
                refuse("only a-z, 0-9, `.`, `_` and `-` are allowed")
            }
            _ if text.starts_with("ws_") => refuse("names do not begin with `ws_`; ids do"),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for WorkspaceName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<WorkspaceName> for String {
    fn from(name: WorkspaceName) -> String {
        name.0
    }
}

impl std::fmt::Display for WorkspaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for text in ["a", "0", "fix-12", "a.b_c-d", &"a".repeat(63)] {
            assert!(text.parse::<WorkspaceName>().is_ok(), "{text}");
        }
        for text in ["", "-a", "A", "a b", "ws_abc", "é", "a/b", &"a".repeat(64)] {
            assert!(text.parse::<WorkspaceName>().is_err(), "{text}");
        }
    }
}
