//! QEMU's control socket: one JSON object on each line, both ways.
//!
//! Promises: a line is bounded, nothing blocks, and what QEMU says decides nothing but how the
//! steps of the start go on (a broken-out guest could say anything here).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_sys::{Context, Result, SysError, socket};
use rustix::io::{Errno, read};
use serde::Deserialize;

/// The longest line; QEMU's greeting and events have a few hundred bytes.
const LONGEST: usize = 64 << 10;

/// What QEMU said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A command was done; its number.
    Done(u64),
    /// A command failed: its number, and why.
    Refused(u64, String),
    /// Something happened: its name, and its data's `status` where it has one.
    Event(String, Option<String>),
    /// The greeting, and anything else that needs no answer.
    Other,
}

/// The connection.
pub(super) struct Qmp {
    socket: OwnedFd,
    buffer: Vec<u8>,
    /// Where the first line begins that was not taken yet.
    start: usize,
    next: u64,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "return")]
    returned: Option<serde_json::Value>,
    error: Option<Failure>,
    id: Option<u64>,
    event: Option<String>,
    data: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Failure {
    desc: String,
}

impl Qmp {
    /// `socket` does not block.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: Vec::new(), start: 0, next: 1 }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends a command, with a descriptor where it takes one; its number. Commands may be sent
    /// before QEMU is there: they are done in order.
    ///
    /// # Errors
    /// QEMU is gone, or takes nothing more.
    pub(super) fn command(
        &mut self,
        name: &str,
        arguments: &serde_json::Value,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<u64> {
        let number = self.next;
        self.next += 1;
        let mut command = serde_json::json!({ "execute": name, "id": number });
        if !arguments.is_null() {
            command["arguments"] = arguments.clone();
        }
        let line = format!("{command}\n");
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        socket::send(&self.socket, line.as_bytes(), &descriptors)?;
        Ok(number)
    }

    /// Takes what has arrived, or of a flood a part; `false` once QEMU is gone. Lines are taken
    /// (`next`) before there is more.
    ///
    /// # Errors
    /// A line is too long.
    pub(super) fn fill(&mut self) -> Result<bool> {
        let mut scratch = [0; 4096];
        loop {
            match read(&self.socket, &mut scratch) {
                Ok(0) => return Ok(false),
                Ok(bytes) => self.buffer.extend_from_slice(&scratch[..bytes]),
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(_) => return Ok(false),
            }
            let waiting = &self.buffer[self.start..];
            if waiting.len() > LONGEST {
                if waiting.contains(&b'\n') {
                    return Ok(true);
                }
                return Err(SysError::invalid("hear from", &"QEMU", "its line is too long"));
            }
        }
    }

    /// The next whole line, understood.
    ///
    /// # Errors
    /// It is no object of the protocol.
    pub(super) fn next(&mut self) -> Result<Option<Said>> {
        let waiting = &self.buffer[self.start..];
        let Some(end) = waiting.iter().position(|byte| *byte == b'\n') else {
            self.buffer.drain(..self.start);
            self.start = 0;
            return Ok(None);
        };
        self.start += end + 1;
        understand(&waiting[..=end]).map(Some)
    }
}

fn understand(line: &[u8]) -> Result<Said> {
    let line: Line = serde_json::from_slice(line)
        .map_err(std::io::Error::from)
        .doing("understand", "QEMU's control socket")?;
    let number = line.id.unwrap_or(0);
    Ok(if let Some(event) = line.event {
        let status = line.data.as_ref().and_then(|data| data.get("status")?.as_str());
        Said::Event(event, status.map(str::to_owned))
    } else if let Some(error) = line.error {
        Said::Refused(number, error.desc)
    } else if line.returned.is_some() {
        Said::Done(number)
    } else {
        Said::Other
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        os::unix::net::UnixStream,
    };

    use super::*;

    fn pair() -> (Qmp, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        (Qmp::new(here.into()), there)
    }

    #[test]
    fn lines_are_understood_however_they_arrive() {
        let text = concat!(
            "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22}}, \"capabilities\": [\"oob\"]}}\r\n",
            "{\"return\": {}, \"id\": 1}\r\n",
            "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no \\\"x\\\"\"}}\r\n",
            "{\"timestamp\": {\"seconds\": 1}, \"event\": \"MIGRATION\", ",
            "\"data\": {\"status\": \"completed\"}}\r\n",
            "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n",
        );
        let expected = [
            Said::Other,
            Said::Done(1),
            Said::Refused(2, "no \"x\"".to_owned()),
            Said::Event("MIGRATION".to_owned(), Some("completed".to_owned())),
            Said::Event("SHUTDOWN".to_owned(), None),
        ];
        for cut in 0..text.len() {
            let (mut qmp, mut qemu) = pair();
            let mut seen = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                qemu.write_all(part.as_bytes()).unwrap();
                assert!(qmp.fill().unwrap());
                while let Some(said) = qmp.next().unwrap() {
                    seen.push(said);
                }
            }
            assert_eq!(seen, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_an_end_and_nonsense_are_refused() {
        let (mut qmp, mut qemu) = pair();
        let writer = std::thread::spawn(move || qemu.write_all(&vec![b'x'; LONGEST + 8192]));
        let refused = loop {
            match qmp.fill() {
                Ok(true) => {}
                other => break other,
            }
        };
        assert!(refused.is_err());
        drop(qmp);
        // It may have been written whole by then.
        let _ = writer.join().unwrap();
        for line in ["nonsense\n", "[]\n", "{\"error\": 5}\n", "{\"id\": \"a\"}\n"] {
            assert!(understand(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn many_lines_at_once_are_no_long_line() {
        let (mut qmp, mut qemu) = pair();
        let line = "{\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"reason\": \"No space left\"}}\r\n";
        // More than one line may have, and less than the socket takes.
        let count = 3 * LONGEST / 2 / line.len();
        qemu.write_all(line.repeat(count).as_bytes()).unwrap();
        let mut seen = 0;
        while seen < count {
            assert!(qmp.fill().unwrap());
            while let Some(said) = qmp.next().unwrap() {
                assert_eq!(said, Said::Event("BLOCK_IO_ERROR".to_owned(), None));
                seen += 1;
            }
            assert!(qmp.buffer.len() < LONGEST);
        }
    }

    #[test]
    fn commands_are_numbered_lines() {
        let (mut qmp, qemu) = pair();
        assert_eq!(qmp.command("stop", &serde_json::Value::Null, None).unwrap(), 1);
        let uri = serde_json::json!({ "uri": "fd:7" });
        assert_eq!(qmp.command("migrate-incoming", &uri, None).unwrap(), 2);
        let mut lines = BufReader::new(qemu).lines();
        assert_eq!(lines.next().unwrap().unwrap(), r#"{"execute":"stop","id":1}"#);
        let second = lines.next().unwrap().unwrap();
        assert_eq!(second, r#"{"execute":"migrate-incoming","id":2,"arguments":{"uri":"fd:7"}}"#);
        drop(lines);
        assert!(!qmp.fill().unwrap());
    }
}
