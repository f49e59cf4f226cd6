//! Deletes trees of any depth: below `LEVELS` a directory is first moved up beside the top, so
//! that a guest's chain of ten thousand directories costs no ten thousand descriptors.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{names, open_beneath};
use crate::unpack::UnpackError;

const LEVELS: usize = 64;

/// Removes whatever is at `path`; nothing there is fine.
pub fn remove(path: &Path) -> Result<(), UnpackError> {
    use std::os::unix::ffi::OsStrExt;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(UnpackError::io("remove", path.as_os_str().as_bytes(), Errno::INVAL));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    match std::fs::File::open(parent) {
        Ok(parent) => remove_beneath(parent.as_fd(), name.as_bytes()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(UnpackError::io("open", parent.as_os_str().as_bytes(), e)),
    }
}

/// Removes `name` in `parent`, a tree or anything else; nothing there is fine.
pub(crate) fn remove_beneath(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), UnpackError> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(UnpackError::io("remove", name, e)),
    }
    // Each round takes off `LEVELS` levels below what was moved up.
    let mut moved = 0_u64;
    while !empty(parent, name, (parent, name), LEVELS, &mut moved)? {}
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
        .map_err(|e| UnpackError::io("remove", name, e))
}

/// Removes what is in `directory` but the inodes in `own` and the directories that hold them.
pub(crate) fn clear_but(directory: BorrowedFd<'_>, own: &HashSet<u64>) -> Result<(), UnpackError> {
    for name in names(directory)? {
        let status = rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| UnpackError::io("look at", name.to_bytes(), e))?;
        if !own.contains(&status.st_ino) {
            remove_beneath(directory, name.to_bytes())?;
        } else if FileType::from_raw_mode(status.st_mode).is_dir() {
            clear_but(open_beneath(directory, name.to_bytes())?.as_fd(), own)?;
        }
    }
    Ok(())
}

/// Empties the directory `name`; false when directories were moved up into the top one, which
/// then wants another round.
fn empty(
    parent: BorrowedFd<'_>,
    name: &[u8],
    top: (BorrowedFd<'_>, &[u8]),
    levels: usize,
    moved: &mut u64,
) -> Result<bool, UnpackError> {
    let directory = match open_beneath(parent, name) {
        // Its owner may have locked itself out.
        Err(UnpackError::Io { source, .. })
            if source.errno == Some(Errno::ACCESS.raw_os_error()) =>
        {
            unlock(parent, name).map_err(|e| UnpackError::io("set mode of", name, e))?;
            open_beneath(parent, name)?
        }
        opened => opened?,
    };
    let mut done = true;
    for child in names(&directory)? {
        let failed = |e| UnpackError::io("remove", child.to_bytes(), e);
        let mut result = rustix::fs::unlinkat(&directory, &child, AtFlags::empty());
        if result == Err(Errno::ACCESS) {
            rustix::fs::fchmod(&directory, Mode::RWXU).map_err(failed)?;
            result = rustix::fs::unlinkat(&directory, &child, AtFlags::empty());
        }
        match result {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(failed(e)),
        }
        if levels == 0 {
            let up = open_beneath(top.0, top.1)?;
            move_up(&directory, &child, &up, moved).map_err(failed)?;
            done = false;
            continue;
        }
        done &= empty(directory.as_fd(), child.to_bytes(), top, levels - 1, moved)?;
        rustix::fs::unlinkat(&directory, &child, AtFlags::REMOVEDIR).map_err(failed)?;
    }
    Ok(done)
}

/// Moves `child` into the top directory under a name that is free there.
fn move_up(from: impl AsFd, child: &CStr, top: impl AsFd, moved: &mut u64) -> Result<(), Errno> {
    loop {
        *moved += 1;
        let fresh = format!(".moved-up-{moved}");
        match rustix::fs::renameat_with(&from, child, &top, fresh, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return other,
        }
    }
}

/// Lets the owner into the directory `name` again, without following it if it is a link.
fn unlock(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    // A handle of this kind takes no chmod itself; its name in /proc does.
    rustix::fs::chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), Mode::RWXU)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_a_chain_deeper_than_the_descriptors_allow_and_follows_no_link() {
        let room = tempfile::tempdir().unwrap();
        let kept = room.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        let top = room.path().join("top");
        std::fs::create_dir(&top).unwrap();
        let mut at = open_beneath(std::fs::File::open(room.path()).unwrap(), b"top").unwrap();
        for level in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            if level % 700 == 0 {
                rustix::fs::symlinkat(&kept, &at, "link").unwrap();
            }
            at = open_beneath(&at, b"d").unwrap();
        }
        remove(&top).unwrap();
        assert!(!top.exists());
        assert!(kept.join("file").exists());
        remove(&top).unwrap();
    }
}
