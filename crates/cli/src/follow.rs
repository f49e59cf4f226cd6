//! A running command's output, as it comes: raw bytes, no lines, no waiting.

use std::{
    fs::File,
    io::{self, IsTerminal, Write, stderr, stdout},
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use pyro::{Cancel, Live, LiveSink, OutputStream};

/// What was passed on.
#[derive(Debug)]
pub(crate) struct Followed {
    streams: Mutex<[Stream; 2]>,
    broken: AtomicBool,
}

#[derive(Debug)]
struct Stream {
    file: File,
    bytes: u64,
    ends_a_line: bool,
    is_terminal: bool,
}

impl Followed {
    /// Passes output on to this process's own. A reader that went away cancels the call, so that
    /// the command does not run on for nobody.
    pub(crate) fn start(cancel: Cancel) -> io::Result<(Arc<Self>, LiveSink)> {
        let stream = |fd: io::Result<std::os::fd::OwnedFd>, is_terminal| {
            fd.map(|fd| Stream { file: fd.into(), bytes: 0, ends_a_line: true, is_terminal })
        };
        let streams = [
            stream(stdout().as_fd().try_clone_to_owned(), stdout().is_terminal())?,
            stream(stderr().as_fd().try_clone_to_owned(), stderr().is_terminal())?,
        ];
        let followed =
            Arc::new(Self { streams: Mutex::new(streams), broken: AtomicBool::new(false) });
        let passing = followed.clone();
        let sink: LiveSink = Arc::new(move |live| {
            if let Live::Output(stream, bytes) = live
                && passing.pass(stream, bytes).is_err()
                && !passing.broken.swap(true, Ordering::SeqCst)
            {
                cancel.cancel();
            }
        });
        Ok((followed, sink))
    }

    fn pass(&self, which: OutputStream, bytes: &[u8]) -> io::Result<()> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = &mut streams[usize::from(which == OutputStream::Stderr)];
        if let Some(last) = bytes.last() {
            stream.ends_a_line = *last == b'\n';
            stream.bytes += bytes.len() as u64;
        }
        stream.file.write_all(bytes)
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// What the reply holds and was not passed on, and the newline that a terminal needs.
    pub(crate) fn finish(&self, texts: [&str; 2]) {
        for (which, text) in [OutputStream::Stdout, OutputStream::Stderr].into_iter().zip(texts) {
            let nothing_came = {
                let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
                streams[usize::from(which == OutputStream::Stderr)].bytes == 0
            };
            if nothing_came {
                let _ = self.pass(which, text.as_bytes());
            }
        }
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.iter_mut().filter(|stream| stream.is_terminal && !stream.ends_a_line)
        {
            stream.ends_a_line = true;
            let _ = stream.file.write_all(b"\n");
        }
    }
}
