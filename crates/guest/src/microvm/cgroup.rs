//! The cgroup that commands are born in: a bound on how many processes there can be, which a fork
//! bomb meets before the kernel runs out. Mounted where nobody sees it.

use std::os::fd::{AsFd, OwnedFd};

use pyro_sys::{
    Context, Result,
    filesystem::{self, Filesystem},
};
use rustix::fs::{Mode, OFlags, mkdirat, openat};

/// Name of the group.
const WORK: &str = "work";

/// Makes it, without a bound.
pub(super) fn make() -> Result<OwnedFd> {
    let tree = filesystem::mount(&Filesystem {
        kind: "cgroup2",
        source: None,
        options: &[],
        read_only: false,
    })?;
    write(&tree, "cgroup.subtree_control", "+pids")?;
    mkdirat(&tree, WORK, Mode::from_raw_mode(0o755)).doing("make", "a cgroup")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(&tree, WORK, flags, Mode::empty()).doing("open", "a cgroup")
}

/// Bounds it.
pub(super) fn bound(group: &OwnedFd, processes: u64) -> Result<()> {
    write(group, "pids.max", &processes.to_string())
}

fn write(at: impl AsFd, name: &str, value: &str) -> Result<()> {
    let file = openat(at, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    file.and_then(|file| rustix::io::write(&file, value.as_bytes()))
        .map(drop)
        .doing("write the cgroup's", name)
}
