//! What a call brings along beside its request: who asks, how to stop it, who listens, and the
//! fence that the user put around a model.
//!
//! An operation never learns whether a terminal, a chat host or a program is listening.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use pyro_machine::Cancel;
use pyro_model::{ExecId, MachineChoice, OutputStream};

/// Which door a call came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A person at a terminal, or a script of theirs.
    CommandLine,
    /// A person's program.
    Sdk,
    /// A model, through a chat host.
    Mcp,
}

/// A step of a long call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub message: String,
    /// How much is done, where that is known; 0 to 100.
    pub percent: Option<u8>,
}

/// What a command is doing, for whoever follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live<'a> {
    /// It has begun.
    Started(&'a ExecId),
    /// It wrote this.
    Output(OutputStream, &'a [u8]),
}

/// Receives the steps of a long call.
pub type ProgressSink = Arc<dyn Fn(&Progress) + Send + Sync>;
/// Receives what a command does while it runs.
pub type LiveSink = Arc<dyn Fn(Live<'_>) + Send + Sync>;

/// The ceiling that the user set for a model; it can narrow what is in it, never widen it.
#[derive(Debug, Clone, Default)]
pub struct Fence {
    /// The project that a create without a source takes.
    pub project: Option<PathBuf>,
    /// The project's source as a repository instead: URL and reference.
    pub repository: Option<(String, Option<String>)>,
    /// More host directories that may be read as a seed.
    pub allow_paths: Vec<PathBuf>,
    /// Where exports land; `.pyro/exports` in the project when absent.
    pub export_dir: Option<PathBuf>,
    /// The environment that is used, and the only one allowed.
    pub environment: Option<String>,
    /// The machine that is used, and the only one allowed.
    pub machine: Option<MachineChoice>,
    /// Workspaces that may exist at once.
    pub max_workspaces: Option<u64>,
    /// Cores that a workspace may have.
    pub max_cpus: Option<u32>,
    /// Memory that a workspace may have.
    pub max_memory_mib: Option<u64>,
}

/// What a call brings along.
#[derive(Clone)]
pub struct Context {
    /// Which door it came through.
    pub door: Door,
    /// Stops it.
    pub cancel: Cancel,
    /// Hears of the steps of a long call.
    pub progress: Option<ProgressSink>,
    /// Hears of a command's output while it runs.
    pub live: Option<LiveSink>,
    /// Where relative host paths begin.
    pub cwd: PathBuf,
    /// The user's ceiling; only for models.
    pub fence: Option<Arc<Fence>>,
    /// Leave a command running when the caller cancels (the caller went away), instead of ending
    /// it.
    pub detach: bool,
    /// Set, before `cancel`, by a door whose caller went away instead of cancelling: shared by all
    /// its calls, and read through `leaves_command`.
    pub caller_gone: Arc<AtomicBool>,
    /// Wait for a command until it ends, however long: a person is watching.
    pub patient: bool,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("door", &self.door).field("cwd", &self.cwd).finish()
    }
}

impl Context {
    /// A call with nobody listening.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new(door: Door, cwd: PathBuf) -> std::io::Result<Self> {
        Ok(Self {
            door,
            cancel: Cancel::new()?,
            progress: None,
            live: None,
            cwd,
            fence: None,
            detach: false,
            caller_gone: Arc::default(),
            patient: false,
        })
    }

    /// Whether a command goes on when this call is cancelled: the caller went away, or said so.
    #[must_use]
    pub fn leaves_command(&self) -> bool {
        self.detach || self.caller_gone.load(Ordering::SeqCst)
    }

    pub(crate) fn say(&self, message: impl Into<String>, percent: Option<u8>) {
        if let Some(progress) = &self.progress {
            progress(&Progress { message: message.into(), percent });
        }
    }
}
