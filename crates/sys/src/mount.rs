//! Mounts as handles: made detached, restricted, then attached, all by descriptor.
//!
//! A host path appears in no mount call: callers open it once and everything after works on the
//! handle. Overlays go through mount(2), since newer calls bound each option to 256 bytes and can
//! name layers only from kernel 6.5 on; layers are named `/proc/self/fd/N`, which keeps 32 of them
//! within the one page that mount(2) takes.

use std::{
    ffi::CString,
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, CWD},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
        MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount,
        fsopen, mount_change, open_tree, unmount,
    },
};

use crate::{Context, Result, SysError};

/// What a mount must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restrictions {
    /// Nothing can be written through it.
    pub read_only: bool,
    /// Setuid bits and file capabilities mean nothing.
    pub no_setuid: bool,
    /// Device nodes cannot be opened.
    pub no_devices: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
}

impl Restrictions {
    fn attributes(self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::empty();
        flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, self.read_only);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.no_setuid);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, self.no_devices);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.no_exec);
        flags
    }
}

/// Cuts this mount namespace off from the one that it was copied from.
///
/// # Errors
/// Without `CAP_SYS_ADMIN` in the namespace.
pub fn make_private() -> Result<()> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .doing("cut off from the host", "the mount namespace")
}

/// A detached copy of what is mounted at an open directory or file, with everything below.
///
/// # Errors
/// Without `CAP_SYS_ADMIN` in the mount namespace, or the mount may not be copied.
pub fn copy_tree(of: impl AsFd) -> Result<OwnedFd> {
    copy(of.as_fd(), OpenTreeFlags::AT_RECURSIVE)
}

/// A detached copy of just the one mount at an open directory.
///
/// # Errors
/// As `copy_tree`; also when something mounted below it may not be uncovered.
pub fn copy_one(of: impl AsFd) -> Result<OwnedFd> {
    copy(of.as_fd(), OpenTreeFlags::empty())
}

fn copy(of: BorrowedFd<'_>, more: OpenTreeFlags) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | more;
    open_tree(of, "", flags).doing("copy", "a mount")
}

/// Restricts a mount and everything below it, for good. Unlike a remount it never takes away a
/// restriction that is there.
///
/// # Errors
/// The handle is no mount's root.
pub fn restrict(tree: impl AsFd, restrictions: Restrictions) -> Result<()> {
    let set = MountAttributes {
        set: restrictions.attributes().bits().into(),
        ..MountAttributes::default()
    };
    set_attributes(tree.as_fd(), &set, libc::AT_RECURSIVE.unsigned_abs())
}

/// Makes a detached mount show ids as the user namespace maps them: what is 0 on disk is what the
/// namespace calls 0.
///
/// # Errors
/// `EINVAL` when the file system cannot; `EPERM` without `CAP_SYS_ADMIN` over the file system.
pub fn map_ids(tree: impl AsFd, user_namespace: impl AsFd) -> Result<()> {
    let set = MountAttributes {
        set: MountAttrFlags::MOUNT_ATTR_IDMAP.bits().into(),
        user_namespace: user_namespace.as_fd().as_raw_fd().unsigned_abs().into(),
        ..MountAttributes::default()
    };
    set_attributes(tree.as_fd(), &set, 0)
}

/// The kernel's `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_attributes(tree: BorrowedFd<'_>, set: &MountAttributes, flags: u32) -> Result<()> {
    // SAFETY: the empty path and the structure, of its stated size, live through the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            AtFlags::EMPTY_PATH.bits() | flags,
            std::ptr::from_ref(set),
            size_of::<MountAttributes>(),
        )
    };
    if done < 0 {
        return Err(SysError::last("set the attributes of", &"a mount"));
    }
    Ok(())
}

/// Mounts a detached tree on an open directory or file, on top of what is there.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`, or a directory is put on a file.
pub fn attach(tree: impl AsFd, at: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", at, "", flags).doing("attach", "a mount")
}

/// A detached, empty file system in memory.
///
/// # Errors
/// Without `CAP_SYS_ADMIN` in the user namespace of the mount namespace.
pub fn memory(bytes: Option<u64>, mode: u32, restrictions: Restrictions) -> Result<OwnedFd> {
    let filesystem = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).doing("open", "tmpfs")?;
    fsconfig_set_string(&filesystem, "mode", format!("{mode:o}"))
        .doing("set the mode of", "tmpfs")?;
    if let Some(bytes) = bytes {
        fsconfig_set_string(&filesystem, "size", bytes.to_string())
            .doing("set the size of", "tmpfs")?;
    }
    create(&filesystem, "tmpfs", restrictions)
}

