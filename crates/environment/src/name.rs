//! Names of environments: a curated one (`debian:12`), an imported one, or an OCI reference.

use serde::{Deserialize, Serialize};

use crate::error::EnvironmentError;

const LONGEST: usize = 160;

/// A checked name. Upper-case letters are allowed in tags only by OCI; here everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one file name: all but `a-z 0-9 . _ -` as `%XX`.
    pub(crate) fn as_file_name(&self) -> String {
        let mut encoded = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => encoded.push(char::from(byte)),
                other => {
                    encoded.push('%');
                    encoded.push_str(&crate::digest::hex(&[other]));
                }
            }
        }
        encoded
    }
}

impl std::str::FromStr for EnvironmentName {
    type Err = EnvironmentError;
    fn from_str(text: &str) -> Result<Self, EnvironmentError> {
        let refuse = |why| {
            let name = crate::unpack::printable(text.as_bytes());
            Err(EnvironmentError::BadName { name, why })
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@+".contains(&byte);
        let Some(first) = text.bytes().next() else { return refuse("it is empty") };
        if text.len() > LONGEST {
            return refuse("it is longer than 160 characters");
        }
        if !first.is_ascii_alphanumeric() {
            return refuse("it must begin with a letter or a digit");
        }
        if !text.bytes().all(allowed) {
            return refuse("only letters, digits and `._-:/@+` are allowed");
        }
        let name = Self(text.to_owned());
        if name.as_file_name().len() > 240 {
            return refuse("it has too many signs in it");
        }
        Ok(name)
    }
}

impl TryFrom<String> for EnvironmentName {
    type Error = EnvironmentError;
    fn try_from(text: String) -> Result<Self, EnvironmentError> {
        text.parse()
    }
}

impl From<EnvironmentName> for String {
    fn from(name: EnvironmentName) -> String {
        name.0
    }
}

impl std::fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_to_one_plain_file_name_and_refuses_what_could_be_a_path() {
        let name: EnvironmentName = "docker.io/library/Python:3.12".parse().unwrap();
        assert_eq!(name.as_file_name(), "docker.io%2flibrary%2f%50ython%3a3.12");
        for bad in ["", "../x", "/etc", ".hidden", "a b", "a\nb", "ü", &"a".repeat(161)] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad:?}");
        }
    }
}
