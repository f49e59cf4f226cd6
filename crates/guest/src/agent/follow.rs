//! Following a command: its output from the spool, within the caller's credit, then its end.
//!
//! Output is read back from the spool rather than held, so a slow reader costs nothing: what is
//! overwritten before it comes is skipped, and the offsets say so.

use std::os::fd::AsFd;

use pyro_model::OutputStream;
use pyro_protocol::{GuestMessage, WINDOW, exec::Follow};

use super::{connection::Call, exec::Caller, serve::Agent};

/// As commands number theirs.
pub(super) const STREAMS: [OutputStream; 2] = [OutputStream::Stdout, OutputStream::Stderr];

/// One follower's place.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) exec: u64,
    offsets: Option<[u64; 2]>,
    pub(super) credit: u64,
}

impl Follower {
    pub(super) fn new(exec: u64, follow: Follow) -> Self {
        let offsets = match follow {
            Follow::End => None,
            Follow::Output { stdout, stderr } => Some([stdout, stderr]),
        };
        Self { exec, offsets, credit: WINDOW.into() }
    }
}

impl Agent {
    /// Sends a follower what it can have now, and the end if that was all.
    pub(super) fn pump(&mut self, caller: Caller) {
        let Some(connection) = self.connections.get_mut(&caller.0) else { return };
        let mut follower = match connection.calls.remove(&caller.1) {
            Some(Call::Follow(follower)) => follower,
            Some(other) => {
                connection.calls.insert(caller.1, other);
                return;
            }
            None => return,
        };
        let Some(exec) = self.execs.get_mut(&follower.exec) else { return };
        self.touched.insert(caller.0);
        let mut sent_all = true;
        for (index, offset) in follower.offsets.iter_mut().flatten().enumerate() {
            loop {
                let room = usize::try_from(follower.credit).unwrap_or(usize::MAX);
                let room = room.min(self.scratch.len());
                if connection.is_full() || room == 0 {
                    connection.stalled |= connection.is_full();
                    sent_all &= *offset >= exec.outputs[index].total();
                    break;
                }
                let buffer = &mut self.scratch[..room];
                let spool = self.spool.as_ref();
                let part = spool.and_then(|spool| {
                    exec.outputs[index].read(spool.directory.as_fd(), *offset, buffer)
                });
                let Some((at, read)) = part else { break };
                let (stream, bytes) = (STREAMS[index], self.scratch[..read].to_vec());
                connection.answer(caller.1, GuestMessage::Output { stream, offset: at, bytes });
                *offset = at + read as u64;
                follower.credit -= read as u64;
            }
        }
        match &exec.finished {
            Some(finished) if sent_all => {
                connection.answer(caller.1, GuestMessage::Finished(finished.clone()));
                exec.waiters.retain(|waiter| *waiter != caller);
                self.rest(follower.exec);
            }
            _ => {
                connection.calls.insert(caller.1, Call::Follow(follower));
            }
        }
    }
}
