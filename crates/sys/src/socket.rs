//! Sending descriptors over a socket.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::{Context, Result, SysError};

/// The most descriptors in one message (the kernel's bound is 253).
pub const MAX_DESCRIPTORS: usize = 192;

/// Sends all of `bytes`, with descriptors on the first of them.
///
/// # Errors
/// The peer is gone, or there are too many descriptors.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(SysError::invalid("send", &"descriptors", "too many"));
    }
    let mut sent = 0;
    while sent < bytes.len() {
        let part = [IoSlice::new(&bytes[sent..])];
        match sendmsg(&socket, &part, &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(count) => {
                sent += count;
                ancillary.clear();
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing("send to", "a socket"),
        }
    }
    Ok(())
}

/// Receives at most `buffer` bytes and adds the descriptors that came with them, close-on-exec.
/// 0 bytes: the peer is gone.
///
/// # Errors
/// The stream is broken.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(got) => break got,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing("receive from", "a socket"),
        }
    };
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(arrived) = message {
            descriptors.extend(arrived);
        }
    }
    Ok(got.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::net::UnixStream};

    #[test]
    fn a_descriptor_arrives_as_the_same_open_file() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut left, mut right) = UnixStream::pair().unwrap();
        send(&here, b"take", &[left.as_fd()]).unwrap();
        let (mut buffer, mut arrived) = ([0; 16], Vec::new());
        assert_eq!(receive(&there, &mut buffer, &mut arrived).unwrap(), 4);
        left = UnixStream::from(arrived.pop().unwrap());
        left.write_all(b"x").unwrap();
        std::io::Read::read_exact(&mut right, &mut buffer[..1]).unwrap();
        assert_eq!(buffer[0], b'x');
        drop(here);
        assert_eq!(receive(&there, &mut buffer, &mut arrived).unwrap(), 0);
    }
}
