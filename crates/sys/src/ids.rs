//! User and group ids: the files that name them and hand out ranges of them, and the maps of a
//! user namespace. Reads files only; name services are not asked (a static program cannot).

use std::{fmt::Write as _, fs, path::Path};

use crate::{Context, Result};

/// Ids that somebody may use besides the own one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    /// Whether they share an id.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let end = |range: Self| u64::from(range.first) + u64::from(range.count);
        u64::from(self.first) < end(other) && u64::from(other.first) < end(self)
    }
}

/// One line of `/etc/subuid` or `/etc/subgid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// A name, or an id in decimal.
    pub owner: String,
    /// What it may use.
    pub range: Range,
}

/// The grants in a file; none when there is no such file. Lines that make no sense are skipped,
/// as the programs that use the file do.
///
/// # Errors
/// The file is there and cannot be read.
pub fn grants(file: &Path) -> Result<Vec<Grant>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().filter_map(grant).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).doing("read", file.display()),
    }
}

fn grant(line: &str) -> Option<Grant> {
    let mut parts = line.trim().split(':');
    let (owner, first, count) = (parts.next()?, parts.next()?, parts.next()?);
    let range = Range { first: first.parse().ok()?, count: count.parse().ok()? };
    (parts.next().is_none() && range.count > 0 && range.first.checked_add(range.count).is_some())
        .then(|| Grant { owner: owner.to_owned(), range })
}

/// The name of a user in `/etc/passwd`.
#[must_use]
pub fn user_name(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    name_in(&text, uid)
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// One stretch of an id map: `count` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first id in the namespace.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A map in the words of `/proc/PID/uid_map`.
#[must_use]
pub fn map_text(map: &[Stretch]) -> String {
    let mut text = String::new();
    for Stretch { inside, outside, count } in map {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{inside} {outside} {count}");
    }
    text
}

/// Which map of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `uid_map`.
    Users,
    /// `gid_map`.
    Groups,
}

/// Writes a map of a process in a fresh user namespace.
///
/// # Errors
/// The caller may not map those ids.
pub fn write_map(pid: u32, kind: Kind, map: &[Stretch]) -> Result<()> {
    let path = match kind {
        Kind::Users => format!("/proc/{pid}/uid_map"),
        Kind::Groups => format!("/proc/{pid}/gid_map"),
    };
    fs::write(&path, map_text(map)).doing("write", path)
}

/// Denies `setgroups` in a fresh user namespace: the price of mapping a group without privilege.
///
/// # Errors
/// The process is gone.
pub fn deny_setgroups(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/setgroups");
    fs::write(&path, "deny").doing("write", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_and_nonsense_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("subuid");
        fs::write(&file, "ann:100000:65536\n#x\nbob:1:0\n1000:165536:10\nz:4294967295:2\n")
            .unwrap();
        let seen = grants(&file).unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].range, Range { first: 100_000, count: 65536 });
        assert_eq!(seen[1].owner, "1000");
        assert_eq!(grants(&folder.path().join("none")).unwrap(), vec![]);
    }

    #[test]
    fn ranges_overlap_only_when_they_share_an_id() {
        let range = |first, count| Range { first, count };
        assert!(range(10, 5).overlaps(range(14, 1)));
        assert!(!range(10, 5).overlaps(range(15, 1)));
        assert!(range(0, 100).overlaps(range(50, 1)));
    }

    #[test]
    fn a_user_is_found_by_id() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_in(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_in(passwd, 7), None);
    }
}
