//! Places in the new root where something is mounted: found or made without ever leaving it.
//!
//! The root is the guest's: any part of a path may be a link to anywhere. Links are followed as
//! they would be inside (`/` is the new root), `/proc`'s magic links never.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use pyro_sys::{Context, Result, SysError};
use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, unlinkat},
    io::Errno,
};

/// Deeper paths are refused.
const MAX_DEPTH: usize = 128;

/// A directory of the root, made with its parents where it is missing.
///
/// # Errors
/// Something on the way is no directory.
pub(crate) fn directory(root: impl AsFd, path: &Path) -> Result<OwnedFd> {
    let root = root.as_fd();
    match open(root, path, OFlags::DIRECTORY) {
        Ok(found) => return Ok(found),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error).doing("open inside", path.display()),
    }
    let mut so_far = PathBuf::from("/");
    let mut parent = open(root, &so_far, OFlags::DIRECTORY).doing("open inside", "/")?;
    for (depth, part) in parts(path)?.into_iter().enumerate() {
        if depth >= MAX_DEPTH {
            return Err(SysError::invalid("open inside", &path.display(), "too deep"));
        }
        so_far.push(part);
        parent = match open(root, &so_far, OFlags::DIRECTORY) {
            Ok(found) => found,
            Err(Errno::NOENT) => {
                mkdirat(&parent, part, Mode::from_raw_mode(0o755))
                    .doing("make inside", so_far.display())?;
                open(root, &so_far, OFlags::DIRECTORY).doing("open inside", so_far.display())?
            }
            Err(error) => return Err(error).doing("open inside", so_far.display()),
        };
    }
    Ok(parent)
}

/// A file of the root, made empty where it is missing. A link that leads nowhere is replaced.
///
/// # Errors
/// It is a directory, or its parent is none.
pub(crate) fn file(root: impl AsFd, path: &Path) -> Result<OwnedFd> {
    let root = root.as_fd();
    match open(root, path, OFlags::empty()) {
        Ok(found) => return Ok(found),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error).doing("open inside", path.display()),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(SysError::invalid("open inside", &path.display(), "no file's name"));
    };
    let parent = directory(root, parent)?;
    let make = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    if matches!(openat(&parent, name, make, mode), Err(Errno::EXIST)) {
        unlinkat(&parent, name, AtFlags::empty()).doing("replace inside", path.display())?;
        openat(&parent, name, make, mode).doing("make inside", path.display())?;
    }
    openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .doing("open inside", path.display())
}

/// What is there, for something that is known to be of the right kind.
///
/// # Errors
/// It is not there.
pub(crate) fn existing(root: impl AsFd, path: &Path) -> Result<OwnedFd> {
    open(root.as_fd(), path, OFlags::empty()).doing("open inside", path.display())
}

fn open(root: BorrowedFd<'_>, path: &Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC | more, Mode::empty(), resolve)
}

fn parts(path: &Path) -> Result<Vec<&std::ffi::OsStr>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(part) => parts.push(part),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(SysError::invalid("open inside", &path.display(), "goes upwards"));
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn root(folder: &tempfile::TempDir) -> OwnedFd {
        fs::create_dir(folder.path().join("root")).unwrap();
        openat(rustix::fs::CWD, folder.path().join("root"), OFlags::PATH, Mode::empty()).unwrap()
    }

    #[test]
    fn links_lead_only_where_they_lead_inside() {
        let folder = tempfile::tempdir().unwrap();
        let root_fd = root(&folder);
        let inside = folder.path().join("root");
        fs::create_dir(inside.join("real")).unwrap();
        symlink("/real", inside.join("absolute")).unwrap();
        symlink("../../../real", inside.join("upwards")).unwrap();
        directory(&root_fd, Path::new("/absolute/a/b")).unwrap();
        directory(&root_fd, Path::new("/upwards/c")).unwrap();
        file(&root_fd, Path::new("/absolute/f")).unwrap();
        assert!(inside.join("real/a/b").is_dir() && inside.join("real/c").is_dir());
        assert!(inside.join("real/f").is_file());
        assert!(!folder.path().join("real").exists());
    }

    #[test]
    fn a_dead_link_becomes_a_file_and_climbing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root_fd = root(&folder);
        let inside = folder.path().join("root");
        symlink("/nowhere/at/all", inside.join("resolv.conf")).unwrap();
        file(&root_fd, Path::new("/resolv.conf")).unwrap();
        assert!(fs::symlink_metadata(inside.join("resolv.conf")).unwrap().is_file());
        assert!(directory(&root_fd, Path::new("/x/../../y")).is_err());
        fs::write(inside.join("file"), "").unwrap();
        assert!(directory(&root_fd, Path::new("/file/below")).is_err());
    }
}
