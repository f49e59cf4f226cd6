//! Tells when standard input ends: the client went away. The server cannot wait for what runs.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::watch,
};

/// A reader that says when it is at its end.
pub(crate) struct EndOfInput<R> {
    reader: R,
    ended: watch::Sender<bool>,
}

impl<R> EndOfInput<R> {
    /// The reader, and what becomes true at its end.
    pub(crate) fn new(reader: R) -> (Self, watch::Receiver<bool>) {
        let (ended, seen) = watch::channel(false);
        (Self { reader, ended }, seen)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for EndOfInput<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.reader).poll_read(context, buffer);
        let at_end = match &polled {
            Poll::Ready(Ok(())) => buffer.filled().len() == before && buffer.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if at_end {
            self.ended.send_replace(true);
        }
        polled
    }
}
