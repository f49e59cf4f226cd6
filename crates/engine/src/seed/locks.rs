//! Locks of the layer store and the place where a layer is being built.
//!
//! Per key one `.lock-<key>` file: held exclusively while the layer is built or removed, shared
//! (a `Lease`) while somebody is about to use it. A build happens below `.building-<random>`,
//! whose `.building-<random>.lock` is held for as long as its process lives; what a killed one
//! leaves is recognised by the free lock. Waiting is the kernel's, without intervals.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::SeedError;
use super::listing::hex;

pub(crate) const BUILDING: &str = ".building-";
const LOCK: &str = ".lock-";

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Lease {
    file: File,
    path: PathBuf,
}

impl Lease {
    /// Locks a key. `None` when `wait` is off and somebody else holds it.
    pub(crate) fn take(
        store: &Path,
        key: &str,
        exclusive: bool,
        wait: bool,
    ) -> Result<Option<Self>, SeedError> {
        Self::take_file(&store.join(format!("{LOCK}{key}")), exclusive, wait)
    }

    /// Locks a key and waits for it.
    pub(crate) fn wait(store: &Path, key: &str, exclusive: bool) -> Result<Self, SeedError> {
        loop {
            if let Some(lease) = Self::take(store, key, exclusive, true)? {
                return Ok(lease);
            }
        }
    }

    fn take_file(path: &Path, exclusive: bool, wait: bool) -> Result<Option<Self>, SeedError> {
        let fail = |source: std::io::Error| SeedError::io("lock", path, source);
        let operation = match (exclusive, wait) {
            (true, true) => FlockOperation::LockExclusive,
            (true, false) => FlockOperation::NonBlockingLockExclusive,
            (false, true) => FlockOperation::LockShared,
            (false, false) => FlockOperation::NonBlockingLockShared,
        };
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(path)
                .map_err(fail)?;
            match flock(&file, operation) {
                Ok(()) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(fail(errno.into())),
            }
            // The holder before us may have removed the file: then the lock holds nothing.
            let ours = file.metadata().map_err(fail)?;
            if path.metadata().is_ok_and(|now| (now.dev(), now.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }

    /// Turns an exclusive lock into a shared one.
    pub(crate) fn share(&self) -> Result<(), SeedError> {
        flock(&self.file, FlockOperation::LockShared)
            .map_err(|errno| SeedError::io("lock", &self.path, errno))
    }

    /// Removes the lock file while it is held.
    pub(crate) fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A directory in which one call builds; removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Building {
    pub(crate) dir: PathBuf,
    lock: Option<Lease>,
}

impl Building {
    pub(crate) fn begin(store: &Path) -> Result<Self, SeedError> {
        let fail = |path: &Path, source| SeedError::io("create", path, source);
        private_dir(store, true).map_err(|source| fail(store, source))?;
        let dir = store.join(format!("{BUILDING}{}", random_name()?));
        let lock = Lease::take_file(&lock_of(&dir), true, true)?;
        let building = Self { dir, lock };
        private_dir(&building.dir, false).map_err(|source| fail(&building.dir, source))?;
        let scratch = building.scratch();
        private_dir(&scratch, false).map_err(|source| fail(&scratch, source))?;
        Ok(building)
    }

    /// Where git finds its home, working directory and the sanitized git directories.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.dir.join("scratch")
    }

    /// What becomes `<store>/<key>`.
    pub(crate) fn layer(&self) -> PathBuf {
        self.dir.join("layer")
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // What cannot be removed now is a leftover for the next sweep.
        let _ = std::fs::remove_dir_all(&self.dir);
        if let Some(lock) = self.lock.take() {
            lock.remove();
        }
    }
}

fn lock_of(building: &Path) -> PathBuf {
    let mut name = building.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Takes the lock of somebody's build when its process is gone.
pub(crate) fn abandoned(building: &Path) -> Result<Option<Lease>, SeedError> {
    Lease::take_file(&lock_of(building), true, false)
}

/// Makes a directory that only its owner can enter.
pub(crate) fn private_dir(path: &Path, recursive: bool) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).recursive(recursive).create(path)
}

/// A name that nobody else chooses.
pub(crate) fn random_name() -> Result<String, SeedError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 10];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|source| SeedError::io("read", path, source))?;
    Ok(hex(&bytes))
}
