//! Why there is no kernel, with what to do about it.

use std::path::{Path, PathBuf};

use crate::error::{EnvironmentError, ErrorKind};

/// Any failure about kernels. Messages fit after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A program of the host is needed and not there.
    #[error("get Debian's kernel: the program `{program}` is not installed")]
    ProgramMissing {
        /// The program.
        program: &'static str,
    },
    /// Debian's keys are not on this host.
    #[error("get Debian's kernel: its archive keys are not installed")]
    KeysMissing,
    /// The mirror did not give it.
    #[error("get Debian's kernel from {mirror}: {message}")]
    Download {
        /// The mirror.
        mirror: String,
        /// The last that the program said.
        message: String,
        /// Whether it was the network's fault.
        network: bool,
    },
    /// The host's or the caller's kernel cannot be used.
    #[error("use the kernel {}: {why}", path.display())]
    Unusable {
        /// Its image, module, or directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An archive or a file is not what it must be.
    #[error("take {what}: {why}")]
    Refused {
        /// The file or entry.
        what: String,
        /// Why.
        why: String,
    },
    /// What is on the disk is not what was installed.
    #[error("use the installed kernel: it is damaged ({what})")]
    Damaged {
        /// What is wrong with it.
        what: String,
    },
    /// No source worked.
    #[error("get a kernel for the microVM: {}", tried.join("; "))]
    NoSource {
        /// The sources, and why each did not.
        tried: Vec<String>,
        /// What mends the first of them.
        hint: Option<String>,
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
    /// One of the cache's own.
    #[error(transparent)]
    Cache(#[from] EnvironmentError),
}

impl KernelError {
    pub(super) fn io(doing: &'static str, path: &Path, source: impl Into<std::io::Error>) -> Self {
        Self::Io { doing, path: path.to_owned(), source: source.into() }
    }

    pub(super) fn unusable(path: &Path, why: impl Into<String>) -> Self {
        Self::Unusable { path: path.to_owned(), why: why.into() }
    }

    pub(super) fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), why: why.into() }
    }

    /// Which code it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ProgramMissing { .. } | Self::KeysMissing | Self::NoSource { .. } => {
                ErrorKind::HostUnfit
            }
            Self::Download { network: true, .. } => ErrorKind::NetworkFailed,
            Self::Download { .. } | Self::Unusable { .. } => ErrorKind::SourceFailed,
            Self::Refused { .. } => ErrorKind::HostileInput,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    ErrorKind::NoSpace
                }
                _ => ErrorKind::Internal,
            },
            Self::Cache(error) => error.kind(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ProgramMissing { .. } => {
                "on a host without Debian's tools use its own kernel with `--kernel host`, or name \
                 one with `--kernel PATH`"
                    .into()
            }
            Self::KeysMissing => {
                "run `sudo apt-get install -y debian-archive-keyring`, then pull again".into()
            }
            Self::Download { network: true, .. } => {
                "check the network and the proxy, or name a mirror that is reachable".into()
            }
            Self::Unusable { .. } => {
                "name another kernel with `--kernel PATH`, or take Debian's with `--kernel debian`"
                    .into()
            }
            Self::Damaged { .. } => "run `pyro env pull debian:12`, which repairs it".into(),
            Self::NoSource { hint, .. } => hint.clone()?,
            Self::Cache(error) => error.hint()?,
            _ if self.kind() == ErrorKind::NoSpace => "free disk space".into(),
            _ => return None,
        })
    }
}
