//! How the store fails.

use std::{io, path::PathBuf};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory of the home could not be used.
    #[error("{step} {path}: {source}")]
    File {
        /// What was being done: `open`, `make`, `lock`.
        step: &'static str,
        /// To which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The home belongs to another user or is open to others.
    #[error("trust the home {path}: {why}")]
    Untrusted {
        /// The home.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The database said no.
    #[error("{step}: {source}")]
    Database {
        /// What was being done: `open the database`, `insert the workspace`.
        step: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database was written by a newer pyro.
    #[error("read the database: it has format {found}, this pyro knows up to {known}")]
    Newer {
        /// Its format.
        found: i64,
        /// The last that this build knows.
        known: i64,
    },
    /// A row that cannot be what pyro wrote.
    #[error("read {what}: {why}")]
    Damaged {
        /// Which row.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The name is another workspace's.
    #[error("name a workspace `{name}`: {taken_by} has that name")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        taken_by: String,
    },
    /// As many workspaces as allowed.
    #[error("add a workspace: there are {count} already, {most} are allowed")]
    TooMany {
        /// How many there are.
        count: u64,
        /// How many may be.
        most: u64,
    },
    /// Another call is changing this workspace.
    #[error("take {workspace}: another call is changing it ({phase})")]
    Busy {
        /// Which.
        workspace: String,
        /// What the other call does.
        phase: String,
    },
}

impl StoreError {
    pub(crate) fn file(step: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { step, path: path.into(), source }
    }
}

/// Adds what was being done to a database error.
pub(crate) trait During<T> {
    fn during(self, step: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, rusqlite::Error> {
    fn during(self, step: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Database { step, source })
    }
}
