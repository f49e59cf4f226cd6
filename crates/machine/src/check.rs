//! One thing that a machine looked at on the host, for `pyro doctor`.

/// What was looked at, what was found, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, as in `MachineError::HostUnfit`.
    pub name: &'static str,
    /// Whether all is well.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What does not work without it.
    pub needed_for: &'static str,
    /// The command that mends it; empty when nothing has to be.
    pub mend: String,
}
