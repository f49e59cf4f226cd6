//! Frames on the wire: four bytes of little-endian length, then postcard.
//!
//! `encode` appends one frame to a buffer; `Decoder` takes bytes as they arrive and yields whole
//! frames. A length over `MAX_FRAME` is an error before anything is allocated for it.

use serde::{Serialize, de::DeserializeOwned};

use crate::MAX_FRAME;

/// Why bytes are not a frame. The stream cannot be used after it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The peer announced (or we would send) more than `MAX_FRAME`.
    #[error("take a frame of {bytes} bytes: at most {MAX_FRAME} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The frame's bytes are not one message of this version.
    #[error("decode a frame: {0}")]
    Malformed(postcard::Error),
}

/// Appends `frame` to `out`.
///
/// # Errors
/// `TooLong` when it does not fit; `out` is then as it was.
pub fn encode<T: Serialize>(frame: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let taken = std::mem::take(out);
    match postcard::to_extend(frame, taken) {
        Ok(filled) => *out = filled,
        Err(error) => return Err(CodecError::Malformed(error)),
    }
    let bytes = out.len() - start - 4;
    if bytes > MAX_FRAME {
        out.truncate(start);
        return Err(CodecError::TooLong { bytes });
    }
    let length = u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    out[start..start + 4].copy_from_slice(&length);
    Ok(())
}

/// Collects bytes and yields frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start == self.buffer.len() {
            // One long frame does not cost its memory for ever.
            self.buffer.clear();
            self.buffer.shrink_to(64 << 10);
            self.start = 0;
        } else if self.start > MAX_FRAME {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// The stream is broken for good: a length over the bound, or bytes that are no message.
    #[expect(clippy::should_implement_trait, reason = "what comes next may be of several types")]
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CodecError> {
        let waiting = &self.buffer[self.start..];
        let Some((head, rest)) = waiting.split_first_chunk::<4>() else { return Ok(None) };
        let bytes = u32::from_le_bytes(*head) as usize;
        if bytes > MAX_FRAME {
            return Err(CodecError::TooLong { bytes });
        }
        let Some(body) = rest.get(..bytes) else { return Ok(None) };
        let (frame, left) = postcard::take_from_bytes(body).map_err(CodecError::Malformed)?;
        if !left.is_empty() {
            return Err(CodecError::Malformed(postcard::Error::SerdeDeCustom));
        }
        self.start += 4 + bytes;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{HostFrame, HostMessage};

    fn frame() -> HostFrame {
        HostFrame { call: 7, message: HostMessage::Credit { bytes: 42 } }
    }

    #[test]
    fn frames_survive_any_split() {
        let mut wire = Vec::new();
        encode(&frame(), &mut wire).unwrap();
        encode(&frame(), &mut wire).unwrap();
        for cut in 0..wire.len() {
            let mut decoder = Decoder::default();
            let mut seen = 0;
            for part in [&wire[..cut], &wire[cut..]] {
                decoder.push(part);
                while let Some(got) = decoder.next::<HostFrame>().unwrap() {
                    assert_eq!(got, frame());
                    seen += 1;
                }
            }
            assert_eq!(seen, 2, "cut at {cut}");
        }
    }

    #[test]
    fn a_long_announcement_is_refused_before_it_arrives() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next::<HostFrame>(), Err(CodecError::TooLong { .. })));
    }

    #[test]
    fn trailing_bytes_in_a_frame_are_refused() {
        let mut wire = Vec::new();
        encode(&frame(), &mut wire).unwrap();
        wire.push(0);
        let length = u32::try_from(wire.len() - 4).unwrap().to_le_bytes();
        wire[..4].copy_from_slice(&length);
        let mut decoder = Decoder::default();
        decoder.push(&wire);
        assert!(decoder.next::<HostFrame>().is_err());
    }
}
