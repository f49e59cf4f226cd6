//! What M opens for Q, with the caller's rights, before Q exists: disks, the template's RAM and
//! state, `/dev/kvm`. Q gets descriptors in the mode that it needs and no other.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use pyro_protocol::vm::{Accelerator, Begin, SEED_DISKS, TEMPLATE_DISK_BYTES, VmLaunch};
use pyro_sys::{Context, Result, SysError};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, fstat, memfd_create, openat};

/// All of it.
pub(super) struct Files {
    /// The environment, read-only.
    pub(super) environment: Option<OwnedFd>,
    /// The disk that is mounted before the awakening, top first; only the top can be written.
    pub(super) disk: Vec<OwnedFd>,
    /// The workspace's disk where it is another one; likewise.
    pub(super) own: Vec<OwnedFd>,
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
        let alone = launch.disk.len() == 1 || launch.own.len() == 1;
        let misplaced = launch.disk.is_empty() && !launch.own.is_empty();
        if alone || misplaced || launch.seeds.len() > SEED_DISKS {
            return Err(SysError::invalid("take", &"the disks", "too few or too many"));
        }
        let mut disk = chain(&launch.disk, if launch.own.is_empty() { writing } else { reading })?;
        if let (false, Some(template)) = (launch.own.is_empty(), disk.first_mut()) {
            *template = copy_in_memory(template)?;
        }
        let seeds = launch.seeds.iter().chain(launch.placeholder.iter().cycle()).take(SEED_DISKS);
        Ok(Self {
            environment: launch.environment.as_deref().map(reading).transpose()?,
            disk,
            own: chain(&launch.own, writing)?,
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

/// The files of a disk; `top` opens the first.
fn chain(paths: &[PathBuf], top: fn(&Path) -> Result<OwnedFd>) -> Result<Vec<OwnedFd>> {
    let open =
        |(index, path): (usize, &PathBuf)| if index == 0 { top(path) } else { reading(path) };
    paths.iter().enumerate().map(open).collect()
}

/// A file without a name, as long as a template's disk may get: what the guest writes to a disk
/// that is not its own goes nowhere, and is bounded.
fn copy_in_memory(of: &OwnedFd) -> Result<OwnedFd> {
    let what = "a template's disk";
    let of = of.try_clone().doing("copy", "a descriptor")?;
    let copy = memfd_create("disk", MemfdFlags::CLOEXEC).doing("make", "a file in memory")?;
    let mut copy = File::from(copy);
    let bytes = io::copy(&mut File::from(of).take(TEMPLATE_DISK_BYTES + 1), &mut copy);
    if bytes.doing("copy", what)? > TEMPLATE_DISK_BYTES {
        return Err(SysError::invalid("copy", &what, "it is too long"));
    }
    copy.set_len(TEMPLATE_DISK_BYTES).doing("copy", what)?;
    Ok(copy.into())
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
        let disk = self.disk_bytes()?;
        let ram = match launch.begin {
            Begin::MakeTemplate { .. } => launch.memory_mib.saturating_mul(1 << 20),
            Begin::Cold { .. } | Begin::Restore { .. } | Begin::Probe { .. } => 0,
        };
        Ok(disk.saturating_add(disk / 64).max(ram).saturating_add(BESIDES))
    }

    /// The size that the guest sees its disk have: that of the blank one.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn disk_bytes(&self) -> Result<u64> {
        let Some(blank) = self.disk.last() else { return Ok(0) };
        let bytes = fstat(blank).doing("look at", "the blank disk")?.st_size;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// The file of the disk that is kept; none in a probe.
    pub(super) fn kept(&self) -> Option<&OwnedFd> {
        self.own.first().or(self.disk.first())
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
