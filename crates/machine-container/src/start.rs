//! Starting a machine: the steps of `pyro_protocol::launch`, from pyro's side.

use std::{
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
};

use pyro_launcher::{
    Bounds, Conversation, Hierarchy, Ids, conversation::PATIENCE, end, failure, holder, lock,
};
use pyro_machine::{MachineError, MachineSpec, Started, Writable};
use pyro_model::BindMode;
use pyro_protocol::launch::{AgentSpec, LaunchGo, LaunchReport, LaunchSpec, Layers, Upper};
use pyro_sys::{Context, SysError, mount, socket};
use rustix::rand::GetRandomFlags;

use crate::{
    place::{ROOT, TREE},
    unfit::{self, IDMAPPED_MOUNTS, OTHER_HOME},
};

/// What a start needs of the machine.
pub(crate) struct Starter<'a> {
    pub(crate) agent: &'a Path,
    pub(crate) ids: &'a Ids,
    pub(crate) hierarchy: &'a Hierarchy,
}

impl Starter<'_> {
    /// Starts the machine and waits until its agent listens.
    pub(crate) fn start(&self, spec: &MachineSpec) -> Result<Started, MachineError> {
        if spec.limits.disk_mib.is_some() && spec.writable == Writable::Disk {
            return Err(MachineError::Unsupported {
                operation: "bound the disk of a container",
                reason: "its changes share the disk of the home".to_owned(),
                instead: "leave disk_mib out, or use the microvm machine".to_owned(),
            });
        }
        let held = lock::take(&spec.directory)?;
        end::outlive(&lock::read(&held).doing("read", "the lock").map_err(failure)?)?;
        holder::forget_socket(&spec.directory)?;
        let bounds =
            Bounds::plan(self.hierarchy, spec.workspace.as_str(), spec.limits, spec.writable);
        let (ours, theirs) =
            UnixStream::pair().doing("make", "a pair of sockets").map_err(failure)?;
        let sealed = !matches!(self.ids, Ids::Root { .. });
        let launcher = holder::spawn(self.agent, sealed, "launch", theirs, Some(held))?;
        let mut conversation = Conversation::new(ours, PATIENCE);
        let talked = self.converse(&mut conversation, spec, &bounds);
        if talked.is_err() {
            conversation.abandon();
        }
        // The process that was spawned only forked the launcher and ended.
        let waited = holder::wait(launcher);
        let refused = talked.map_err(unfit::explain)?;
        waited?;
        let stream = holder::connect(&spec.directory)?;
        Ok(Started { stream, enforcement: bounds.enforcement(&refused), notices: Vec::new() })
    }

    fn converse(
        &self,
        launcher: &mut Conversation,
        spec: &MachineSpec,
        bounds: &Bounds,
    ) -> Result<Vec<(PathBuf, i32)>, MachineError> {
        launcher.send(&self.launch(spec, bounds)?, &[])?;
        let LaunchReport::Cloned { pid } = launcher.report()? else {
            return Err(unexpected("told that the machine is ready before its start"));
        };
        self.ids.write(pid)?;
        let mapped = self.mapped_layers(spec, pid)?;
        let handles: Vec<BorrowedFd<'_>> = mapped.iter().map(AsFd::as_fd).collect();
        let mounts = u32::try_from(handles.len()).unwrap_or(u32::MAX);
        launcher.send(&LaunchGo { mounts }, &handles)?;
        match launcher.report()? {
            LaunchReport::Ready { refused } => Ok(refused),
            _ => Err(unexpected("told twice of one start")),
        }
    }

    fn launch(&self, spec: &MachineSpec, bounds: &Bounds) -> Result<LaunchSpec, MachineError> {
        let mut boot = [0; 16];
        rustix::rand::getrandom(&mut boot[..], GetRandomFlags::empty())
            .doing("draw", "random bytes")
            .map_err(failure)?;
        let in_memory = spec.writable == Writable::Memory && memory_can_carry_overlays();
        let upper = |name: &str| {
            if in_memory {
                Upper::Memory { bytes: memory_bytes(spec) }
            } else {
                Upper::Directory(spec.directory.join(name))
            }
        };
        Ok(LaunchSpec {
            hostname: spec.hostname.clone(),
            root: Layers { lowers: spec.root_lowers.clone(), upper: upper(ROOT) },
            tree: Layers { lowers: spec.tree_lowers.clone(), upper: upper(TREE) },
            binds: spec.binds.clone(),
            also_at: spec.also_at.clone(),
            idmapped: matches!(self.ids, Ids::Root { .. }),
            single_id: self.ids.is_one(),
            directory: spec.directory.clone(),
            rlimits: bounds.rlimits.clone(),
            cgroups: bounds.cgroups.clone(),
            agent: AgentSpec {
                idle_ttl_s: spec.idle_ttl_s,
                inspect_only: spec.inspect_only,
                boot,
                at_ms: now_ms(),
            },
        })
    }

    /// Root's layers, shown with the ids of the machine.
    fn mapped_layers(&self, spec: &MachineSpec, pid: u32) -> Result<Vec<OwnedFd>, MachineError> {
        if !matches!(self.ids, Ids::Root { .. }) {
            return Ok(Vec::new());
        }
        // Overlays over such mounts came with 5.19.
        if kernel() < (5, 19) {
            return Err(MachineError::HostUnfit {
                check: IDMAPPED_MOUNTS,
                reason: "the kernel is older than 5.19".to_owned(),
                mend: "run pyro as an ordinary user".to_owned(),
            });
        }
        let overlaid = spec.binds.iter().filter(|bind| bind.mode == BindMode::Overlay);
        let layers: Vec<&Path> = spec
            .root_lowers
            .iter()
            .chain(&spec.tree_lowers)
            .chain(overlaid.map(|bind| &bind.source))
            .map(PathBuf::as_path)
            .collect();
        if layers.len() > socket::MAX_DESCRIPTORS {
            return Err(MachineError::Unsupported {
                operation: "start a machine",
                reason: format!("it has {} layers", layers.len()),
                instead: "a snapshot flattens them".to_owned(),
            });
        }
        let path = format!("/proc/{pid}/ns/user");
        let namespace = File::open(&path).doing("open", &path).map_err(failure)?;
        layers.into_iter().map(|layer| map(layer, &namespace)).collect()
    }
}

fn map(layer: &Path, namespace: &File) -> Result<OwnedFd, MachineError> {
    let tree = mount::open_handle(layer).and_then(mount::copy_one).map_err(failure)?;
    mount::map_ids(&tree, namespace).map_err(|error| MachineError::HostUnfit {
        check: IDMAPPED_MOUNTS,
        reason: format!(
            "the file system of {} cannot show other ids: {}",
            layer.display(),
            error.source
        ),
        mend: OTHER_HOME.to_owned(),
    })?;
    Ok(tree)
}

/// Half of the machine's memory may be files; both overlays together stay within it.
fn memory_bytes(spec: &MachineSpec) -> u64 {
    let mib = spec.limits.disk_mib.unwrap_or(spec.limits.memory_mib / 2).max(64);
    mib.saturating_mul(1 << 20) / 2
}

/// Whether a file system in memory can carry an overlay's marks: from kernel 6.6 on. Before, the
/// workspace's directory takes the changes.
fn memory_can_carry_overlays() -> bool {
    kernel() >= (6, 6)
}

/// The version of the kernel; (0, 0) when it says nothing that can be read.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    }
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn unexpected(why: &'static str) -> MachineError {
    failure(SysError::invalid("understand", &"the launcher", why))
}
