//! Puts entries into the target directory, each beneath its handle.
//!
//! Promises: no system call here follows a link out of the target; the last component is never
//! followed at all. An image's parents are resolved inside the target as if it were `/`
//! (`lib/x` where `lib -> usr/lib` is usual), a seed's may not be links.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::failure::{Refusal, UnpackError};
use super::names::{self, EntryPath};
use super::plan::{ArchiveKind, Ownership, UnpackPlan};
use super::stream::Entry;
use crate::tree;

/// The target directory, and what is remembered about it.
pub(super) struct Place<'a> {
    root: OwnedFd,
    plan: &'a UnpackPlan,
    /// The parent of the entry before, which is usually this one's as well.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// For whiteouts: inodes that this layer made or entered, which its whiteouts spare.
    pub(super) own: HashSet<u64>,
}

impl<'a> Place<'a> {
    pub(super) fn new(root: OwnedFd, plan: &'a UnpackPlan) -> Self {
        Self { root, plan, parent: None, own: HashSet::new() }
    }

    /// Makes a directory, or takes over the one that is there.
    pub(super) fn directory(&mut self, path: &EntryPath, entry: &Entry) -> Result<(), UnpackError> {
        if path.is_root() {
            let root = open_directory(&self.root, b".", path.as_bytes())?;
            return self.finish(root.as_fd(), path, entry);
        }
        let (name, parent) = self.parent(path)?;
        let made = match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Err(Errno::EXIST) if is_directory(parent, name) => Ok(()),
            Err(Errno::EXIST) => {
                tree::remove_beneath(parent, name)?;
                rustix::fs::mkdirat(parent, name, Mode::RWXU)
            }
            other => other,
        };
        made.map_err(|e| UnpackError::io("make directory", path.as_bytes(), e))?;
        let directory = open_directory(&parent, name, path.as_bytes())?;
        self.finish(directory.as_fd(), path, entry)
    }

    /// Makes an empty file to be written; `finish` it afterwards.
    pub(super) fn file(&mut self, path: &EntryPath) -> Result<OwnedFd, UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let (name, parent) = self.parent(path)?;
        let mode = Mode::RUSR | Mode::WUSR;
        replacing(parent, name, || rustix::fs::openat(parent, name, flags | OFlags::CLOEXEC, mode))?
            .map_err(|e| UnpackError::io("create", path.as_bytes(), e))
    }

    /// Makes a symbolic link; where it leads is not judged and never followed.
    pub(super) fn symlink(&mut self, path: &EntryPath, entry: &Entry) -> Result<(), UnpackError> {
        names::check_link_text(path.as_bytes(), &entry.link)?;
        let ids = self.owner(path, entry)?;
        let (name, parent) = self.parent(path)?;
        replacing(parent, name, || rustix::fs::symlinkat(&entry.link[..], parent, name))?
            .map_err(|e| UnpackError::io("make link", path.as_bytes(), e))?;
        if let Some((uid, gid)) = ids {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), flags)
                .map_err(|e| UnpackError::io("set owner of", path.as_bytes(), e))?;
        }
        // A link's time is of no consequence; a file system that cannot set it is no reason to fail.
        let times = times(entry.mtime);
        rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW).ok();
        self.note(path)
    }

    /// Makes a hard link to something that was unpacked before.
    pub(super) fn hard_link(&mut self, path: &EntryPath, entry: &Entry) -> Result<(), UnpackError> {
        let outward = || UnpackError::refused(path.as_bytes(), Refusal::OutwardHardLink);
        let target = EntryPath::parse(&entry.link, self.plan.kind, &self.plan.limits)
            .map_err(|_| outward())?;
        if target.is_root() || target == *path {
            return Err(outward());
        }
        let (above, target_name) = target.split();
        let above = self.resolve(above).map_err(|_| outward())?;
        let (name, parent) = self.parent(path)?;
        // Neither call follows a link in the last place.
        let status = rustix::fs::statat(&above, target_name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|_| outward())?;
        // Two names of one file already: replacing the one could remove the other.
        if rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|there| (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino))
        {
            return Ok(());
        }
        if rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir() {
            return Err(outward());
        }
        let link = || rustix::fs::linkat(&above, target_name, parent, name, AtFlags::empty());
        replacing(parent, name, link)?
            .map_err(|e| UnpackError::io("make hard link", path.as_bytes(), e))?;
        self.note(path)
    }

    /// Gives owner, mode, capabilities and time, in the order in which one does not undo another.
    pub(super) fn finish(
        &mut self,
        made: BorrowedFd<'_>,
        path: &EntryPath,
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let failed = |doing| move |e: Errno| UnpackError::io(doing, path.as_bytes(), e);
        if let Some((uid, gid)) = self.owner(path, entry)? {
            rustix::fs::fchown(made, Some(uid), Some(gid)).map_err(failed("set owner of"))?;
        }
        let status = rustix::fs::fstat(made).map_err(failed("look at"))?;
        let directory = rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir();
        let mode = Mode::from_raw_mode(self.mode(entry.mode, directory));
        rustix::fs::fchmod(made, mode).map_err(failed("set mode of"))?;
        if directory {
            // Its time changes with every entry that follows.
        } else {
            if let (Ownership::Keep { .. }, Some(value)) = (self.plan.ownership, &entry.capability)
                && self.plan.kind == ArchiveKind::Image
            {
                let name = "security.capability";
                rustix::fs::fsetxattr(made, name, value, XattrFlags::empty())
                    .map_err(failed("set capability of"))?;
            }
            rustix::fs::futimens(made, &times(entry.mtime)).map_err(failed("set time of"))?;
        }
        if self.plan.whiteouts {
            self.own.insert(status.st_ino);
        }
        Ok(())
    }

    /// The directory that holds `path`, made where it is missing, and the name in it.
    pub(super) fn parent<'s, 'p>(
        &'s mut self,
        path: &'p EntryPath,
    ) -> Result<(&'p [u8], BorrowedFd<'s>), UnpackError> {
        let (above, name) = path.split();
        if above.is_empty() {
            // What is remembered is always the parent of the entry at hand, so that no entry can
            // replace a directory above it and have the next ones written into the old one.
            self.parent = None;
            return Ok((name, self.root.as_fd()));
        }
        let known = self.parent.as_ref().is_some_and(|(last, _)| last == above);
        if !known {
            let opened = self.ensure(above)?;
            self.parent = Some((above.to_vec(), opened));
        }
        let parent = self.parent.as_ref().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
        Ok((name, parent))
    }

    /// Forgets what it remembers, since something was replaced or removed.
    pub(super) fn forget_parent(&mut self) {
        self.parent = None;
    }

    /// Opens the directory at a clean path, if it is there.
    fn resolve(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = match self.plan.kind {
            ArchiveKind::Image => ResolveFlags::IN_ROOT,
            ArchiveKind::Seed => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        } | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        let path = if path.is_empty() { b"." } else { path };
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    fn ensure(&mut self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        let opened = match self.resolve(path) {
            Err(Errno::NOENT) if !path.is_empty() => {
                let (above, name) = names::split(path);
                let parent = self.ensure(above)?;
                match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                    // There, and yet not to be entered: a link to nothing.
                    Err(Errno::EXIST) => Err(Errno::LOOP),
                    Err(e) => return Err(UnpackError::io("make directory", path, e)),
                    Ok(()) => {
                        let made = open_directory(&parent, name, path)?;
                        rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))
                            .map_err(|e| UnpackError::io("set mode of", path, e))?;
                        self.resolve(path)
                    }
                }
            }
            opened => opened,
        };
        let opened = opened.map_err(|e| match e {
            Errno::LOOP | Errno::XDEV | Errno::NOTDIR => {
                UnpackError::refused(path, Refusal::EscapingPath)
            }
            e => UnpackError::io("open", path, e),
        })?;
        if self.plan.whiteouts {
            let status =
                rustix::fs::fstat(&opened).map_err(|e| UnpackError::io("look at", path, e))?;
            // Above a directory that was noted, all have been.
            if self.own.insert(status.st_ino) && !path.is_empty() {
                self.ensure(names::split(path).0)?;
            }
        }
        Ok(opened)
    }

    fn note(&mut self, path: &EntryPath) -> Result<(), UnpackError> {
        if self.plan.whiteouts {
            let (name, parent) = self.parent(path)?;
            let status = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| UnpackError::io("look at", path.as_bytes(), e))?;
            self.own.insert(status.st_ino);
        }
        Ok(())
    }

    fn owner(
        &self,
        path: &EntryPath,
        entry: &Entry,
    ) -> Result<Option<(rustix::fs::Uid, rustix::fs::Gid)>, UnpackError> {
        let Ownership::Keep { highest_id } = self.plan.ownership else { return Ok(None) };
        let within = |id: u64| {
            let unmapped = || UnpackError::refused(path.as_bytes(), Refusal::UnmappedOwner);
            u32::try_from(id).ok().filter(|id| *id <= highest_id).ok_or_else(unmapped)
        };
        let uid = rustix::fs::Uid::from_raw(within(entry.uid)?);
        Ok(Some((uid, rustix::fs::Gid::from_raw(within(entry.gid)?))))
    }

    fn mode(&self, stored: u32, directory: bool) -> u32 {
        let mode = match self.plan.kind {
            ArchiveKind::Image => stored & 0o7777,
            ArchiveKind::Seed => stored & 0o777,
        };
        // Without the power to override, an owner must be able to read what is its own.
        match (self.plan.ownership, directory) {
            (Ownership::Keep { .. }, _) => mode,
            (Ownership::Ignore, true) => mode | 0o700,
            (Ownership::Ignore, false) => mode | 0o600,
        }
    }
}

/// Makes something with `make`; where the name is taken, what has it is removed first.
fn replacing<T>(
    parent: BorrowedFd<'_>,
    name: &[u8],
    make: impl Fn() -> Result<T, Errno>,
) -> Result<Result<T, Errno>, UnpackError> {
    match make() {
        Err(Errno::EXIST) => {
            tree::remove_beneath(parent, name)?;
            Ok(make())
        }
        other => Ok(other),
    }
}

fn is_directory(parent: BorrowedFd<'_>, name: &[u8]) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|status| rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir())
}

fn open_directory(parent: &impl AsFd, name: &[u8], path: &[u8]) -> Result<OwnedFd, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
        .map_err(|e| UnpackError::io("open", path, e))
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
