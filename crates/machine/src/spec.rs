//! What a machine is told to run. Every path is absolute and on the host.

use std::path::PathBuf;

use pyro_model::{Bind, WorkspaceId};

/// One machine to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// Whose machine it is.
    pub workspace: WorkspaceId,
    /// The workspace's own directory: lock, socket, spool and uppers lie in it (`Machine::prepare`
    /// made them).
    pub directory: PathBuf,
    /// The name that programs inside see.
    pub hostname: String,
    /// Read-only layers of the root, top first.
    pub root_lowers: Vec<PathBuf>,
    /// Read-only layers of `/workspace`, top first; may be empty.
    pub tree_lowers: Vec<PathBuf>,
    /// Where changes go.
    pub writable: Writable,
    /// Host paths shown inside.
    pub binds: Vec<Bind>,
    /// Where `/workspace` shows a second time: the checkout's own path.
    pub also_at: Option<PathBuf>,
    /// Bounds.
    pub limits: Limits,
    /// The machine ends by itself after this many idle seconds; 0 is never.
    pub idle_ttl_s: u64,
    /// Started only to look at its disk: refuses commands, ends with its last connection.
    pub inspect_only: bool,
}

/// Where changes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// To the workspace's directory: they outlive the machine.
    Disk,
    /// To memory: they end with the machine. For `run`.
    Memory,
}

/// Bounds of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Cores' worth of time.
    pub cpus: u32,
    /// Memory of everything inside.
    pub memory_mib: u64,
    /// Disk that changes may take; `None` is the default, a free-space floor where no better can
    /// be had.
    pub disk_mib: Option<u64>,
    /// Processes.
    pub processes: u64,
}

/// How one bound is kept, honestly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforcement {
    /// `cpus`, `memory_mib`, `disk_mib` or `processes`.
    pub limit: &'static str,
    /// Kept by the kernel, whatever the guest does.
    pub enforced: bool,
    /// By what, or why not.
    pub how: String,
}
