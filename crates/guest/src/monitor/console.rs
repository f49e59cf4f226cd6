//! The guest's console and QEMU's own complaints: the last of them are kept, to say why a machine
//! ended. The guest writes what it likes there; only plain text of a bounded length is quoted.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use pyro_protocol::vm::MAX_WORDS;
use pyro_sys::process::Ended;
use rustix::io::{Errno, read};

/// Bytes kept.
const KEPT: usize = 8 << 10;
/// The longest line that is quoted.
const QUOTED: usize = 300;

/// Both, as one stream.
pub(super) struct Console {
    stream: OwnedFd,
    tail: VecDeque<u8>,
}

impl Console {
    /// `stream` does not block.
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self { stream, tail: VecDeque::new() }
    }

    pub(super) fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Takes what one read gives; `false` when there was nothing, or nothing more comes.
    pub(super) fn fill(&mut self) -> bool {
        let mut scratch = [0; KEPT];
        match read(&self.stream, &mut scratch) {
            Ok(bytes @ 1..) => {
                self.keep(&scratch[..bytes]);
                true
            }
            Err(Errno::INTR) => true,
            Ok(_) | Err(_) => false,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        let over = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..over);
    }

    /// The last words, for a report.
    pub(super) fn text(&self) -> String {
        let from = self.tail.len().saturating_sub(MAX_WORDS);
        let plain = self.tail.iter().skip(from).map(|byte| match byte {
            b'\n' => '\n',
            b' '..=b'~' => char::from(*byte),
            b'\r' => '\u{0}',
            _ => '.',
        });
        plain.filter(|letter| *letter != '\u{0}').collect()
    }

    /// Why the machine ended, fit after "the machine ended: ".
    pub(super) fn why(&self, ended: Option<Ended>) -> String {
        let text = self.text();
        let find = |words: &str| {
            let line = text.lines().rev().find(|line| line.contains(words))?;
            Some(line[line.find(words).unwrap_or(0)..].chars().take(QUOTED).collect::<String>())
        };
        if let Some(line) = find("Kernel panic") {
            return match find("Out of memory") {
                Some(memory) => format!("its kernel says: {memory}; {line}"),
                None => format!("its kernel says: {line}"),
            };
        }
        let last = || {
            let line = text.lines().rev().find(|line| !line.trim().is_empty());
            line.map(|line| line.chars().take(QUOTED).collect::<String>())
        };
        match (ended, last()) {
            (Some(Ended::Signal(signal)), _) => format!("signal {signal} ended QEMU"),
            (Some(Ended::Code(0)) | None, _) => "the VM was switched off from inside".to_owned(),
            (Some(Ended::Code(code)), Some(line)) => format!("QEMU ended with code {code}: {line}"),
            (Some(Ended::Code(code)), None) => format!("QEMU ended with code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &[u8]) -> Console {
        let (here, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut console = Console::new(here.into());
        console.keep(text);
        console
    }

    #[test]
    fn the_panic_is_quoted_and_nothing_that_is_no_text() {
        let mut text = vec![b'x'; 20_000];
        text.extend_from_slice(
            b"\n[  1.0] Kernel panic - not syncing: Attempted to kill init!\r\n",
        );
        text.extend_from_slice(b"[  1.1] \x1b[31mRebooting");
        let console = console(&text);
        assert_eq!(
            console.why(Some(Ended::Code(0))),
            "its kernel says: Kernel panic - not syncing: Attempted to kill init!"
        );
        assert!(console.text().len() <= MAX_WORDS);
        assert!(console.text().ends_with(".[31mRebooting"));
    }

    #[test]
    fn without_a_panic_the_end_itself_is_said() {
        assert_eq!(console(b"").why(Some(Ended::Signal(9))), "signal 9 ended QEMU");
        assert_eq!(
            console(b"a\nqemu: no\n\n").why(Some(Ended::Code(1))),
            "QEMU ended with code 1: qemu: no"
        );
    }
}
