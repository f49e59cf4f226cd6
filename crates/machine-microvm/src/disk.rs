//! A workspace's disk: a qcow2 file over a blank disk. The first start makes it, since only a start
//! knows its size; from then on that size is the workspace's, whatever later starts ask for.
//!
//! What stands in the file itself was written by QEMU, and is believed nothing of here: the size
//! and the disk below stand in a file of ours beside it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use pyro_launcher::failure;
use pyro_machine::{Limits, MachineError};
use pyro_sys::{Context, SysError};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::{
    blank,
    once::{beside, replace},
    place::{DISK, DISK_FACTS, Place},
    qcow2,
};

/// The size of a disk when nothing is asked for.
pub(crate) const DEFAULT_MIB: u64 = 10_240;
/// The smallest disk that a file system, its journal and the overlays fit into.
const LEAST_MIB: u64 = 64;
/// The facts are read no further.
const MAX_FACTS: u64 = 4 << 10;

/// What a disk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    disk_mib: u64,
    /// The id of the blank disk's file system.
    blank: String,
}

/// A disk that a VM can be given.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) mib: u64,
    /// As in `VmLaunch::disk`: top first, the blank disk last.
    pub(crate) chain: Vec<PathBuf>,
}

/// The size that a limit asks for.
pub(crate) fn size(disk_mib: Option<u64>) -> Result<u64, MachineError> {
    let mib = disk_mib.unwrap_or(DEFAULT_MIB);
    if (LEAST_MIB..=qcow2::MOST_BYTES >> 20).contains(&mib) {
        return Ok(mib);
    }
    Err(MachineError::Unsupported {
        operation: "make a disk for the microVM",
        reason: format!("disk_mib is {mib}"),
        instead: format!("between {LEAST_MIB} and {} MiB", qcow2::MOST_BYTES >> 20),
    })
}

/// The size of the disk that a start will have: that of the disk that is there, else the limit's.
pub(crate) fn size_in(directory: &Path, limits: Limits) -> Result<u64, MachineError> {
    match facts(directory)? {
        Some(facts) if directory.join(DISK).exists() => size(Some(facts.disk_mib)),
        _ => size(limits.disk_mib),
    }
}

/// The disk of a workspace, made when it is missing. The machine's lock is held.
pub(crate) fn open(place: &Place, directory: &Path, mib: u64) -> Result<Disk, MachineError> {
    let below = blank::blank(place, mib)?;
    let id = blank::id_of(&below)?;
    let path = directory.join(DISK);
    let ours = Facts { disk_mib: mib, blank: id };
    match (facts(directory)?, path.exists()) {
        (_, false) => {
            let text = serde_json::to_vec(&ours).map_err(io::Error::other);
            let text = text.doing("describe", path.display()).map_err(failure)?;
            replace(&directory.join(DISK_FACTS), &text)?;
            make(&path, mib, &below)?;
        }
        (Some(facts), true) if facts == ours => {}
        (_, true) => {
            let why = io::Error::other(format!(
                "the blank disk that it stands on is not {}",
                below.display()
            ));
            return Err(why).doing("use the disk", path.display()).map_err(failure);
        }
    }
    Ok(Disk { mib, chain: vec![path, below] })
}

fn make(path: &Path, mib: u64, below: &Path) -> Result<(), MachineError> {
    let (bytes, length) = qcow2::empty_over(mib << 20, below)
        .ok_or_else(|| SysError::invalid("make", &path.display(), "it is out of bounds"))
        .map_err(failure)?;
    let part = beside(path, "part");
    let _ = fs::remove_file(&part);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| {
            file.write_all(&bytes)?;
            file.set_len(length)
        })
        .and_then(|()| fs::rename(&part, path))
        .doing("make", path.display())
        .map_err(failure)
}

fn facts(directory: &Path) -> Result<Option<Facts>, MachineError> {
    let path = directory.join(DISK_FACTS);
    let mut text = Vec::new();
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    match OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&path)
        .and_then(|file| file.take(MAX_FACTS).read_to_end(&mut text))
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing("read", path.display()).map_err(failure),
        Ok(_) => {}
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(io::Error::other)
        .doing("understand", path.display())
        .map_err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Place, PathBuf) {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let place = Place::new(folder.path().join("microvm")).unwrap();
        let directory = folder.path().join("ws");
        fs::create_dir(&directory).unwrap();
        (folder, place, directory)
    }

    fn limits(disk_mib: Option<u64>) -> Limits {
        Limits { cpus: 1, memory_mib: 128, disk_mib, processes: 1 }
    }

    #[test]
    fn the_first_size_stays() {
        let (_folder, place, directory) = home();
        assert_eq!(size_in(&directory, limits(Some(128))).unwrap(), 128);
        let disk = open(&place, &directory, 128).unwrap();
        assert_eq!(disk.chain, [directory.join(DISK), place.blank(128)]);
        let before = fs::read(&disk.chain[0]).unwrap();
        assert_eq!(size_in(&directory, limits(Some(256))).unwrap(), 128);
        open(&place, &directory, 128).unwrap();
        assert_eq!(fs::read(&disk.chain[0]).unwrap(), before);
        crate::place::renew(&directory, &directory.join("trash")).unwrap();
        assert_eq!(size_in(&directory, limits(None)).unwrap(), DEFAULT_MIB);
    }

    #[test]
    fn a_disk_is_not_used_over_another_blank() {
        let (_folder, place, directory) = home();
        let disk = open(&place, &directory, 64).unwrap();
        fs::remove_file(&disk.chain[1]).unwrap();
        let error = open(&place, &directory, 64).unwrap_err().to_string();
        assert!(error.contains("blank disk"), "{error}");
    }

    #[test]
    fn sizes_have_bounds() {
        for mib in [0, 63, u64::MAX, (qcow2::MOST_BYTES >> 20) + 1] {
            assert!(matches!(size(Some(mib)), Err(MachineError::Unsupported { .. })), "{mib}");
        }
    }
}
