//! Pyro's side of a start: frames with descriptors, each awaited with a deadline.

use std::{
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use pyro_machine::{Cancel, GuestError, MachineError};
use pyro_protocol::{Decoder, encode, launch::LaunchReport, vm::VmReport};
use pyro_sys::{Context, SysError, process, socket};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::failure;

/// How long each step of a container's launch may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a holder says while it starts.
pub trait Report: DeserializeOwned {
    /// A failure as an error, anything else as it is.
    ///
    /// # Errors
    /// The failure.
    fn good(self) -> Result<Self, MachineError>;
}

impl Report for LaunchReport {
    fn good(self) -> Result<Self, MachineError> {
        let Self::Failed { step, what, errno } = self else { return Ok(self) };
        Err(MachineError::Launch { step, what, source: std::io::Error::from_raw_os_error(errno) })
    }
}

impl Report for VmReport {
    fn good(self) -> Result<Self, MachineError> {
        let Self::Failed { step, mut what, errno, console } = self else { return Ok(self) };
        let number = std::io::Error::from_raw_os_error(errno);
        let mut why = number.to_string();
        if errno == 0 {
            // Then the reason stands behind what it acted on.
            (what, why) = match what.rsplit_once(": ") {
                Some((what, why)) => (what.to_owned(), why.to_owned()),
                None => (what, "refused".to_owned()),
            };
        }
        let console = console.trim();
        if !console.is_empty() {
            why = format!("{why}; the guest's console said last: {}", printable(console));
        }
        Err(MachineError::Launch { step, what, source: std::io::Error::new(number.kind(), why) })
    }
}

/// What a guest wrote, without what a terminal would obey, and its end only.
fn printable(text: &str) -> String {
    const MOST: usize = 600;
    let clean: Vec<char> =
        text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    clean[clean.len().saturating_sub(MOST)..].iter().collect()
}

/// The launch socket.
#[derive(Debug)]
pub struct Conversation {
    stream: UnixStream,
    decoder: Decoder,
    patience: Duration,
    cancel: Option<Cancel>,
}

impl Conversation {
    /// Over one end of a pair; each report may take this long.
    #[must_use]
    pub fn new(stream: UnixStream, patience: Duration) -> Self {
        Self { stream, decoder: Decoder::default(), patience, cancel: None }
    }

    /// One whose reports are no longer awaited once `cancel` says so.
    #[must_use]
    pub fn until(self, cancel: Option<&Cancel>) -> Self {
        Self { cancel: cancel.cloned(), ..self }
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The other side is gone.
    pub fn send(
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

    /// The next report; a failure is an error here.
    ///
    /// # Errors
    /// The launcher's failure; or it is late, gone, or not to be understood; or cancelled.
    pub fn report<R: Report>(&mut self) -> Result<R, MachineError> {
        loop {
            let next = self.decoder.next::<R>().map_err(std::io::Error::other);
            if let Some(report) = next.doing("understand", "the launcher").map_err(failure)? {
                return report.good();
            }
            if !self.wait()? {
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

    /// Whether something came within the patience.
    fn wait(&self) -> Result<bool, MachineError> {
        let Some(cancel) = &self.cancel else {
            return process::wait_readable(self.stream.as_fd(), Some(self.patience))
                .map_err(failure);
        };
        let until = Instant::now() + self.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut waited = [
                PollFd::new(&self.stream, PollFlags::IN),
                PollFd::from_borrowed_fd(cancel.as_descriptor(), PollFlags::IN),
            ];
            match poll(&mut waited, Some(&timeout)) {
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(errno).doing("wait for", "the launcher").map_err(failure);
                }
                Ok(_) if !waited[1].revents().is_empty() => {
                    return Err(GuestError::Cancelled.into());
                }
                Ok(ready) => return Ok(ready > 0),
            }
        }
    }

    /// Gives the launch up, and returns once nothing of it is left.
    pub fn abandon(self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_that_failed_says_what_its_console_said_last() {
        let console = format!("{}\u{1b}[31mKernel panic", "x".repeat(5000));
        let failed =
            VmReport::Failed { step: "boot".into(), what: "the guest".into(), errno: 0, console };
        let error = failed.good().unwrap_err().to_string();
        assert!(error.ends_with("Kernel panic"), "{error}");
        assert!(error.len() < 1000 && !error.contains('\u{1b}'), "{error}");
    }
}
