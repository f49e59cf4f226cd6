//! Doors as the loop sees them: they come, each has its turn, they go.
//!
//! Promises: a turn is bounded, so that no door holds up the others; one that has to read, or whose
//! calls wait for the guest to read, is not read from meanwhile.

use rustix::{
    io::{Errno, fcntl_dupfd_cloexec},
    net::{SocketFlags, accept_with},
};

use super::{door::Door, poller::Token, serve::Monitor};

/// Connections at once; more are closed as they come.
const DOORS: usize = 256;
/// Frames of one door in one turn.
const FRAMES: usize = 64;

impl Monitor {
    pub(super) fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..DOORS {
            match accept_with(&self.listener, flags) {
                Ok(stream) if self.doors.len() < DOORS && self.ending.is_none() => {
                    let number = self.fresh_number();
                    if self.poller.add(&stream, Token::Door(number)).is_ok() {
                        self.inspect_until = None;
                        self.doors.insert(number, Door::new(stream));
                    }
                }
                // Turned away by being closed.
                Ok(_) => {}
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                // Left in the queue it would wake the loop for ever. The system says this also
                // when nobody waits.
                Err(Errno::MFILE | Errno::NFILE) if self.spare.take().is_some() => {
                    let turned_away = accept_with(&self.listener, flags).is_ok();
                    self.spare = fcntl_dupfd_cloexec(&self.spool, 0).ok();
                    if !turned_away {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Forgets a door and its calls; commands go on.
    pub(super) fn drop_door(&mut self, number: u64) {
        let Some(door) = self.doors.remove(&number) else { return };
        self.poller.remove(&door.stream);
        for (call, open) in &door.calls {
            self.give_up((number, *call), open);
        }
        if self.agent.inspect_only && self.doors.is_empty() {
            self.inspected();
        }
    }

    /// Writes what waits on a door, takes the frames that were waiting for that, and goes on with
    /// what was stalled by it.
    pub(super) fn advance(&mut self, number: u64) {
        let mut behind = false;
        let mut frames = 0;
        loop {
            let Some(door) = self.doors.get_mut(&number) else { return };
            if door.flush().is_err() {
                return self.drop_door(number);
            }
            if !door.is_full() {
                let stalled = std::mem::take(&mut door.stalled);
                if !door.held_credit.is_empty() {
                    self.pass_credit(number);
                }
                if stalled {
                    self.resume(number);
                    continue;
                }
            }
            // The guest has to read first; `settle` comes back to every door then.
            if self.port.is_full() {
                self.held_up = true;
                behind = true;
                break;
            }
            let Some(door) = self.doors.get_mut(&number) else { return };
            match door.next_frame() {
                Ok(Some(frame)) => {
                    self.handle(number, frame);
                    frames += 1;
                    if frames == FRAMES {
                        behind = true;
                        self.touched.remove(&number);
                        self.backlog.push(number);
                        break;
                    }
                }
                Ok(None) => break,
                Err(_) => return self.drop_door(number),
            }
        }
        let Some(door) = self.doors.get_mut(&number) else { return };
        let interest = (!behind && !door.is_full(), door.waiting() > 0);
        if interest != door.interest {
            door.interest = interest;
            if self.poller.change(&door.stream, Token::Door(number), interest).is_err() {
                self.drop_door(number);
            }
        }
    }

    fn resume(&mut self, number: u64) {
        let Some(door) = self.doors.get(&number) else { return };
        let calls: Vec<u32> = door.calls.keys().copied().collect();
        for call in calls {
            self.pump((number, call));
        }
    }
}
