//! Tar as a stream of entries, every header bounded.
//!
//! Reads ustar, GNU long names and pax; refuses sparse files. Written by hand above
//! `tar::Header` because the crate's own reader takes long names and pax headers of any size
//! into memory. Does not judge names: that is `names.rs`.

use std::io::Read;

use tar::{EntryType, Header};

use super::failure::{Bound, Refusal, UnpackError};
use super::pax::{self, Pax};

/// The most an extended header (long name, pax records) may hold.
const EXTENDED_MOST: u64 = 1 << 20;
const BLOCK: u64 = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    Symlink,
    HardLink,
    Device,
    Fifo,
}

/// One entry's header, extensions applied.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: i64,
    pub(super) capability: Option<Vec<u8>>,
}

/// A tar being read.
pub(super) struct TarStream<R> {
    source: R,
    /// Content of the current entry not read yet, and the padding behind it.
    content: u64,
    padding: u64,
}

impl<R: Read> TarStream<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, content: 0, padding: 0 }
    }

    pub(super) fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// The next entry; what was left of the one before is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, UnpackError> {
        let mut long_name = None;
        let mut long_link = None;
        let mut records = Pax::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = field(&header, "size", &header.as_old().size, header.entry_size())?;
            match header.entry_type() {
                EntryType::GNULongName => long_name = Some(self.extended(size, true)?),
                EntryType::GNULongLink => long_link = Some(self.extended(size, true)?),
                EntryType::XHeader => records = pax::parse(&self.extended(size, false)?)?,
                EntryType::XGlobalHeader => drop(self.extended(size, false)?),
                // A GNU volume label carries nothing.
                other if other.as_byte() == b'V' => self.content_follows(size),
                _ => {
                    let entry = entry(&header, size, long_name, long_link, records)?;
                    self.content_follows(entry.size);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Reads content of the current entry; 0 at its end.
    pub(super) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let most = buffer.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
        let Some(wanted) = buffer.get_mut(..most).filter(|wanted| !wanted.is_empty()) else {
            return Ok(0);
        };
        loop {
            match self.source.read(wanted) {
                Ok(0) => return Err(truncated()),
                Ok(count) => {
                    self.content -= count as u64;
                    return Ok(count);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(UnpackError::from_reader(e)),
            }
        }
    }

    fn content_follows(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    fn skip_rest(&mut self) -> Result<(), UnpackError> {
        let rest = self.content.saturating_add(self.padding);
        (self.content, self.padding) = (0, 0);
        let skipped = std::io::copy(&mut (&mut self.source).take(rest), &mut std::io::sink())
            .map_err(UnpackError::from_reader)?;
        if skipped == rest { Ok(()) } else { Err(truncated()) }
    }

    /// One header block; `None` at the two zero blocks of the end, or at the end of the bytes.
    fn header(&mut self) -> Result<Option<Header>, UnpackError> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().all(|byte| *byte == 0) {
            return match self.block()? {
                Some(next) if next.iter().any(|byte| *byte != 0) => {
                    Err(UnpackError::malformed("a header follows the end mark"))
                }
                _ => Ok(None),
            };
        }
        let header = Header::from_byte_slice(&block).clone();
        // The sum is taken with the checksum's own field as spaces.
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(UnpackError::malformed("not a tar, tar.gz or tar.zst (header checksum)"));
        }
        Ok(Some(header))
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK as usize]>, UnpackError> {
        let mut block = [0; BLOCK as usize];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.source.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(truncated()),
                Ok(count) => filled += count,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(UnpackError::from_reader(e)),
            }
        }
        Ok(Some(block))
    }

    /// The content of an extended header, `text` cut at its first NUL.
    fn extended(&mut self, size: u64, text: bool) -> Result<Vec<u8>, UnpackError> {
        if size > EXTENDED_MOST {
            let bound = Bound::ExtendedHeader;
            return Err(UnpackError::too_large(b"header", bound, EXTENDED_MOST));
        }
        self.content_follows(size);
        let mut bytes = Vec::new();
        let read = (&mut self.source)
            .take(size)
            .read_to_end(&mut bytes)
            .map_err(UnpackError::from_reader)?;
        self.content = 0;
        if read as u64 != size {
            return Err(truncated());
        }
        if text && let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            bytes.truncate(end);
        }
        Ok(bytes)
    }
}

fn truncated() -> UnpackError {
    UnpackError::malformed("it ends in the middle of an entry")
}

/// A number of the header; a field left blank is 0, as every tar takes it.
fn field<T: Default>(
    header: &Header,
    name: &str,
    stored: &[u8],
    value: std::io::Result<T>,
) -> Result<T, UnpackError> {
    match value {
        Ok(value) => Ok(value),
        Err(_) if stored.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(T::default()),
        Err(_) => {
            let entry = super::failure::printable(&header.path_bytes());
            Err(UnpackError::malformed(format!("the {name} of `{entry}` is not a number")))
        }
    }
}

fn entry(
    header: &Header,
    size: u64,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Pax,
) -> Result<Entry, UnpackError> {
    let name = pax.path.or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
    let refuse = |reason| Err(UnpackError::refused(&name, reason));
    let in_header = || header.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
    let link = pax.link.or(long_link).unwrap_or_else(in_header);
    let kind = match header.entry_type() {
        // Before ustar, a trailing slash was what made a directory.
        EntryType::Regular if name.ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous => EntryKind::File,
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink,
        EntryType::Link => EntryKind::HardLink,
        EntryType::Char | EntryType::Block => EntryKind::Device,
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::GNUSparse => return refuse(Refusal::Sparse),
        _ => return refuse(Refusal::UnknownType),
    };
    if pax.sparse {
        return refuse(Refusal::Sparse);
    }
    Ok(Entry {
        // Entries that are only a header have no content, whatever their size field says.
        size: if kind == EntryKind::File { pax.size.unwrap_or(size) } else { 0 },
        mode: field(header, "mode", &header.as_old().mode, header.mode())?,
        uid: pax
            .uid
            .map_or_else(|| field(header, "uid", &header.as_old().uid, header.uid()), Ok)?,
        gid: pax
            .gid
            .map_or_else(|| field(header, "gid", &header.as_old().gid, header.gid()), Ok)?,
        // A time before 1970 or out of range is no reason to refuse.
        mtime: pax.mtime.or_else(|| i64::try_from(header.mtime().ok()?).ok()).unwrap_or(0),
        capability: pax.capability,
        kind,
        link,
        name,
    })
}
