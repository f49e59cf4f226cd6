//! One door's connection: bytes in, frames out, and the calls that are open on it.
//!
//! Promises: what waits to be written is bounded. Over the mark nothing more is taken from the
//! door, nothing of a command's output is made for it, and its grants are not passed on, so that
//! the guest's own credit ends; over the ceiling the door is let go. So one that does not read
//! holds up nobody, and costs M no more than that. A peer that breaks the protocol loses this
//! connection and nothing else.

use std::{collections::BTreeMap, os::fd::OwnedFd};

use pyro_protocol::{Decoder, GuestFrame, GuestMessage, HostFrame, MAX_FRAME};
use rustix::{
    io::{Errno, read},
    net::{SendFlags, send},
};

use super::commands::Follower;
use crate::outbox::{Outbox, too_long};

/// Bytes at which it is let go: a few of the longest answers, and many windows.
const CEILING: usize = 6 * MAX_FRAME;
/// Calls that may be open at once on one connection.
pub(super) const CALLS: usize = 1_000;
/// Reads of one turn of the loop, so that one door does not hold up the others.
const READS: usize = 4;

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
    out: Outbox,
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
            out: Outbox::default(),
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
        self.out.is_full()
    }

    /// Whether it has not read for so long that it is let go.
    pub(super) fn is_lost(&self) -> bool {
        self.waiting() >= CEILING
    }

    pub(super) fn waiting(&self) -> usize {
        self.out.waiting()
    }

    /// Queues one answer.
    pub(super) fn answer(&mut self, call: u32, message: GuestMessage) {
        if self.out.queue(&GuestFrame { call, message }).is_err() {
            let _ = self.out.queue(&GuestFrame { call, message: too_long() });
        }
    }

    /// Writes what the door takes now.
    pub(super) fn flush(&mut self) -> Result<(), Over> {
        let Self { stream, out, .. } = self;
        out.flush(|waiting| send(&*stream, waiting, SendFlags::NOSIGNAL)).map_err(|_| Over)
    }
}
