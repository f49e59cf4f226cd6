//! The spool's log of what happened (`pyro_protocol::spool`), appended to while nobody listens.
//!
//! Promises: a record stands in the log whole or not at all, also when the disk fills up in the
//! middle of one; what did not fit is tried again with the next record. Not synced one by one: it
//! must survive the agent, not the power.

use std::os::fd::{BorrowedFd, OwnedFd};

use pyro_protocol::spool::{EVENTS, Record, decode_records, encode_record};
use rustix::{
    fs::{Mode, OFlags, fstat, ftruncate, openat},
    io::{Errno, pread, write},
};

use super::SpoolError;

/// Bytes of records that wait for room on the disk; past it the newest are lost.
const WAITING_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct EventLog {
    file: OwnedFd,
    length: u64,
    waiting: Vec<u8>,
}

impl EventLog {
    /// Opens the log; a record that an earlier agent left torn is cut off, since nothing after it
    /// would ever be read.
    pub(crate) fn open(spool: BorrowedFd<'_>) -> Result<Self, SpoolError> {
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(spool, EVENTS, flags, Mode::RUSR | Mode::WUSR)
            .map_err(SpoolError::on("open", "the event log"))?;
        let size = fstat(&file).map_err(SpoolError::on("look at", "the event log"))?.st_size;
        let size = u64::try_from(size).unwrap_or(0);
        let length = whole_records(&file, size).map_err(SpoolError::on("read", "the event log"))?;
        if length < size {
            ftruncate(&file, length).map_err(SpoolError::on("mend", "the event log"))?;
        }
        Ok(Self { file, length, waiting: Vec::new() })
    }

    pub(crate) fn append(&mut self, record: &Record) {
        let before = self.waiting.len();
        let encoded = encode_record(record, &mut self.waiting);
        if encoded.is_err() || self.waiting.len() > WAITING_BYTES {
            self.waiting.truncate(before);
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let written = loop {
            match write(&self.file, &self.waiting) {
                Err(Errno::INTR) => {}
                Err(_) => break 0,
                Ok(written) => break written,
            }
        };
        if written == self.waiting.len() {
            self.length += written as u64;
            // Keeps the memory of a small buffer, gives back that of a long one.
            self.waiting.clear();
            self.waiting.shrink_to(4 << 10);
        } else if written > 0 {
            // A torn record would hide all that come after it.
            let _ = ftruncate(&self.file, self.length);
        }
    }
}

/// How many bytes of the log are whole records.
fn whole_records(file: &OwnedFd, size: u64) -> rustix::io::Result<u64> {
    const STEP: usize = 64 << 10;
    let mut whole = 0;
    let mut buffer = Vec::new();
    loop {
        let at = whole + buffer.len() as u64;
        if at >= size {
            return Ok(whole);
        }
        let start = buffer.len();
        buffer.resize(start + STEP, 0);
        let read = pread(file, &mut buffer[start..], at)?;
        buffer.truncate(start + read);
        let (_, taken) = decode_records(&buffer);
        whole += taken as u64;
        buffer.drain(..taken);
        // The longest record is a command line and a path; more than this is damage.
        if read == 0 || buffer.len() > (1 << 20) {
            return Ok(whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn record(at_ms: u64) -> Record {
        Record::MachineStarted { at_ms, boot: [7; 16] }
    }

    #[test]
    fn a_torn_end_is_cut_before_more_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let handle: OwnedFd = std::fs::File::open(folder.path()).unwrap().into();
        let mut log = EventLog::open(handle.as_fd()).unwrap();
        for at in 0..3_000 {
            log.append(&record(at));
        }
        drop(log);
        let path = folder.path().join(EVENTS);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let mut log = EventLog::open(handle.as_fd()).unwrap();
        log.append(&record(9_999));
        let bytes = std::fs::read(&path).unwrap();
        let (records, taken) = decode_records(&bytes);
        assert_eq!(taken, bytes.len());
        assert_eq!(records.len(), 3_000);
        assert_eq!(records.last(), Some(&record(9_999)));
    }
}
