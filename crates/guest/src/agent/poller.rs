//! One epoll set, and the names of what is in it.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::event::{Timespec, epoll};

use super::AgentError;

/// What became ready. The numbers are those of the tables that own the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Listener,
    Signals,
    Connection(u64),
    /// A VM's channel, and its end. One that waits for room would never find out by itself that
    /// the host is gone: a port is then just not writable.
    Port,
    PortGone,
    Report(u64),
    /// An output pipe: 0 is stdout, 1 is stderr.
    Output(u64, usize),
}

const NUMBER_BITS: u32 = 56;

impl Token {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Listener => (0, 0),
            Self::Signals => (1, 0),
            Self::Connection(number) => (2, number),
            Self::Report(number) => (3, number),
            Self::Output(number, 0) => (4, number),
            Self::Output(number, _) => (5, number),
            Self::Port => (6, 0),
            Self::PortGone => (7, 0),
        };
        (kind << NUMBER_BITS) | number
    }

    fn unpack(packed: u64) -> Self {
        let number = packed & ((1 << NUMBER_BITS) - 1);
        match packed >> NUMBER_BITS {
            0 => Self::Listener,
            1 => Self::Signals,
            2 => Self::Connection(number),
            3 => Self::Report(number),
            4 => Self::Output(number, 0),
            5 => Self::Output(number, 1),
            6 => Self::Port,
            _ => Self::PortGone,
        }
    }
}

/// The set.
pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// Events handled per turn of the loop.
const BATCH: usize = 64;

impl Poller {
    pub(super) fn new() -> Result<Self, AgentError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(AgentError::on("create", "the event set"))?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    pub(super) fn add(&self, fd: impl AsFd, token: Token) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, fd, data(token), epoll::EventFlags::IN)
    }

    pub(super) fn change(
        &self,
        fd: impl AsFd,
        token: Token,
        read: bool,
        write: bool,
    ) -> rustix::io::Result<()> {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, read);
        flags.set(epoll::EventFlags::OUT, write);
        epoll::modify(&self.epoll, fd, data(token), flags)
    }

    /// For descriptors that other processes share: closing ours would not take it out of the set.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // It fails only for one that is not in the set, which is what is wanted.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits for something to happen, until `deadline` at the latest; what is ready goes to `out`.
    pub(super) fn wait(
        &mut self,
        deadline: Option<Instant>,
        out: &mut Vec<Token>,
    ) -> Result<(), AgentError> {
        out.clear();
        let timeout = deadline.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            // Whole milliseconds, rounded up, so that the deadline has passed on return.
            let left = Duration::from_millis(
                u64::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX).min(86_400_000),
            );
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        self.events.clear();
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(AgentError::on("wait for", "events")(errno)),
        }
        let over = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        out.extend(self.events.iter().map(|event| {
            let flags = event.flags;
            match Token::unpack(event.data.u64()) {
                Token::Port if flags.intersects(over) => Token::PortGone,
                token => token,
            }
        }));
        Ok(())
    }
}

fn data(token: Token) -> epoll::EventData {
    epoll::EventData::new_u64(token.pack())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [
            Token::Listener,
            Token::Signals,
            Token::Connection(7),
            Token::Port,
            Token::PortGone,
            Token::Report(1 << 40),
            Token::Output(3, 0),
            Token::Output(3, 1),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
