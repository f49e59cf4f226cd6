//! The raw upper layer of `/workspace`, directory by directory as the host asks, each entry beside
//! the seed's of the same path.
//!
//! "The seed's" is what the lower layers alone show: an opaque upper directory hides the seed from
//! programs, and `opaque` says so, but its entries are still compared, since a directory that was
//! moved away and back is opaque and unchanged. A directory below an opaque one is reported as
//! opaque too: what it does not have is gone.

use std::{os::fd::OwnedFd, rc::Rc};

use pyro_protocol::{
    GuestMessage,
    message::RefusalKind,
    upper::{AgainstSeed, UpperDirectory, UpperEntry, UpperKind, UpperList},
};
use rustix::{
    fs::{FileType, OFlags, Stat, fstat, readlinkat},
    io::{Errno, Result, read},
};

use super::{
    Workspace,
    directory::names,
    lowers::{Lower, LowerDirectory, is_opaque, is_whiteout},
    resolve::{check, open_beneath},
    size_of,
};
use crate::agent::{
    jobs::{Job, SLICE_ENTRIES, Sink, Slice},
    refusal::{Answer, from_errno, refuse, shown},
};

/// Directories of one call.
const DIRECTORIES: usize = 10_000;
/// Entries of one directory; a longer one is refused.
const ENTRIES: usize = 1_000_000;
/// A message is sent when its names come to this much.
const MESSAGE_BYTES: usize = 512 << 10;
/// Bytes of one file that are compared in one step, and how many count like one entry.
const COMPARED: usize = 256 << 10;
const BYTES_PER_ENTRY: usize = 1 << 10;

struct UpperJob {
    workspace: Rc<Workspace>,
    ahead: std::vec::IntoIter<Vec<u8>>,
    open: Option<OpenDirectory>,
}

struct OpenDirectory {
    path: Vec<u8>,
    handle: OwnedFd,
    opaque: bool,
    seed: LowerDirectory,
    names: std::vec::IntoIter<Vec<u8>>,
    /// Entries that have not been sent, and their size.
    entries: Vec<UpperEntry>,
    bytes: usize,
    /// A file whose content is being compared.
    comparing: Option<Comparison>,
}

struct Comparison {
    name: Vec<u8>,
    status: Stat,
    upper: OwnedFd,
    lower: OwnedFd,
}

pub(in crate::agent) fn begin(workspace: &Rc<Workspace>, list: UpperList) -> Answer<Box<dyn Job>> {
    if workspace.upper.is_none() {
        let why = "read the upper layer: this machine was started without one";
        return Err(refuse(RefusalKind::Invalid, "the upper layer", why));
    }
    if list.directories.len() > DIRECTORIES {
        let why = format!("read the upper layer: at most {DIRECTORIES} directories at once");
        return Err(refuse(RefusalKind::TooLarge, "the upper layer", why));
    }
    for path in &list.directories {
        check(path).map_err(|errno| failed(path, errno))?;
    }
    Ok(Box::new(UpperJob {
        workspace: Rc::clone(workspace),
        ahead: list.directories.into_iter(),
        open: None,
    }))
}

fn failed(path: &[u8], errno: Errno) -> pyro_protocol::message::Refusal {
    from_errno("read the upper layer's", shown(path), errno)
}

impl Job for UpperJob {
    fn slice(&mut self, sink: &mut Sink<'_>) -> Answer<Slice> {
        let mut left = SLICE_ENTRIES;
        while left > 0 {
            if sink.is_full() {
                return Ok(Slice::Blocked);
            }
            let Some(open) = &mut self.open else {
                let Some(path) = self.ahead.next() else {
                    sink.send(GuestMessage::Done);
                    return Ok(Slice::Done);
                };
                left -= 1;
                match self.enter(&path) {
                    Ok(Some(open)) => self.open = Some(open),
                    // Gone meanwhile, or never touched: nothing of it is in the upper layer.
                    Ok(None) => sink.send(GuestMessage::Upper(UpperDirectory {
                        path,
                        opaque: false,
                        entries: Vec::new(),
                    })),
                    Err(errno) => return Err(failed(&path, errno)),
                }
                continue;
            };
            let cost = 1 + if open.comparing.is_some() { COMPARED / BYTES_PER_ENTRY } else { 0 };
            let more = match open.step(sink.scratch) {
                Ok(more) => more,
                Err(errno) => return Err(failed(&open.path, errno)),
            };
            left = left.saturating_sub(cost);
            if !more || open.bytes >= MESSAGE_BYTES {
                sink.send(open.message());
            }
            if !more {
                self.open = None;
            }
        }
        Ok(Slice::More)
    }
}

