//! What `pyro doctor` says about containers on this host, each with the command that mends it.

/// One thing that was looked at.
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

/// Looks at everything.
#[must_use]
pub fn checks() -> Vec<Check> {
    Vec::new()
}
