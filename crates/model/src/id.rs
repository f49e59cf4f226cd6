//! Ids: a prefix that says what it names, and ten characters of `a-z2-7` (50 random bits).
//!
//! Ids are newtypes, never bare strings. They are made from random bytes that the caller brings,
//! so this file does no IO.

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Characters after the prefix.
pub const ID_CHARACTERS: usize = 10;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read `{text}` as a {noun} id: expected `{prefix}` and 10 characters of a-z2-7")]
pub struct IdError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// `workspace` or `exec`.
    pub noun: &'static str,
    /// `ws_` or `ex_`.
    pub prefix: &'static str,
}

fn body_from(random: [u8; 8]) -> String {
    let mut bits = u64::from_le_bytes(random);
    let mut body = String::with_capacity(ID_CHARACTERS);
    for _ in 0..ID_CHARACTERS {
        body.push(char::from(ALPHABET[(bits & 31) as usize]));
        bits >>= 5;
    }
    body
}

fn is_body(text: &str) -> bool {
    text.len() == ID_CHARACTERS && text.bytes().all(|b| ALPHABET.contains(&b))
}

macro_rules! id {
    ($(#[$doc:meta])* $type:ident, $noun:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id from random bytes that the caller brings.
            #[must_use]
            pub fn from_random(random: [u8; 8]) -> Self {
                Self(format!("{}{}", $prefix, body_from(random)))
            }

            /// The id as text, prefix included.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                match text.strip_prefix($prefix) {
                    Some(body) if is_body(body) => Ok(Self(text.to_owned())),
                    _ => Err(IdError {
                        text: text.chars().take(80).collect(),
                        noun: $noun,
                        prefix: $prefix,
                    }),
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(/** Names one workspace for its whole life. */ WorkspaceId, "workspace", "ws_");
id!(/** Names one command run in a workspace. */ ExecId, "exec", "ex_");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_what_it_parses() {
        let id = WorkspaceId::from_random([0xab, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(id.as_str().len(), 13);
        assert_eq!(id.as_str().parse::<WorkspaceId>().unwrap(), id);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "ws_",
            "ws_short",
            "ex_aaaaaaaaaa",
            "ws_AAAAAAAAAA",
            "ws_aaaaaaaaa1",
            "ws_aaaaaaaaaab",
        ] {
            assert!(text.parse::<WorkspaceId>().is_err(), "{text}");
        }
    }
}
