//! The microVM's kernel: Debian's, the host's own or the caller's, verified and kept in pyro's home.
//!
//! ```text
//! kernel/
//!   .lock                 held by the one call that installs or collects
//!   .building-<random>/   a build; whatever of it lies there while the lock is free is left over
//!   current               {digest}: the kernel in use
//!   sha256-<hex>/         an installed kernel, never changed; locked shared by its users
//!     vmlinuz
//!     modules/NN-name.ko  in the order in which they are loaded
//!     kernel.json
//! ```
//!
//! Promises, as for environments: the first source that works is used and reported; a kernel
//! appears whole or not at all; two pulls at once do the work once; a damaged one is found and
//! repaired by the next pull. Does not know QEMU.

mod debian;
mod error;
mod file;
mod host;
mod image;
mod install;
mod modules;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use pyro_model::Timestamp;
use serde::{Deserialize, Serialize};

pub use error::KernelError;

use crate::digest::Digest;
use record::Record;

/// What this module's functions give.
type Result<T, E = KernelError> = std::result::Result<T, E>;

/// Where a kernel can come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// Debian's kernel for clouds, from a mirror.
    Debian,
    /// The kernel that this host runs.
    Host,
    /// A kernel image of the caller's, with its modules in `PATH.modules/` or built in.
    File(PathBuf),
}

impl KernelSource {
    /// From what a caller wrote: `debian`, `host`, or else a path below `cwd`.
    #[must_use]
    pub fn parse(text: &str, cwd: &Path) -> Self {
        match text {
            "debian" => Self::Debian,
            "host" => Self::Host,
            path => Self::File(cwd.join(path)),
        }
    }
}

/// Where an installed kernel came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum KernelFrom {
    /// A Debian mirror.
    Debian {
        /// The mirror's address.
        mirror: String,
        /// The package and its version, as its file is called.
        package: String,
    },
    /// The host's own.
    Host {
        /// Its image's path at the time.
        path: PathBuf,
    },
    /// The caller's.
    File {
        /// Its path at the time.
        path: PathBuf,
    },
}

impl KernelFrom {
    fn fits(&self, source: &KernelSource) -> bool {
        match (self, source) {
            (Self::Debian { .. }, KernelSource::Debian)
            | (Self::Host { .. }, KernelSource::Host) => true,
            // Its content may have changed since: it is read again.
            _ => false,
        }
    }
}

impl std::fmt::Display for KernelFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Debian { .. } => f.write_str("debian"),
            Self::Host { .. } => f.write_str("host"),
            Self::File { path } => write!(f, "{}", path.display()),
        }
    }
}

/// How to pull a kernel.
#[derive(Debug, Clone, Default)]
pub struct KernelOptions {
    /// Only from there; else Debian's, else the host's.
    pub source: Option<KernelSource>,
    /// The Debian mirror to use, instead of the one that the host's apt uses.
    pub debian_mirror: Option<String>,
    /// Get it again even if it is installed and whole.
    pub force: bool,
}

/// A kernel that is installed. While the value lives, it is not collected.
#[derive(Debug)]
pub struct InstalledKernel {
    /// The kernel image.
    pub image: PathBuf,
    /// Its modules, in the order in which they are loaded.
    pub modules: Vec<PathBuf>,
    /// As `uname -r` says inside.
    pub release: String,
    /// Of the image and all modules.
    pub digest: Digest,
    /// Where it came from.
    pub from: KernelFrom,
    /// When it was installed.
    pub installed_at: Timestamp,
    _lease: File,
}

/// What a pull did.
#[derive(Debug)]
pub struct PulledKernel {
    /// The kernel.
    pub kernel: InstalledKernel,
    /// It was there and whole.
    pub already_installed: bool,
    /// It was there and damaged.
    pub repaired: bool,
    /// Sources that were tried before, and why they did not work.
    pub passed_over: Vec<String>,
}

/// The kernels of one home.
#[derive(Debug)]
pub struct KernelCache {
    root: PathBuf,
}

/// What a source found: everything in memory, bounded.
#[derive(Debug)]
struct Gathered {
    image: Vec<u8>,
    modules: BTreeMap<String, Vec<u8>>,
    /// The names of modules that are part of the image, where that is known.
    builtin: Option<BTreeSet<String>>,
    from: KernelFrom,
}

impl KernelCache {
    /// The kernels below `microvm`, a directory of pyro's home.
    pub fn open(microvm: &Path) -> Result<Self> {
        let root = microvm.join("kernel");
        crate::cache::private_directory(&root)?;
        Ok(Self { root })
    }

    /// The kernel in use, if any. A cheap check: its files are there and have their sizes.
    pub fn current(&self) -> Result<Option<InstalledKernel>> {
        let Some(digest) = self.pointer()? else { return Ok(None) };
        self.resolve(&digest).map(Some)
    }

    fn pointer(&self) -> Result<Option<Digest>> {
        let path = self.root.join("current");
        match crate::cache::read_record::<Digest>(&path) {
            Ok(digest) => Ok(digest),
            Err(crate::EnvironmentError::Damaged { .. }) => {
                Err(KernelError::Damaged { what: format!("{} is no digest", path.display()) })
            }
            Err(other) => Err(other.into()),
        }
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.root.join(format!("sha256-{}", digest.hex()))
    }

    fn resolve(&self, digest: &Digest) -> Result<InstalledKernel> {
        let place = self.place(digest);
        let Some(lease) = crate::cache::lease(&place)? else {
            return Err(KernelError::Damaged { what: format!("{} is gone", place.display()) });
        };
        let record = Record::read(&place, digest)?;
        record.check_sizes(&place)?;
        Ok(InstalledKernel {
            image: place.join(record::IMAGE),
            modules: record.module_paths(&place),
            release: record.release,
            digest: digest.clone(),
            from: record.from,
            installed_at: record.installed_at,
            _lease: lease,
        })
    }
}

#[cfg(test)]
mod tests;
