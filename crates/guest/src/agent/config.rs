//! What the agent is given by whoever set the machine up (the container launcher, the VM's init,
//! or a test), and how it ends.
//!
//! The agent opens nothing by path but `/proc`, `/dev/null` and what commands name as their
//! program and directory; everything else is a handle from here.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::PathBuf,
};

use pyro_protocol::{Decoder, launch::AgentSpec};
use pyro_sys::child::SingleThread;

use super::AgentError;

/// Applied in the command's own process, just before `execve`: drops capabilities, sets resource
/// limits, installs the seccomp filter. Descriptors 0, 1 and 2 are the command's streams, 3 is the
/// agent's (close-on-exec), every other one is closed already; the supervisor of the command,
/// which stays behind, is not confined. It may allocate: the process has one thread.
pub type Confine = Box<dyn Fn() -> io::Result<()>>;

/// Who asks, and where what happened is written down.
pub enum Doors {
    /// In a container: doors connect, and the agent writes the spool.
    Sockets {
        /// Already listening; whoever may connect may ask anything.
        listener: UnixListener,
        /// The directory of the event log and the output files.
        spool: OwnedFd,
    },
    /// In a VM: one port that is never closed while the machine runs. Records and output go over
    /// it, each byte once, and nothing is kept here.
    Port(Port),
}

/// A VM's channel (`pyro_protocol::vm`), awakened.
pub struct Port {
    /// A descriptor for reading and writing: a virtio-serial port, or a socket in tests.
    pub descriptor: OwnedFd,
    /// What arrived after `Awaken`.
    pub decoder: Decoder,
    /// Sets the machine's clock, microseconds since the epoch.
    pub set_clock: fn(u64),
}

/// Everything else that one agent works with.
pub struct AgentConfig {
    /// The root of `/workspace` in the merged view (`O_PATH` is enough).
    pub workspace: OwnedFd,
    /// Where programs see `/workspace`. `/workspace` itself, but for agents without a mount
    /// namespace, which translate the `cwd` of commands with it.
    pub workspace_path: PathBuf,
    /// The raw upper directory of `/workspace`'s overlay, opened before the root was left.
    pub tree_upper: Option<OwnedFd>,
    /// The raw lower directories of `/workspace`'s overlay, top first.
    pub tree_lowers: Vec<OwnedFd>,
    /// The raw upper directory of the root's overlay, if it lies on a disk: synced at the end.
    pub root_upper: Option<OwnedFd>,
    /// The cgroup (a directory of version 2) that commands and what supervises them are born in.
    pub cgroup: Option<OwnedFd>,
    /// That this process has one thread, if whoever set the machine up has looked already.
    pub alone: Option<SingleThread>,
    /// What the host said.
    pub spec: AgentSpec,
    /// What confines each command.
    pub confine: Confine,
    /// SIGTERM ends the machine like `Shutdown` does. Only for an agent that is not process 1 of
    /// a pid namespace: inside one, the workload could send it.
    pub ends_on_sigterm: bool,
}

/// Why `run` came back. When the agent is process 1, everything inside ends with its exit.
#[derive(Debug)]
pub enum ExitReason {
    /// The idle time was over.
    Idle,
    /// A door asked (or SIGTERM, where that is allowed).
    Asked,
    /// A tree of processes could not be ended within its bound: only the end of process 1 ends it.
    Runaway,
    /// The last connection of a machine that was only inspected closed.
    Inspected,
    /// The host's end of a VM's port is gone.
    Deserted,
    /// The agent could not work.
    Failed(AgentError),
}
