//! Files that are made once, whole, by whoever comes first: a lock beside the file while it is
//! made, a part beside it, and a rename at the end.
//!
//! Promises: the name is only ever that of a whole file; of two at once, one works and the other
//! waits; a part that a crash left is replaced.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use pyro_launcher::failure;
use pyro_machine::MachineError;
use pyro_sys::Context;
use rustix::fs::{FlockOperation, OFlags, flock};

/// Makes `path` by what `make` does with the path of its part, unless it is there. The file is
/// read-only afterwards.
pub(crate) fn once(
    path: &Path,
    make: impl FnOnce(&Path) -> Result<(), MachineError>,
) -> Result<(), MachineError> {
    if path.exists() {
        return Ok(());
    }
    let _guard = Guard::take(path)?;
    if path.exists() {
        return Ok(());
    }
    let part = beside(path, "part");
    forget(&part)?;
    let made = make(&part).and_then(|()| keep(&part, path));
    if made.is_err() {
        let _ = fs::remove_file(&part);
    }
    made
}

fn keep(part: &Path, path: &Path) -> Result<(), MachineError> {
    File::open(part)
        .and_then(|file| {
            file.set_permissions(fs::Permissions::from_mode(0o444))?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(part, path))
        .doing("keep", path.display())
        .map_err(failure)
}

/// Replaces a small file in one step.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), MachineError> {
    let part = beside(path, &format!("{}.part", std::process::id()));
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .doing("write", path.display())
        .map_err(failure)
}

/// Somebody's right to make a file, until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    path: PathBuf,
    _held: File,
}

impl Guard {
    /// Waits for it.
    pub(crate) fn take(of: &Path) -> Result<Self, MachineError> {
        let path = beside(of, "lock");
        loop {
            let held = open(&path)?;
            wait_for(&held, &path)?;
            // Its holder before removed it: whoever comes next makes another.
            if is_at(&held, &path) {
                return Ok(Self { path, _held: held });
            }
        }
    }

    /// Takes it when nobody has it.
    pub(crate) fn try_take(of: &Path) -> Result<Option<Self>, MachineError> {
        let path = beside(of, "lock");
        let held = open(&path)?;
        let free = flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Only made for whoever has it: its end removes the file.
        Ok((free && is_at(&held, &path)).then(|| Self { path, _held: held }))
    }
}

fn open(path: &Path) -> Result<File, MachineError> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .doing("open", path.display())
        .map_err(failure)
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn wait_for(held: &File, path: &Path) -> Result<(), MachineError> {
    loop {
        match flock(held, FlockOperation::LockExclusive) {
            Err(rustix::io::Errno::INTR) => {}
            done => return done.doing("wait for", path.display()).map_err(failure),
        }
    }
}

/// Whether a path still names an open file.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let here = |found: fs::Metadata| (found.dev(), found.ino());
    matches!(
        (file.metadata().map(here), fs::symlink_metadata(path).map(here)),
        (Ok(one), Ok(other)) if one == other
    )
}

/// The path with one more ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn forget(path: &Path) -> Result<(), MachineError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing("remove", path.display()).map_err(failure)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn of_many_at_once_one_makes_it_and_all_see_it_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        let times = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    once(&path, |part| {
                        times.fetch_add(1, Ordering::Relaxed);
                        fs::write(part, "whole").unwrap();
                        Ok(())
                    })
                    .unwrap();
                    assert_eq!(fs::read(&path).unwrap(), b"whole");
                });
            }
        });
        assert_eq!(times.into_inner(), 1);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o444);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_guard_that_is_held_stays_whoever_tries_to_take_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        let held = Guard::take(&path).unwrap();
        for _ in 0..2 {
            assert!(Guard::try_take(&path).unwrap().is_none());
            assert!(beside(&path, "lock").exists());
        }
        drop(held);
        assert!(!beside(&path, "lock").exists());
        assert!(Guard::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn a_part_of_a_crash_is_replaced_and_a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        fs::write(beside(&path, "part"), "torn").unwrap();
        let refused = once(&path, |_| Err(MachineError::NotRunning("x".into())));
        assert!(refused.is_err() && !path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(beside(&path, "part"), "torn").unwrap();
        once(&path, |part| {
            assert!(!part.exists());
            fs::write(part, "whole").unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }
}
