//! The port before the agent has it: one frame at a time, waiting for the other end as long as it
//! takes.
//!
//! A port whose other end is not there reads as over and cannot be written to; whether that has
//! changed is learnt from the edges of an event set, since its level stays the same.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use pyro_protocol::{
    Decoder, encode,
    vm::{FromVm, ToVm},
};
use pyro_sys::{Context, Result};
use rustix::{
    event::{Timespec, epoll},
    io::{Errno, fcntl_dupfd_cloexec, ioctl_fionbio, read, write},
};

use crate::agent::Port;

/// The monitor, as messages name it.
const MONITOR: &str = "the monitor";

/// Bytes written at once.
const PIECE: usize = 32 << 10;

pub(super) struct Channel {
    port: OwnedFd,
    events: OwnedFd,
    decoder: Decoder,
}

impl Channel {
    pub(super) fn new(port: OwnedFd) -> Result<Self> {
        ioctl_fionbio(&port, true).doing("set up", "the port")?;
        let events = epoll::create(epoll::CreateFlags::CLOEXEC).doing("create", "an event set")?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&events, &port, epoll::EventData::new_u64(0), flags)
            .doing("watch", "the port")?;
        Ok(Self { port, events, decoder: Decoder::default() })
    }

    /// Sends one frame; without `until` it waits for whoever takes it.
    pub(super) fn say(&mut self, frame: &FromVm, until: Option<Instant>) -> Result<()> {
        let mut wire = Vec::new();
        encode(frame, &mut wire).map_err(std::io::Error::other).doing("encode", "a frame")?;
        let mut left = &wire[..];
        while !left.is_empty() {
            match write(&self.port, &left[..left.len().min(PIECE)]) {
                Ok(bytes) => left = &left[bytes..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(until).doing("speak to", MONITOR)?,
                Err(errno) => return Err(errno).doing("speak to", MONITOR),
            }
        }
        Ok(())
    }

    /// Waits for the next frame, whoever comes and goes at the other end meanwhile.
    pub(super) fn hear(&mut self) -> Result<ToVm> {
        let mut buffer = [0; 4 << 10];
        loop {
            let frame = self.decoder.next().map_err(std::io::Error::other);
            if let Some(frame) = frame.doing("understand", MONITOR)? {
                return Ok(frame);
            }
            match read(&self.port, &mut buffer) {
                Ok(bytes) if bytes > 0 => self.decoder.push(&buffer[..bytes]),
                Err(Errno::INTR) => {}
                Ok(_) | Err(Errno::AGAIN) => self.wait(None).doing("hear from", MONITOR)?,
                Err(errno) => return Err(errno).doing("hear from", MONITOR),
            }
        }
    }

    /// What the agent works with; this keeps a handle of the port for the end.
    pub(super) fn hand_over(&mut self) -> Result<Port> {
        let descriptor = fcntl_dupfd_cloexec(&self.port, 0).doing("copy", "the port")?;
        let decoder = std::mem::take(&mut self.decoder);
        Ok(Port { descriptor, decoder, set_clock: super::identity::set_clock })
    }

    /// Gives the monitor the time to end the machine itself: what it has not read yet would be lost
    /// with the power.
    pub(super) fn wait_for_the_end(&mut self, until: Instant) {
        let mut buffer = [0; 4 << 10];
        loop {
            match read(&self.port, &mut buffer) {
                Err(Errno::AGAIN) if self.wait(Some(until)).is_ok() => {}
                Err(Errno::INTR) => {}
                Ok(bytes) if bytes > 0 && Instant::now() < until => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Until something about the port has changed.
    fn wait(&self, until: Option<Instant>) -> rustix::io::Result<()> {
        let timeout = match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return Err(Errno::TIMEDOUT),
            Some(left) => Some(Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }),
            None => None,
        };
        let mut events = Vec::with_capacity(1);
        let buffer = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.events, buffer, timeout.as_ref()) {
            Ok(0) => Err(Errno::TIMEDOUT),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
