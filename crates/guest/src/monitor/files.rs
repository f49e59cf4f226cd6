//! What M opens for Q, with the caller's rights, before Q exists: disks, the template's RAM and
//! state, `/dev/kvm`. Q gets descriptors in the mode that it needs and no other.

use std::{os::fd::OwnedFd, path::Path};

use pyro_protocol::vm::{Accelerator, Begin, SEED_DISKS, VmLaunch};
use pyro_sys::{Context, Result, SysError};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};

/// All of it.
pub(super) struct Files {
    /// The environment, read-only.
    pub(super) environment: Option<OwnedFd>,
    /// The workspace's disk, top first; only the top can be written.
    pub(super) disk: Vec<OwnedFd>,
    /// One for each place of a seed layer, read-only.
    pub(super) seeds: Vec<OwnedFd>,
    /// The template's RAM: for a clone read-only.
    pub(super) ram: Option<OwnedFd>,
    /// The template's state: for a clone read-only.
    pub(super) state: Option<OwnedFd>,
    pub(super) kvm: Option<OwnedFd>,
}

impl Files {
    /// Opens them.
    ///
    /// # Errors
    /// One is not there or may not be opened, or the launch makes no sense.
    pub(super) fn open(launch: &VmLaunch) -> Result<Self> {
        let (ram, state) = match &launch.begin {
            Begin::Cold { .. } | Begin::Probe { .. } => (None, None),
            Begin::Restore { ram, state } => (Some(reading(ram)?), Some(reading(state)?)),
            Begin::MakeTemplate { ram, state, .. } => (Some(writing(ram)?), Some(writing(state)?)),
        };
        if launch.disk.len() == 1 || launch.seeds.len() > SEED_DISKS {
            return Err(SysError::invalid("take", &"the disks", "too few or too many"));
        }
        let disk = launch.disk.iter().enumerate().map(|(index, path)| match index {
            0 => writing(path),
            _ => reading(path),
        });
        let seeds = launch.seeds.iter().chain(launch.placeholder.iter().cycle()).take(SEED_DISKS);
        Ok(Self {
            environment: launch.environment.as_deref().map(reading).transpose()?,
            disk: disk.collect::<Result<_>>()?,
            seeds: seeds.map(|path| reading(path)).collect::<Result<_>>()?,
            ram,
            state,
            kvm: match launch.accelerator {
                Accelerator::Kvm => Some(writing(Path::new("/dev/kvm"))?),
                Accelerator::Tcg => None,
            },
        })
    }
}

/// What Q's own tables and its saved state take besides.
const BESIDES: u64 = 64 << 20;

impl Files {
    /// The longest file that Q has a reason to write: the disk's size is that of the blank one,
    /// and QEMU's tables take less than a hundredth of it.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub(super) fn longest(&self, launch: &VmLaunch) -> Result<u64> {
        let disk = match self.disk.last() {
            Some(blank) => fstat(blank).doing("look at", "the blank disk")?.st_size,
            None => 0,
        };
        let disk = u64::try_from(disk).unwrap_or(0);
        let ram = match launch.begin {
            Begin::MakeTemplate { .. } => launch.memory_mib.saturating_mul(1 << 20),
            Begin::Cold { .. } | Begin::Restore { .. } | Begin::Probe { .. } => 0,
        };
        Ok(disk.saturating_add(disk / 64).max(ram).saturating_add(BESIDES))
    }
}

fn reading(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::RDONLY)
}

fn writing(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::RDWR)
}

fn open(path: &Path, mode: OFlags) -> Result<OwnedFd> {
    openat(CWD, path, mode | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .doing("open", path.display())
}
