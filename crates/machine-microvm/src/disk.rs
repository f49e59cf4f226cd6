//! A workspace's disk: a qcow2 file over a blank disk. The first start makes it, since only a start
//! knows its size; from then on that size is the workspace's, whatever later starts ask for. It
//! begins as a copy of the template's, which the template's memory has mounted.
//!
//! What stands in the file itself was written by QEMU, and is believed nothing of here: the size
//! and the disk below stand in a file of ours beside it. A template's was written by a QEMU too,
//! but by one whose guest ran nothing but our own boot: it is trusted as that guest's memory is.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use pyro_launcher::failure;
use pyro_machine::{Limits, MachineError};
use pyro_protocol::vm::TEMPLATE_DISK_BYTES;
use pyro_sys::Context;
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
    /// It was made just now.
    pub(crate) fresh: bool,
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
        Some(facts) if is_there(directory) => size(Some(facts.disk_mib)),
        _ => size(limits.disk_mib),
    }
}

/// Whether a start has made it.
pub(crate) fn is_there(directory: &Path) -> bool {
    directory.join(DISK).exists()
}

/// The disk of a workspace, made when it is missing, as a copy of a template's if there is one. The
/// machine's lock is held.
pub(crate) fn open(
    place: &Place,
    directory: &Path,
    mib: u64,
    template: Option<&Path>,
) -> Result<Disk, MachineError> {
    let below = blank::blank(place, mib)?;
    let id = blank::id_of(&below)?;
    let path = directory.join(DISK);
    let ours = Facts { disk_mib: mib, blank: id };
    let fresh = !is_there(directory);
    match (facts(directory)?, fresh) {
        (_, true) => {
            let text = serde_json::to_vec(&ours).map_err(io::Error::other);
            let text = text.doing("describe", path.display()).map_err(failure)?;
            replace(&directory.join(DISK_FACTS), &text)?;
            make(&path, |file| match template {
                Some(template) => copy(template, file),
                None => empty(file, mib, &below),
            })?;
        }
        (Some(facts), false) if facts == ours => {}
        (_, false) => {
            let why = io::Error::other(format!(
                "the blank disk that it stands on is not {}",
                below.display()
            ));
            return Err(why).doing("use the disk", path.display()).map_err(failure);
        }
    }
    Ok(Disk { mib, chain: vec![path, below], fresh })
}

/// Removes a disk on which nothing was ever written but by a start that failed.
pub(crate) fn forget(directory: &Path) -> Result<(), MachineError> {
    for name in [DISK, DISK_FACTS] {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).doing("remove", path.display()).map_err(failure);
            }
            _ => {}
        }
    }
    Ok(())
}

fn make(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), MachineError> {
    let part = beside(path, "part");
    let _ = fs::remove_file(&part);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| fill(&mut file))
        .and_then(|()| fs::rename(&part, path))
        .doing("make", path.display())
        .map_err(failure)
}

fn empty(file: &mut File, mib: u64, below: &Path) -> io::Result<()> {
    let (bytes, length) = qcow2::empty_over(mib << 20, below)
        .ok_or_else(|| io::Error::other("it is out of bounds"))?;
    file.write_all(&bytes)?;
    file.set_len(length)
}

fn copy(template: &Path, file: &mut File) -> io::Result<()> {
    let bytes = io::copy(&mut File::open(template)?.take(TEMPLATE_DISK_BYTES + 1), file)?;
    if bytes > TEMPLATE_DISK_BYTES {
        return Err(io::Error::other("the template's disk is too long"));
    }
    Ok(())
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
        let disk = open(&place, &directory, 128, None).unwrap();
        assert_eq!(disk.chain, [directory.join(DISK), place.blank(128)]);
        let before = fs::read(&disk.chain[0]).unwrap();
        assert_eq!(size_in(&directory, limits(Some(256))).unwrap(), 128);
        open(&place, &directory, 128, None).unwrap();
        assert_eq!(fs::read(&disk.chain[0]).unwrap(), before);
        crate::place::renew(&directory, &directory.join("trash")).unwrap();
        assert_eq!(size_in(&directory, limits(None)).unwrap(), DEFAULT_MIB);
    }

    #[test]
    fn a_disk_is_not_used_over_another_blank() {
        let (_folder, place, directory) = home();
        let disk = open(&place, &directory, 64, None).unwrap();
        fs::remove_file(&disk.chain[1]).unwrap();
        let error = open(&place, &directory, 64, None).unwrap_err().to_string();
        assert!(error.contains("blank disk"), "{error}");
    }

    #[test]
    fn sizes_have_bounds() {
        for mib in [0, 63, u64::MAX, (qcow2::MOST_BYTES >> 20) + 1] {
            assert!(matches!(size(Some(mib)), Err(MachineError::Unsupported { .. })), "{mib}");
        }
    }
}
