//! The cache directory:
//!
//! ```text
//! .lock                 held while a build directory is made or swept, and while one is installed
//! .building-<random>/   a build; the directory itself is locked for the build's life
//! locks/<name>          held by the one call that installs this name
//! names/<name>          {name, digest}: which tree the name means
//! sha256-<hex>/         an installed environment, never changed; locked shared by its users
//!   manifest.json
//!   rootfs/
//!   damaged             there only when a deep check failed
//! ```
//!
//! Promises: a tree appears under its digest by one rename, whole or not at all; a name changes
//! by one rename; whatever a killed process left is swept by the next pull, import or prune.
//! What is removed is first moved to the trash, which the caller empties.

mod build;
mod install;
mod manifest;
mod prune;
mod resolve;

pub(crate) use build::Building;
pub(crate) use install::{Built, Rebuild, Wish};
pub use install::{Outcome, Pulled};
use manifest::FORMAT;
pub(crate) use manifest::{DOCUMENT_MOST, read_record, write_record};
pub use manifest::{ImageConfig, InstalledFrom, Manifest};
pub use prune::{Pruned, PrunedTree};
pub(crate) use resolve::lease;
pub use resolve::{EnvironmentState, EnvironmentStatus, Installed};

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{EnvironmentError, Result};
use crate::name::EnvironmentName;
use crate::unpacker::Unpacker;

/// The environments of one home.
#[derive(Clone)]
pub struct Cache {
    root: PathBuf,
    trash: PathBuf,
    unpacker: Arc<dyn Unpacker>,
}

impl Cache {
    /// Opens (or makes) the cache at `root`. `trash` must be on the same file system.
    pub fn open(
        root: impl Into<PathBuf>,
        trash: impl Into<PathBuf>,
        unpacker: Arc<dyn Unpacker>,
    ) -> Result<Self> {
        let cache = Self { root: root.into(), trash: trash.into(), unpacker };
        for directory in
            [&cache.root, &cache.trash, &cache.root.join("locks"), &cache.root.join("names")]
        {
            private_directory(directory)?;
        }
        Ok(cache)
    }

    /// Who works on its trees.
    #[must_use]
    pub fn unpacker(&self) -> &dyn Unpacker {
        &*self.unpacker
    }

    fn tree_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(format!("sha256-{}", digest.hex()))
    }

    fn name_path(&self, name: &EnvironmentName) -> PathBuf {
        self.root.join("names").join(name.as_file_name())
    }

    /// The short lock over the cache directory's own entries.
    fn lock_entries(&self) -> Result<File> {
        let path = self.root.join(".lock");
        let file = open_lock(&path)?;
        file.lock().map_err(|e| EnvironmentError::io("lock", &path, e))?;
        Ok(file)
    }

    /// Moves `path` out of the way for good.
    fn discard(&self, path: &Path) -> Result<()> {
        for attempt in 0..u32::MAX {
            let grave = self.trash.join(format!("environment-{}-{attempt}", random()));
            match rustix::fs::renameat_with(
                rustix::fs::CWD,
                path,
                rustix::fs::CWD,
                &grave,
                rustix::fs::RenameFlags::NOREPLACE,
            ) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
                Err(rustix::io::Errno::EXIST) => {}
                Err(rustix::io::Errno::XDEV) => break,
                Err(e) => return Err(EnvironmentError::io("move to the trash", path, e)),
            }
        }
        self.unpacker.remove(path).map_err(|e| EnvironmentError::archive(path, e))
    }
}

pub(crate) fn open_lock(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|e| EnvironmentError::io("open", path, e))
}

/// Makes sure that only the owner can enter: guests can leave setuid files below.
pub(crate) fn private_directory(path: &Path) -> Result<()> {
    let failed = |doing| move |e| EnvironmentError::io(doing, path, e);
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make"))?;
    let found = std::fs::symlink_metadata(path).map_err(failed("look at"))?;
    if !found.is_dir() {
        return Err(failed("use")(std::io::ErrorKind::NotADirectory.into()));
    }
    if found.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(failed("set mode of"))?;
    }
    Ok(())
}

/// 16 hex digits nobody else has at the moment; not a secret.
pub(crate) fn random() -> String {
    use std::hash::{BuildHasher, Hasher};
    let state = std::collections::hash_map::RandomState::new();
    format!("{:016x}", state.build_hasher().finish())
}

#[cfg(test)]
mod tests;
