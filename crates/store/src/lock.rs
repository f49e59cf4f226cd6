//! The lock of calls that change a workspace as a whole: create, start, reset, delete.
//!
//! Held by flock on a file of its own, so it ends with its process, however that ends. A record
//! in a passing phase whose lock is free was left by a call that died.

use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use pyro_model::WorkspaceId;

use crate::{Layout, StoreError};

/// Held while a call changes a workspace as a whole.
#[derive(Debug)]
pub struct OperationLock {
    _file: File,
}

/// Whether the file still has its name: the last holder may have removed it while this one waited,
/// and whoever came later locks another file.
fn is_current(file: &File, path: &Path) -> Result<bool, StoreError> {
    let held = file.metadata().map_err(|e| StoreError::file("read", path, e))?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok(named.ino() == held.ino() && named.dev() == held.dev()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::file("read", path, error)),
    }
}

fn open(layout: &Layout, id: &WorkspaceId) -> Result<(File, PathBuf), StoreError> {
    let path = layout.operation_lock(id);
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| StoreError::file("open", &path, e))?;
    Ok((file, path))
}

impl OperationLock {
    /// Waits for the lock.
    ///
    /// # Errors
    /// When the lock's file cannot be used.
    pub fn wait(layout: &Layout, id: &WorkspaceId) -> Result<Self, StoreError> {
        loop {
            let (file, path) = open(layout, id)?;
            file.lock().map_err(|e| StoreError::file("lock", &path, e))?;
            if is_current(&file, &path)? {
                return Ok(Self { _file: file });
            }
        }
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// When the lock's file cannot be used.
    pub fn try_take(layout: &Layout, id: &WorkspaceId) -> Result<Option<Self>, StoreError> {
        loop {
            let (file, path) = open(layout, id)?;
            match file.try_lock() {
                Ok(()) if is_current(&file, &path)? => return Ok(Some(Self { _file: file })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => return Err(StoreError::file("lock", path, e)),
            }
        }
    }

    /// Removes the lock's file, once its workspace is gone.
    pub fn remove(self, layout: &Layout, id: &WorkspaceId) {
        // An unremoved file is an empty file: `doctor` names it, nothing breaks.
        let _ = fs::remove_file(layout.operation_lock(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    #[test]
    fn one_holder_at_a_time_also_where_the_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("home"));
        layout.make().unwrap();
        let id = WorkspaceId::from_random([7; 8]);
        let (inside, rounds) = (AtomicUsize::new(0), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lock = OperationLock::wait(&layout, &id).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        *rounds.lock().unwrap() += 1;
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        lock.remove(&layout, &id);
                    }
                });
            }
        });
        assert_eq!(*rounds.lock().unwrap(), 800);
        assert!(!layout.operation_lock(&id).exists());
    }
}
