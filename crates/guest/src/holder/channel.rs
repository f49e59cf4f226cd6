//! Frames with descriptors over the launch socket.

use std::os::fd::{AsFd, OwnedFd};

use pyro_protocol::{Decoder, encode};
use pyro_sys::{Context, Result, SysError, socket};
use serde::{Serialize, de::DeserializeOwned};

/// Sends one frame.
///
/// # Errors
/// The peer is gone.
pub(crate) fn send(to: impl AsFd, frame: &impl Serialize) -> Result<()> {
    let mut wire = Vec::new();
    encode(frame, &mut wire).map_err(std::io::Error::other).doing("encode", "a launch frame")?;
    socket::send(to, &wire, &[])
}

/// Receives one frame and the descriptors that came with it; the peer sends nothing after it until
/// it is answered.
///
/// # Errors
/// The peer is gone or makes no sense.
pub(crate) fn receive<T: DeserializeOwned>(from: impl AsFd) -> Result<(T, Vec<OwnedFd>)> {
    let mut decoder = Decoder::default();
    let mut descriptors = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let bytes = socket::receive(&from, &mut buffer, &mut descriptors)?;
        if bytes == 0 {
            return Err(SysError::invalid("hear from", &"pyro", "it went away"));
        }
        decoder.push(&buffer[..bytes]);
        let frame = decoder.next().map_err(std::io::Error::other);
        if let Some(frame) = frame.doing("understand", "a launch frame")? {
            return Ok((frame, descriptors));
        }
    }
}
