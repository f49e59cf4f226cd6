//! The container as a `Machine`.

use std::{
    ffi::OsStr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Child,
    sync::OnceLock,
};

use pyro_launcher::{
    Hierarchy, Ids, Streams, agent,
    end::{self, Manner},
    holder, lock, mapped,
};
use pyro_machine::{
    Capabilities, Capability, Ending, Machine, MachineError, MachineSpec, Started, Support,
};
use pyro_model::{Isolation, MachineKind};

use crate::{place, start::Starter};

/// Runs workspaces in namespaces on this kernel. Cheap to make: it reads a few small files, and
/// writes the agent and root's range of ids once.
#[derive(Debug)]
pub struct ContainerMachine {
    agent: PathBuf,
    ids: Ids,
    hierarchy: OnceLock<Hierarchy>,
    capabilities: OnceLock<Capabilities>,
}

impl ContainerMachine {
    /// A machine whose agent lives in `directory` (`<home>/guest`), made when it is missing; its
    /// parent is there and the caller's alone.
    ///
    /// # Errors
    /// The directory cannot be written, or a file of `/etc` not be read.
    pub fn new(directory: &Path) -> Result<Self, MachineError> {
        let agent = agent::install(directory)?;
        let ids = Ids::find(&directory.join("ids"))?;
        Ok(Self { agent, ids, hierarchy: OnceLock::new(), capabilities: OnceLock::new() })
    }

    /// Which ids the machines of this caller have.
    #[must_use]
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The installed agent's program.
    #[must_use]
    pub fn agent(&self) -> &Path {
        &self.agent
    }

    /// Starts a program (`/proc/self/exe` for pyro itself) that may make, read and remove files of
    /// the guest's ids: for unpacking images and removing layers. Rootless it is user 0 of a user
    /// namespace with the machine's id map and has no other rights; for root it is simply started,
    /// since layers are stored with the ids they show. It starts with an empty environment.
    ///
    /// # Errors
    /// The kernel refuses the namespace or the ids.
    pub fn run_mapped(
        &self,
        program: &OsStr,
        arguments: &[&OsStr],
        streams: Streams,
    ) -> Result<Child, MachineError> {
        mapped::spawn(&self.agent, &self.ids, program, arguments, streams)
    }

    /// The process that holds the machine of a workspace's directory, if one runs.
    #[must_use]
    pub fn holder(&self, directory: &Path) -> Option<u32> {
        lock::holder(directory)
    }

    fn hierarchy(&self) -> &Hierarchy {
        self.hierarchy.get_or_init(Hierarchy::find)
    }

    fn table(&self) -> Capabilities {
        let bounded = |controller: &str, without: &str| {
            let has = match self.hierarchy() {
                Hierarchy::Unified { controllers, .. } => controllers.contains(&controller),
                Hierarchy::Split(found) => found.iter().any(|row| row.0 == controller),
                Hierarchy::None(_) => false,
            };
            match (has, self.hierarchy()) {
                (true, Hierarchy::Unified { .. }) => Support::Yes("cgroup v2".to_owned()),
                (true, _) => Support::Yes("cgroup v1".to_owned()),
                (false, Hierarchy::None(reason)) => {
                    Support::No { reason: reason.clone(), instead: without.to_owned() }
                }
                (false, _) => Support::No {
                    reason: format!("the caller's cgroup has no {controller} controller"),
                    instead: without.to_owned(),
                },
            }
        };
        Capabilities::new(vec![
            self.ids.support(),
            (Capability::MemoryLimit, bounded("memory", "the microvm machine")),
            (Capability::CpuLimit, bounded("cpu", "the microvm machine")),
            (Capability::ProcessLimit, bounded("pids", "a limit for each user id, best effort")),
            (
                Capability::DiskLimit,
                Support::Partly(
                    "changes in memory are bounded, changes on disk are not".to_owned(),
                ),
            ),
            (
                Capability::LiveSnapshot,
                Support::No {
                    reason: "processes of a container cannot be saved".to_owned(),
                    instead: "the microvm machine".to_owned(),
                },
            ),
            (Capability::HostEnvironment, Support::Yes("read-only binds".to_owned())),
        ])
    }
}

impl Machine for ContainerMachine {
    fn kind(&self) -> MachineKind {
        MachineKind::Container
    }

    fn isolation(&self) -> Isolation {
        Isolation::Container
    }

    fn capabilities(&self) -> &Capabilities {
        self.capabilities.get_or_init(|| self.table())
    }

    fn prepare(&self, directory: &Path) -> Result<(), MachineError> {
        place::prepare(directory, &self.ids)
    }

    fn start(&self, spec: &MachineSpec) -> Result<Started, MachineError> {
        let hierarchy = self.hierarchy();
        Starter { agent: &self.agent, ids: &self.ids, hierarchy }.start(spec)
    }

    fn connect(&self, directory: &Path) -> Result<UnixStream, MachineError> {
        holder::connect(directory)
    }

    fn is_running(&self, directory: &Path) -> Result<bool, MachineError> {
        lock::is_held(directory)
    }

    fn end(&self, directory: &Path) -> Result<(), MachineError> {
        end::end(directory, Manner::KillInside)
    }

    fn begin_end(&self, directory: &Path) -> Result<Ending, MachineError> {
        end::begin(directory, Manner::KillInside)
    }

    fn renew(&self, directory: &Path, trash: &Path) -> Result<(), MachineError> {
        place::renew(directory, trash, &self.ids)
    }

    fn discard(&self, paths: &[&Path]) -> Result<(), MachineError> {
        mapped::discard(&self.agent, &self.ids, paths)
    }
}
