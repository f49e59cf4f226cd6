//! One output stream of one command: kept on the disk by the agent of a container, passed on over
//! the port by that of a VM, which only counts it.

use std::os::fd::BorrowedFd;

use pyro_model::{ExecId, OutputStream};
use pyro_protocol::spool::output_file;

use crate::spool::Kept;

pub(super) enum Output {
    /// In the spool.
    Kept(Kept),
    /// The monitor keeps it.
    Passed(Passed),
}

/// What went over the port.
#[derive(Debug, Default)]
pub(super) struct Passed {
    bytes: u64,
    sealed: bool,
}

impl Passed {
    /// Whether these bytes are to be sent: those of processes that a finished command left behind
    /// belong to nothing that was reported.
    pub(super) fn count(&mut self, bytes: usize) -> bool {
        if !self.sealed {
            self.bytes += bytes as u64;
        }
        !self.sealed
    }
}

impl Output {
    pub(super) fn kept(exec: &ExecId, stream: OutputStream, bytes: u64) -> Self {
        Self::Kept(Kept::new(output_file(exec, stream), bytes))
    }

    pub(super) fn passed() -> Self {
        Self::Passed(Passed::default())
    }

    /// Bytes of the stream so far, or until the command's end was reported.
    pub(super) fn total(&self) -> u64 {
        match self {
            Self::Kept(kept) => kept.total(),
            Self::Passed(passed) => passed.bytes,
        }
    }

    /// From here on the total is fixed.
    pub(super) fn seal(&mut self) {
        match self {
            Self::Kept(kept) => kept.seal(),
            Self::Passed(passed) => passed.sealed = true,
        }
    }

    /// As `Kept::read`; nothing that was passed on can be read again.
    pub(super) fn read(
        &mut self,
        spool: BorrowedFd<'_>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Option<(u64, usize)> {
        match self {
            Self::Kept(kept) => kept.read(spool, offset, buffer),
            Self::Passed(_) => None,
        }
    }

    /// Lets go of the file, if there is one.
    pub(super) fn close(&mut self) {
        if let Self::Kept(kept) = self {
            kept.close();
        }
    }
}
