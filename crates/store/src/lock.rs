//! The lock of calls that change a workspace as a whole: create, start, reset, delete.
//!
//! Held by flock on a file of its own, so it ends with its process, however that ends. A record
//! in a passing phase whose lock is free was left by a call that died.

use std::fs::{self, File, TryLockError};

use pyro_model::WorkspaceId;

use crate::{Layout, StoreError};

/// Held while a call changes a workspace as a whole.
#[derive(Debug)]
pub struct OperationLock {
    _file: File,
}

fn open(layout: &Layout, id: &WorkspaceId) -> Result<(File, std::path::PathBuf), StoreError> {
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
        let (file, path) = open(layout, id)?;
        file.lock().map_err(|e| StoreError::file("lock", path, e))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// When the lock's file cannot be used.
    pub fn try_take(layout: &Layout, id: &WorkspaceId) -> Result<Option<Self>, StoreError> {
        let (file, path) = open(layout, id)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(StoreError::file("lock", path, e)),
        }
    }

    /// Removes the lock's file, once its workspace is gone.
    pub fn remove(self, layout: &Layout, id: &WorkspaceId) {
        // An unremoved file is an empty file: `doctor` names it, nothing breaks.
        let _ = fs::remove_file(layout.operation_lock(id));
    }
}
