//! The one error of this crate: which call, on what, why.

use std::{fmt, io};

/// A system call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{call} {what}: {source}")]
pub struct SysError {
    /// What was being done, as a verb.
    pub call: &'static str,
    /// To what.
    pub what: String,
    /// Why.
    pub source: io::Error,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, SysError>;

impl SysError {
    /// The error of the system call that failed last in this thread.
    #[must_use]
    pub fn last(call: &'static str, what: &dyn fmt::Display) -> Self {
        Self { call, what: what.to_string(), source: io::Error::last_os_error() }
    }

    /// An error found by reading, not by the kernel.
    #[must_use]
    pub fn invalid(call: &'static str, what: &dyn fmt::Display, why: &'static str) -> Self {
        let source = io::Error::new(io::ErrorKind::InvalidData, why);
        Self { call, what: what.to_string(), source }
    }

    /// The kernel's number for it; 0 when it was not the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

/// Says what a failed call was about.
pub trait Context<T> {
    /// Names the call as a verb and the thing acted on.
    ///
    /// # Errors
    /// The same failure, named.
    fn doing(self, call: &'static str, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn doing(self, call: &'static str, what: impl fmt::Display) -> Result<T> {
        self.map_err(|source| SysError { call, what: what.to_string(), source: source.into() })
    }
}
