//! What lies where. In a workspace's own directory:
//!
//! ```text
//! lock           held by the monitor; who holds it, as text (pyro_launcher::lock)
//! sock           the agent's socket, while a machine runs
//! spool/         what the monitor writes down (pyro_protocol::spool)
//! disk.qcow2     the changes; made by the first start, whose size disk.json keeps
//! ```
//!
//! And for all workspaces, below `<home>/microvm`:
//!
//! ```text
//! initramfs/KEY.cpio         the agent as /init, and the kernel's modules; KEY.vmlinux, unpacked
//! blank/MIB.ext4             empty disks that the workspaces' disks stand on: never removed
//! placeholder                in the place of a seed that is not there
//! templates/KEY/             ram, state, facts.json, used (template/)
//! kvm.json, qemu.json        what was found out about the host
//! ```
//!
//! The image of a layer lies beside the layer (`pyro_machine::image_of`).

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use pyro_launcher::failure;
use pyro_machine::MachineError;
use pyro_sys::Context;

pub(crate) const SPOOL: &str = "spool";
pub(crate) const DISK: &str = "disk.qcow2";
pub(crate) const DISK_FACTS: &str = "disk.json";
const INITRAMFS: &str = "initramfs";
const BLANK: &str = "blank";
const TEMPLATES: &str = "templates";
const PLACEHOLDER: &str = "placeholder";
const KVM: &str = "kvm.json";
const QEMU: &str = "qemu.json";

/// `<home>/microvm`.
#[derive(Debug, Clone)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// Makes its directories when they are missing; the parent is there.
    pub(crate) fn new(directory: PathBuf) -> Result<Self, MachineError> {
        directory_of_ours(&directory)?;
        for part in [INITRAMFS, BLANK, TEMPLATES] {
            directory_of_ours(&directory.join(part))?;
        }
        Ok(Self(directory))
    }

    pub(crate) fn initramfs(&self, key: &str) -> PathBuf {
        self.0.join(INITRAMFS).join(format!("{key}.cpio"))
    }

    /// A kernel that is unpacked.
    pub(crate) fn kernel(&self, key: &str) -> PathBuf {
        self.0.join(INITRAMFS).join(format!("{key}.vmlinux"))
    }

    pub(crate) fn all_initramfs(&self) -> PathBuf {
        self.0.join(INITRAMFS)
    }

    pub(crate) fn blank(&self, mib: u64) -> PathBuf {
        self.0.join(BLANK).join(format!("{mib}.ext4"))
    }

    pub(crate) fn templates(&self) -> PathBuf {
        self.0.join(TEMPLATES)
    }

    pub(crate) fn placeholder(&self) -> PathBuf {
        self.0.join(PLACEHOLDER)
    }

    pub(crate) fn kvm(&self) -> PathBuf {
        self.0.join(KVM)
    }

    pub(crate) fn qemu(&self) -> PathBuf {
        self.0.join(QEMU)
    }

    /// Where a scratch directory of that name can be made.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// A directory that only the caller enters.
pub(crate) fn directory_of_ours(path: &Path) -> Result<(), MachineError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).doing("make", path.display()).map_err(failure)
        }
        _ => Ok(()),
    }
}

/// Makes what is missing of a workspace's directory.
pub(crate) fn prepare(directory: &Path) -> Result<(), MachineError> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        .doing("close to others", directory.display())
        .map_err(failure)?;
    directory_of_ours(&directory.join(SPOOL))
}

/// Moves the disk into `trash`. The next start makes a fresh one.
pub(crate) fn renew(directory: &Path, trash: &Path) -> Result<(), MachineError> {
    // A crash after the first rename left it: the rest goes there too.
    directory_of_ours(trash)?;
    for part in [DISK, DISK_FACTS] {
        match fs::rename(directory.join(part), trash.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = directory.join(part);
                return Err(error).doing("move away", what.display()).map_err(failure);
            }
            _ => {}
        }
    }
    prepare(directory)
}
