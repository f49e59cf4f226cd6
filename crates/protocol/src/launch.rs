//! How the host starts a container: one bounded message from pyro to the launcher, which is the
//! same program as the agent, and the steps between them.
//!
//! pyro (P) starts `pyro-guest launch` (L) in a session of its own, with a stream socket as file
//! descriptor 3 and the held lock as 4. L stays outside as the holder of the lock; its child (C)
//! is process 1 inside and becomes the agent.
//!
//! ```text
//! P -> L  LaunchSpec                    (one length-bounded frame)
//! L -> P  LaunchReport::Cloned{pid}     (C exists in its new namespaces, ids not mapped yet)
//! P       writes C's id maps; opens C's user namespace; makes the idmapped mounts
//! P -> L  LaunchGo + SCM_RIGHTS         (the idmapped mounts, in order)
//! L -> P  LaunchReport::Ready | Failed  (C listens on the socket, or the step that failed)
//! ```
//!
//! C opens every host path after the clone and before it takes its mapped id (it still has the
//! caller's rights then, and the mounts belong to its own mount namespace).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use pyro_model::Bind;

/// The file descriptor of the launch socket in L.
pub const SOCKET_FD: i32 = 3;
/// The file descriptor of the machine's held lock in L.
pub const LOCK_FD: i32 = 4;

/// All that L needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The name that programs inside see.
    pub hostname: String,
    /// The root file system.
    pub root: Layers,
    /// `/workspace`.
    pub tree: Layers,
    /// Host paths shown inside.
    pub binds: Vec<Bind>,
    /// Where `/workspace` shows a second time.
    pub also_at: Option<PathBuf>,
    /// Read-only layers come as idmapped mounts by SCM_RIGHTS (root on a kernel that can), in the
    /// order: root layers, tree layers, then binds of mode `Overlay`.
    pub idmapped: bool,
    /// Ids to take: 0 inside. Only one id is mapped when `single_id`.
    pub single_id: bool,
    /// The workspace's own directory: `sock`, `spool/` are made in it.
    pub directory: PathBuf,
    /// Bounds that hold without a cgroup.
    pub rlimits: Rlimits,
    /// Cgroups that L makes before C exists, and removes after its end.
    pub cgroups: Vec<Cgroup>,
    /// What the agent needs.
    pub agent: AgentSpec,
}

/// One overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// Read-only layers, top first; may be empty (an empty directory is used then).
    pub lowers: Vec<PathBuf>,
    /// Where changes go.
    pub upper: Upper,
}

/// Where changes go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upper {
    /// `DIR/upper` and `DIR/work`, which exist and belong to id 0 inside; `work` is empty.
    Directory(PathBuf),
    /// A file system in memory that ends with the machine, of at most this many bytes.
    Memory { bytes: u64 },
}

/// Bounds set on every command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Rlimits {
    /// `RLIMIT_NPROC`, when no cgroup bounds the processes.
    pub processes: Option<u64>,
    /// `RLIMIT_NOFILE`.
    pub open_files: u64,
}

/// One cgroup to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The directory to make; its parent is there.
    pub directory: PathBuf,
    /// Version 2: C is cloned into it. Version 1: L enters it first, and C inherits it.
    pub unified: bool,
    /// Files in it and what is written to them while it is still empty.
    pub writes: Vec<(String, String)>,
}

/// What the agent needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// The machine ends by itself after this many idle seconds; 0 is never.
    pub idle_ttl_s: u64,
    /// Refuses commands: the machine was started only to look at its disk, and ends when its
    /// last stream closes.
    pub inspect_only: bool,
    /// Identifies this run of the machine; random.
    pub boot: [u8; 16],
    /// Wall-clock time at the host.
    pub at_ms: u64,
}

/// From L to P.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaunchReport {
    /// C exists, waiting; its process id as P sees it.
    Cloned { pid: u32 },
    /// The agent listens. What could not be had of the cgroups: the file or directory that
    /// refused, and the system's error number.
    Ready { refused: Vec<(PathBuf, i32)> },
    /// The step that failed, what it acted on, and the system's error number.
    Failed { step: String, what: String, errno: i32 },
}

/// From P to L: the ids are mapped; the descriptors of idmapped mounts come with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchGo {
    /// How many descriptors come.
    pub mounts: u32,
}
