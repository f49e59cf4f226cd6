//! The host that pyro runs on.

mod doctor;
mod microvms;
mod prepare;

use std::time::Instant;

/// Whole milliseconds since then.
pub(crate) fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
