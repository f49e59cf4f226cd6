//! Q's own root: its program, the libraries, its firmware, and what it boots, all read-only. No
//! `/proc`, no `/sys`, no `/dev`, nobody's home.
//!
//! Promises: a host path is opened once, by C, before it takes its own id; links on it are
//! followed then, by the host's names.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use pyro_protocol::vm::{Begin, VmLaunch};
use pyro_sys::{
    Context, Result, SysError,
    mount::{self, Restrictions, open_handle},
};
use rustix::{
    fs::{FileType, Mode, OFlags, fstat, mkdirat, openat},
    io::Errno,
};

use super::{INITRAMFS, KERNEL};

/// Where libraries are found; what is not there is left out.
const LIBRARIES: [&str; 7] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
];

/// Firmware, beside the folder of the program.
const FIRMWARE: [&str; 3] = ["qemu", "seabios", "qboot"];

const SHOWN: Restrictions =
    Restrictions { read_only: true, no_setuid: true, no_devices: true, no_exec: false };

/// What is shown where.
pub(super) struct Shown {
    parts: Vec<(OwnedFd, PathBuf)>,
    /// A directory of the host's root to put the new one together on.
    parking: OwnedFd,
}

impl Shown {
    /// Opens all of it, with the caller's rights.
    ///
    /// # Errors
    /// QEMU or what it boots is not there.
    pub(super) fn open(launch: &VmLaunch) -> Result<Self> {
        let mut parts = Vec::new();
        let mut add = |source: &Path, at: &Path| {
            open_handle(source).map(|handle| parts.push((handle, at.to_owned())))
        };
        add(&launch.qemu, &launch.qemu)?;
        match &launch.begin {
            Begin::Restore { .. } => {}
            Begin::Cold { kernel, initramfs }
            | Begin::MakeTemplate { kernel, initramfs, .. }
            | Begin::Probe { kernel, initramfs } => {
                add(kernel, Path::new(KERNEL))?;
                add(initramfs, Path::new(INITRAMFS))?;
            }
        }
        let share = launch.qemu.parent().and_then(Path::parent).map(|top| top.join("share"));
        let firmware = share.iter().flat_map(|share| FIRMWARE.map(|name| share.join(name)));
        for path in LIBRARIES.map(PathBuf::from).into_iter().chain(firmware) {
            match add(&path, &path) {
                Err(error) if error.errno() != libc::ENOENT => return Err(error),
                _ => {}
            }
        }
        Ok(Self { parts, parking: open_handle(Path::new("/dev"))? })
    }

    /// Puts the root together and enters it. Needs the rights over the new namespaces.
    ///
    /// # Errors
    /// A mount was refused.
    pub(super) fn enter(self) -> Result<()> {
        mount::make_private()?;
        let root = mount::memory(Some(1 << 20), 0o755, Restrictions::default())?;
        mount::attach(&root, &self.parking)?;
        for (handle, at) in &self.parts {
            let part = mount::copy_tree(handle)?;
            mount::restrict(&part, SHOWN)?;
            mount::attach(part, place_for(&root, at, handle)?)?;
        }
        mount::pivot_into(&root)?;
        mount::restrict(root, SHOWN)
    }
}

/// Makes the place for a part: a directory or an empty file, and the directories above it.
fn place_for(root: &OwnedFd, at: &Path, part: &OwnedFd) -> Result<OwnedFd> {
    let stat = fstat(part).doing("look at", at.display())?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let mut names = Vec::new();
    for component in at.components() {
        match component {
            Component::RootDir => {}
            Component::Normal(name) => names.push(name),
            _ => return Err(SysError::invalid("show", &at.display(), "no plain path")),
        }
    }
    let mut here = root.try_clone().doing("copy", "a descriptor")?;
    let last = names.len().saturating_sub(1);
    for (index, name) in names.into_iter().enumerate() {
        if index == last && !is_directory {
            let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            return openat(&here, name, flags, Mode::from_raw_mode(0o444))
                .doing("make", at.display());
        }
        match mkdirat(&here, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).doing("make", at.display()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        here = openat(here.as_fd(), name, flags, Mode::empty()).doing("open", at.display())?;
    }
    Ok(here)
}
