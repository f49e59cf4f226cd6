//! Reading HEAD, refs and the few small files beside them out of an untrusted git directory.
//!
//! Everything is read into memory once, so that the key and the layer's `.git` are made from the
//! same bytes. Names and contents are checked; what is not a ref is left behind, and so are
//! reflogs, per-worktree refs and the state of an unfinished merge or rebase.

use super::SeedError;
use super::beneath::{Kind, Rooted, child};
use super::git_dir::GitDirs;

const SMALL_MOST: u64 = 4 << 20;
const PACKED_MOST: u64 = 512 << 20;
const REFS_MOST: usize = 200_000;
const DEPTH_MOST: usize = 32;

/// A file of the git directory by its path in there.
pub(crate) type GitFile = (Vec<u8>, Vec<u8>);

/// What `.git` says about history, apart from objects.
#[derive(Debug, Default)]
pub(crate) struct Refs {
    pub(crate) head: Vec<u8>,
    /// `refs/...`, `packed-refs`, `reftable/...`, `shallow`, `info/exclude`,
    /// `info/sparse-checkout`: sorted by path.
    pub(crate) files: Vec<GitFile>,
}

impl Refs {
    pub(crate) fn read(dirs: &GitDirs) -> Result<Self, SeedError> {
        let common = dirs.common();
        let what = || dirs.own.path().display().to_string();
        let head = dirs.own.read(b"HEAD", 4096)?.map(|contents| contents.bytes);
        let Some(head) = head.filter(|head| is_ref_value(head)) else {
            return Err(SeedError::failed(what(), "its HEAD cannot be read"));
        };
        let mut refs = Self { head, files: Vec::new() };
        for (name, most) in [
            (b"packed-refs".as_slice(), PACKED_MOST),
            (b"shallow", SMALL_MOST),
            (b"info/exclude", SMALL_MOST),
        ] {
            refs.take(common, name, most)?;
        }
        refs.take(&dirs.own, b"info/sparse-checkout", SMALL_MOST)?;
        let source = |error| SeedError::source(common.path(), error);
        for entry in common.names_in(b"reftable").map_err(source)? {
            if entry.kind == Kind::File && entry.name.iter().all(|byte| byte.is_ascii_graphic()) {
                refs.take(common, &child(b"reftable", &entry.name), PACKED_MOST)?;
            }
        }
        refs.loose(common, b"refs", 0)?;
        refs.files.sort_unstable();
        Ok(refs)
    }

    /// The bytes of one file.
    pub(crate) fn file(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.files.binary_search_by(|(path, _)| path.as_slice().cmp(name)).ok()?;
        Some(&self.files[at].1)
    }

    /// The branch that HEAD names.
    pub(crate) fn branch(&self) -> Option<&[u8]> {
        self.head.strip_prefix(b"ref:").map(<[u8]>::trim_ascii)
    }

    fn take(&mut self, dir: &Rooted, name: &[u8], most: u64) -> Result<(), SeedError> {
        if let Some(contents) = dir.read(name, most)? {
            self.files.push((name.to_vec(), contents.bytes));
        }
        Ok(())
    }

    fn loose(&mut self, common: &Rooted, at: &[u8], depth: usize) -> Result<(), SeedError> {
        if self.files.len() > REFS_MOST || depth > DEPTH_MOST {
            let what = common.path().display().to_string();
            return Err(SeedError::TooLarge { what, limit: format!("{REFS_MOST} refs") });
        }
        let source = |error| SeedError::source(&common.join(at), error);
        for entry in common.names_in(at).map_err(source)? {
            let path = child(at, &entry.name);
            // Per-worktree refs belong to the moment, not to the history.
            if matches!(path.as_slice(), b"refs/bisect" | b"refs/worktree" | b"refs/rewritten") {
                continue;
            }
            match entry.kind {
                Kind::Directory => self.loose(common, &path, depth + 1)?,
                Kind::File if !entry.name.ends_with(b".lock") => {
                    if let Some(contents) = common.read(&path, 4096)?
                        && is_ref_value(&contents.bytes)
                    {
                        self.files.push((path, contents.bytes));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A hexadecimal object id, or `ref: refs/...` without a way out.
fn is_ref_value(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_end();
    if let Some(target) = line.strip_prefix(b"ref:") {
        let target = target.trim_ascii();
        return target.starts_with(b"refs/")
            && !target.iter().any(|byte| byte.is_ascii_control() || *byte == b' ')
            && target.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    }
    matches!(line.len(), 40 | 64) && line.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_and_refs_are_ref_values() {
        let id = "a".repeat(40);
        for good in [id.as_str(), "ref: refs/heads/main\n", "ref: refs/heads/.invalid\n"] {
            assert!(is_ref_value(good.as_bytes()), "{good}");
        }
        for bad in ["", "main", "ref: ../../x", "ref: refs/../../x", "ref: /etc/passwd", "zz"] {
            assert!(!is_ref_value(bad.as_bytes()), "{bad}");
        }
    }
}
