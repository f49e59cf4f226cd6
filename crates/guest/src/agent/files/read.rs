//! Reading a part of a file: one streaming pass over the whole, for its hash and totals.

use std::{os::fd::OwnedFd, rc::Rc};

use pyro_protocol::{
    GuestMessage,
    files::{Content, Read, Unit},
    message::{Refusal, RefusalKind},
};
use rustix::{
    fs::{Advice, fadvise},
    io::{Errno, read},
};
use sha2::{Digest, Sha256};

use super::{Workspace, size_of};
use crate::agent::{
    jobs::{Job, SLICE_BYTES, Sink, Slice},
    refusal::{Answer, from_errno, refuse},
};

/// The longest file that is read (and hashed) at all.
const FILE_BYTES: u64 = 1 << 30;
/// The most content of one answer, below the bound of a frame.
const CONTENT_BYTES: u64 = 8 << 20;

struct ReadJob {
    file: OwnedFd,
    path: String,
    part: Part,
    hash: Sha256,
    total_bytes: u64,
}

pub(in crate::agent) fn begin(workspace: &Rc<Workspace>, read: &Read) -> Answer<Box<dyn Job>> {
    let (file, status) = workspace.open_file("read", &read.path)?;
    if size_of(&status) > FILE_BYTES {
        return Err(too_large(&read.path));
    }
    // Only a hint.
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    Ok(Box::new(ReadJob {
        file,
        path: read.path.clone(),
        part: Part::new(read),
        hash: Sha256::new(),
        total_bytes: 0,
    }))
}

impl Job for ReadJob {
    fn slice(&mut self, sink: &mut Sink<'_>) -> Answer<Slice> {
        let mut moved = 0;
        while moved < SLICE_BYTES {
            let bytes = match read(&self.file, &mut *sink.scratch) {
                Ok(0) => {
                    let content = self.content()?;
                    sink.send(GuestMessage::Content(content));
                    return Ok(Slice::Done);
                }
                Ok(bytes) => bytes,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(from_errno("read", &self.path, errno)),
            };
            let bytes = &sink.scratch[..bytes];
            moved += bytes.len();
            self.total_bytes += bytes.len() as u64;
            // It may grow while it is read.
            if self.total_bytes > FILE_BYTES {
                return Err(too_large(&self.path));
            }
            self.hash.update(bytes);
            self.part.take(bytes);
        }
        Ok(Slice::More)
    }
}

impl ReadJob {
    fn content(&mut self) -> Answer<Content> {
        let part = std::mem::take(&mut self.part);
        let (total_lines, unit) = (part.total_lines(), part.unit);
        let (bytes, next_offset) = part.finish(self.total_bytes);
        if unit == Unit::Lines && std::str::from_utf8(&bytes).is_err() {
            let message = format!("read {}: it is not UTF-8 text", self.path);
            return Err(refuse(RefusalKind::NotText, &self.path, message));
        }
        Ok(Content {
            bytes,
            total_bytes: self.total_bytes,
            total_lines,
            next_offset,
            sha256: std::mem::take(&mut self.hash).finalize().into(),
        })
    }
}

/// The part that was asked for, picked out of the stream.
struct Part {
    unit: Unit,
    offset: u64,
    limit: u64,
    most: usize,
    bytes: Vec<u8>,
    /// Where the line that is being taken begins in `bytes`.
    line_start: usize,
    /// Bytes and whole lines seen so far.
    seen: u64,
    lines: u64,
    last_is_newline: bool,
    /// Whole lines taken; nothing more is taken once `full`.
    taken_lines: u64,
    full: bool,
    /// A first line that alone is longer than `most` was cut.
    cut: bool,
}

impl Default for Part {
    fn default() -> Self {
        Self::new(&Read {
            path: String::new(),
            unit: Unit::Bytes,
            offset: 0,
            limit: 0,
            max_bytes: 0,
        })
    }
}

