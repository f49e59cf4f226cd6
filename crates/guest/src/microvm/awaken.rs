//! From `Awaken` to the agent: the machine becomes the one that it is told to be. Its root and
//! `/workspace` are put together by the container's own code.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use pyro_protocol::{launch::Rlimits, vm::Awaken};
use pyro_sys::{
    Context, Result, SysError,
    filesystem::{self, Filesystem},
    mount::{self, open_handle},
    network,
};
use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::{
    boot::{self, Ground},
    cgroup, identity,
};
use crate::{
    agent::AgentConfig,
    container::{
        Changes, Confinement, DEVICES, LayerHandles, Scratch, UpperHandle, devices, kernel, target,
    },
};

/// Open files of each command, as in a container.
const OPEN_FILES: u64 = 65_536;

/// Parts of `/proc` that only the root of a machine of its own can see.
const HIDDEN: [&str; 7] =
    ["dynamic_debug", "kpagecgroup", "kpagecount", "kpageflags", "mtrr", "slabinfo", "vmallocinfo"];

/// Does everything up to the agent's own start.
pub(super) fn awaken(awaken: &Awaken, ground: Ground) -> Result<AgentConfig> {
    identity::take(awaken)?;
    cgroup::bound(&ground.cgroup, awaken.processes)?;
    let made = build(awaken, &ground)?;
    network::loopback_up()?;
    // Commands are the kernel's choice when memory runs out, what supervises them is not.
    fs::write("/proc/self/oom_score_adj", "-1000").doing("set", "its worth")?;
    mount::pivot_into(&made.root)?;
    let rlimits = Rlimits { processes: None, open_files: OPEN_FILES };
    let confinement = Confinement::prepare(rlimits)?;
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
    fs::create_dir("/parking").doing("make", "/parking")?;
    let scratch = Scratch::new(open_handle(Path::new("/parking"))?)?;
    let disk = filesystem::mount(&Filesystem {
        kind: "ext4",
        source: Some(boot::disk(&ground.disks, "disk").ok_or_else(|| missing("disk"))?),
        options: &[("user_xattr", None), ("commit", Some("1"))],
        read_only: false,
    })?;
    scratch.park(&disk)?;
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
    let nodes = DEVICES.iter().map(|name| open_handle(&Path::new("/dev").join(name)));
    let nodes: Vec<OwnedFd> = nodes.collect::<Result<_>>()?;
    devices::mount(&root, &nodes, true)?;
    target::directory(&root, Path::new("/sys"))?;
    target::directory(&root, Path::new("/tmp"))?;
    kernel::mount(&root, &nodes[0], &scratch.empty, &HIDDEN)?;
    identity::show(awaken, &root, &scratch)?;
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
