//! The processes inside, as `/proc` shows them, and which of them are below others.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
};

use rustix::{
    fs::{Mode, OFlags, RawDir, openat},
    io::read,
};

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    parent: i32,
    /// It has ended; only its parent has not asked how.
    pub(super) ended: bool,
}

/// All processes that `proc` (a handle of `/proc`) shows now. One that comes or goes meanwhile may
/// or may not be among them.
pub(super) fn processes(proc: BorrowedFd<'_>) -> rustix::io::Result<Vec<Process>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(proc, ".", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let Ok(file) =
            openat(proc, format!("{name}/stat"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        else {
            continue;
        };
        let mut stat = [0; 512];
        if let Ok(bytes) = read(file, &mut stat)
            && let Some(process) = parse(&stat[..bytes])
        {
            found.push(process);
        }
    }
    Ok(found)
}

/// `PID (NAME) STATE PARENT …`, where the name may hold anything, brackets and newlines too.
fn parse(stat: &[u8]) -> Option<Process> {
    let text = String::from_utf8_lossy(stat);
    let (pid, _) = text.split_once(' ')?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?;
    Some(Process {
        pid: pid.parse().ok()?,
        parent: parent.parse().ok()?,
        ended: matches!(state, "Z" | "X" | "x"),
    })
}

/// Those of `all` that descend from one of `roots`, the roots themselves not among them.
pub(super) fn below(roots: &[i32], all: &[Process]) -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut seen: BTreeSet<i32> = roots.iter().copied().collect();
    let mut open: Vec<i32> = roots.to_vec();
    let mut found = Vec::new();
    while let Some(parent) = open.pop() {
        for process in children.get(&parent).into_iter().flatten() {
            if seen.insert(process.pid) {
                found.push(*process);
                open.push(process.pid);
            }
        }
    }
    found
}

/// Those of `all` whose parent is `parent`.
pub(super) fn children_of(parent: i32, all: &[Process]) -> impl Iterator<Item = i32> {
    all.iter().filter(move |process| process.parent == parent).map(|process| process.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_parent() {
        let process = parse(b"42 (a) S 1 ) R 7 42 42 0 -1").unwrap();
        assert_eq!((process.pid, process.parent, process.ended), (42, 7, false));
        assert!(parse(b"9 (z) Z 1 9").unwrap().ended);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"x (y"), None);
    }

    #[test]
    fn a_tree_is_found_whatever_the_order() {
        let process = |pid, parent| Process { pid, parent, ended: false };
        let all = [process(9, 8), process(8, 2), process(2, 1), process(3, 1), process(1, 0)];
        let mut found: Vec<i32> = below(&[2], &all).iter().map(|process| process.pid).collect();
        found.sort_unstable();
        assert_eq!(found, [8, 9]);
        assert_eq!(children_of(1, &all).collect::<Vec<_>>(), [2, 3]);
    }
}
