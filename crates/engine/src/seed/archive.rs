//! An archive as a seed: known by the digest of its bytes, unpacked by the caller's unpacker.
//!
//! Tar, and tar compressed with gzip or zstd, told by their first bytes. What is unpacked stays
//! as it is, also a single top-level directory and a `.git`: no host program ever looks into it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::SeedError;
use super::beneath::open_settled;

/// Opens an archive by its canonical path, digests it and makes sure that it is one. What was
/// digested is what is unpacked: the file is opened once, and given back at its beginning.
pub(crate) fn open(path: &Path, most: u64) -> Result<(File, Sha256), SeedError> {
    let fail = |source| SeedError::source(path, source);
    // A named pipe would hold its opener for ever.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = File::from(open_settled(path, flags).map_err(|errno| fail(errno.into()))?);
    let metadata = file.metadata().map_err(fail)?;
    let what = || path.display().to_string();
    if !metadata.is_file() {
        let why = "it is neither a directory nor an archive file".into();
        return Err(SeedError::InvalidArgument { what: what(), why });
    }
    if metadata.len() > most {
        return Err(SeedError::TooLarge { what: what(), limit: format!("{} GiB", most >> 30) });
    }
    let mut head = [0; 512];
    let mut known = 0;
    while known < head.len() {
        match file.read(&mut head[known..]).map_err(fail)? {
            0 => break,
            count => known += count,
        }
    }
    if !is_archive(&head[..known]) {
        let why = "it is no tar, tar.gz or tar.zst archive".into();
        return Err(SeedError::InvalidArgument { what: what(), why });
    }
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    let mut digest = Sha256::new();
    digest.update(b"archive\0");
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => digest.update(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    Ok((file, digest))
}

fn is_archive(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
        || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || head.get(257..262) == Some(b"ustar")
        || is_old_tar(head)
}

/// Archives from before `ustar` have no magic, but a checksum over the header block.
fn is_old_tar(head: &[u8]) -> bool {
    let Some(field) = head.get(148..156).filter(|_| head.len() == 512) else { return false };
    let digits: String = field
        .iter()
        .map(|byte| char::from(*byte))
        .skip_while(|letter| *letter == ' ')
        .take_while(|letter| ('0'..='7').contains(letter))
        .collect();
    let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = field.iter().map(|byte| u64::from(*byte)).sum();
    u64::from_str_radix(&digits, 8).is_ok_and(|stated| stated == sum - own + 8 * 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_by_their_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = root.join("x.tar");
        for (bytes, good) in [
            (b"\x1f\x8b rest".to_vec(), true),
            (b"\x28\xb5\x2f\xfd rest".to_vec(), true),
            ([vec![b'a'; 257], b"ustar\0".to_vec(), vec![0; 300]].concat(), true),
            (b"#!/bin/sh\n".to_vec(), false),
            (Vec::new(), false),
            (vec![0; 1024], false),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let made = open(&path, 1 << 20);
            assert_eq!(made.is_ok(), good);
            assert!(good || made.unwrap_err().code() == "invalid_argument");
        }
        std::fs::write(&path, b"\x1f\x8b rest").unwrap();
        assert_eq!(open(&path, 3).unwrap_err().code(), "too_large");
        assert_eq!(open(&root, 3).unwrap_err().code(), "invalid_argument");
        assert_eq!(open(&root.join("absent"), 3).unwrap_err().code(), "not_found");
    }
}
