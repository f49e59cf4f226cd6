//! What can go wrong while a project becomes a seed layer.
//!
//! Each variant names the thing acted on and maps to exactly one public failure code, which
//! [`SeedError::code`] returns. Messages are fragments that fit after "failed to". No message
//! carries URL user-info: callers pass addresses through `remote::without_user_info` first.

use std::io;
use std::path::{Path, PathBuf};

/// A seed that could not be made or read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the doc of each variant covers its fields")]
pub enum SeedError {
    /// The request itself cannot be met.
    #[error("seed from {what}: {why}")]
    InvalidArgument { what: String, why: String },
    /// The source is not there.
    #[error("find the seed source {}", path.display())]
    NotFound { path: PathBuf },
    /// The source as a whole may not be read.
    #[error("read the seed source {}: {source}", path.display())]
    NotPermitted { path: PathBuf, source: io::Error },
    /// The source tries something that no honest project does.
    #[error("seed from {what}: refused, {why}")]
    Hostile { what: String, why: String },
    /// A limit of the seed is passed.
    #[error("seed from {what}: it is over the limit of {limit}")]
    TooLarge { what: String, limit: String },
    /// This host cannot do it.
    #[error("seed from {what}: {why}")]
    Unsupported { what: String, why: String },
    /// The source is there and cannot be used.
    #[error("seed from {what}: {detail}")]
    SourceFailed { what: String, detail: String },
    /// A clone could not reach its server.
    #[error("reach {what}: {detail}")]
    NetworkFailed { what: String, detail: String },
    /// The host's disk is full.
    #[error("write {}: no space left on the disk", path.display())]
    NoSpace { path: PathBuf },
    /// A step of pyro's own took too long and was ended.
    #[error("finish {what} within {after_s} s")]
    Deadline { what: String, after_s: u64 },
    /// A file of the layer store is not as it was written.
    #[error("read the layer file {}: {why}", path.display())]
    StoreDamaged { path: PathBuf, why: String },
    /// Anything else that the operating system refused.
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl SeedError {
    /// The public failure code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidArgument { .. } => "invalid_argument",
            Self::NotFound { .. } => "not_found",
            Self::NotPermitted { .. } => "not_permitted",
            Self::Hostile { .. } => "hostile_input",
            Self::TooLarge { .. } => "too_large",
            Self::Unsupported { .. } => "unsupported",
            Self::SourceFailed { .. } => "source_failed",
            Self::NetworkFailed { .. } => "network_failed",
            Self::NoSpace { .. } => "no_space",
            Self::Deadline { .. } => "deadline",
            Self::StoreDamaged { .. } => "store_damaged",
            Self::Io { .. } => "internal",
        }
    }

    /// An operating-system refusal on a file of ours.
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::NoSpace { path: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }

    /// An operating-system refusal on the source that the user named.
    pub(crate) fn source(path: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path: path.to_owned() },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { path: path.to_owned(), source },
            io::ErrorKind::NotADirectory => Self::InvalidArgument {
                what: path.display().to_string(),
                why: "it is not a directory".into(),
            },
            _ => Self::Io { action: "open", path: path.to_owned(), source },
        }
    }

    /// A source that is there and cannot be used, with the reason.
    pub(crate) fn failed(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::SourceFailed { what: what.into(), detail: detail.into() }
    }
}
