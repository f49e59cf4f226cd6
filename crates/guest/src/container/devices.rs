//! A minimal `/dev`: the nodes that programs cannot do without, terminals and shared memory.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use pyro_sys::{
    Context, Result,
    mount::{self, Restrictions},
};
use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};

use super::target;

/// The host's nodes that show inside. All are harmless to everybody by design.
pub(crate) const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// The group that terminals belong to, on every Linux there is.
const TTY_GROUP: u32 = 5;

const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Mounts it in the new root; `nodes` are the host's, in the order of `DEVICES`.
///
/// # Errors
/// A mount was refused.
pub(crate) fn mount(root: impl AsFd, nodes: &[OwnedFd], many_groups: bool) -> Result<()> {
    let quiet = Restrictions { no_setuid: true, no_exec: true, ..Restrictions::default() };
    let dev = mount::memory(Some(1 << 20), 0o755, quiet)?;
    mount::attach(&dev, target::directory(root, Path::new("/dev"))?)?;
    for (name, node) in DEVICES.iter().zip(nodes) {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
        let at = openat(&dev, *name, flags, Mode::from_raw_mode(0o666)).doing("make", *name)?;
        mount::attach(mount::copy_tree(node)?, at)?;
    }
    for (leads_to, name) in LINKS {
        symlinkat(leads_to, &dev, name).doing("make", name)?;
    }
    let terminals = mount::terminals(many_groups.then_some(TTY_GROUP), quiet)?;
    mount::attach(terminals, made(&dev, "pts")?)?;
    let shared = Restrictions { no_devices: true, ..quiet };
    mount::attach(mount::memory(None, 0o1777, shared)?, made(&dev, "shm")?)
}

fn made(dev: &OwnedFd, name: &str) -> Result<OwnedFd> {
    mkdirat(dev, name, Mode::from_raw_mode(0o755)).doing("make", name)?;
    openat(dev, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .doing("open", name)
}
