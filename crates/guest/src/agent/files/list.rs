//! Listing: depth first, siblings in byte order, symlinks shown and never followed.
//!
//! Bounded by the caller's limit, by what one frame holds, and by what it may look at, since a
//! glob can reject everything it sees.

use std::rc::Rc;

use pyro_protocol::{
    GuestMessage,
    files::{Entry, EntryKind, List, Listed},
    message::RefusalKind,
};
use rustix::{
    fs::{FileType, OFlags, Stat, fstat, readlinkat},
    io::Errno,
};

use super::{
    Workspace,
    directory::{join, names},
    resolve::open_beneath,
    size_of,
};
use crate::agent::{
    jobs::{Job, SLICE_ENTRIES, Sink, Slice},
    refusal::{Answer, from_errno, refuse, shown},
};

/// Entries that one listing looks at.
const VISITED: usize = 200_000;
/// Bytes of paths in one answer, well below a frame.
const ANSWER_BYTES: usize = 4 << 20;
const GLOB_BYTES: usize = 1_024;

struct ListJob {
    workspace: Rc<Workspace>,
    /// The directory as the caller named it, and without links.
    shown: Vec<u8>,
    real: Vec<u8>,
    glob: Option<String>,
    depth: usize,
    limit: usize,
    /// Directories that are being listed: each one's path below the first, and the names to come.
    open: Vec<(Vec<u8>, std::vec::IntoIter<Vec<u8>>)>,
    visited: usize,
    bytes: usize,
    listed: Listed,
}

pub(in crate::agent) fn begin(workspace: &Rc<Workspace>, list: &List) -> Answer<Box<dyn Job>> {
    let failed = |errno| from_errno("list", shown(list.path.as_bytes()), errno);
    if let Some(glob) = &list.glob
        && (glob.len() > GLOB_BYTES || fast_glob::validate(glob).is_err())
    {
        return Err(refuse(RefusalKind::Invalid, glob, format!("read {glob} as a glob")));
    }
    let shown = list.path.trim_end_matches('/').as_bytes().to_vec();
    let real = workspace.resolve(&shown, true).map_err(failed)?;
    let mut job = ListJob {
        workspace: Rc::clone(workspace),
        shown,
        real,
        glob: list.glob.clone(),
        depth: usize::try_from(list.depth).unwrap_or(usize::MAX),
        limit: usize::try_from(list.limit).unwrap_or(usize::MAX),
        open: Vec::new(),
        visited: 0,
        bytes: 0,
        listed: Listed { entries: Vec::new(), truncated: false },
    };
    let handle = open_beneath(&workspace.root, &job.real, OFlags::PATH | OFlags::NOFOLLOW)
        .map_err(failed)?;
    let status = fstat(&handle).map_err(failed)?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        if job.depth > 0 {
            job.enter(Vec::new()).map_err(failed)?;
        }
    } else if job.limit > 0 {
        let entry = entry(&job.shown, &handle, &status);
        job.listed.entries.push(entry);
    } else {
        job.listed.truncated = true;
    }
    Ok(Box::new(job))
}

impl ListJob {
    fn enter(&mut self, below: Vec<u8>) -> rustix::io::Result<()> {
        let path = if below.is_empty() { self.real.clone() } else { join(&self.real, &below) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let directory = open_beneath(&self.workspace.root, &path, flags)?;
        let (names, more) = names(&directory, VISITED.saturating_sub(self.visited))?;
        self.visited += names.len();
        self.listed.truncated |= more;
        self.open.push((below, names.into_iter()));
        Ok(())
    }

    /// Looks at one entry. `false` when the listing is over.
    fn next(&mut self) -> bool {
        let depth = self.open.len();
        let Some((directory, names)) = self.open.last_mut() else { return false };
        let Some(name) = names.next() else {
            self.open.pop();
            return true;
        };
        let below = join(directory, &name);
        let path = join(&self.real, &below);
        // It may be gone by now, or have a path too long to be named.
        let Ok(handle) = open_beneath(&self.workspace.root, &path, OFlags::PATH | OFlags::NOFOLLOW)
        else {
            return true;
        };
        let Ok(status) = fstat(&handle) else { return true };
        if self.glob.as_ref().is_none_or(|glob| fast_glob::glob_match(glob, &below)) {
            if self.listed.entries.len() >= self.limit || self.bytes >= ANSWER_BYTES {
                self.listed.truncated = true;
                return false;
            }
            let entry = entry(&join(&self.shown, &below), &handle, &status);
            self.bytes += entry.path.len() + entry.target.as_ref().map_or(0, String::len) + 16;
            self.listed.entries.push(entry);
        }
        if depth < self.depth && FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            match self.enter(below) {
                Ok(()) => {}
                // Not readable, or gone: it is shown, what is in it is not.
                Err(Errno::NOENT) => {}
                Err(_) => self.listed.truncated = true,
            }
        }
        true
    }
}

impl Job for ListJob {
    fn slice(&mut self, sink: &mut Sink<'_>) -> Answer<Slice> {
        for _ in 0..SLICE_ENTRIES {
            if !self.next() {
                let listed = std::mem::replace(
                    &mut self.listed,
                    Listed { entries: Vec::new(), truncated: false },
                );
                sink.send(GuestMessage::Listed(listed));
                return Ok(Slice::Done);
            }
        }
        Ok(Slice::More)
    }
}

/// What a path is.
pub(super) fn kind_of(status: &Stat) -> EntryKind {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    }
}

fn entry(path: &[u8], handle: &std::os::fd::OwnedFd, status: &Stat) -> Entry {
    let kind = kind_of(status);
    let target = (kind == EntryKind::Link)
        .then(|| readlinkat(handle, "", Vec::new()).ok())
        .flatten()
        .map(|target| target.to_string_lossy().into_owned());
    Entry {
        path: String::from_utf8_lossy(path).into_owned(),
        kind,
        bytes: if kind == EntryKind::File { size_of(status) } else { 0 },
        executable: kind == EntryKind::File && status.st_mode & 0o111 != 0,
        target,
    }
}
