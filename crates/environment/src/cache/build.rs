//! A build directory: locked for its life, removed when its build fails, swept by others when
//! its process was killed.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Cache;
use crate::error::{EnvironmentError, Result};

const PREFIX: &str = ".building-";

/// A directory to build in. Dropped, it is gone, unless it was moved elsewhere.
pub(crate) struct Building<'a> {
    cache: &'a Cache,
    path: PathBuf,
    /// The directory itself, locked.
    lock: File,
}

impl<'a> Building<'a> {
    /// Makes a fresh one, after the leftovers of killed builds.
    pub(super) fn begin(cache: &'a Cache) -> Result<Self> {
        // Without this lock a sweep could take the directory between its making and its locking.
        let entries = cache.lock_entries()?;
        sweep(cache)?;
        let path = cache.root.join(format!("{PREFIX}{}", super::random()));
        let failed = |doing| {
            let path = path.clone();
            move |e| EnvironmentError::io(doing, &path, e)
        };
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed("make"))?;
        let lock = File::open(&path).map_err(failed("open"))?;
        lock.lock().map_err(failed("lock"))?;
        drop(entries);
        let building = Self { cache, path, lock };
        let rootfs = building.rootfs();
        std::fs::create_dir(&rootfs)
            .and_then(|()| {
                std::fs::set_permissions(&rootfs, std::fs::Permissions::from_mode(0o755))
            })
            .map_err(|e| EnvironmentError::io("make", &rootfs, e))?;
        Ok(building)
    }

    /// The build directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The root file system being made.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    /// Removes what a source left beside the root file system, since the directory itself is
    /// what gets installed.
    pub(crate) fn keep_only_rootfs(&self) -> Result<()> {
        let failed = |e| EnvironmentError::io("read", &self.path, e);
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != "rootfs" {
                let path = entry.path();
                let removed = self.cache.unpacker.remove(&path);
                removed.map_err(|e| EnvironmentError::archive(&path, e))?;
            }
        }
        Ok(())
    }

    pub(super) fn handle(&self) -> &File {
        &self.lock
    }

    /// The cache it is in.
    pub(crate) fn cache(&self) -> &Cache {
        self.cache
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        // A failure here leaves something for the next sweep, no more.
        if self.path.exists() && self.cache.unpacker.remove(&self.path).is_err() {
            self.cache.discard(&self.path).ok();
        }
    }
}

/// Moves builds that nobody holds to the trash; how many. The entries must be locked.
pub(super) fn sweep(cache: &Cache) -> Result<u64> {
    let mut swept = 0;
    let failed = |e| EnvironmentError::io("read", &cache.root, e);
    for entry in std::fs::read_dir(&cache.root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let path = entry.path();
        // Gone already, or not to be opened: not ours to judge.
        let Ok(held) = File::open(&path) else { continue };
        if held.try_lock().is_ok() {
            cache.discard(&path)?;
            swept += 1;
        }
    }
    // Names are written under the same lock, so a half-written one has no writer.
    let names = cache.root.join("names");
    for entry in std::fs::read_dir(&names).map_err(|e| EnvironmentError::io("read", &names, e))? {
        let entry = entry.map_err(|e| EnvironmentError::io("read", &names, e))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            std::fs::remove_file(entry.path()).ok();
            swept += 1;
        }
    }
    Ok(swept)
}
