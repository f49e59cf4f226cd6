//! Points in time: milliseconds since the Unix epoch, printed as RFC 3339 in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch. Serialized as RFC 3339 text with milliseconds, in UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time on this machine's clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The year 9999 is the last that the form can print.
        let bounded = self.0.min(253_402_300_799_999);
        let time = UNIX_EPOCH + Duration::from_millis(bounded);
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> String {
        at.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let time =
            humantime::parse_rfc3339(&text).map_err(|e| format!("read `{text}` as a time: {e}"))?;
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_utc_with_milliseconds() {
        assert_eq!(Timestamp(1_795_350_995_042).to_string(), "2026-11-22T12:36:35.042Z");
        assert_eq!(
            Timestamp::try_from("2026-11-22T12:36:35.042Z".to_owned()),
            Ok(Timestamp(1_795_350_995_042))
        );
    }
}
