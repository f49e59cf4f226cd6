//! Removing trees that a guest made: any depth, any names, any modes, links to anywhere.
//!
//! Nothing is followed and nothing recurses: directories found inside are moved up beside the
//! others of the top, so that two open directories are enough however deep the tree is.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use pyro_sys::{
    clone::{Forked, fork},
    process,
};
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, flock, openat,
        openat2, renameat_with, unlinkat,
    },
    io::Errno,
    process::setsid,
};

/// Removes the trees named by the arguments, slowly, in a process of its own that nobody waits
/// for; the exit code.
#[must_use]
pub fn remove(arguments: std::env::ArgsOs) -> i32 {
    match fork() {
        Ok(Forked::Child) => {}
        Ok(Forked::Parent { .. }) => return 0,
        Err(_) => return 1,
    }
    let _ = setsid();
    let _ = process::lowest_priority();
    let mut code = 0;
    for path in arguments {
        let path = Path::new(&path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            code = 2;
            continue;
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let done =
            openat(CWD, parent, flags, Mode::empty()).map_err(io::Error::from).and_then(|parent| {
                match alone(parent.as_fd(), name) {
                    Some(_held) => empty(parent.as_fd(), name),
                    None => Ok(()),
                }
            });
        if done.is_err() {
            code = 1;
        }
    }
    code
}

/// Keeps other removers away from a tree; `None` when one is at it already. A file, or a
/// directory that cannot be opened, needs no such care.
fn alone(parent: BorrowedFd<'_>, name: &std::ffi::OsStr) -> Option<Option<OwnedFd>> {
    let Ok(top) = directory(parent, name) else { return Some(None) };
    match flock(&top, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => None,
        _ => Some(Some(top)),
    }
}

/// Removes the tree `name` of an open directory; fine when there is none.
///
/// # Errors
/// Something in it cannot be removed.
pub(super) fn empty(parent: BorrowedFd<'_>, name: impl AsRef<std::ffi::OsStr>) -> io::Result<()> {
    let name = name.as_ref();
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR) => return Ok(unlinkat(parent, name, AtFlags::empty())?),
        Err(_) => {}
    }
    let top = directory(parent, name)?;
    let mut moved = 0u64;
    loop {
        let mut left = None;
        let mut progress = false;
        for entry in Dir::read_from(&top)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_itself_or_parent(name) {
                continue;
            }
            match clear(&top, name, &mut moved) {
                Ok(()) => progress = true,
                Err(error) => left = Some(error),
            }
        }
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => return Ok(()),
            Err(error) if !progress => return Err(left.unwrap_or_else(|| error.into())),
            Err(_) => {}
        }
    }
}

/// Removes an entry of the top, or moves its directories up and removes the rest.
fn clear(top: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    match unlinkat(top, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(_) => {}
    }
    let inner = directory(top.as_fd(), name)?;
    for entry in Dir::read_from(&inner)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_itself_or_parent(name) || unlinkat(&inner, name, AtFlags::empty()).is_ok() {
            continue;
        }
        if unlinkat(&inner, name, AtFlags::REMOVEDIR).is_err() {
            move_up(top, &inner, name, moved)?;
        }
    }
    // What is left was added or skipped meanwhile; the next round over the top finds it again.
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn move_up(top: &OwnedFd, inner: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let new = format!(".pyro-{moved}");
        match renameat_with(inner, name, top, &*new, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn directory(parent: BorrowedFd<'_>, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    Ok(openat2(parent, name, flags, Mode::empty(), resolve)?)
}

fn is_itself_or_parent(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn handle(path: &Path) -> OwnedFd {
        openat(CWD, path, OFlags::PATH, Mode::empty()).unwrap()
    }

    #[test]
    fn a_tree_has_one_remover_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        let parent = handle(folder.path());
        let held = alone(parent.as_fd(), "tree".as_ref()).unwrap().unwrap();
        assert!(alone(parent.as_fd(), "tree".as_ref()).is_none());
        drop(held);
        assert!(alone(parent.as_fd(), "tree".as_ref()).unwrap().is_some());
        assert!(alone(parent.as_fd(), "missing".as_ref()).unwrap().is_none());
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes_and_nothing_outside_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("kept"), "x").unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        let mut at = handle(&folder.path().join("tree"));
        for level in 0..3000 {
            symlink(
                "../kept",
                format!("/proc/self/fd/{}/link", std::os::fd::AsRawFd::as_raw_fd(&at)),
            )
            .unwrap();
            rustix::fs::mkdirat(&at, "down", Mode::from_raw_mode(0o700)).unwrap();
            if level % 100 == 0 {
                rustix::fs::mkdirat(&at, ".pyro-1", Mode::from_raw_mode(0o700)).unwrap();
            }
            at = openat(&at, "down", OFlags::PATH, Mode::empty()).unwrap();
        }
        let parent = handle(folder.path());
        empty(parent.as_fd(), "tree").unwrap();
        assert!(!folder.path().join("tree").exists());
        assert_eq!(fs::read_to_string(folder.path().join("kept")).unwrap(), "x");
        empty(parent.as_fd(), "tree").unwrap();
        symlink("kept", folder.path().join("link")).unwrap();
        empty(parent.as_fd(), "link").unwrap();
        assert!(folder.path().join("kept").exists());
    }
}
