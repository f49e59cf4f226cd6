//! What C does between its clone and the agent's loop, in this order: open what the launch names,
//! hear from pyro that the ids are mapped, take them, build the new root, enter it, give up what
//! nobody inside needs.

use std::{
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use pyro_protocol::launch::{LaunchGo, LaunchReport, LaunchSpec};
use pyro_sys::{Context, Result, SysError, descriptor, mount, network, process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    confine::Confinement,
    devices,
    handles::Handles,
    kernel,
    launch::failed,
    root::{Changes, Scratch},
    target,
};
use crate::{
    agent::{self, AgentConfig, Doors},
    holder::channel,
};

/// What L hands over.
pub(super) struct Given<'a> {
    pub(super) socket: &'a OwnedFd,
    pub(super) to_parent: UnixStream,
    pub(super) listener: UnixListener,
    pub(super) lock: OwnedFd,
}

/// Becomes the agent and ends with it.
pub(super) fn main(spec: &LaunchSpec, given: Given<'_>) -> ! {
    let Given { socket, to_parent, listener, lock } = given;
    let (config, spool) = match set_up(spec, socket, &to_parent) {
        Ok(set_up) => set_up,
        Err(error) => {
            // When L cannot be told it is gone, and this process with it.
            let _ = channel::send(&to_parent, &failed(error));
            process::exit_now(1)
        }
    };
    let told = channel::send(&to_parent, &LaunchReport::Ready { refused: Vec::new() });
    let doors = Doors::Sockets { listener, spool };
    let tidy = close_the_rest(&config, &doors, &lock);
    if told.is_err() || tidy.is_err() {
        process::exit_now(1);
    }
    std::mem::forget(to_parent);
    // The lock is held for this process's life and needs no owner.
    std::mem::forget(lock);
    let _ = agent::run(config, doors);
    process::exit_now(0)
}

fn set_up(
    spec: &LaunchSpec,
    socket: &OwnedFd,
    to_parent: &UnixStream,
) -> Result<(AgentConfig, OwnedFd)> {
    let mut handles = Handles::open(spec)?;
    let (go, mapped) = channel::receive::<LaunchGo>(socket)?;
    if go.mounts as usize != mapped.len() || !parked_and_complete(spec, &mut handles, mapped)? {
        return Err(SysError::invalid("take", &"the idmapped layers", "not as many as layers"));
    }
    process::become_root(!spec.single_id)?;
    process::die_with_parent()?;
    process::hide()?;
    refuse_to_outlive(to_parent)?;
    let (root, workspace, tree, root_changes) = build(spec, &handles)?;
    network::loopback_up()?;
    rustix::system::sethostname(spec.hostname.as_bytes()).doing("take the name", &spec.hostname)?;
    mount::pivot_into(&root)?;
    let confinement = Confinement::prepare(spec.rlimits.clone())?;
    let config = AgentConfig {
        workspace,
        workspace_path: PathBuf::from("/workspace"),
        tree_upper: Some(tree.upper),
        tree_lowers: handles.tree.lowers,
        root_upper: root_changes.on_disk.then_some(root_changes.upper),
        cgroup: None,
        alone: None,
        spec: spec.agent.clone(),
        confine: Box::new(move || confinement.apply()),
        ends_on_sigterm: false,
    };
    Ok((config, handles.spool))
}

fn parked_and_complete(
    spec: &LaunchSpec,
    handles: &mut Handles,
    mapped: Vec<OwnedFd>,
) -> Result<bool> {
    mount::make_private()?;
    for layer in &mapped {
        mount::attach(layer, &handles.parking)?;
    }
    Ok(handles.complete(spec, mapped))
}

/// The new root, `/workspace` in it, and the changes of both.
fn build(spec: &LaunchSpec, handles: &Handles) -> Result<(OwnedFd, OwnedFd, Changes, Changes)> {
    let parking = handles.parking.try_clone().doing("copy", "a descriptor")?;
    let scratch = Scratch::new(parking)?;
    let (root, root_changes) = scratch.root(&handles.root)?;
    let tree = scratch.tree(&root, &handles.tree)?;
    let workspace = target::existing(&root, Path::new("/workspace"))?;
    for (bind, source) in spec.binds.iter().zip(&handles.binds) {
        scratch.bind(&root, bind, source, &root_changes)?;
    }
    if let Some(also_at) = &spec.also_at {
        mount::attach(mount::copy_one(&workspace)?, target::directory(&root, also_at)?)?;
    }
    devices::mount(&root, &handles.devices, !spec.single_id)?;
    target::directory(&root, Path::new("/sys"))?;
    target::directory(&root, Path::new("/tmp"))?;
    kernel::mount(&root, &handles.devices[0], &scratch.empty, &[])?;
    Ok((root, workspace, tree, root_changes))
}

/// L may have died before the wish to die with it was heard.
fn refuse_to_outlive(to_parent: &UnixStream) -> Result<()> {
    let mut waited = [PollFd::new(to_parent, PollFlags::empty())];
    let now = poll(&mut waited, Some(&Timespec::default())).doing("look for", "the launcher")?;
    if now > 0 {
        return Err(SysError::invalid("look for", &"the launcher", "it is gone"));
    }
    Ok(())
}

fn close_the_rest(config: &AgentConfig, doors: &Doors, lock: &OwnedFd) -> Result<()> {
    let mut keep: Vec<BorrowedFd<'_>> = vec![lock.as_fd(), config.workspace.as_fd()];
    match doors {
        Doors::Sockets { listener, spool } => keep.extend([listener.as_fd(), spool.as_fd()]),
        Doors::Port(port) => keep.push(port.descriptor.as_fd()),
    }
    keep.extend(config.tree_upper.as_ref().map(AsFd::as_fd));
    keep.extend(config.root_upper.as_ref().map(AsFd::as_fd));
    keep.extend(config.tree_lowers.iter().map(AsFd::as_fd));
    descriptor::close_all_but(&keep)
}
