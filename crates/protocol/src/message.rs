//! The messages of both sides. A call is one `HostMessage` with a fresh call number and the
//! `GuestMessage`s that answer it, the last of which is marked below as ending the call.

use serde::{Deserialize, Serialize};

use crate::{exec, files, patch, upper};
use pyro_model::ExecId;

/// From the host to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFrame {
    /// Chosen by the host, unique among the open calls of the stream.
    pub call: u32,
    /// What is asked.
    pub message: HostMessage,
}

/// From the guest to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFrame {
    /// The call it answers.
    pub call: u32,
    /// The answer, or a part of it.
    pub message: GuestMessage,
}

/// What the host may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostMessage {
    /// First on every stream. Answered by `Hello`.
    Hello { version: u16 },
    /// Runs a command. Answered by `Started`, then `Output`s when followed, then `Finished`.
    /// The command goes on when the stream is lost.
    Exec(Box<exec::ExecStart>),
    /// Waits for a command again. Answered like `Exec`, without `Started`; by `Failed` when the
    /// agent does not know the id.
    ExecAttach { exec: ExecId, follow: exec::Follow },
    /// Sends a signal to the command's own process group. Answered by `Done`.
    ExecSignal { exec: ExecId, signal: i32 },
    /// Ends the command and its whole tree: the signal first, SIGKILL after the grace time.
    /// Answered by `Stopped` once the tree is gone (or could not be ended, which it says).
    ExecStop { exec: ExecId, signal: i32, grace_ms: u32 },
    /// Grants the open call this many more bytes of output. Not answered.
    Credit { bytes: u32 },
    /// Ends a call's answers (a listing, a pack, following a command, which goes on). Not answered.
    Cancel,
    /// Lists a directory. Answered by `Listed`.
    List(files::List),
    /// Reads a part of a file. Answered by `Content`.
    Read(files::Read),
    /// Writes a whole file atomically. Answered by `Written`.
    Write(files::Write),
    /// Replaces exact text in a file atomically. Answered by `Edited`.
    Edit(files::Edit),
    /// Lists directories of the upper layer of `/workspace`. Answered by `Upper`s, one for each
    /// directory, then `Done`.
    Upper(upper::UpperList),
    /// Sends files as they are now, whole. Answered by `Entry` and `Chunk`s, then `Done`.
    Pack(files::Pack),
    /// Asks how the machine is. Answered by `Status`.
    Status,
    /// Ends every command, syncs the disk and ends the machine. Answered by `Done`.
    Shutdown,
    /// Applies a patch: all of it or nothing, also when the machine is killed in between. Answered
    /// by `Patched` or `PatchConflict`.
    Patch(patch::Patch),
}

/// What the guest may answer. The host trusts none of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestMessage {
    /// Ends the call. The agent's own version, and the boot it lives in.
    Hello { version: u16, boot: [u8; 16] },
    /// The command's process exists.
    Started { pid: u32 },
    /// Bytes that a followed command wrote, from `offset` of that stream.
    Output { stream: pyro_model::OutputStream, offset: u64, bytes: Vec<u8> },
    /// Ends the call.
    Finished(exec::Finished),
    /// Ends the call. `survivors` are processes that could not be ended within its bound.
    Stopped { survivors: u32 },
    /// Ends the call.
    Listed(files::Listed),
    /// Ends the call.
    Content(files::Content),
    /// Ends the call.
    Written(files::Written),
    /// Ends the call.
    Edited(files::Edited),
    /// One directory of the upper layer.
    Upper(upper::UpperDirectory),
    /// The head of one packed file; its bytes follow as `Chunk`s.
    Entry(files::PackEntry),
    /// Bytes of the packed file before it.
    Chunk { bytes: Vec<u8> },
    /// Ends the call.
    Status(exec::MachineStatus),
    /// Ends the call.
    Done,
    /// Ends the call: it could not be done, and why.
    Failed(Refusal),
    /// Ends the call.
    Patched(patch::Patched),
    /// Ends the call: the patch does not fit, and nothing was changed.
    PatchConflict(Box<patch::Conflict>),
}

impl GuestMessage {
    /// Whether nothing more comes on the call after it.
    #[must_use]
    pub fn ends_call(&self) -> bool {
        match self {
            Self::Started { .. }
            | Self::Output { .. }
            | Self::Upper(_)
            | Self::Entry(_)
            | Self::Chunk { .. } => false,
            Self::Hello { .. }
            | Self::Finished(_)
            | Self::Stopped { .. }
            | Self::Listed(_)
            | Self::Content(_)
            | Self::Written(_)
            | Self::Edited(_)
            | Self::Status(_)
            | Self::Done
            | Self::Failed(_)
            | Self::Patched(_)
            | Self::PatchConflict(_) => true,
        }
    }
}

/// Why the guest did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of thing went wrong.
    pub kind: RefusalKind,
    /// What it happened to: a path, an id.
    pub what: String,
    /// In words, fit after "failed to".
    pub message: String,
}

/// The kinds of refusal; the engine maps each to one failure code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// No such path or command.
    NotFound,
    /// The path leads out of `/workspace`.
    PathEscapes,
    /// A file where a directory is needed, or the other way around.
    WrongType,
    /// Over a bound.
    TooLarge,
    /// Not UTF-8 where text was asked for.
    NotText,
    /// The text to replace is not there.
    EditMissing,
    /// The text to replace is there more than once.
    EditAmbiguous,
    /// The disk is full.
    NoSpace,
    /// The file system said no.
    Denied,
    /// The request makes no sense.
    Invalid,
    /// A system call failed; the message has its name.
    System,
}
