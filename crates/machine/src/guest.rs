//! The host's end of the protocol: one connection to an agent, one call at a time.
//!
//! Blocking, with a deadline and a cancel handle on every wait; no thread and no timer of its own.
//! Everything that arrives is bounded by the codec; what it says is checked by the caller.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::{Duration, Instant},
};

use pyro_protocol::{
    CodecError, Decoder, GuestFrame, GuestMessage, HostFrame, HostMessage, VERSION, encode,
    message::Refusal,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// How long an agent may not take what it is sent, before it counts as gone.
const SENDING: Duration = Duration::from_secs(60);

/// Why a conversation with an agent failed.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Reading or writing the stream failed.
    #[error("talk to the agent: {0}")]
    Stream(#[from] io::Error),
    /// The agent closed the stream in the middle of a call.
    #[error("hear from the agent: it went away during the call")]
    Gone,
    /// What arrived is no message.
    #[error("understand the agent: {0}")]
    Codec(#[from] CodecError),
    /// A message that this call cannot have.
    #[error("understand the agent: unexpected answer to {call}")]
    Unexpected {
        /// The call.
        call: &'static str,
    },
    /// The agent speaks another version.
    #[error("talk to the agent: it speaks version {theirs}, this pyro speaks {VERSION}")]
    Version {
        /// The agent's.
        theirs: u16,
    },
    /// The deadline passed.
    #[error("hear from the agent within {0:?}")]
    Deadline(Duration),
    /// The caller cancelled.
    #[error("finish: the caller cancelled")]
    Cancelled,
    /// The agent refused the call.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

/// Ends waits from another thread or a signal handler. Cheap to clone; once cancelled, always so.
#[derive(Debug, Clone)]
pub struct Cancel {
    event: Arc<OwnedFd>,
}

impl Cancel {
    /// A handle that nobody has cancelled yet.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Ends every wait that uses this handle, now and later.
    pub fn cancel(&self) {
        // An eventfd at its maximum is already readable: nothing is lost when the write fails.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let mut fds = [PollFd::new(&*self.event, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1))
    }

    /// Readable once cancelled; for a caller that waits for more than this.
    #[must_use]
    pub fn as_descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// One connection to an agent, after the handshake.
#[derive(Debug)]
pub struct Guest {
    stream: UnixStream,
    decoder: Decoder,
    next_call: u32,
    boot: [u8; 16],
    scratch: Vec<u8>,
}

impl Guest {
    /// Shakes hands over a fresh stream.
    ///
    /// # Errors
    /// Another version, or the agent does not answer within `deadline`.
    pub fn handshake(stream: UnixStream, deadline: Duration) -> Result<Self, GuestError> {
        stream.set_nonblocking(true)?;
        let mut guest = Self {
            stream,
            decoder: Decoder::default(),
            next_call: 1,
            boot: [0; 16],
            scratch: vec![0; 64 << 10],
        };
        let call = guest.send(HostMessage::Hello { version: VERSION })?;
        match guest.receive(call, Some(Instant::now() + deadline), None)? {
            GuestMessage::Hello { version, boot } if version == VERSION => {
                guest.boot = boot;
                Ok(guest)
            }
            GuestMessage::Hello { version, .. } => Err(GuestError::Version { theirs: version }),
            GuestMessage::Failed(refusal) => Err(GuestError::Refused(refusal)),
            _ => Err(GuestError::Unexpected { call: "hello" }),
        }
    }

    /// Which run of the machine this is.
    #[must_use]
    pub fn boot(&self) -> [u8; 16] {
        self.boot
    }

    /// Starts a call and returns its number.
    ///
    /// # Errors
    /// The stream is broken, the agent does not take it, or it is over the bound of a frame.
    pub fn send(&mut self, message: HostMessage) -> Result<u32, GuestError> {
        let call = self.next_call;
        self.next_call = self.next_call.wrapping_add(1);
        self.send_on(call, message)?;
        Ok(call)
    }

    /// Says more on an open call (`Credit`, `Cancel`).
    ///
    /// # Errors
    /// As `send`.
    pub fn send_on(&mut self, call: u32, message: HostMessage) -> Result<(), GuestError> {
        let mut wire = Vec::new();
        encode(&HostFrame { call, message }, &mut wire)?;
        self.write(&wire, SENDING)
    }

    /// Writes all of it, unless the agent takes nothing for `patience`.
    fn write(&mut self, wire: &[u8], patience: Duration) -> Result<(), GuestError> {
        let mut left = wire;
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(0) => return Err(GuestError::Gone),
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let began = Instant::now();
                    let mut fds = [PollFd::new(&self.stream, PollFlags::OUT)];
                    poll_again(&mut fds, Some(patience))?;
                    if fds[0].revents().is_empty() && began.elapsed() >= patience {
                        return Err(GuestError::Deadline(patience));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(GuestError::Gone);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next answer to `call`; answers to calls that were given up are dropped.
    ///
    /// # Errors
    /// `Deadline`, `Cancelled`, `Gone`, or a broken stream. After the first two the connection is
    /// still good.
    pub fn receive(
        &mut self,
        call: u32,
        deadline: Option<Instant>,
        cancel: Option<&Cancel>,
    ) -> Result<GuestMessage, GuestError> {
        let began = Instant::now();
        loop {
            while let Some(frame) = self.decoder.next::<GuestFrame>()? {
                if frame.call == call {
                    return Ok(frame.message);
                }
            }
            let timeout = match deadline {
                None => None,
                Some(at) => match at.checked_duration_since(Instant::now()) {
                    Some(left) => Some(left),
                    None => return Err(GuestError::Deadline(at.duration_since(began))),
                },
            };
            let mut fds = vec![PollFd::new(&self.stream, PollFlags::IN)];
            if let Some(cancel) = cancel {
                fds.push(PollFd::from_borrowed_fd(cancel.as_descriptor(), PollFlags::IN));
            }
            poll_again(&mut fds, timeout)?;
            if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
                return Err(GuestError::Cancelled);
            }
            if fds[0].revents().is_empty() {
                continue;
            }
            match self.stream.read(&mut self.scratch) {
                Ok(0) => return Err(GuestError::Gone),
                Ok(bytes) => self.decoder.push(&self.scratch[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(GuestError::Gone);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One question, one answer.
    ///
    /// # Errors
    /// `Refused` when the agent refuses; else as `receive`.
    pub fn ask(
        &mut self,
        message: HostMessage,
        deadline: Duration,
        cancel: Option<&Cancel>,
    ) -> Result<GuestMessage, GuestError> {
        let call = self.send(message)?;
        match self.receive(call, Some(Instant::now() + deadline), cancel)? {
            GuestMessage::Failed(refusal) => Err(GuestError::Refused(refusal)),
            answer => Ok(answer),
        }
    }
}

fn poll_again(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<(), GuestError> {
    let timeout = timeout.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(GuestError::Stream(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_takes_nothing_holds_nobody_up_for_ever() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut agent = theirs.try_clone().unwrap();
        let talk = std::thread::spawn(move || {
            let mut hello = [0; 64];
            assert!(agent.read(&mut hello).unwrap() > 0);
            let mut wire = Vec::new();
            let message = GuestMessage::Hello { version: VERSION, boot: [0; 16] };
            encode(&GuestFrame { call: 1, message }, &mut wire).unwrap();
            agent.write_all(&wire).unwrap();
        });
        let mut guest = Guest::handshake(ours, Duration::from_secs(20)).unwrap();
        talk.join().unwrap();
        // More than any socket holds, and nobody reads it.
        let sent = guest.write(&vec![0; 64 << 20], Duration::from_millis(50));
        assert!(matches!(sent, Err(GuestError::Deadline(_))), "{sent:?}");
        drop(theirs);
        assert!(matches!(guest.write(&[0], Duration::from_secs(20)), Err(GuestError::Gone)));
    }
}
