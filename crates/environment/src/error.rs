//! Why something about an environment failed, with the kind that the engine maps to a code.

use std::path::{Path, PathBuf};

use crate::unpack::UnpackError;

/// Any failure of this crate. Messages fit after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Not a name.
    #[error("use `{name}` as an environment name: {why}")]
    BadName {
        /// What was given, made printable.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Neither curated nor imported.
    #[error("find the environment `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Known, but not on this disk.
    #[error("use the environment `{name}`: it is not pulled")]
    NotInstalled {
        /// The name.
        name: String,
    },
    /// `host`, or a curated name where an import would hide it.
    #[error("{act} the environment `{name}`: {why}")]
    NotForThis {
        /// `pull`, `import` or `resolve`.
        act: &'static str,
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// What is on the disk is not what was installed.
    #[error("use the environment `{name}`: it is damaged ({what})")]
    Damaged {
        /// Name or digest.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Another call is at it, and the caller did not want to wait.
    #[error("pull `{name}`: another call is pulling it")]
    Busy {
        /// The name.
        name: String,
    },
    /// A program of the host is needed and not there.
    #[error("bootstrap `{name}`: the program `{program}` is not installed")]
    ProgramMissing {
        /// The environment.
        name: String,
        /// The program.
        program: &'static str,
    },
    /// Rootless without subordinate ids.
    #[error("bootstrap `{name}`: this user has no range of subordinate ids")]
    NoSubordinateIds {
        /// The environment.
        name: String,
    },
    /// The bootstrap failed.
    #[error("bootstrap `{name}` from {mirror}: {message}")]
    Bootstrap {
        /// The environment.
        name: String,
        /// The mirror.
        mirror: String,
        /// The last that the program said.
        message: String,
        /// Whether it was the network's fault.
        network: bool,
    },
    /// An archive or a tree was refused or could not be handled.
    #[error("unpack {}", path.display())]
    Archive {
        /// The archive or tree.
        path: PathBuf,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// A source is not what it must be.
    #[error("read the image {}: {what}", path.display())]
    Image {
        /// Its file or directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The operating system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// The act, as a verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// The kind of a failure; each stands for one code of the product's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// `invalid_argument`
    InvalidArgument,
    /// `not_found`
    NotFound,
    /// `environment_missing`
    Missing,
    /// `environment_damaged`
    Damaged,
    /// `source_failed`
    SourceFailed,
    /// `network_failed`
    NetworkFailed,
    /// `hostile_input`
    HostileInput,
    /// `too_large`
    TooLarge,
    /// `no_space`
    NoSpace,
    /// `busy`
    Busy,
    /// `host_unfit`
    HostUnfit,
    /// `internal`
    Internal,
}

impl EnvironmentError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: impl Into<std::io::Error>) -> Self {
        Self::Io { doing, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn archive(path: &Path, source: UnpackError) -> Self {
        Self::Archive { path: path.to_owned(), source }
    }

    pub(crate) fn image(path: &Path, what: impl Into<String>) -> Self {
        Self::Image { path: path.to_owned(), what: what.into() }
    }

    /// Which code it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadName { .. } | Self::NotForThis { .. } => ErrorKind::InvalidArgument,
            Self::Unknown { .. } => ErrorKind::NotFound,
            Self::NotInstalled { .. } | Self::ProgramMissing { .. } => ErrorKind::Missing,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::NoSubordinateIds { .. } => ErrorKind::HostUnfit,
            Self::Bootstrap { network: true, .. } => ErrorKind::NetworkFailed,
            Self::Bootstrap { .. } | Self::Image { .. } => ErrorKind::SourceFailed,
            Self::Archive { source, .. } => match source {
                UnpackError::Refused { .. } | UnpackError::Mismatch { .. } => {
                    ErrorKind::HostileInput
                }
                UnpackError::TooLarge { bound, .. } if bound.is_hostile() => {
                    ErrorKind::HostileInput
                }
                UnpackError::TooLarge { .. } => ErrorKind::TooLarge,
                UnpackError::Malformed { .. } => ErrorKind::SourceFailed,
                UnpackError::NoSpace { .. } => ErrorKind::NoSpace,
                UnpackError::Io { .. } | UnpackError::Process { .. } => ErrorKind::Internal,
            },
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    ErrorKind::NoSpace
                }
                _ => ErrorKind::Internal,
            },
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { .. } => {
                "leave the environment out, or name one that `pyro env list` shows; other images come in with `pyro env import`"
                    .into()
            }
            Self::NotInstalled { name } | Self::Damaged { name, .. } => {
                format!("run `pyro env pull {name}`")
            }
            Self::Busy { .. } => "try again when the other call is done".into(),
            Self::ProgramMissing { program, .. } => {
                format!("run `apt-get install -y {program}` as root, then pull again")
            }
            Self::NoSubordinateIds { .. } => {
                "run `apt-get install -y uidmap` as root and give the user a range with \
                 `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`"
                    .into()
            }
            Self::Bootstrap { network: true, .. } => {
                "check the network and the proxy, or name a mirror that is reachable".into()
            }
            _ if self.kind() == ErrorKind::NoSpace => {
                "free disk space, for example with `pyro env prune`".into()
            }
            _ => return None,
        })
    }
}

/// What this crate's functions give.
pub type Result<T, E = EnvironmentError> = std::result::Result<T, E>;