impl UpperJob {
    fn enter(&self, path: &[u8]) -> Result<Option<OpenDirectory>> {
        let Some(root) = &self.workspace.upper else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let mut handle = open_beneath(root, b".", flags)?;
        let mut opaque = is_opaque(&handle);
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            handle = match open_beneath(&handle, name, flags) {
                Ok(handle) => handle,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(errno) => return Err(errno),
            };
            opaque |= is_opaque(&handle);
        }
        let (names, more) = names(&handle, ENTRIES)?;
        if more {
            return Err(Errno::TOOBIG);
        }
        Ok(Some(OpenDirectory {
            path: path.to_vec(),
            handle,
            opaque,
            seed: LowerDirectory::find(&self.workspace.lowers, path)?,
            names: names.into_iter(),
            entries: Vec::new(),
            bytes: 0,
            comparing: None,
        }))
    }
}

impl OpenDirectory {
    fn message(&mut self) -> GuestMessage {
        self.bytes = 0;
        GuestMessage::Upper(UpperDirectory {
            path: self.path.clone(),
            opaque: self.opaque,
            entries: std::mem::take(&mut self.entries),
        })
    }

    /// Looks at the next entry, or compares a piece of one. `false` after the last.
    fn step(&mut self, scratch: &mut [u8]) -> Result<bool> {
        if let Some(comparison) = self.comparing.take() {
            match comparison.piece(scratch)? {
                None => self.comparing = Some(comparison),
                Some(against_seed) => self.push_file(comparison, against_seed),
            }
            return Ok(true);
        }
        let Some(name) = self.names.next() else { return Ok(false) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let handle = match open_beneath(&self.handle, &name, flags) {
            Err(Errno::NOENT) => return Ok(true),
            result => result?,
        };
        let status = fstat(&handle)?;
        if is_whiteout(&self.handle, &name, &status) {
            self.push(name, UpperKind::Whiteout);
            return Ok(true);
        }
        let seed = self.seed.look_up(&name)?;
        let mode = status.st_mode & 0o7777;
        let now = match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                UpperKind::Directory { seeded: matches!(seed, Lower::Directory), mode }
            }
            FileType::Symlink => {
                let target = readlinkat(&handle, "", Vec::new())?.into_bytes();
                let against_seed = against_link(&target, &seed)?;
                UpperKind::Link { target, against_seed }
            }
            FileType::RegularFile => {
                let against_seed = match seed {
                    Lower::Nothing => AgainstSeed::Absent,
                    Lower::Other(old, lower) if is_file(&old) => {
                        if size_of(&old) == size_of(&status) && size_of(&old) > 0 {
                            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                            let upper = open_beneath(&self.handle, &name, flags)?;
                            self.comparing = Some(Comparison { name, status, upper, lower });
                            return Ok(true);
                        }
                        same_if(size_of(&old) == size_of(&status))
                    }
                    _ => AgainstSeed::OtherType,
                };
                UpperKind::File { bytes: size_of(&status), mode, against_seed }
            }
            _ => UpperKind::Other,
        };
        self.push(name, now);
        Ok(true)
    }

    fn push_file(&mut self, file: Comparison, against_seed: AgainstSeed) {
        let mode = file.status.st_mode & 0o7777;
        self.push(file.name, UpperKind::File { bytes: size_of(&file.status), mode, against_seed });
    }

    fn push(&mut self, name: Vec<u8>, now: UpperKind) {
        let target = if let UpperKind::Link { target, .. } = &now { target.len() } else { 0 };
        self.bytes += name.len() + target + 32;
        self.entries.push(UpperEntry { name, now });
    }
}

impl Comparison {
    /// Compares a slice's worth. `None` when there is more.
    fn piece(&self, scratch: &mut [u8]) -> Result<Option<AgainstSeed>> {
        let (ours, theirs) = scratch.split_at_mut(scratch.len() / 2);
        for _ in 0..COMPARED.div_ceil(ours.len()) {
            let count = read_full(&self.upper, ours)?;
            let other = read_full(&self.lower, theirs)?;
            if ours[..count] != theirs[..other] {
                return Ok(Some(AgainstSeed::OtherContent));
            }
            if count < ours.len() {
                return Ok(Some(AgainstSeed::SameContent));
            }
        }
        Ok(None)
    }
}

fn read_full(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(file, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

fn against_link(target: &[u8], seed: &Lower) -> Result<AgainstSeed> {
    Ok(match seed {
        Lower::Nothing => AgainstSeed::Absent,
        Lower::Other(old, handle) if FileType::from_raw_mode(old.st_mode) == FileType::Symlink => {
            same_if(readlinkat(handle, "", Vec::new())?.as_bytes() == target)
        }
        _ => AgainstSeed::OtherType,
    })
}

fn is_file(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::RegularFile
}

fn same_if(same: bool) -> AgainstSeed {
    if same { AgainstSeed::SameContent } else { AgainstSeed::OtherContent }
}
