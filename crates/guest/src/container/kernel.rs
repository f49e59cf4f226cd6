//! `/proc`, without the parts that speak of the whole host or change it. `/sys` is not mounted.
//!
//! The workload's ids could not write most of these anyway; the mounts hold even where a file of
//! `/proc` asks for a capability in the wrong namespace.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use pyro_sys::{
    Context, Result,
    mount::{self, Restrictions},
};
use rustix::{
    fs::{FileType, Mode, OFlags, fstat, openat},
    io::Errno,
};

use super::target;

/// Hidden: empty instead.
const HIDDEN: [&str; 14] = [
    "acpi",
    "asound",
    "config.gz",
    "driver",
    "interrupts",
    "kallsyms",
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

/// Shown, never written.
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// Mounts it in the new root. `null` is the host's `/dev/null`, `empty` an empty directory on an
/// attached mount; what is in `more_hidden` is hidden besides the list above.
///
/// # Errors
/// `EPERM` inside a sandbox that hides parts of the host's `/proc` itself.
pub(crate) fn mount(
    root: impl AsFd,
    null: &OwnedFd,
    empty: &OwnedFd,
    more_hidden: &[&str],
) -> Result<()> {
    let quiet = Restrictions { no_setuid: true, no_devices: true, no_exec: true, read_only: false };
    let proc = mount::proc(quiet)?;
    mount::attach(&proc, target::directory(root, Path::new("/proc"))?)?;
    for name in HIDDEN.iter().chain(more_hidden).copied() {
        let Some(at) = find(&proc, name)? else { continue };
        let stat = fstat(&at).doing("look at", name)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let cover = mount::copy_one(empty)?;
            mount::restrict(&cover, Restrictions { read_only: true, ..quiet })?;
            mount::attach(cover, at)?;
        } else {
            mount::attach(mount::copy_one(null)?, at)?;
        }
    }
    for name in READ_ONLY {
        let Some(at) = find(&proc, name)? else { continue };
        let cover = mount::copy_tree(&at)?;
        mount::restrict(&cover, Restrictions { read_only: true, ..quiet })?;
        mount::attach(cover, at)?;
    }
    Ok(())
}

fn find(proc: &OwnedFd, name: &str) -> Result<Option<OwnedFd>> {
    match openat(proc, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).doing("open in /proc", name),
    }
}
