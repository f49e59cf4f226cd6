//! M's end of the one channel to the guest: frames in, frames out.
//!
//! Promises: what arrives is bounded by one frame and one read; what waits to be written is the
//! callers' to bound (`is_full`). A stream that makes no sense is an error for good.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_protocol::{
    CodecError, Decoder,
    vm::{FromVm, ToVm},
};
use rustix::{
    io::{Errno, read},
    net::{SendFlags, send},
};

use crate::outbox::Outbox;

/// The channel.
pub(super) struct Port {
    stream: OwnedFd,
    decoder: Decoder,
    out: Outbox,
}

/// The guest's end is closed: QEMU is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Port {
    /// `stream` does not block.
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self { stream, decoder: Decoder::default(), out: Outbox::default() }
    }

    pub(super) fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Takes what one read gives; `false` when there was nothing.
    ///
    /// # Errors
    /// QEMU is gone.
    pub(super) fn fill(&mut self, scratch: &mut [u8]) -> Result<bool, Gone> {
        match read(&self.stream, &mut *scratch) {
            Ok(0) => Err(Gone),
            Ok(bytes) => {
                self.decoder.push(&scratch[..bytes]);
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(_) => Err(Gone),
        }
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// The guest speaks another language.
    pub(super) fn next(&mut self) -> Result<Option<FromVm>, CodecError> {
        self.decoder.next()
    }

    /// Queues a frame. One that is too long for any stream is left out (a door's own was decoded
    /// from one that fitted, and grows by less than the bound has room).
    pub(super) fn send(&mut self, frame: &ToVm) {
        let _ = self.out.queue(frame);
    }

    pub(super) fn waiting(&self) -> usize {
        self.out.waiting()
    }

    /// Whether the guest has to read before any door's call is taken.
    pub(super) fn is_full(&self) -> bool {
        self.out.is_full()
    }

    /// Writes what the guest takes now.
    ///
    /// # Errors
    /// QEMU is gone.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        let Self { stream, out, .. } = self;
        out.flush(|waiting| send(&*stream, waiting, SendFlags::NOSIGNAL)).map_err(|_| Gone)
    }
}
