//! How the spool cannot be used.

use rustix::io::Errno;

/// The log cannot be opened, read or mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{step} {what}: {source}")]
pub(crate) struct SpoolError {
    /// What was being done, as a verb.
    pub(crate) step: &'static str,
    /// To what.
    pub(crate) what: &'static str,
    /// Why not.
    pub(crate) source: Errno,
}

impl SpoolError {
    /// For `map_err`.
    pub(super) fn on(step: &'static str, what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self { step, what, source }
    }
}
