//! Packing: files of the merged view, whole, as they are now.
//!
//! Deterministic (depth first, siblings in byte order); symlinks are sent as such, hard links as
//! copies, sockets, fifos and devices only named. Exactly the announced bytes follow each head: a
//! file that shrinks meanwhile is padded with zeroes, one that grows is cut.

use std::{os::fd::OwnedFd, rc::Rc};

use pyro_protocol::{
    GuestMessage,
    files::{EntryKind, Pack, PackEntry},
    message::{Refusal, RefusalKind},
};
use rustix::{
    fs::{OFlags, fstat, readlinkat},
    io::{Errno, read},
};

use super::{
    Workspace,
    directory::{join, names},
    list::kind_of,
    resolve::open_beneath,
    size_of,
};
use crate::agent::{
    jobs::{Job, SLICE_BYTES, SLICE_ENTRIES, Sink, Slice},
    refusal::{Answer, from_errno, refuse, shown},
};

/// Paths that one call may name.
const PATHS: usize = 100_000;

struct PackJob {
    workspace: Rc<Workspace>,
    recursive: bool,
    bytes_left: u64,
    entries_left: u64,
    ahead: std::vec::IntoIter<Vec<u8>>,
    open: Vec<OpenDirectory>,
    /// A file whose bytes are being sent, and how many are to come.
    file: Option<(OwnedFd, Vec<u8>, u64)>,
}

/// A directory that is being packed: as named, without links, and the names to come.
type OpenDirectory = (Vec<u8>, Vec<u8>, std::vec::IntoIter<Vec<u8>>);

pub(in crate::agent) fn begin(workspace: &Rc<Workspace>, pack: Pack) -> Answer<Box<dyn Job>> {
    if pack.paths.len() > PATHS {
        return Err(refuse(RefusalKind::TooLarge, "the paths", "pack so many paths at once"));
    }
    Ok(Box::new(PackJob {
        workspace: Rc::clone(workspace),
        recursive: pack.recursive,
        bytes_left: pack.max_bytes,
        entries_left: pack.max_entries,
        ahead: pack.paths.into_iter(),
        open: Vec::new(),
        file: None,
    }))
}

impl Job for PackJob {
    fn slice(&mut self, sink: &mut Sink<'_>) -> Answer<Slice> {
        let mut moved = 0;
        let mut looked = 0;
        while moved < SLICE_BYTES && looked < SLICE_ENTRIES {
            if sink.is_full() {
                return Ok(Slice::Blocked);
            }
            if self.file.is_some() {
                if sink.credit == 0 {
                    return Ok(Slice::Blocked);
                }
                moved += self.send_piece(sink)?;
                continue;
            }
            looked += 1;
            let (named, real, first) = match self.open.last_mut() {
                Some((named, real, names)) => match names.next() {
                    Some(name) => (join(named, &name), join(real, &name), false),
                    None => {
                        self.open.pop();
                        continue;
                    }
                },
                None => match self.ahead.next() {
                    Some(named) => {
                        let real = self
                            .workspace
                            .resolve(&named, false)
                            .map_err(|errno| failed(&named, errno))?;
                        (named, real, true)
                    }
                    None => {
                        sink.send(GuestMessage::Done);
                        return Ok(Slice::Done);
                    }
                },
            };
            self.pack_one(named, real, first, sink)?;
        }
        Ok(Slice::More)
    }
}

impl PackJob {
    fn pack_one(
        &mut self,
        named: Vec<u8>,
        real: Vec<u8>,
        first: bool,
        sink: &mut Sink<'_>,
    ) -> Answer<()> {
        let root = &self.workspace.root;
        let refused = |errno| failed(&named, errno);
        let handle = match open_beneath(root, &real, OFlags::PATH | OFlags::NOFOLLOW) {
            // What was named must be there; what was found in a directory may be gone by now.
            Err(Errno::NOENT) if !first => return Ok(()),
            result => result.map_err(refused)?,
        };
        let status = fstat(&handle).map_err(refused)?;
        self.entries_left =
            self.entries_left.checked_sub(1).ok_or_else(|| too_large(&named, "entries"))?;
        let mut entry = PackEntry {
            path: named,
            kind: kind_of(&status),
            mode: status.st_mode & 0o7777,
            bytes: 0,
            target: None,
        };
        match entry.kind {
            EntryKind::File => {
                entry.bytes = size_of(&status);
                self.bytes_left = self
                    .bytes_left
                    .checked_sub(entry.bytes)
                    .ok_or_else(|| too_large(&entry.path, "bytes"))?;
                // Opened before its head is sent: one that cannot be read ends the call here.
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                let file = open_beneath(root, &real, flags)
                    .and_then(|file| fstat(&file).map(|now| (file, now)))
                    .map_err(|errno| failed(&entry.path, errno))?;
                if kind_of(&file.1) != EntryKind::File {
                    return Err(failed(&entry.path, Errno::AGAIN));
                }
                if entry.bytes > 0 {
                    self.file = Some((file.0, entry.path.clone(), entry.bytes));
                }
            }
            EntryKind::Directory if self.recursive => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let most = usize::try_from(self.entries_left).unwrap_or(usize::MAX);
                let (names, more) = open_beneath(root, &real, flags)
                    .and_then(|directory| names(&directory, most))
                    .map_err(|errno| failed(&entry.path, errno))?;
                if more {
                    return Err(too_large(&entry.path, "entries"));
                }
                self.open.push((entry.path.clone(), real, names.into_iter()));
            }
            EntryKind::Link => {
                let target = readlinkat(&handle, "", Vec::new())
                    .map_err(|errno| failed(&entry.path, errno))?;
                entry.target = Some(target.into_bytes());
            }
            EntryKind::Directory | EntryKind::Other => {}
        }
        sink.send(GuestMessage::Entry(entry));
        Ok(())
    }

    /// Sends one chunk of the open file.
    fn send_piece(&mut self, sink: &mut Sink<'_>) -> Answer<usize> {
        let Some((file, path, left)) = &mut self.file else { return Ok(0) };
        let room = sink.credit.min(*left).min(sink.scratch.len() as u64);
        let room = usize::try_from(room).unwrap_or(0);
        let count = loop {
            match read(&*file, &mut sink.scratch[..room]) {
                // It has shrunk since its head was sent.
                Ok(0) => {
                    sink.scratch[..room].fill(0);
                    break room;
                }
                Ok(count) => break count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(path, errno)),
            }
        };
        let bytes = sink.scratch[..count].to_vec();
        sink.send(GuestMessage::Chunk { bytes });
        sink.credit -= count as u64;
        *left -= count as u64;
        if *left == 0 {
            self.file = None;
        }
        Ok(count)
    }
}

fn failed(path: &[u8], errno: Errno) -> Refusal {
    from_errno("pack", shown(path), errno)
}

fn too_large(path: &[u8], what: &str) -> Refusal {
    let path = shown(path);
    let message = format!("pack {path}: the {what} asked for are used up there");
    refuse(RefusalKind::TooLarge, path, message)
}
