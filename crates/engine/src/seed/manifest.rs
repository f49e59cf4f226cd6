//! The list of a layer's merged tree, kept beside it so that the next layer can hold only what
//! differs.
//!
//! Format 1: the line `pyro-seed-manifest 1`, a count, then per path, sorted: length (u16),
//! flags (u8), size (u64), identity (16 bytes), path; all little-endian; then `end\n`. A file
//! that does not read to its end mark is damaged.

use std::io::Write;
use std::path::Path;

use super::SeedError;
use super::beneath::{lies_in, parent};
use super::listing::{ABSENT, Entry, Identity};

const MAGIC: &[u8] = b"pyro-seed-manifest 1\n";
const END: &[u8] = b"end\n";
const FIXED: usize = 2 + 1 + 8 + 16;

/// Writes the manifest of a listing.
pub(crate) fn write(path: &Path, entries: &[Entry]) -> Result<(), SeedError> {
    let fail = |source| SeedError::io("write", path, source);
    let mut bytes = Vec::with_capacity(entries.len() * 80 + 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    for entry in entries {
        let len = u16::try_from(entry.path.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.push(entry.flags);
        bytes.extend_from_slice(&entry.size.to_le_bytes());
        bytes.extend_from_slice(&entry.identity);
        bytes.extend_from_slice(&entry.path[..len.into()]);
    }
    bytes.extend_from_slice(END);
    std::fs::File::create(path).and_then(|mut file| file.write_all(&bytes)).map_err(fail)
}

/// A manifest in memory.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

/// One path of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) flags: u8,
    pub(crate) size: u64,
    pub(crate) identity: Identity,
}

impl Manifest {
    pub(crate) fn read(path: &Path) -> Result<Self, SeedError> {
        let bytes = std::fs::read(path).map_err(|source| SeedError::io("read", path, source))?;
        let damaged = |why: &str| SeedError::StoreDamaged { path: path.into(), why: why.into() };
        let mut at = MAGIC.len();
        let count = bytes.get(at..at + 8).filter(|_| bytes.starts_with(MAGIC));
        let count = count.and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
        let count = count.ok_or_else(|| damaged("it is no manifest of this version"))?;
        at += 8;
        let mut starts = Vec::with_capacity(count.min(bytes.len() as u64 / FIXED as u64) as usize);
        for _ in 0..count {
            let len = bytes.get(at..at + 2).ok_or_else(|| damaged("it is cut short"))?;
            let next = at + FIXED + usize::from(u16::from_le_bytes([len[0], len[1]]));
            if next > bytes.len() {
                return Err(damaged("it is cut short"));
            }
            starts.push(at);
            at = next;
        }
        if bytes.get(at..) != Some(END) {
            return Err(damaged("it does not end where it should"));
        }
        Ok(Self { bytes, starts })
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn line(&self, index: usize) -> Option<Line<'_>> {
        let start = *self.starts.get(index)?;
        let end = self.starts.get(index + 1).copied().unwrap_or(self.bytes.len() - END.len());
        let fixed = self.bytes.get(start..start + FIXED)?;
        let mut identity = Identity::default();
        identity.copy_from_slice(&fixed[11..]);
        Some(Line {
            path: self.bytes.get(start + FIXED..end)?,
            flags: fixed[2],
            size: u64::from_le_bytes(fixed[3..11].try_into().ok()?),
            identity,
        })
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        (0..self.len()).filter_map(|index| self.line(index))
    }

    fn first_not_below(&self, path: &[u8]) -> usize {
        self.starts.partition_point(|start| {
            let len = usize::from(u16::from_le_bytes([self.bytes[*start], self.bytes[start + 1]]));
            &self.bytes[start + FIXED..start + FIXED + len] < path
        })
    }

    /// The line of a path.
    pub(crate) fn find(&self, path: &[u8]) -> Option<Line<'_>> {
        self.line(self.first_not_below(path)).filter(|line| line.path == path)
    }

    /// Whether a line below a directory passes a test on its flags.
    pub(crate) fn any_below(&self, dir: &[u8], test: impl Fn(u8) -> bool) -> bool {
        let mut start = dir.to_vec();
        start.push(b'/');
        (self.first_not_below(&start)..self.len())
            .map_while(|index| self.line(index).filter(|line| lies_in(line.path, dir)))
            .any(|line| test(line.flags))
    }
}