/// A detached `proc` of this pid namespace.
///
/// # Errors
/// `EPERM` inside a sandbox that hides parts of the host's `/proc`.
pub fn proc(restrictions: Restrictions) -> Result<OwnedFd> {
    let filesystem = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).doing("open", "proc")?;
    create(&filesystem, "proc", restrictions)
}

/// A detached, fresh `devpts`; its nodes belong to `tty_group` where one is mapped.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`.
pub fn terminals(tty_group: Option<u32>, restrictions: Restrictions) -> Result<OwnedFd> {
    let filesystem = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC).doing("open", "devpts")?;
    fsconfig_set_string(&filesystem, "ptmxmode", "0666").doing("set the mode of", "ptmx")?;
    fsconfig_set_string(&filesystem, "mode", "0620").doing("set the mode of", "devpts")?;
    if let Some(group) = tty_group {
        fsconfig_set_string(&filesystem, "gid", group.to_string())
            .doing("set the group of", "devpts")?;
    }
    create(&filesystem, "devpts", restrictions)
}

fn create(filesystem: &OwnedFd, name: &str, restrictions: Restrictions) -> Result<OwnedFd> {
    fsconfig_create(filesystem).doing("create", name)?;
    fsmount(filesystem, FsMountFlags::FSMOUNT_CLOEXEC, restrictions.attributes())
        .doing("mount", name)
}

/// The layers of an overlay, as open directories.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Read-only layers, top first; at least one.
    pub lowers: &'a [BorrowedFd<'a>],
    /// Where changes go.
    pub upper: BorrowedFd<'a>,
    /// An empty directory beside it.
    pub work: BorrowedFd<'a>,
}

/// Mounts an overlay on an open directory. Needs `/proc`. Always `userxattr` (without it an overlay
/// in a user namespace breaks on the first rename of a directory) and `volatile` (without it an
/// unmount syncs the whole disk).
///
/// # Errors
/// `EINVAL` when the upper's file system cannot carry one; `ESTALE` when `work` was not empty.
pub fn overlay(layers: &Overlay<'_>, at: BorrowedFd<'_>, no_devices: bool) -> Result<()> {
    let mut options = String::from("userxattr,volatile,lowerdir=");
    for (index, lower) in layers.lowers.iter().enumerate() {
        if index > 0 {
            options.push(':');
        }
        options.push_str(&link(*lower).to_string());
    }
    options.push_str(&format!(",upperdir={},workdir={}", link(layers.upper), link(layers.work)));
    let options = CString::new(options).doing("write", "mount options")?;
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::NODEV, no_devices);
    rustix::mount::mount("overlay", link(at).to_string(), "overlay", flags, options.as_c_str())
        .doing("mount", "an overlay")
}

/// The path by which a handle can be named where only paths are taken.
#[must_use]
pub fn link(descriptor: BorrowedFd<'_>) -> impl fmt::Display + use<> {
    struct Link(i32);
    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "/proc/self/fd/{}", self.0)
        }
    }
    Link(descriptor.as_raw_fd())
}

/// Makes an open directory (the root of a mount) the root of this mount namespace and lets go of
/// the old one with everything in it. The working directory is then the new root. Nothing may be
/// mounted on top of the old root's own top: that would be let go in its stead.
///
/// # Errors
/// The directory is no mount's root, the old root is shared with another namespace, or it can
/// still be reached.
pub fn pivot_into(root: impl AsFd) -> Result<()> {
    rustix::process::fchdir(root).doing("enter", "the new root")?;
    rustix::process::pivot_root(".", ".").doing("change to", "the new root")?;
    // The old root is now mounted on top of the new one, at the same place.
    unmount(".", UnmountFlags::DETACH).doing("let go of", "the old root")?;
    rustix::process::chdir("/").doing("enter", "/")?;
    // Whatever would still lie on top of the new root shows from here.
    let place = |path| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    if place("/").doing("look at", "/")? != place("/..").doing("look at", "/..")? {
        return Err(SysError::invalid("let go of", &"the old root", "it is still there"));
    }
    Ok(())
}

/// Opens a path for use as a handle only. The caller trusts the path (links are followed).
///
/// # Errors
/// It is not there or not to be reached.
pub fn open_handle(path: &std::path::Path) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, openat};
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing("open", path.display())
}
