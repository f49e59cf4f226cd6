//! What stops a measurement: a program that does not start, fails or answers nonsense, a file that
//! cannot be used. A missed goal is no error.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A program could not be started or waited for.
    #[error("start `{program}`: {source}")]
    Start {
        /// Its command line.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program ended badly.
    #[error("run `{program}`: {status}: {said}")]
    Failed {
        /// Its command line.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it complained of.
        said: String,
    },
    /// A file or folder could not be used.
    #[error("use {path}: {source}")]
    File {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A reply was not what it should be.
    #[error("understand {what}: {said}")]
    Reply {
        /// Whose.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// A flag is unknown or lacks its value.
    #[error("understand the flag `{0}`; there are --quick, --only ROW, --json FILE, --list")]
    Flag(String),
}

/// A result of the harness.
pub(crate) type Result<T> = std::result::Result<T, BenchError>;

/// Names the file that an error is about.
pub(crate) trait About<T> {
    /// Says which path.
    fn about(self, path: &Path) -> Result<T>;
}

impl<T> About<T> for io::Result<T> {
    fn about(self, path: &Path) -> Result<T> {
        self.map_err(|source| BenchError::File { path: path.to_owned(), source })
    }
}
