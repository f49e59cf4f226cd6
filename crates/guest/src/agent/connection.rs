//! One connection of the host: bytes in, frames out, and the calls that are open on it. It is a
//! door's socket, or the port of a VM, on which all doors' calls and everything else travel.
//!
//! Promises: what waits to be written is bounded, since nothing more is read or made for a
//! connection over its mark; a peer that breaks the protocol loses this connection and nothing
//! else.

use std::{collections::BTreeMap, os::fd::OwnedFd};

use pyro_protocol::{
    CodecError, Decoder, GuestFrame, GuestMessage,
    vm::{FromVm, ToVm},
};
use rustix::{
    io::{Errno, read, write},
    net::{SendFlags, send},
};
use serde::Serialize;

use super::{follow::Follower, jobs::Job};
use crate::outbox::{MARK, Outbox, too_long};

/// Bytes that may wait before nothing more of what commands write is sent over a port: answers have
/// room above it, so that a flood does not hold them up.
pub(super) const OUTPUT_MARK: usize = MARK / 4;
/// Calls that may be open at once on one connection.
const CALLS: usize = 1_000;
/// On the port, which all doors share.
const PORT_CALLS: usize = 10_000;
/// Reads of one turn of the loop, so that one peer does not hold up the others.
const READS: usize = 4;
/// A port gives a page at a time.
const PORT_READS: usize = 64;
/// A port copies each piece into memory of the kernel, in one run of pages.
const PORT_PIECE: usize = 32 << 10;

/// A call that has not been answered to its end.
pub(super) enum Call {
    /// Follows a command, or waits for its end.
    Follow(Follower),
    /// Waits until a tree has been ended.
    Stop,
    /// Work done in slices, and the bytes that the peer still takes.
    Job(Box<dyn Job>, u64),
    /// Waits for the machine's end.
    Shutdown,
}

pub(super) struct Connection {
    pub(super) stream: OwnedFd,
    pub(super) calls: BTreeMap<u32, Call>,
    pub(super) greeted: bool,
    is_port: bool,
    decoder: Decoder,
    out: Outbox,
    /// What the poller was told: reading, writing.
    pub(super) interest: (bool, bool),
    /// Something could not be sent because too much waits already.
    pub(super) stalled: bool,
}

/// The connection is over.
pub(super) struct Over;

impl Connection {
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self {
            stream,
            calls: BTreeMap::new(),
            greeted: false,
            is_port: false,
            decoder: Decoder::default(),
            out: Outbox::default(),
            interest: (true, false),
            stalled: false,
        }
    }

    /// A VM's channel: whoever is at its other end has been greeted by the awakening.
    pub(super) fn port(stream: OwnedFd, decoder: Decoder) -> Self {
        Self { is_port: true, greeted: true, decoder, ..Self::new(stream) }
    }

    pub(super) fn most_calls(&self) -> usize {
        if self.is_port { PORT_CALLS } else { CALLS }
    }

    /// Takes what has arrived.
    pub(super) fn fill(&mut self, scratch: &mut [u8]) -> Result<(), Over> {
        let reads = if self.is_port { PORT_READS } else { READS };
        for _ in 0..reads {
            match read(&self.stream, &mut *scratch) {
                Ok(0) => return Err(Over),
                Ok(bytes) => {
                    self.decoder.push(&scratch[..bytes]);
                    if bytes < scratch.len() && !self.is_port {
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

    /// The next whole frame, if the connection may have more answers.
    pub(super) fn next_frame(&mut self) -> Result<Option<ToVm>, Over> {
        if self.is_full() {
            return Ok(None);
        }
        let frame = if self.is_port {
            self.decoder.next()
        } else {
            self.decoder.next().map(|frame| frame.map(ToVm::Host))
        };
        frame.map_err(|_: CodecError| Over)
    }

    /// Whether the peer has to read before anything more is made for it.
    pub(super) fn is_full(&self) -> bool {
        self.out.is_full()
    }

    pub(super) fn waiting(&self) -> usize {
        self.out.waiting()
    }

    /// Queues one answer.
    pub(super) fn answer(&mut self, call: u32, message: GuestMessage) {
        if self.queue_answer(GuestFrame { call, message }).is_err() {
            let _ = self.queue_answer(GuestFrame { call, message: too_long() });
        }
    }

    fn queue_answer(&mut self, frame: GuestFrame) -> Result<(), CodecError> {
        if self.is_port { self.queue(&FromVm::Guest(frame)) } else { self.queue(&frame) }
    }

    /// Queues a frame of any kind.
    pub(super) fn queue(&mut self, frame: &impl Serialize) -> Result<(), CodecError> {
        self.out.queue(frame)
    }

    /// Writes what the peer takes now.
    pub(super) fn flush(&mut self) -> Result<(), Over> {
        let Self { stream, out, is_port, .. } = self;
        let flushed = out.flush(|waiting| {
            if !*is_port {
                return send(&*stream, waiting, SendFlags::NOSIGNAL);
            }
            match write(&*stream, &waiting[..waiting.len().min(PORT_PIECE)]) {
                // A port needs memory for what it sends: there is some again when the kernel has
                // ended whoever took it.
                Err(Errno::NOMEM) => Err(Errno::AGAIN),
                written => written,
            }
        });
        flushed.map_err(|_| Over)
    }
}
