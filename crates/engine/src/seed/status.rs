//! Reading `git status --porcelain=v2 -z`: what differs from HEAD and the index.
//!
//! The run is made with `--branch --untracked-files=all --ignored=matching --no-renames
//! --ignore-submodules=all`; other record kinds are an error.

use super::SeedError;

/// One run's answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// HEAD's commit; `None` before the first one.
    pub(crate) commit: Option<String>,
    /// Tracked paths that differ from HEAD or from the index.
    pub(crate) changed: Vec<Changed>,
    /// Untracked paths that are not ignored; a trailing slash marks a repository of its own.
    pub(crate) untracked: Vec<Vec<u8>>,
    /// Ignored paths; a trailing slash marks a directory that was not descended into.
    pub(crate) ignored: Vec<Vec<u8>>,
}

/// A tracked path that differs from HEAD or from the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) path: Vec<u8>,
    /// What HEAD has there: mode and blob.
    pub(crate) head: Option<(u32, String)>,
    /// The file on disk differs from the index.
    pub(crate) on_disk: bool,
}

impl Status {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SeedError> {
        let mut status = Self::default();
        for record in bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            let bad = || SeedError::failed("git status", "its answer cannot be read");
            match record {
                [b'#', b' ', header @ ..] => {
                    if let Some(oid) = header.strip_prefix(b"branch.oid ")
                        && oid != b"(initial)"
                    {
                        status.commit = Some(word(oid).ok_or_else(bad)?);
                    }
                }
                [b'?', b' ', path @ ..] => status.untracked.push(path.to_vec()),
                [b'!', b' ', path @ ..] => status.ignored.push(path.to_vec()),
                [b'1', b' ', ..] => status.changed.push(changed(record, 9, 3, 6).ok_or_else(bad)?),
                [b'u', b' ', ..] => {
                    let mut conflict = changed(record, 11, 4, 8).ok_or_else(bad)?;
                    conflict.on_disk = true;
                    status.changed.push(conflict);
                }
                _ => return Err(bad()),
            }
        }
        Ok(status)
    }
}

fn word(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()).map(str::to_owned)
}

/// A record with `fields` fields, HEAD's mode and blob at the given places.
fn changed(record: &[u8], fields: usize, mode_at: usize, oid_at: usize) -> Option<Changed> {
    let parts: Vec<&[u8]> = record.splitn(fields, |byte| *byte == b' ').collect();
    let [_, letters, ..] = parts.as_slice() else { return None };
    let mode = u32::from_str_radix(&word(parts.get(mode_at)?)?, 8).ok()?;
    let oid = word(parts.get(oid_at)?)?;
    Some(Changed {
        path: parts.get(fields - 1)?.to_vec(),
        head: (mode != 0).then_some((mode, oid)),
        on_disk: letters.get(1)? != &b'.',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_apart() {
        let a = "a".repeat(40);
        let text = format!(
            "# branch.oid {a}\0# branch.head main\0\
             1 .M N... 100644 100644 100644 {a} {a} with space\0\
             1 A. N... 000000 100644 100644 {a} {a} new\0\
             u UU N... 100644 100644 100755 100644 {a} {a} {a} both\0? un/tracked\0! ign/\0"
        );
        let status = Status::parse(text.as_bytes()).unwrap();
        assert_eq!(status.commit, Some(a.clone()));
        let names: Vec<_> = status.changed.iter().map(|one| one.path.as_slice()).collect();
        assert_eq!(names, [b"with space".as_slice(), b"new", b"both"]);
        assert_eq!(status.changed[0].head, Some((0o100_644, a.clone())));
        assert!(status.changed[0].on_disk && !status.changed[1].on_disk);
        assert_eq!(status.changed[1].head, None);
        assert_eq!(status.changed[2].head, Some((0o100_644, a)));
        assert_eq!(status.untracked, [b"un/tracked"]);
        assert_eq!(status.ignored, [b"ign/"]);
    }

    #[test]
    fn anything_else_is_an_error() {
        for bad in ["2 R. x", "1 .M", "x", "1 .M N... zz 1 1 a b c"] {
            assert!(Status::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
