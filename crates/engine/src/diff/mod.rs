//! What changed in a workspace since it was seeded, and the patch that says so.
//!
//! `walk` asks the guest for the upper layer, level by level; `baseline` reads the seed on the
//! host; `content` fetches both sides; `patch` writes what `git apply` takes. The cost grows with
//! what was touched and is not ignored, never with the project.

mod baseline;
mod binary;
mod content;
mod head;
mod patch;
mod renames;
mod walk;

use pyro_model::{Change, ChangeKind};
use pyro_operations::Failure;
use pyro_store::Record;
use sha2::{Digest, Sha256};

use crate::{Context, Engine, failure::OrFail};

pub(crate) use patch::Patch;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Side {
    /// A file; its size and executable bit.
    File { bytes: u64, executable: bool },
    /// A symlink and where it points.
    Link { target: Vec<u8> },
}

impl Side {
    fn same_type(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::File { .. }, Self::File { .. }) | (Self::Link { .. }, Self::Link { .. })
        )
    }

    fn git_mode(&self) -> &'static str {
        match self {
            Self::File { executable: true, .. } => "100755",
            Self::File { executable: false, .. } => "100644",
            Self::Link { .. } => "120000",
        }
    }
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Relative to `/workspace`.
    pub(crate) path: Vec<u8>,
    /// What the baseline has there.
    pub(crate) old: Option<Side>,
    /// What is there now.
    pub(crate) new: Option<Side>,
    /// The content is the same: only the executable bit differs.
    pub(crate) same_content: bool,
}

impl Changed {
    /// What happened to the path.
    pub(crate) fn kind(&self) -> ChangeKind {
        match (&self.old, &self.new) {
            (None, _) => ChangeKind::Created,
            (_, None) => ChangeKind::Deleted,
            _ if self.same_content => ChangeKind::Mode,
            _ => ChangeKind::Modified,
        }
    }

    /// As replies show it.
    pub(crate) fn as_change(&self) -> Change {
        Change {
            path: String::from_utf8_lossy(&self.path).into_owned(),
            change: self.kind(),
            from: None,
            bytes: match &self.new {
                Some(Side::File { bytes, .. }) => Some(*bytes),
                _ => None,
            },
        }
    }
}

/// What changed, without contents.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// In order of their paths.
    pub(crate) files: Vec<Changed>,
    /// Ignored paths that were touched and left out.
    pub(crate) ignored: u64,
    pub(crate) notices: Vec<String>,
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl Engine {
    /// What changed since the seed.
    pub(crate) fn changes(&self, record: &Record, context: &Context) -> Result<Changes, Failure> {
        let baseline = baseline::Baseline::open(self, record)?;
        self.look(record, |guest| walk::changes(guest, &baseline, context))
    }

    /// The patch of everything, noted in the record.
    pub(crate) fn whole_patch(&self, record: &Record, context: &Context) -> Result<Patch, Failure> {
        self.import(record)?;
        let patch = self.patch(record, &[], false, context)?;
        self.store().note_changes(&record.id, patch.files.len() as u64, &patch.sha256).or_fail()?;
        Ok(patch)
    }

    /// A patch of the paths that `only` names (all, when it names none).
    pub(crate) fn patch(
        &self,
        record: &Record,
        only: &[Vec<u8>],
        from_head: bool,
        context: &Context,
    ) -> Result<Patch, Failure> {
        let baseline = baseline::Baseline::open(self, record)?;
        self.look(record, |guest| {
            let mut changes = walk::changes(guest, &baseline, context)?;
            if from_head {
                head::against_head(&mut changes, &baseline)?;
            }
            if !only.is_empty() {
                changes.files.retain(|file| only.iter().any(|path| lies_in(&file.path, path)));
            }
            let contents = content::fetch(guest, &baseline, &changes.files, context)?;
            Ok(patch::write(changes, &contents))
        })
    }

    /// Whether nothing happened in a workspace since its changes were last counted.
    pub(crate) fn import_is_current(&self, record: &Record) -> bool {
        self.import(record).is_ok()
            && matches!(self.store().get(&record.id), Ok(Some(now)) if now.changed_files == record.changed_files)
    }
}

fn lies_in(path: &[u8], place: &[u8]) -> bool {
    place.is_empty()
        || path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
