//! A patch, read by the host and applied by the agent as one change: all of it or nothing.

use pyro_model::ChangeKind;
use serde::{Deserialize, Serialize};

/// What is to be done, in order. A later file may build on an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    pub files: Vec<FilePatch>,
}

/// What is to be done to one file. Paths are relative to `/workspace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePatch {
    /// Where the result stands.
    pub path: String,
    /// Where it is taken from, if that is elsewhere.
    pub from: Option<String>,
    /// `from` stays.
    pub copy: bool,
    pub action: Action,
    /// Type and permissions as git writes them: 0o100644, 0o100755, 0o120000.
    pub mode: Option<u32>,
    pub body: Body,
}

/// What happens to the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// It must not be there yet.
    Create,
    /// It must be there.
    Modify,
    /// It must be there, with the content that the body names, if it names one.
    Delete,
}

/// What happens to its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Text, place by place, in order.
    Hunks(Vec<Hunk>),
    /// All of it.
    Whole(Vec<u8>),
    /// git's delta against what is there.
    Delta(Vec<u8>),
}

/// A place where text changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunk {
    /// Its first old line, from 1; 0 when the patch does not say.
    pub line: u32,
    /// A line above it, such as a function's head: it is looked for below that.
    pub below: Vec<String>,
    pub lines: Vec<Line>,
    /// The old text ends without a newline.
    pub old_ends_bare: bool,
    /// The new text ends without a newline.
    pub new_ends_bare: bool,
    /// Its last old line is the file's last.
    pub at_end: bool,
}

/// A line of a hunk, without its newline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub kind: LineKind,
    pub text: String,
}

/// What a line of a hunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineKind {
    /// There, and stays.
    Context,
    /// There, and goes.
    Removed,
    /// Comes.
    Added,
}

/// What the patch did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patched {
    pub files: Vec<PatchedFile>,
}

/// What it did to one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchedFile {
    pub path: String,
    pub change: ChangeKind,
    pub from: Option<String>,
    /// Size now; none when it is gone.
    pub bytes: Option<u64>,
}

/// Why a patch does not fit; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub path: String,
    /// Which hunk of the file, from 1; 0 when it is the file as a whole.
    pub hunk: u32,
    /// The line of the file, from 1, where the hunk was expected.
    pub line: u32,
    /// What the patch says is there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// In words.
    pub message: String,
}