/// What a new listing changes over an old manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Places in the new listing that are new or different.
    pub(crate) changed: Vec<usize>,
    /// Paths that stand in the old tree only.
    pub(crate) removed: Vec<Vec<u8>>,
}

/// Compares; entries of the new listing that stay the same take over the old size.
pub(crate) fn compare(old: &Manifest, new: &mut [Entry]) -> Difference {
    let mut difference = Difference::default();
    let mut lines = old.lines().filter(|line| line.flags & ABSENT == 0).peekable();
    for (place, entry) in new.iter_mut().enumerate() {
        if entry.flags & ABSENT != 0 {
            continue;
        }
        while let Some(line) = lines.next_if(|line| line.path < entry.path.as_slice()) {
            difference.removed.push(line.path.to_vec());
        }
        match lines.next_if(|line| line.path == entry.path) {
            Some(line) if line.identity == entry.identity => entry.size = line.size,
            _ => difference.changed.push(place),
        }
    }
    difference.removed.extend(lines.map(|line| line.path.to_vec()));
    difference
}

/// Where whiteouts have to stand so that the removed paths are gone: at the highest directory
/// that has nothing left, and nowhere where the new tree has something itself.
pub(crate) fn whiteouts(removed: &[Vec<u8>], new: &[Entry]) -> Vec<Vec<u8>> {
    let present = |path: &[u8]| {
        new.binary_search_by(|entry| entry.path.as_slice().cmp(path))
            .is_ok_and(|place| new[place].flags & ABSENT == 0)
    };
    let has_below = |dir: &[u8]| {
        let mut start = dir.to_vec();
        start.push(b'/');
        let first = new.partition_point(|entry| entry.path < start);
        new[first..]
            .iter()
            .take_while(|entry| entry.path.starts_with(&start))
            .any(|entry| entry.flags & ABSENT == 0)
    };
    let mut places: Vec<Vec<u8>> = Vec::new();
    for path in removed {
        if places.last().is_some_and(|last| lies_in(path, last)) || has_below(path) {
            continue;
        }
        let mut top = path.as_slice();
        let mut hidden = false;
        while !parent(top).is_empty() {
            let above = parent(top);
            if present(above) {
                // A file now stands where the directory was, which hides everything below; a
                // listed directory stays.
                hidden = !new
                    .binary_search_by(|entry| entry.path.as_slice().cmp(above))
                    .is_ok_and(|place| new[place].from == super::listing::From::Directory);
                break;
            }
            if has_below(above) {
                break;
            }
            top = above;
        }
        if !hidden && !present(top) {
            places.push(top.to_vec());
        }
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::listing::From;

    fn entry(path: &str, identity: u8) -> Entry {
        let path = path.as_bytes().to_vec();
        Entry { path, identity: [identity; 16], flags: 0, from: From::Work, size: 7 }
    }

    fn stored(entries: &[Entry]) -> Manifest {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        write(&path, entries).unwrap();
        Manifest::read(&path).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let entries = [entry("a", 1), entry("a/b", 2), entry("c", 3)];
        let manifest = stored(&entries);
        assert_eq!(manifest.len(), 3);
        assert_eq!(manifest.find(b"a/b").unwrap().identity, [2; 16]);
        assert!(manifest.find(b"b").is_none());
        assert!(manifest.any_below(b"a", |_| true) && !manifest.any_below(b"c", |_| true));
    }

    #[test]
    fn damage_is_noticed_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        write(&path, &[entry("a", 1), entry("bb", 2)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(Manifest::read(&path).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn differences_and_whiteouts() {
        let old = [
            entry("a/x", 1),
            entry("a/y", 1),
            entry("b/c/d", 1),
            entry("b/c/e", 1),
            entry("f", 1),
            entry("g/h", 1),
            entry("same", 1),
        ];
        // a/y gone; b gone as a whole; f becomes a directory; g becomes a file.
        let mut new = [entry("a/x", 2), entry("f/1", 1), entry("g", 1), entry("same", 1)];
        let difference = compare(&stored(&old), &mut new);
        assert_eq!(difference.changed, [0, 1, 2]);
        let removed: Vec<_> = difference.removed.iter().map(|path| path.as_slice()).collect();
        assert_eq!(removed, [b"a/y".as_slice(), b"b/c/d", b"b/c/e", b"f", b"g/h"]);
        let places = whiteouts(&difference.removed, &new);
        let places: Vec<_> = places.iter().map(|path| path.as_slice()).collect();
        assert_eq!(places, [b"a/y".as_slice(), b"b"]);
    }
}
