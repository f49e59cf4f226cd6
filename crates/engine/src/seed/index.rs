//! Reading a Git index file (versions 2 to 4): what is tracked, and as what.
//!
//! Only a few fields matter here: path, mode, object id, recorded size and flags. Indexes that
//! are split or sparse are for git itself to expand first (`needs_expanding`). The bytes are
//! untrusted; every offset is checked, and a damaged file is an error, never a panic.

use super::SeedError;

/// Most bytes of an index file: room for ten times the limit of files.
pub(crate) const INDEX_MOST: u64 = 2 << 30;

/// A tracked path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) oid: &'a [u8],
    /// The size of the file when it was last found equal to its blob.
    pub(crate) size: u32,
    /// 0, or 1 to 3 in a conflict.
    pub(crate) stage: u8,
    /// The user told git not to look at the file: status says nothing about it.
    pub(crate) unwatched: bool,
    /// Not expected in the working tree.
    pub(crate) skip_worktree: bool,
}

impl IndexEntry<'_> {
    /// A submodule's commit in the place of a file.
    pub(crate) fn is_gitlink(&self) -> bool {
        self.mode == 0o160_000
    }
}

const HEADER: usize = 12;
const FIXED: usize = 40;
const ASSUME_VALID: u16 = 0x8000;
const EXTENDED: u16 = 0x4000;
const SKIP_WORKTREE: u16 = 0x4000;

fn damaged() -> SeedError {
    SeedError::failed("the Git index", "it is damaged")
}

fn be32(bytes: &[u8], at: usize) -> Result<u32, SeedError> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).ok_or_else(damaged)?;
    Ok(u32::from_be_bytes(word))
}

fn be16(bytes: &[u8], at: usize) -> Result<u16, SeedError> {
    let word = bytes.get(at..at + 2).and_then(|word| word.try_into().ok()).ok_or_else(damaged)?;
    Ok(u16::from_be_bytes(word))
}

