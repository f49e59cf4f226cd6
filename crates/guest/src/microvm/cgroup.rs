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
/// Its bound.
const LIMIT: &str = "pids.max";

/// The group, and the file of its bound.
pub(super) struct Work {
    pub(super) group: OwnedFd,
    limit: OwnedFd,
}

/// Makes it, without a bound.
pub(super) fn make() -> Result<Work> {
    let tree = filesystem::mount(&Filesystem {
        kind: "cgroup2",
        source: None,
        options: &[],
        read_only: false,
    })?;
    write(&tree, "cgroup.subtree_control", "+pids")?;
    mkdirat(&tree, WORK, Mode::from_raw_mode(0o755)).doing("make", "a cgroup")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let group = openat(&tree, WORK, flags, Mode::empty()).doing("open", "a cgroup")?;
    let limit = open(&group, LIMIT)?;
    Ok(Work { group, limit })
}

impl Work {
    /// Bounds it.
    pub(super) fn bound(&self, processes: u64) -> Result<()> {
        let text = processes.to_string();
        rustix::io::write(&self.limit, text.as_bytes()).map(drop).doing("write the cgroup's", LIMIT)
    }
}

fn open(at: impl AsFd, name: &str) -> Result<OwnedFd> {
    openat(at, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .doing("open the cgroup's", name)
}

fn write(at: impl AsFd, name: &str, value: &str) -> Result<()> {
    let file = open(at, name)?;
    rustix::io::write(&file, value.as_bytes()).map(drop).doing("write the cgroup's", name)
}
