//! The agent of a VM at its channel: what the monitor says besides calls, and what it is told.
//!
//! Promises: a byte of output is sent once and before the end that counts it; a pipe is not read
//! while the port is over its mark, so that a flood waits in the command that makes it.

use pyro_model::time::Timestamp;
use pyro_protocol::{
    spool::Record,
    vm::{FromVm, ToVm},
};

use super::{
    AgentError, Port,
    connection::{Connection, OUTPUT_MARK},
    poller::Token,
    serve::Agent,
};

/// How far the guest's clock may be behind the host's before a command sets it: it stands still
/// while the host sleeps.
const BEHIND_MS: u64 = 1_000;
/// How far it may be ahead: a command that waited for the port says a time that is over.
const AHEAD_MS: u64 = 10_000;

impl Agent {
    pub(super) fn take_port(&mut self, port: Port) -> Result<(), AgentError> {
        rustix::io::ioctl_fionbio(&port.descriptor, true)
            .map_err(AgentError::on("set up", "the port"))?;
        self.poller
            .add(&port.descriptor, Token::Port)
            .map_err(AgentError::on("watch", "the port"))?;
        let number = self.fresh_number();
        self.connections.insert(number, Connection::port(port.descriptor, port.decoder));
        self.channel = Some(number);
        self.set_clock = port.set_clock;
        self.tell(&FromVm::Awake);
        Ok(())
    }

    /// What came over a connection; sockets only carry calls.
    pub(super) fn take_frame(&mut self, number: u64, frame: ToVm) {
        match frame {
            ToVm::Host(frame) => self.handle(number, frame),
            ToVm::Clock { at_us } => (self.set_clock)(at_us),
            ToVm::Sync => {
                self.sync();
                self.tell(&FromVm::Synced);
            }
            // It was awakened.
            ToVm::Awaken(_) => self.drop_connection(number),
        }
    }

    /// Tells the monitor, where there is one.
    pub(super) fn tell(&mut self, frame: &FromVm) {
        let Some(number) = self.channel else { return };
        if let Some(connection) = self.connections.get_mut(&number) {
            // Only answers can be too long for a frame.
            let _ = connection.queue(frame);
            self.touched.insert(number);
        }
    }

    /// Writes down what happened: into the spool here, or by the monitor.
    pub(super) fn note(&mut self, record: Record) {
        match &mut self.spool {
            Some(spool) => spool.log.append(&record),
            None => self.tell(&FromVm::Logged(record)),
        }
    }

    pub(super) fn port_takes_no_output(&self) -> bool {
        let port = self.channel.and_then(|number| self.connections.get(&number));
        port.is_some_and(|port| port.waiting() >= OUTPUT_MARK)
    }

    /// Leaves a pipe unread until the port has room. It is not watched meanwhile: the end of its
    /// last writer would wake the loop for ever.
    pub(super) fn hold(&mut self, number: u64, stream: usize) {
        let pipe = self.execs.get(&number).and_then(|exec| exec.active.as_ref());
        if let Some(pipe) = pipe.and_then(|active| active.pipes[stream].as_ref()) {
            self.poller.remove(pipe);
            self.held.insert((number, stream));
        }
    }

    pub(super) fn let_go_of_held(&mut self) {
        if self.held.is_empty() || self.port_takes_no_output() {
            return;
        }
        for (number, stream) in std::mem::take(&mut self.held) {
            let Some(active) = self.active(number) else { continue };
            let Some(pipe) = active.pipes[stream].take() else { continue };
            // Watching may fail for want of memory: the pipe is closed then, as at its end.
            if self.poller.add(&pipe, Token::Output(number, stream)).is_ok()
                && let Some(active) = self.active(number)
            {
                active.pipes[stream] = Some(pipe);
            } else {
                self.rest(number);
            }
        }
    }

    /// A command brings the host's time: the host may have slept since the last one.
    pub(super) fn follow_clock(&self, host_ms: u64) {
        if self.channel.is_some() && is_wrong(Timestamp::now().0, host_ms) {
            (self.set_clock)(host_ms.saturating_mul(1_000));
        }
    }
}

fn is_wrong(guest_ms: u64, host_ms: u64) -> bool {
    host_ms.saturating_sub(guest_ms) > BEHIND_MS || guest_ms.saturating_sub(host_ms) > AHEAD_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_set_when_it_stood_still_and_not_for_a_late_command() {
        assert!(!is_wrong(100_000, 100_000));
        assert!(!is_wrong(100_000, 101_000));
        assert!(is_wrong(100_000, 101_001));
        assert!(!is_wrong(100_000, 95_000));
        assert!(is_wrong(100_000, 89_000));
        assert!(is_wrong(5, 1_800_000_000_000));
    }
}
