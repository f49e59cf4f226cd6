//! Pyro's side of the launch: frames with descriptors, each awaited with a deadline.

use std::{
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use pyro_machine::MachineError;
use pyro_protocol::{Decoder, encode, launch::LaunchReport};
use pyro_sys::{Context, SysError, process, socket};
use serde::Serialize;

use crate::failure;

/// How long each step of the launch may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The launch socket.
#[derive(Debug)]
pub(crate) struct Conversation {
    stream: UnixStream,
    decoder: Decoder,
}

impl Conversation {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, decoder: Decoder::default() }
    }

    pub(crate) fn send(
        &self,
        frame: &impl Serialize,
        with: &[BorrowedFd<'_>],
    ) -> Result<(), MachineError> {
        let mut wire = Vec::new();
        encode(frame, &mut wire)
            .map_err(std::io::Error::other)
            .doing("encode", "a launch frame")
            .map_err(failure)?;
        socket::send(&self.stream, &wire, with).map_err(failure)
    }

    /// The next report; `Failed` is an error here.
    pub(crate) fn report(&mut self) -> Result<LaunchReport, MachineError> {
        loop {
            let next = self.decoder.next().map_err(std::io::Error::other);
            match next.doing("understand", "the launcher").map_err(failure)? {
                Some(LaunchReport::Failed { step, what, errno }) => {
                    let source = std::io::Error::from_raw_os_error(errno);
                    return Err(MachineError::Launch { step, what, source });
                }
                Some(report) => return Ok(report),
                None => {}
            }
            if !process::wait_readable(self.stream.as_fd(), Some(PATIENCE)).map_err(failure)? {
                let late = SysError::invalid("hear from", &"the launcher", "it took too long");
                return Err(failure(late));
            }
            let mut buffer = [0; 4096];
            let bytes = socket::receive(&self.stream, &mut buffer, &mut Vec::new());
            match bytes.map_err(failure)? {
                0 => {
                    let gone = SysError::invalid("hear from", &"the launcher", "it ended");
                    return Err(failure(gone));
                }
                bytes => self.decoder.push(&buffer[..bytes]),
            }
        }
    }

    /// Gives the launch up, and returns once nothing of it is left.
    pub(crate) fn abandon(self) {
        // The launcher takes this as pyro's end, and cleans up before its own.
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut buffer = [0; 4096];
        while let Ok(true) = process::wait_readable(self.stream.as_fd(), Some(PATIENCE)) {
            let bytes = socket::receive(&self.stream, &mut buffer, &mut Vec::new());
            if !matches!(bytes, Ok(1..)) {
                break;
            }
        }
    }
}