/// Calls `each` for every entry in order and returns where the entries end.
pub(crate) fn for_each(
    bytes: &[u8],
    oid_len: usize,
    mut each: impl FnMut(&IndexEntry<'_>) -> Result<(), SeedError>,
) -> Result<usize, SeedError> {
    if bytes.is_empty() {
        // A repository without an index file tracks nothing yet.
        return Ok(0);
    }
    if bytes.get(..4) != Some(b"DIRC") {
        return Err(damaged());
    }
    let version = be32(bytes, 4)?;
    if !(2..=4).contains(&version) {
        return Err(SeedError::failed("the Git index", format!("version {version} is unknown")));
    }
    let count = be32(bytes, 8)?;
    let mut at = HEADER;
    let mut joined: Vec<u8> = Vec::new();
    for _ in 0..count {
        let start = at;
        let mode = be32(bytes, at + 24)?;
        let size = be32(bytes, at + 36)?;
        let oid = bytes.get(at + FIXED..at + FIXED + oid_len).ok_or_else(damaged)?;
        at += FIXED + oid_len;
        let flags = be16(bytes, at)?;
        at += 2;
        let mut more_flags = 0;
        if flags & EXTENDED != 0 && version >= 3 {
            more_flags = be16(bytes, at)?;
            at += 2;
        }
        if version == 4 {
            let strip = varint(bytes, &mut at)?;
            let keep = joined.len().checked_sub(strip).ok_or_else(damaged)?;
            joined.truncate(keep);
        }
        let rest = bytes.get(at..).ok_or_else(damaged)?;
        // A name is far shorter than the rest of the file; the bound keeps a hostile one cheap.
        let window = &rest[..rest.len().min(1 << 16)];
        let len = window.iter().position(|byte| *byte == 0).ok_or_else(damaged)?;
        let path = if version == 4 {
            joined.extend_from_slice(&rest[..len]);
            if joined.len() > 1 << 16 {
                return Err(damaged());
            }
            at += len + 1;
            joined.as_slice()
        } else {
            at = start + ((at - start + len + 8) & !7);
            &rest[..len]
        };
        each(&IndexEntry {
            path,
            mode,
            oid,
            size,
            stage: ((flags >> 12) & 3) as u8,
            unwatched: flags & ASSUME_VALID != 0 || more_flags & SKIP_WORKTREE != 0,
            skip_worktree: more_flags & SKIP_WORKTREE != 0,
        })?;
    }
    Ok(at)
}

/// Git's offset encoding: seven bits at a time, most significant first, each continuation one up.
fn varint(bytes: &[u8], at: &mut usize) -> Result<usize, SeedError> {
    let mut value: usize = 0;
    for step in 0..5 {
        let byte = *bytes.get(*at).ok_or_else(damaged)?;
        *at += 1;
        value = (value << 7) | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        if step < 4 {
            value += 1;
        }
    }
    Err(damaged())
}

/// Whether the extensions after the entries say that other files hold a part of the index.
pub(crate) fn needs_expanding(bytes: &[u8], oid_len: usize, end: usize) -> bool {
    let mut at = end;
    while at + 8 + oid_len <= bytes.len() {
        let Ok(len) = be32(bytes, at + 4) else { return false };
        if matches!(&bytes[at..at + 4], b"link" | b"sdir") {
            return true;
        }
        at = at.saturating_add(8).saturating_add(len as usize);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn git(dir: &Path, args: &[&str]) -> Vec<u8> {
        let output = Command::new("git")
            .current_dir(dir)
            .args(["-c", "user.name=t", "-c", "user.email=t@t"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn parsed(bytes: &[u8]) -> String {
        let mut text = String::new();
        for_each(bytes, 20, |entry| {
            let oid: String = entry.oid.iter().map(|byte| format!("{byte:02x}")).collect();
            let path = String::from_utf8_lossy(entry.path);
            text += &format!("{:06o} {oid} {}\t{path}\0", entry.mode, entry.stage);
            Ok(())
        })
        .unwrap();
        text
    }

    #[test]
    fn every_version_reads_as_git_lists_it() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q"]);
        for name in ["a", "ab", "abc/x", "abc/xy", "abd/z", "with space", "ünï"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name.repeat(3)).unwrap();
        }
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        git(dir.path(), &["add", "-A"]);
        for version in ["2", "3", "4"] {
            git(dir.path(), &["update-index", "--index-version", version]);
            if version == "3" {
                git(dir.path(), &["update-index", "--skip-worktree", "ab"]);
            }
            let bytes = std::fs::read(dir.path().join(".git/index")).unwrap();
            let listed = git(dir.path(), &["ls-files", "--stage", "-z"]);
            assert_eq!(parsed(&bytes), String::from_utf8(listed).unwrap(), "version {version}");
        }
    }

    #[test]
    fn damage_is_an_error_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q"]);
        for name in ["a", "ab", "abc"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        git(dir.path(), &["add", "-A"]);
        for version in ["2", "4"] {
            git(dir.path(), &["update-index", "--index-version", version]);
            let bytes = std::fs::read(dir.path().join(".git/index")).unwrap();
            let end = for_each(&bytes, 20, |_| Ok(())).unwrap();
            for cut in 1..end.saturating_sub(8) {
                assert!(for_each(&bytes[..cut], 20, |_| Ok(())).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_split_index_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q"]);
        std::fs::write(dir.path().join("a"), "a").unwrap();
        git(dir.path(), &["add", "-A"]);
        let read = || std::fs::read(dir.path().join(".git/index")).unwrap();
        let end = for_each(&read(), 20, |_| Ok(())).unwrap();
        assert!(!needs_expanding(&read(), 20, end));
        git(dir.path(), &["update-index", "--split-index"]);
        let end = for_each(&read(), 20, |_| Ok(())).unwrap();
        assert!(needs_expanding(&read(), 20, end));
    }
}
