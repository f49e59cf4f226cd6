//! The names in one directory, in byte order.

use std::{mem::MaybeUninit, os::fd::OwnedFd};

use rustix::{fs::RawDir, io::Result};

/// Names of a directory, and whether there were more than `most`.
pub(super) fn names(directory: &OwnedFd, most: usize) -> Result<(Vec<Vec<u8>>, bool)> {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    let mut more = false;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if names.len() >= most {
            more = true;
            break;
        }
        names.push(name.to_vec());
    }
    names.sort_unstable();
    Ok((names, more))
}

/// `directory/name`, where the directory may be the root.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
