//! The header of an empty qcow2 file over another disk, written by hand: QEMU's own program for it
//! is not needed, and takes longer than the start of a machine.
//!
//! Version 3, clusters of 64 KiB: the header's cluster, one of the refcount table, one refcount
//! block, then the first-level table. The format of the disk below is named in the header, so that
//! nobody ever guesses it from that disk's bytes.

use std::path::Path;

use std::os::unix::ffi::OsStrExt;

/// The largest disk: its first-level table has four clusters.
pub(crate) const MOST_BYTES: u64 = 16 << 40;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// What one entry of the first-level table covers: a cluster of entries of eight bytes.
const COVERED: u64 = CLUSTER / 8 * CLUSTER;
const HEADER_BYTES: u32 = 104;
const BACKING_FORMAT: u32 = 0xe279_2aca;
/// The format's own bound on the name of the disk below.
const MOST_NAME: usize = 1023;

/// The first bytes of an empty file of that size over a raw disk, and the length of the whole file,
/// which is zeros from there on. `None` when the size or the name is out of bounds.
pub(crate) fn empty_over(bytes: u64, below: &Path) -> Option<(Vec<u8>, u64)> {
    let name = below.as_os_str().as_bytes();
    if bytes == 0 || bytes > MOST_BYTES || !bytes.is_multiple_of(512) || name.len() > MOST_NAME {
        return None;
    }
    let entries = u32::try_from(bytes.div_ceil(COVERED)).ok()?;
    let table = u64::from(entries) * 8;
    let clusters = 3 + table.div_ceil(CLUSTER);
    // The extensions end with an empty one, and the name follows.
    let name_at = u64::from(HEADER_BYTES) + 16 + 8;
    let mut file = Vec::new();
    file.extend(*b"QFI\xfb");
    for number in [3, 0, u32::try_from(name_at).ok()?, u32::try_from(name.len()).ok()?] {
        file.extend(number.to_be_bytes());
    }
    file.extend(CLUSTER_BITS.to_be_bytes());
    file.extend(bytes.to_be_bytes());
    // No encryption; the first-level table.
    file.extend(0_u32.to_be_bytes());
    file.extend(entries.to_be_bytes());
    file.extend((3 * CLUSTER).to_be_bytes());
    // The refcount table, of one cluster; no snapshots.
    file.extend(CLUSTER.to_be_bytes());
    file.extend(1_u32.to_be_bytes());
    file.extend(0_u32.to_be_bytes());
    file.extend(0_u64.to_be_bytes());
    // No features; refcounts of sixteen bits.
    file.extend([0; 24]);
    file.extend(4_u32.to_be_bytes());
    file.extend(HEADER_BYTES.to_be_bytes());
    file.extend(BACKING_FORMAT.to_be_bytes());
    file.extend(3_u32.to_be_bytes());
    file.extend(*b"raw\0\0\0\0\0");
    file.extend([0; 8]);
    file.extend(name);
    file.resize(usize::try_from(CLUSTER).ok()?, 0);
    // The table names the one block, and the block counts every cluster of the file once.
    file.extend((2 * CLUSTER).to_be_bytes());
    file.resize(usize::try_from(2 * CLUSTER).ok()?, 0);
    for _ in 0..clusters {
        file.extend(1_u16.to_be_bytes());
    }
    Some((file, clusters * CLUSTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs, process::Command};

    fn number(file: &[u8], at: usize) -> u64 {
        u64::from_be_bytes(file[at..at + 8].try_into().unwrap())
    }

    proptest! {
        #[test]
        fn every_size_has_room_for_its_table(sectors in 1..=MOST_BYTES / 512) {
            let bytes = sectors * 512;
            let (file, length) = empty_over(bytes, Path::new("/a")).unwrap();
            prop_assert_eq!(number(&file, 24), bytes);
            let entries = u64::from(u32::from_be_bytes(file[36..40].try_into().unwrap()));
            prop_assert!(entries * COVERED >= bytes && (entries - 1) * COVERED < bytes);
            let table = number(&file, 40);
            prop_assert!(table + entries * 8 <= length && length.is_multiple_of(CLUSTER));
            let counted = file[usize::try_from(2 * CLUSTER).unwrap()..].chunks(2);
            prop_assert_eq!(counted.filter(|count| *count == [0, 1]).count() as u64, length / CLUSTER);
        }
    }

    #[test]
    fn out_of_bounds_is_refused() {
        assert!(empty_over(0, Path::new("/a")).is_none());
        assert!(empty_over(511, Path::new("/a")).is_none());
        assert!(empty_over(MOST_BYTES + 512, Path::new("/a")).is_none());
        assert!(empty_over(512, Path::new(&"a".repeat(1024))).is_none());
    }

    #[test]
    fn qemu_finds_nothing_wrong() {
        let program = Path::new("/usr/bin/qemu-img");
        if !program.exists() {
            println!("skipped: qemu-img is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        for mib in [1, 64, 512, 513, 10_240, 5 << 20] {
            fs::File::create(&below).unwrap().set_len(mib << 20).unwrap();
            let (bytes, length) = empty_over(mib << 20, &below).unwrap();
            let path = folder.path().join("disk.qcow2");
            fs::write(&path, bytes).unwrap();
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
            let checked = Command::new(program).args(["check", "-q"]).arg(&path).output().unwrap();
            assert!(checked.status.success(), "{mib}: {checked:?}");
            let shown =
                Command::new(program).args(["info", "--output=json"]).arg(&path).output().unwrap();
            let text = String::from_utf8(shown.stdout).unwrap();
            assert!(text.contains(&format!("\"virtual-size\": {}", mib << 20)), "{text}");
            assert!(text.contains("\"backing-filename-format\": \"raw\""), "{text}");
        }
    }
}