impl Part {
    fn new(read: &Read) -> Self {
        let most = read.max_bytes.min(CONTENT_BYTES);
        Self {
            unit: read.unit,
            offset: read.offset,
            limit: read.limit,
            most: usize::try_from(most).unwrap_or(0),
            bytes: Vec::new(),
            line_start: 0,
            seen: 0,
            lines: 0,
            last_is_newline: true,
            taken_lines: 0,
            full: read.limit == 0,
            cut: false,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        match self.unit {
            Unit::Bytes => {
                self.take_bytes(bytes);
                self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            }
            Unit::Lines => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    self.take_line_part(line);
                    self.lines += u64::from(line.ends_with(b"\n"));
                }
            }
        }
        self.seen += bytes.len() as u64;
        if let Some(last) = bytes.last() {
            self.last_is_newline = *last == b'\n';
        }
    }

    fn take_bytes(&mut self, bytes: &[u8]) {
        let want = usize::try_from(self.limit).unwrap_or(usize::MAX).min(self.most);
        let skip = usize::try_from(self.offset.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let from = &bytes[skip.min(bytes.len())..];
        let room = want.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&from[..room.min(from.len())]);
    }

    /// Takes a line, or a piece of one that goes on.
    fn take_line_part(&mut self, piece: &[u8]) {
        if self.full || self.lines < self.offset {
            return;
        }
        if self.bytes.len() + piece.len() > self.most {
            self.full = true;
            if self.taken_lines > 0 {
                self.bytes.truncate(self.line_start);
            } else {
                self.cut = true;
                let room = self.most - self.bytes.len();
                self.bytes.extend_from_slice(&piece[..room]);
                self.cut_at_a_character();
            }
            return;
        }
        self.bytes.extend_from_slice(piece);
        if piece.ends_with(b"\n") {
            self.line_start = self.bytes.len();
            self.taken_lines += 1;
            self.full = self.taken_lines >= self.limit;
        }
    }

    /// A cut in the middle of a character is not the file's fault.
    fn cut_at_a_character(&mut self) {
        if let Err(error) = std::str::from_utf8(&self.bytes)
            && error.error_len().is_none()
        {
            self.bytes.truncate(error.valid_up_to());
        }
    }

    fn total_lines(&self) -> u64 {
        self.lines + u64::from(!self.last_is_newline)
    }

    fn finish(self, total_bytes: u64) -> (Vec<u8>, Option<u64>) {
        let (next, total) = match self.unit {
            Unit::Bytes => (self.offset.saturating_add(self.bytes.len() as u64), total_bytes),
            Unit::Lines => {
                let open_line = self.bytes.len() > self.line_start;
                let taken = self.taken_lines + u64::from(self.cut || open_line);
                (self.offset.saturating_add(taken), self.total_lines())
            }
        };
        (self.bytes, (next < total).then_some(next))
    }
}

fn too_large(path: &str) -> Refusal {
    refuse(RefusalKind::TooLarge, path, format!("read {path}: it is longer than 1 GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(offset: u64, limit: u64, max_bytes: u64) -> Part {
        Part::new(&Read { path: String::new(), unit: Unit::Lines, offset, limit, max_bytes })
    }

    fn run(mut part: Part, text: &[u8], step: usize) -> (String, u64, Option<u64>) {
        for piece in text.chunks(step) {
            part.take(piece);
        }
        let lines = part.total_lines();
        let (bytes, next) = part.finish(text.len() as u64);
        (String::from_utf8(bytes).unwrap(), lines, next)
    }

    #[test]
    fn lines_are_counted_and_picked_however_they_arrive() {
        let text = b"one\ntwo\nthree\nfour";
        for step in 1..text.len() + 1 {
            assert_eq!(run(lines(1, 2, 100), text, step), ("two\nthree\n".into(), 4, Some(3)));
            assert_eq!(run(lines(2, 9, 100), text, step), ("three\nfour".into(), 4, None));
            assert_eq!(run(lines(0, 9, 9), text, step), ("one\ntwo\n".into(), 4, Some(2)));
            assert_eq!(run(lines(2, 9, 3), text, step), ("thr".into(), 4, Some(3)));
            assert_eq!(run(lines(9, 9, 9), text, step), (String::new(), 4, None));
            assert_eq!(run(lines(0, 0, 9), text, step), (String::new(), 4, Some(0)));
        }
        assert_eq!(run(lines(0, 1, 4), "aéé\n".as_bytes(), 3), ("aé".into(), 1, None));
    }

    #[test]
    fn bytes_are_picked_however_they_arrive() {
        for step in 1..7 {
            let read = Read {
                path: String::new(),
                unit: Unit::Bytes,
                offset: 2,
                limit: 3,
                max_bytes: 100,
            };
            assert_eq!(run(Part::new(&read), b"abcdefg", step), ("cde".into(), 1, Some(5)));
        }
    }
}
