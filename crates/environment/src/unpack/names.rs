//! Names of entries: what is allowed, in one place, before any system call sees them.

use super::failure::{Bound, Refusal, UnpackError};
use super::plan::{ArchiveKind, Limits};

/// The longest path that the kernel takes, its NUL not counted.
const PATH_MOST: u64 = 4095;

/// A relative path without `.`, `..` or empty components. Empty is the target directory itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryPath(Vec<u8>);

impl EntryPath {
    /// Judges the name `raw` of an entry (or of a hard link's target).
    pub(super) fn parse(
        raw: &[u8],
        kind: ArchiveKind,
        limits: &Limits,
    ) -> Result<Self, UnpackError> {
        let refuse = |reason| Err(UnpackError::refused(raw, reason));
        if raw.is_empty() || raw.contains(&0) {
            return refuse(Refusal::BadName);
        }
        if raw.starts_with(b"/") && kind == ArchiveKind::Seed {
            return refuse(Refusal::AbsoluteName);
        }
        let mut path = Vec::with_capacity(raw.len());
        let mut depth = 0;
        for part in raw.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return refuse(Refusal::ParentName),
                long if long.len() as u64 > limits.name_length => {
                    let bound = Bound::NameLength;
                    return Err(UnpackError::too_large(raw, bound, limits.name_length));
                }
                part => {
                    if depth > 0 {
                        path.push(b'/');
                    }
                    path.extend_from_slice(part);
                    depth += 1;
                }
            }
        }
        if depth > limits.depth {
            return Err(UnpackError::too_large(raw, Bound::Depth, limits.depth));
        }
        if path.len() as u64 > PATH_MOST {
            return Err(UnpackError::too_large(raw, Bound::PathLength, PATH_MOST));
        }
        Ok(Self(path))
    }

    /// The path as bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the target directory itself.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory above, and the last name.
    pub(super) fn split(&self) -> (&[u8], &[u8]) {
        split(&self.0)
    }
}

/// The directory above a clean path (empty: the target), and the last name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// Refuses a symbolic link's target that the kernel cannot hold; where it leads is not judged.
pub(super) fn check_link_text(entry: &[u8], text: &[u8]) -> Result<(), UnpackError> {
    if text.is_empty() || text.contains(&0) {
        return Err(UnpackError::refused(entry, Refusal::BadName));
    }
    if text.len() as u64 > PATH_MOST {
        return Err(UnpackError::too_large(entry, Bound::PathLength, PATH_MOST));
    }
    Ok(())
}
