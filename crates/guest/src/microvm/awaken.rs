//! From `Awaken` to the agent: the machine becomes the one that it is told to be. Its root and
//! `/workspace` are put together by the container's own code. Only what differs between clones is
//! done here: a clone has to do it while somebody waits.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use pyro_protocol::vm::Awaken;
use pyro_sys::{
    Context, Result, SysError,
    filesystem::{self, Filesystem},
    mount,
};
use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::{
    ballast,
    boot::{self, Ground},
    cgroup, identity,
};
use crate::{
    agent::AgentConfig,
    container::{Changes, LayerHandles, UpperHandle, target},
};

/// Does everything up to the agent's own start.
pub(super) fn awaken(awaken: &Awaken, ground: Ground) -> Result<AgentConfig> {
    identity::take(awaken)?;
    cgroup::bound(&ground.cgroup, awaken.processes)?;
    let made = build(awaken, &ground)?;
    mount::pivot_into(&made.root)?;
    let confinement = ground.confinement;
    Ok(AgentConfig {
        workspace: made.workspace,
        workspace_path: PathBuf::from("/workspace"),
        tree_upper: Some(made.tree.upper),
        tree_lowers: made.seeds,
        // The same disk: synced once.
        root_upper: None,
        cgroup: Some(ground.cgroup),
        spec: awaken.agent.clone(),
        confine: Box::new(move || {
            // While it still may: else the kernel would let it take the worth back.
            fs::write("/proc/self/oom_score_adj", "0")?;
            confinement.apply()
        }),
        ends_on_sigterm: false,
    })
}

struct Made {
    root: OwnedFd,
    workspace: OwnedFd,
    tree: Changes,
    seeds: Vec<OwnedFd>,
}

fn build(awaken: &Awaken, ground: &Ground) -> Result<Made> {
    let missing = |name: &str| SysError::invalid("find the disk", &name, "the kernel shows none");
    let environment = ground.environment.as_ref().ok_or_else(|| missing("env"))?;
    let environment = environment.try_clone().doing("copy", "a descriptor")?;
    let scratch = &ground.scratch;
    let disk = filesystem::mount(&Filesystem {
        kind: "ext4",
        source: Some(boot::disk(&ground.disks, "disk").ok_or_else(|| missing("disk"))?),
        options: &[("user_xattr", None), ("noinit_itable", None), ("commit", Some("1"))],
        read_only: false,
    })?;
    scratch.park(&disk)?;
    ballast::make_room(&disk)?;
    let mut seeds = Vec::new();
    for name in boot::seeds().take(awaken.seeds as usize) {
        let source = Some(boot::disk(&ground.disks, &name).ok_or_else(|| missing(&name))?);
        let seed = Filesystem { kind: "erofs", source, options: &[], read_only: true };
        let seed = filesystem::mount(&seed)?;
        scratch.park(&seed)?;
        seeds.push(seed);
    }
    let upper = |name| Ok(UpperHandle::Directory(directory(&disk, name)?));
    let layers = LayerHandles { lowers: vec![environment], upper: upper("root")? };
    let (root, _) = scratch.root(&layers)?;
    let layers = LayerHandles { lowers: seeds, upper: upper("tree")? };
    let tree = scratch.tree(&root, &layers)?;
    let workspace = target::existing(&root, Path::new("/workspace"))?;
    for (path, tree) in &ground.prepared {
        mount::attach(tree, target::directory(&root, path)?)?;
    }
    target::directory(&root, Path::new("/sys"))?;
    target::directory(&root, Path::new("/tmp"))?;
    ground.names.show(awaken, &root)?;
    Ok(Made { root, workspace, tree, seeds: layers.lowers })
}

fn directory(disk: &OwnedFd, name: &str) -> Result<OwnedFd> {
    match mkdirat(disk, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(errno).doing("make", name),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(disk.as_fd(), name, flags, Mode::empty()).doing("open", name)
}
