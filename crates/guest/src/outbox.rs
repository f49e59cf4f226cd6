//! What waits to be written to a peer: whole frames in, as many bytes out as it takes now.
//!
//! Bounded by its callers, who make nothing more for a peer whose outbox is full.

use pyro_protocol::{
    CodecError, GuestMessage, encode,
    message::{Refusal, RefusalKind},
};
use rustix::io::Errno;
use serde::Serialize;

/// Bytes that may wait for a peer before nothing more is made for it.
pub(crate) const MARK: usize = 1 << 20;
/// A buffer that grew past this is given back once it is empty.
const KEPT_CAPACITY: usize = 64 << 10;

/// The bytes, and how many of them are gone already.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Adds a frame.
    ///
    /// # Errors
    /// It is over the bound of one frame, and left out.
    pub(crate) fn queue(&mut self, frame: &impl Serialize) -> Result<(), CodecError> {
        if self.sent > 0 && self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
        encode(frame, &mut self.bytes)
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether the peer has to read before anything more is made for it.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting() >= MARK
    }

    /// Writes what the peer takes now, by `send`.
    ///
    /// # Errors
    /// The first that is not `AGAIN` or `INTR`.
    pub(crate) fn flush(
        &mut self,
        mut send: impl FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Result<(), Errno> {
        while self.sent < self.bytes.len() {
            match send(&self.bytes[self.sent..]) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(bytes) => self.sent += bytes,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
            self.bytes.shrink_to(KEPT_CAPACITY);
        } else if self.sent > MARK {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }
}

/// What stands for an answer that no frame can hold. It is short: it always fits.
pub(crate) fn too_long() -> GuestMessage {
    GuestMessage::Failed(Refusal {
        kind: RefusalKind::TooLarge,
        what: "the answer".to_owned(),
        message: "send the answer: it is over the bound of one frame".to_owned(),
    })
}
