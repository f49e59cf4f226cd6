//! One output stream of one command on the disk: a head and a ring of the tail, as
//! `pyro_protocol::spool` lays them out.
//!
//! Promises: the file is never longer than the kept bytes and does not exist before the first one;
//! `total` is exactly what the file stands for. When the disk is full, the stream ends there as
//! far as the spool goes: later bytes are taken and dropped, so that `total` does not claim what is
//! not there. Once the command's end has been reported
//! (`seal`), the bytes of processes it left behind are kept only where they overwrite nothing.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, openat},
    io::{Errno, pread, pwrite},
};

#[derive(Debug)]
pub(crate) struct Kept {
    name: String,
    kept: u64,
    file: Option<OwnedFd>,
    written: u64,
    sealed: Option<u64>,
    ended: bool,
}

impl Kept {
    pub(crate) fn new(name: String, kept: u64) -> Self {
        Self { name, kept, file: None, written: 0, sealed: None, ended: false }
    }

    /// Bytes of the stream so far, or until the command's end was reported.
    pub(crate) fn total(&self) -> u64 {
        self.sealed.unwrap_or(self.written)
    }

    /// From here on the total is fixed.
    pub(crate) fn seal(&mut self) {
        self.sealed.get_or_insert(self.written);
    }

    /// Adds bytes of the stream.
    pub(crate) fn store(&mut self, spool: BorrowedFd<'_>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.ended || (self.sealed.is_some() && self.written >= self.kept) {
                return;
            }
            let (at, room) = self.place(self.written, u64::MAX);
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            match self.write_at(spool, &bytes[..room], at) {
                Ok(written) if written > 0 => {
                    self.written += written as u64;
                    bytes = &bytes[written..];
                }
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => self.ended = true,
            }
        }
    }

    fn write_at(
        &mut self,
        spool: BorrowedFd<'_>,
        bytes: &[u8],
        at: u64,
    ) -> rustix::io::Result<usize> {
        let file = if let Some(file) = &self.file {
            file
        } else {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            self.file.insert(openat(spool, &self.name, flags, Mode::RUSR | Mode::WUSR)?)
        };
        pwrite(file, bytes, at)
    }

    /// Reads from `offset` of the stream, or from the first later byte that is still kept: the
    /// offset that it is, and how many bytes went to `buffer`. `None` when there is no more.
    pub(crate) fn read(
        &mut self,
        spool: BorrowedFd<'_>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Option<(u64, usize)> {
        let total = self.total();
        let head = self.kept / 2;
        let mut offset = offset;
        if offset >= head {
            offset = offset.max(total.saturating_sub(self.kept - head)).max(head);
        }
        if offset >= total {
            return None;
        }
        let (at, room) = self.place(offset, total);
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        if self.file.is_none() {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            self.file = openat(spool, &self.name, flags, Mode::empty()).ok();
        }
        // The host may have removed the file of a command of long ago: then nothing is left.
        let read = pread(self.file.as_ref()?, &mut buffer[..room], at).ok()?;
        (read > 0).then_some((offset, read))
    }

    /// Closes the file; it is opened again when it is read.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Where `offset` of the stream lies in the file, and how many bytes are in one piece there,
    /// not going past `end` of the stream.
    fn place(&self, offset: u64, end: u64) -> (u64, u64) {
        let head = self.kept / 2;
        let ring = (self.kept - head).max(1);
        let (at, room) = if offset < head {
            (offset, head - offset)
        } else {
            let turn = (offset - head) % ring;
            (head + turn, ring - turn)
        };
        (at, room.min(end - offset))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use pyro_protocol::spool::kept_pieces;

    use super::*;

    #[test]
    fn the_file_is_laid_out_as_the_protocol_says() {
        let folder = tempfile::tempdir().unwrap();
        let spool: OwnedFd = std::fs::File::open(folder.path()).unwrap().into();
        for kept in [2, 3, 10, 64] {
            let name = format!("s{kept}");
            let mut stream = Kept::new(name.clone(), kept);
            let mut all = Vec::new();
            for round in 0..50u8 {
                let part: Vec<u8> = (0..round % 23).map(|at| round ^ at).collect();
                all.extend_from_slice(&part);
                stream.store(spool.as_fd(), &part);
                let file = std::fs::read(folder.path().join(&name)).unwrap_or_default();
                assert!(file.len() as u64 <= kept);
                for (offset, at, length) in kept_pieces(stream.total(), kept) {
                    let (offset, at, length) = (offset as usize, at as usize, length as usize);
                    assert_eq!(file[at..at + length], all[offset..offset + length]);
                }
                let mut offset = 0;
                let mut buffer = [0; 7];
                while let Some((at, read)) = stream.read(spool.as_fd(), offset, &mut buffer) {
                    assert_eq!(buffer[..read], all[at as usize..at as usize + read]);
                    offset = at + read as u64;
                }
                assert_eq!(offset, all.len() as u64);
            }
        }
    }

    #[test]
    fn after_the_end_nothing_that_was_reported_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let spool: OwnedFd = std::fs::File::open(folder.path()).unwrap().into();
        let mut stream = Kept::new("s".to_owned(), 10);
        stream.store(spool.as_fd(), b"0123456789ab");
        stream.seal();
        let before = std::fs::read(folder.path().join("s")).unwrap();
        stream.store(spool.as_fd(), b"later");
        assert_eq!(std::fs::read(folder.path().join("s")).unwrap(), before);
        assert_eq!(stream.total(), 12);
    }
}
