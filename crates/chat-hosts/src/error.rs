//! What can go wrong with a chat host's files and programs, by the file and the key acted on.

use std::path::{Path, PathBuf};

use pyro_operations::chat_host::ChatHost;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, ChatHostError>;

/// A failure. Messages fit after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ChatHostError {
    /// A step on a file failed.
    #[error("{step} {}", path.display())]
    File {
        /// What was done.
        step: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file cannot be used as it is.
    #[error("use {}: {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
        /// The way out.
        hint: String,
    },
    /// A file's text is not what its chat host reads.
    #[error("read {}, line {line}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// A key holds something that the chat host does not read either.
    #[error("change {key} in {}: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key, with dots.
        key: String,
        /// Why not.
        why: String,
    },
    /// The name is another server's.
    #[error("connect {chat_host}: the server `{name}` in {} is not pyro's", path.display())]
    Taken {
        /// Where.
        chat_host: ChatHost,
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// What was asked for is of no use here.
    #[error("{step}: {why}")]
    Unsuitable {
        /// What was asked for.
        step: &'static str,
        /// Why not.
        why: String,
        /// The way out.
        hint: String,
    },
    /// pyro's own program cannot be named.
    #[error("find pyro's own program")]
    Program(#[source] std::io::Error),
}

impl ChatHostError {
    pub(crate) fn file(step: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { step, path: path.to_path_buf(), source }
    }

    /// Whether a copy and a new file are a way out: the text is at fault, not the place.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Malformed { .. } | Self::Key { .. })
    }
}
