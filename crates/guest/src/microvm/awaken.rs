//! From `Awaken` to the agent: the machine becomes the one that it is told to be. Its root and
//! `/workspace` are put together by the container's own code. Only what differs between clones is
//! done here: a clone has to do it while somebody waits.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use pyro_protocol::vm::Awaken;
use pyro_sys::{
    Context, Result, SysError,
    filesystem::{self, Filesystem},
    mount,
};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{
    boot::{self, Booted},
    ground::{Ground, Shown},
    identity,
};
use crate::{
    agent::AgentConfig,
    container::{LayerHandles, UpperHandle, target},
};

/// Does everything up to the agent's own start.
pub(super) fn awaken(awaken: &Awaken, booted: Booted) -> Result<AgentConfig> {
    let Booted { disks, generator, alone, cgroup, confinement, ground } = booted;
    identity::take(awaken, &generator)?;
    cgroup.bound(awaken.processes)?;
    let (shown, mut ground) = ground.ok_or_else(|| missing("env"))?;
    if awaken.own {
        ground = instead(&disks, &shown, ground)?;
    }
    shown.names.write(awaken)?;
    let seeds = seeds(awaken, &disks, &ground)?;
    let upper = ground.tree.try_clone().doing("copy", "a descriptor")?;
    let layers = LayerHandles { lowers: seeds, upper: UpperHandle::Directory(upper) };
    let tree = ground.scratch.tree(&ground.root, &layers)?;
    let workspace = target::existing(&ground.root, Path::new("/workspace"))?;
    mount::pivot_into(&ground.root)?;
    Ok(AgentConfig {
        workspace,
        workspace_path: PathBuf::from("/workspace"),
        tree_upper: Some(tree.upper),
        tree_lowers: layers.lowers,
        // The same disk: synced once.
        root_upper: None,
        cgroup: Some(cgroup.group),
        alone: Some(alone),
        spec: awaken.agent.clone(),
        confine: Box::new(move || {
            // While it still may: else the kernel would let it take the worth back.
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let worth = openat(CWD, "/proc/self/oom_score_adj", flags, Mode::empty())?;
            rustix::io::write(&worth, b"0")?;
            confinement.apply()
        }),
        ends_on_sigterm: false,
    })
}

fn missing(name: &str) -> SysError {
    SysError::invalid("find the disk", &name, "the kernel shows none")
}

/// The workspace's own disk, of an earlier start. The one that is mounted already is left as it is:
/// it is a copy that nobody keeps, and unmounting it takes longer.
fn instead(disks: &[(String, PathBuf)], shown: &Shown, ground: Ground) -> Result<Ground> {
    std::mem::forget(ground);
    let device = boot::disk(disks, "own").ok_or_else(|| missing("own"))?;
    Ground::lay(device, shown, boot::scratch("/own")?)
}

fn seeds(awaken: &Awaken, disks: &[(String, PathBuf)], ground: &Ground) -> Result<Vec<OwnedFd>> {
    let mut seeds = Vec::new();
    for name in boot::seeds().take(awaken.seeds as usize) {
        let source = Some(boot::disk(disks, &name).ok_or_else(|| missing(&name))?);
        let seed = Filesystem { kind: "erofs", source, options: &[], read_only: true };
        let seed = filesystem::mount(&seed)?;
        ground.scratch.park(&seed)?;
        seeds.push(seed);
    }
    Ok(seeds)
}
