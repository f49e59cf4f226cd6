//! M's epoll set, and the names of what is in it.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use pyro_sys::{Context, Result};
use rustix::event::{Timespec, epoll};

/// What became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Listener,
    /// SIGTERM: pyro ends the machine.
    Signals,
    /// The host's clock was set.
    Clock,
    Port,
    Control,
    Console,
    /// Q has ended.
    Process,
    Door(u64),
}

/// Doors are numbered from here on in the set.
const DOORS: u64 = 16;

impl Token {
    fn pack(self) -> u64 {
        match self {
            Self::Listener => 0,
            Self::Signals => 1,
            Self::Clock => 2,
            Self::Port => 3,
            Self::Control => 4,
            Self::Console => 5,
            Self::Process => 6,
            Self::Door(number) => DOORS + number,
        }
    }

    fn unpack(packed: u64) -> Self {
        match packed {
            0 => Self::Listener,
            1 => Self::Signals,
            2 => Self::Clock,
            3 => Self::Port,
            4 => Self::Control,
            5 => Self::Console,
            6 => Self::Process,
            _ => Self::Door(packed.saturating_sub(DOORS)),
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
    pub(super) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).doing("create", "the event set")?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    pub(super) fn add(&self, fd: impl AsFd, token: Token) -> Result<()> {
        epoll::add(&self.epoll, fd, data(token), epoll::EventFlags::IN)
            .doing("watch", "a descriptor")
    }

    pub(super) fn change(&self, fd: impl AsFd, token: Token, wanted: (bool, bool)) -> Result<()> {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, wanted.0);
        flags.set(epoll::EventFlags::OUT, wanted.1);
        epoll::modify(&self.epoll, fd, data(token), flags).doing("watch", "a descriptor")
    }

    /// Takes one out that says nothing more.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // It fails only for one that is not in the set, which is what is wanted.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits for something to happen, until `deadline` at the latest; what is ready goes to `out`.
    pub(super) fn wait(&mut self, deadline: Option<Instant>, out: &mut Vec<Token>) -> Result<()> {
        out.clear();
        let timeout = deadline.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            // Whole milliseconds, rounded up, so that the deadline has passed on return.
            let left = u64::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
            let left = Duration::from_millis(left.min(86_400_000));
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        self.events.clear();
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).doing("wait for", "events"),
        }
        out.extend(self.events.iter().map(|event| Token::unpack(event.data.u64())));
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
        use Token::{Clock, Console, Control, Door, Listener, Port, Process, Signals};
        for token in
            [Listener, Signals, Clock, Port, Control, Console, Process, Door(0), Door(1 << 40)]
        {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
