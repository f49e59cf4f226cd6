//! What a call brings along beside its request: who asks, how to stop it, who listens, and the
//! fence that the user put around a model.
//!
//! An operation never learns whether a terminal, a chat host or a program is listening.

use std::{
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use pyro_machine::Cancel;
use pyro_model::{ExecId, OutputStream};

use crate::{Asker, Fence};

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
    /// Asks the person about a host path that the ceiling does not allow, where the door can.
    pub ask: Option<Asker>,
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
            ask: None,
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

    /// The ceiling of this call. A model has one in any case: without one of the user's, it may
    /// read nothing of the host.
    pub(crate) fn fence(&self) -> Option<&Fence> {
        static NOTHING: LazyLock<Fence> = LazyLock::new(Fence::default);
        match (&self.fence, self.door) {
            (Some(fence), _) => Some(fence),
            (None, Door::Mcp) => Some(&NOTHING),
            (None, Door::CommandLine | Door::Sdk) => None,
        }
    }

    pub(crate) fn say(&self, message: impl Into<String>, percent: Option<u8>) {
        if let Some(progress) = &self.progress {
            progress(&Progress { message: message.into(), percent });
        }
    }
}
