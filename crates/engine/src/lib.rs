//! What the verbs do: the life of a workspace, its journal, and every default once.
//!
//! Promises: a handler stands at the same path as its request; every step of a change can be
//! killed and the next call finishes or undoes it; nothing here knows clap, MCP or a terminal.

mod arguments;
pub mod context;
pub mod handle;
mod pending;
pub mod settings;

pub use context::{Context, Door, Fence, Live, LiveSink, Progress, ProgressSink};
pub use handle::Handle;
pub use pyro_machine::Cancel;
pub use settings::{Config, Settings};

/// pyro's engine over one home. Cheap to open; any number of processes may have one open.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
}

impl Engine {
    /// Opens the home, making it on first use.
    ///
    /// # Errors
    /// `host_unfit` or `store_damaged`, when the home cannot be used.
    pub fn open(settings: Settings) -> Result<Self, pyro_operations::Failure> {
        Ok(Self { settings })
    }

    /// Where it keeps its files, and what the user configured.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
