//! File systems of a machine that boots: those of block devices and of the kernel, and the way out
//! of the initramfs.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
        fsconfig_set_string, fsmount, fsopen, mount_move,
    },
};

use crate::{Context, Result, mount};

/// What is mounted.
#[derive(Debug, Clone, Copy)]
pub struct Filesystem<'a> {
    /// Its type.
    pub kind: &'a str,
    /// The block device.
    pub source: Option<&'a str>,
    /// Options, with a value or without.
    pub options: &'a [(&'a str, Option<&'a str>)],
    /// Nothing can be written to it, and it is not changed by being mounted.
    pub read_only: bool,
}

/// A detached mount of it, in which no device can be opened and which keeps no access times.
///
/// # Errors
/// The device has no such file system, or the kernel does not know it.
pub fn mount(of: &Filesystem<'_>) -> Result<OwnedFd> {
    let what = of.source.unwrap_or(of.kind);
    let context = fsopen(of.kind, FsOpenFlags::FSOPEN_CLOEXEC).doing("open", of.kind)?;
    if let Some(source) = of.source {
        fsconfig_set_string(&context, "source", source).doing("name", source)?;
    }
    for (option, value) in of.options {
        match value {
            Some(value) => fsconfig_set_string(&context, *option, *value),
            None => fsconfig_set_flag(&context, *option),
        }
        .doing("set an option of", what)?;
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOATIME;
    if of.read_only {
        fsconfig_set_flag(&context, "ro").doing("make read-only", what)?;
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    fsconfig_create(&context).doing("create", what)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).doing("mount", what)
}

/// The kernel's own device nodes, detached.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`.
pub fn device_nodes() -> Result<OwnedFd> {
    let context = fsopen("devtmpfs", FsOpenFlags::FSOPEN_CLOEXEC).doing("open", "devtmpfs")?;
    fsconfig_create(&context).doing("create", "devtmpfs")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).doing("mount", "devtmpfs")
}

/// Mounts a detached tree at a path that the caller trusts, which is made when it is missing.
///
/// # Errors
/// The mount is refused.
pub fn attach_at(tree: &OwnedFd, path: &str) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).doing("make", path);
        }
        _ => {}
    }
    mount::attach(tree, mount::open_handle(Path::new(path))?)
}

/// Makes what is mounted at `path` the root of this process, over the file system that the kernel
/// unpacked its initramfs into: that one cannot be pivoted away from, but from this one.
///
/// # Errors
/// It is not a mount.
pub fn leave_initramfs(path: &str) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, path, flags, Mode::empty()).doing("open", path)?;
    rustix::process::fchdir(&root).doing("enter", path)?;
    mount_move(".", "/").doing("move to /", path)?;
    rustix::process::chroot(".").doing("change to", path)?;
    rustix::process::chdir("/").doing("enter", "/")
}
