//! M's end of the one channel to the guest: frames in, frames out.
//!
//! Promises: what arrives is bounded by one frame and one read; what waits to be written is the
//! callers' to bound (`is_full`). A stream that makes no sense is an error for good.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_protocol::{
    CodecError, Decoder, encode,
    vm::{FromVm, ToVm},
};
use rustix::{
    io::{Errno, read},
    net::{SendFlags, send},
};

/// Bytes that may wait for the guest before no more is taken for it.
const MARK: usize = 1 << 20;
/// A buffer that grew past this is given back once it is empty.
const KEPT_CAPACITY: usize = 64 << 10;

/// The channel.
pub(super) struct Port {
    stream: OwnedFd,
    decoder: Decoder,
    out: Vec<u8>,
    sent: usize,
}

/// The guest's end is closed: QEMU is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Port {
    /// `stream` does not block.
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self { stream, decoder: Decoder::default(), out: Vec::new(), sent: 0 }
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
        let _ = encode(frame, &mut self.out);
    }

    pub(super) fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether the guest has to read before any door's call is taken.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= MARK
    }

    /// Writes what the guest takes now.
    ///
    /// # Errors
    /// QEMU is gone.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        while self.sent < self.out.len() {
            match send(&self.stream, &self.out[self.sent..], SendFlags::NOSIGNAL) {
                Ok(bytes) => self.sent += bytes,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Gone),
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
            self.out.shrink_to(KEPT_CAPACITY);
        } else if self.sent > MARK {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }
}
