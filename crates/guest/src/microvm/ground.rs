//! A root over a disk: its file system, the overlay of the environment with what changed, `/dev`,
//! `/proc` and the names in it. Nothing here differs between clones but which disk it is, so that
//! a template is saved with it done; a workspace that has a disk of its own has it done again,
//! over that.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use pyro_sys::{
    Context, Result,
    filesystem::{self, Filesystem},
    mount,
};
use rustix::fs::{Mode, OFlags, mkdirat, openat, syncfs};

use super::{ballast, identity::Names};
use crate::container::{LayerHandles, Scratch, UpperHandle, target};

/// What shows in every root as it is.
pub(super) struct Shown {
    /// The root of the environment's image.
    pub(super) environment: OwnedFd,
    /// Where, and the mount.
    pub(super) mounts: Vec<(&'static Path, OwnedFd)>,
    /// The names to write.
    pub(super) names: Names,
}

/// A disk with a root over it.
pub(super) struct Ground {
    pub(super) root: OwnedFd,
    /// Where the changes of `/workspace` go.
    pub(super) tree: OwnedFd,
    /// Where the root was put together.
    pub(super) scratch: Scratch,
}

impl Ground {
    /// Puts it together; what is shown moves there from wherever it was.
    ///
    /// # Errors
    /// The disk has no file system, or one without any room; a mount was refused.
    pub(super) fn lay(device: &str, shown: &Shown, scratch: Scratch) -> Result<Self> {
        let disk = filesystem::mount(&Filesystem {
            kind: "ext4",
            source: Some(device),
            options: &[("user_xattr", None), ("noinit_itable", None), ("commit", Some("1"))],
            read_only: false,
        })?;
        scratch.park(&disk)?;
        ballast::make_room(&disk)?;
        let environment = shown.environment.try_clone().doing("copy", "a descriptor")?;
        let upper = UpperHandle::Directory(directory(&disk, "root")?);
        let (root, _) = scratch.root(&LayerHandles { lowers: vec![environment], upper })?;
        for (path, mounted) in &shown.mounts {
            mount::attach(mounted, target::directory(&root, path)?)?;
        }
        for path in ["/sys", "/tmp", "/workspace"] {
            target::directory(&root, Path::new(path))?;
        }
        shown.names.show(&root);
        let tree = directory(&disk, "tree")?;
        Ok(Self { root, tree, scratch })
    }

    /// Leaves nothing to be written to the disk.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub(super) fn settle(&self) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.tree, ".", flags, Mode::empty()).and_then(syncfs).doing("sync", "the disk")
    }
}

fn directory(disk: &OwnedFd, name: &str) -> Result<OwnedFd> {
    match mkdirat(disk, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(errno).doing("make", name),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(disk.as_fd(), name, flags, Mode::empty()).doing("open", name)
}
