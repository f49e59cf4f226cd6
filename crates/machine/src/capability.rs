//! What a machine can do here, as rows of a table that `doctor`, `status` and the docs show.

/// The things that machines differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Programs inside can take other user ids (`apt`, `chown`, `su`).
    ManyIds,
    /// The memory bound is kept by the kernel.
    MemoryLimit,
    /// The processor bound is kept by the kernel.
    CpuLimit,
    /// The bound on processes is kept by the kernel for this workspace alone.
    ProcessLimit,
    /// The disk bound is kept by the kernel.
    DiskLimit,
    /// Snapshots that hold memory and running processes.
    LiveSnapshot,
    /// The `host` environment.
    HostEnvironment,
}

/// Whether it can be had, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// Yes; how.
    Yes(String),
    /// In a weaker form; which.
    Partly(String),
    /// No; why, and what does it instead.
    No {
        /// Why.
        reason: String,
        /// What can.
        instead: String,
    },
}

/// The table of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    rows: Vec<(Capability, Support)>,
}

impl Capabilities {
    /// A table of these rows.
    #[must_use]
    pub fn new(rows: Vec<(Capability, Support)>) -> Self {
        Self { rows }
    }

    /// One row; a machine that does not list a capability does not have it.
    #[must_use]
    pub fn get(&self, capability: Capability) -> Support {
        self.rows.iter().find(|row| row.0 == capability).map_or_else(
            || Support::No {
                reason: "this machine does not have it".to_owned(),
                instead: String::new(),
            },
            |row| row.1.clone(),
        )
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> &[(Capability, Support)] {
        &self.rows
    }
}
