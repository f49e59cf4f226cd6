//! One door's connection: bytes in, frames out, and the calls that are open on it.
//!
//! Promises: what waits to be written is bounded. Over the mark nothing more is taken from the
//! door, nothing of a command's output is made for it, and its grants are not passed on, so that
//! the guest's own credit ends; over the ceiling the door is let go. So one that does not read
//! holds up nobody, and costs M no more than that. A peer that breaks the protocol loses this
//! connection and nothing else.

use std::{collections::BTreeMap, os::fd::OwnedFd};

use pyro_protocol::{
    Decoder, GuestFrame, GuestMessage, HostFrame, MAX_FRAME, encode,
    message::{Refusal, RefusalKind},
};
use rustix::{
    io::{Errno, read},
    net::{SendFlags, send},
};

use super::commands::Follower;

/// Bytes that may wait for the door before nothing more is made for it.
pub(super) const MARK: usize = 1 << 20;
/// Bytes at which it is let go: a few of the longest answers, and many windows.
const CEILING: usize = 6 * MAX_FRAME;
/// Calls that may be open at once on one connection.
pub(super) const CALLS: usize = 1_000;
/// Reads of one turn of the loop, so that one door does not hold up the others.
const READS: usize = 4;
/// A buffer that grew past this is given back once it is empty.
const KEPT_CAPACITY: usize = 64 << 10;

/// A call that has not been answered to its end.
pub(super) enum Call {
    /// Follows a command, or waits for its end; M answers it from the spool.
    Follow(Follower),
    /// The guest answers it, under this number.
    Forwarded(u32),
}

pub(super) struct Door {
    pub(super) stream: OwnedFd,
    pub(super) calls: BTreeMap<u32, Call>,
    pub(super) greeted: bool,
    decoder: Decoder,
    out: Vec<u8>,
    sent: usize,
    /// What the poller was told: reading, writing.
    pub(super) interest: (bool, bool),
    /// Output could not be made because too much waits already.
    pub(super) stalled: bool,
    /// Grants that the guest is not told of yet: its number of the call, and how many bytes.
    pub(super) held_credit: BTreeMap<u32, u32>,
}

/// The connection is over.
pub(super) struct Over;

impl Door {
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self {
            stream,
            calls: BTreeMap::new(),
            greeted: false,
            decoder: Decoder::default(),
            out: Vec::new(),
            sent: 0,
            interest: (true, false),
            stalled: false,
            held_credit: BTreeMap::new(),
        }
    }

    /// Takes what has arrived.
    pub(super) fn fill(&mut self, scratch: &mut [u8]) -> Result<(), Over> {
        for _ in 0..READS {
            match read(&self.stream, &mut *scratch) {
                Ok(0) => return Err(Over),
                Ok(bytes) => {
                    self.decoder.push(&scratch[..bytes]);
                    if bytes < scratch.len() {
                        break;
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }

    /// The next whole frame, if the door may have more answers.
    pub(super) fn next_frame(&mut self) -> Result<Option<HostFrame>, Over> {
        if self.is_full() {
            return Ok(None);
        }
        self.decoder.next().map_err(|_| Over)
    }

    /// Whether the door has to read before anything more is made for it.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= MARK
    }

    /// Whether it has not read for so long that it is let go.
    pub(super) fn is_lost(&self) -> bool {
        self.waiting() >= CEILING
    }

    pub(super) fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Queues one answer.
    pub(super) fn answer(&mut self, call: u32, message: GuestMessage) {
        if self.sent > 0 && self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        if encode(&GuestFrame { call, message }, &mut self.out).is_err() {
            let message = GuestMessage::Failed(Refusal {
                kind: RefusalKind::TooLarge,
                what: "the answer".to_owned(),
                message: "send the answer: it is over the bound of one frame".to_owned(),
            });
            // A refusal is short: this one always fits.
            let _ = encode(&GuestFrame { call, message }, &mut self.out);
        }
    }

    /// Writes what the door takes now.
    pub(super) fn flush(&mut self) -> Result<(), Over> {
        while self.sent < self.out.len() {
            match send(&self.stream, &self.out[self.sent..], SendFlags::NOSIGNAL) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(bytes) => self.sent += bytes,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over),
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
