//! Labels: keys `[a-z0-9][a-z0-9._/-]{0,62}`, values up to 128 characters without control codes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::NameError;

/// All labels of one workspace.
pub type Labels = BTreeMap<LabelKey, LabelValue>;

macro_rules! checked_text {
    ($(#[$doc:meta])* $type:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(text) {
                    None => Ok(Self(text.to_owned())),
                    Some(why) => Err(NameError { text: text.chars().take(80).collect(), why }),
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0
            }
        }
    };
}

checked_text!(
    /// A label's key.
    LabelKey,
    |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        match bytes.first() {
            Some(first) if plain(*first) && bytes.len() <= 63 => (!bytes
                .iter()
                .all(|b| plain(*b) || b"._/-".contains(b)))
            .then_some("label keys hold only a-z, 0-9, `.`, `_`, `/` and `-`"),
            _ => Some("label keys begin with a-z or 0-9 and have at most 63 characters"),
        }
    }
);
checked_text!(
    /// A label's value.
    LabelValue,
    |text| {
        if text.chars().count() > 128 {
            Some("label values have at most 128 characters")
        } else if text.chars().any(char::is_control) {
            Some("label values hold no control codes")
        } else {
            None
        }
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_follow_their_rules() {
        assert!("team/a.b-c_d".parse::<LabelKey>().is_ok());
        assert!("Team".parse::<LabelKey>().is_err());
        assert!("".parse::<LabelKey>().is_err());
        assert!("".parse::<LabelValue>().is_ok());
        assert!("a\nb".parse::<LabelValue>().is_err());
        assert!("é".repeat(128).parse::<LabelValue>().is_ok());
        assert!("é".repeat(129).parse::<LabelValue>().is_err());
    }
}
