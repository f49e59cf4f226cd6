//! Locks that belong to an open file and not to a process: inherited by children, freed by the
//! kernel when the last descriptor of that open file is closed, and testable without taking them.

use std::os::fd::{AsFd, AsRawFd};

use crate::{Result, SysError};

fn whole_file(kind: i32) -> libc::flock {
    // SAFETY: the structure is plain numbers; zero is a value of each.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).unwrap_or_default();
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    lock
}

/// Takes the lock for this open file; `false` when another open file holds it.
///
/// # Errors
/// The file is not open for writing, or its file system has no locks.
pub fn try_lock(file: impl AsFd) -> Result<bool> {
    let lock = whole_file(libc::F_WRLCK);
    // SAFETY: the structure lives through the call, which only reads it.
    let done = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if done == 0 {
        return Ok(true);
    }
    let error = SysError::last("lock", &"a file");
    match error.errno() {
        libc::EAGAIN | libc::EACCES => Ok(false),
        _ => Err(error),
    }
}

/// Whether another open file holds the lock. Takes nothing, so that asking never makes another
/// taker fail.
///
/// # Errors
/// The file system has no locks.
pub fn is_locked(file: impl AsFd) -> Result<bool> {
    let mut lock = whole_file(libc::F_WRLCK);
    // SAFETY: the structure lives through the call, which reads and fills it.
    let done = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if done < 0 {
        return Err(SysError::last("look at the lock of", &"a file"));
    }
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_lock_lives_as_long_as_its_open_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = File::create(&path).unwrap();
        let second = File::options().read(true).write(true).open(&path).unwrap();
        assert!(!is_locked(&second).unwrap());
        assert!(try_lock(&first).unwrap());
        assert!(try_lock(&first).unwrap(), "the holder may take it again");
        assert!(is_locked(&second).unwrap());
        assert!(!try_lock(&second).unwrap());
        let copy = first.try_clone().unwrap();
        drop(first);
        assert!(is_locked(&second).unwrap(), "a copy of the descriptor holds it too");
        drop(copy);
        assert!(!is_locked(&second).unwrap());
    }
}
