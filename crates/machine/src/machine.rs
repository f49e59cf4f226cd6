//! The trait that every machine implements.
//!
//! A machine lives in the workspace's directory and is found again through it by any process:
//! nobody has to stay. Its liveness is a lock that it holds for its life, never a pid in a file.
//! A workspace's writable files belong to ids that the host's caller may not be, so only the
//! machine makes, moves between and removes them.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use pyro_model::{Isolation, MachineKind};

use crate::{Capabilities, Enforcement, MachineError, MachineSpec};

/// A machine that runs.
#[derive(Debug)]
pub struct Started {
    /// A connection to its agent, before the handshake.
    pub stream: UnixStream,
    /// How each bound is kept.
    pub enforcement: Vec<Enforcement>,
    /// What the user should know of this start, in sentences: a template that was made on the way.
    pub notices: Vec<String>,
}

/// Where the read-only image of a layer lies, for machines that need one: beside the layer's own
/// directory, under its name and `.erofs`.
#[must_use]
pub fn image_of(layer: &Path) -> PathBuf {
    let mut name = layer.as_os_str().to_owned();
    name.push(".erofs");
    PathBuf::from(name)
}

/// Waits for the end of a machine that was told to go.
pub type Ending = Box<dyn FnOnce() -> Result<(), MachineError> + Send>;

/// One way to run workspaces.
pub trait Machine: Send + Sync + std::fmt::Debug {
    /// Which one.
    fn kind(&self) -> MachineKind;

    /// The isolation grade that replies report.
    fn isolation(&self) -> Isolation;

    /// What it can do here, and why not.
    fn capabilities(&self) -> &Capabilities;

    /// Makes what a machine needs in a workspace's directory (which exists and is empty):
    /// fresh uppers, the spool. Safe to call again after a crash.
    fn prepare(&self, directory: &Path) -> Result<(), MachineError>;

    /// Makes what this machine needs of a read-only layer before it is used in a start, beside the
    /// layer (`image_of`); at once when that is there already. Whoever removes the layer's parent
    /// removes it too. The container needs nothing.
    fn prepare_layer(&self, _layer: &Path) -> Result<(), MachineError> {
        Ok(())
    }

    /// Starts the machine and returns once its agent answers connections. `Busy` when one already
    /// runs in that directory. A failure leaves nothing running.
    fn start(&self, spec: &MachineSpec) -> Result<Started, MachineError>;

    /// Connects to the agent. `NotRunning` when there is no machine.
    fn connect(&self, directory: &Path) -> Result<UnixStream, MachineError>;

    /// Whether a machine runs in that directory, by its lock.
    fn is_running(&self, directory: &Path) -> Result<bool, MachineError>;

    /// Ends the machine at once, with all that was written kept, and returns when its lock is free.
    /// Fine when none runs.
    fn end(&self, directory: &Path) -> Result<(), MachineError>;

    /// Ends the machine like `end`, but keeps nothing that is not on its disk yet, and returns once
    /// its processes are told to go: what it gives back waits for the rest. Only where nothing of
    /// the machine's changes is wanted any more.
    fn begin_end(&self, directory: &Path) -> Result<Ending, MachineError> {
        self.end(directory)?;
        Ok(Box::new(|| Ok(())))
    }

    /// Moves the uppers out of the workspace's directory to `trash` (a path that does not exist
    /// yet, on the same file system) and makes fresh ones. By rename: takes no longer for more.
    fn renew(&self, directory: &Path, trash: &Path) -> Result<(), MachineError>;

    /// Removes trees that hold files of the guest's ids, in a detached process of low priority;
    /// returns at once. What is left after a crash is removed by the next call for the same path.
    fn discard(&self, paths: &[&Path]) -> Result<(), MachineError>;
}
