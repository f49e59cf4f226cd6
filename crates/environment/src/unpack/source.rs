//! The bytes of an archive: compression found by its magic, size, expansion and digest bounded
//! and checked while they stream by.
//!
//! Promises: never buffers more than its decoder's window; every bound is checked before the
//! caller sees the bytes. Does not know tar.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::failure::{Bound, UnpackError};
use super::plan::{ExpectedArchive, Limits};

/// What has been read of the packed bytes so far.
struct Packed {
    bytes: u64,
    digest: Option<Sha256>,
}

/// The packed bytes, counted and hashed.
struct Metered<R> {
    inner: R,
    seen: Rc<RefCell<Packed>>,
    most: Option<u64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let mut seen = self.seen.borrow_mut();
        seen.bytes += count as u64;
        if let Some(most) = self.most.filter(|most| seen.bytes > *most) {
            return Err(std::io::Error::other(UnpackError::Mismatch {
                what: "size".into(),
                expected: most.to_string(),
                found: "more".into(),
            }));
        }
        if let (Some(digest), Some(read)) = (seen.digest.as_mut(), buffer.get(..count)) {
            digest.update(read);
        }
        Ok(count)
    }
}

enum Decoder<R: Read> {
    Plain(BufReader<Metered<R>>),
    Gzip(Box<MultiGzDecoder<BufReader<Metered<R>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Metered<R>>>>),
}

/// The uncompressed archive.
pub(super) struct ArchiveBytes<R: Read> {
    decoder: Decoder<R>,
    seen: Rc<RefCell<Packed>>,
    limits: Limits,
    unpacked: u64,
}

impl<R: Read> ArchiveBytes<R> {
    /// Looks at the first bytes and chooses the decoder.
    pub(super) fn open(
        inner: R,
        limits: Limits,
        expected: Option<&ExpectedArchive>,
    ) -> Result<Self, UnpackError> {
        let digest = expected.map(|_| Sha256::new());
        let seen = Rc::new(RefCell::new(Packed { bytes: 0, digest }));
        let metered = Metered { inner, seen: Rc::clone(&seen), most: expected.map(|e| e.bytes) };
        let mut buffered = BufReader::with_capacity(128 << 10, metered);
        let start = buffered.fill_buf().map_err(UnpackError::from_reader)?;
        let decoder = if start.starts_with(&[0x1f, 0x8b]) {
            Decoder::Gzip(Box::new(MultiGzDecoder::new(buffered)))
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let zstd = zstd::stream::read::Decoder::with_buffer(buffered)
                .map_err(UnpackError::from_reader)?;
            Decoder::Zstd(Box::new(zstd))
        } else {
            Decoder::Plain(buffered)
        };
        Ok(Self { decoder, seen, limits, unpacked: 0 })
    }

    /// Bytes of the uncompressed archive read so far.
    pub(super) fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// Reads what follows the archive's end (a pipe's writer must not be cut off, a digest needs
    /// every byte), and checks the promise.
    pub(super) fn finish(&mut self, expected: Option<&ExpectedArchive>) -> Result<(), UnpackError> {
        std::io::copy(self, &mut std::io::sink()).map_err(UnpackError::from_reader)?;
        let rest: &mut dyn Read = match &mut self.decoder {
            Decoder::Plain(raw) => raw,
            Decoder::Gzip(gzip) => gzip.get_mut(),
            Decoder::Zstd(zstd) => zstd.get_mut(),
        };
        std::io::copy(rest, &mut std::io::sink()).map_err(UnpackError::from_reader)?;
        let Some(expected) = expected else { return Ok(()) };
        let mut seen = self.seen.borrow_mut();
        let mismatch = |what: &str, expected: String, found: String| {
            Err(UnpackError::Mismatch { what: what.into(), expected, found })
        };
        if seen.bytes != expected.bytes {
            return mismatch("size", expected.bytes.to_string(), seen.bytes.to_string());
        }
        let found = crate::digest::hex(&seen.digest.take().unwrap_or_default().finalize());
        if found != expected.sha256 {
            return mismatch("digest", expected.sha256.clone(), found);
        }
        Ok(())
    }
}

impl<R: Read> Read for ArchiveBytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = match &mut self.decoder {
            Decoder::Plain(raw) => raw.read(buffer)?,
            Decoder::Gzip(gzip) => gzip.read(buffer)?,
            Decoder::Zstd(zstd) => zstd.read(buffer)?,
        };
        self.unpacked += count as u64;
        let over = |bound, limit| {
            Err(std::io::Error::other(UnpackError::too_large(b"archive", bound, limit)))
        };
        if self.unpacked > self.limits.bytes {
            return over(Bound::Bytes, self.limits.bytes);
        }
        let packed = self.seen.borrow().bytes;
        let most = packed.saturating_mul(self.limits.expansion).max(self.limits.expansion_floor);
        if self.unpacked > most {
            return over(Bound::Expansion, self.limits.expansion);
        }
        Ok(count)
    }
}
