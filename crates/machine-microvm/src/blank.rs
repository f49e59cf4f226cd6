//! Blank disks: one empty ext4 file system for each size, shared by every workspace's disk of that
//! size. It is sparse and small, and it is never changed or removed: a workspace's disk holds only
//! what differs from it.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pyro_launcher::failure;
use pyro_machine::MachineError;
use pyro_sys::Context;

use crate::{
    once::{beside, once},
    place::Place,
    programs::{MKE2FS, Program},
};

/// Where a file system of ext4 says its own id.
const ID_AT: u64 = 1024 + 0x68;
/// A journal of this many MiB at most: it is written over and over, in the workspace's disk.
const JOURNAL_MIB: u64 = 16;
/// Files of 64 KiB that stand for room.
const BALLAST_FILES: u32 = 16;

/// The id of a file system, in hexadecimal digits.
pub(crate) fn id_of(path: &Path) -> Result<String, MachineError> {
    let mut id = [0; 16];
    File::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(ID_AT))?;
            file.read_exact(&mut id)
        })
        .doing("read the id of", path.display())
        .map_err(failure)?;
    Ok(crate::template::hexadecimal(&id))
}

/// The blank disk of that size, made when it is missing.
pub(crate) fn blank(place: &Place, mib: u64) -> Result<PathBuf, MachineError> {
    let path = place.blank(mib);
    once(&path, |part| {
        let program = MKE2FS.find()?;
        // Without the last wish on a version that does not know it.
        let made = make(&program, part, mib, ",assume_storage_prezeroed=1");
        made.or_else(|_| make(&program, part, mib, ""))
    })?;
    let found = fs::metadata(&path).doing("look at", path.display()).map_err(failure)?;
    if found.size() != mib << 20 {
        let why = std::io::Error::other("it does not have the size of its name");
        return Err(why).doing("use the blank disk", path.display()).map_err(failure);
    }
    Ok(path)
}

fn make(program: &Path, part: &Path, mib: u64, wish: &str) -> Result<(), MachineError> {
    File::create(part)
        .and_then(|file| file.set_len(mib << 20))
        .doing("make", part.display())
        .map_err(failure)?;
    // Tables count as zeroed: a guest that zeroed them behind its commands would write them all
    // into the workspace's disk.
    let itable = if wish.is_empty() { 1 } else { 0 };
    let extended = format!("lazy_itable_init={itable},lazy_journal_init=1,nodiscard{wish}");
    let journal = (mib / 16).clamp(4, JOURNAL_MIB);
    let content = content(part)?;
    let output = Command::new(program)
        .env_clear()
        .args(["-q", "-F", "-t", "ext4", "-L", "pyro", "-m", "0", "-b", "4096"])
        .args(["-J", &format!("size={journal}"), "-E", &extended, "-d"])
        .args([&*content, part])
        .stdin(Stdio::null())
        .output()
        .doing("start", program.display());
    let removed = fs::remove_dir_all(&content).doing("remove", content.display());
    let output = output.map_err(failure)?;
    removed.map_err(failure)?;
    said_well(MKE2FS, part, &output)
}

/// What a blank disk is made with: the ballast that the guest gives up when its disk is full
/// (`crates/guest/src/microvm/ballast.rs`), in a directory beside the disk.
fn content(part: &Path) -> Result<PathBuf, MachineError> {
    let content = beside(part, "content");
    let _ = fs::remove_dir_all(&content);
    let ballast = content.join("ballast");
    let make = || {
        fs::create_dir_all(&ballast)?;
        (0..BALLAST_FILES).try_for_each(|n| fs::write(ballast.join(n.to_string()), [1; 64 << 10]))
    };
    make().doing("make", ballast.display()).map_err(failure)?;
    Ok(content)
}

/// A program that failed, with what it said.
pub(crate) fn said_well(
    program: Program,
    path: &Path,
    output: &std::process::Output,
) -> Result<(), MachineError> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().filter(|c| !c.is_control()).take(300).collect();
    let full = said.contains("No space left");
    let kind = if full { std::io::ErrorKind::StorageFull } else { std::io::ErrorKind::Other };
    let why = std::io::Error::new(kind, format!("{} says: {said}", program.name));
    Err(why).doing("make", path.display()).map_err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_disks_are_small_and_stay_the_same() {
        if MKE2FS.find().is_err() {
            println!("skipped: mke2fs is not installed");
            return;
        }
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let place = Place::new(folder.path().join("microvm")).unwrap();
        for mib in [64, 512, 10_240] {
            let path = blank(&place, mib).unwrap();
            let found = fs::metadata(&path).unwrap();
            assert!(found.blocks() * 512 < 16 << 20, "{mib}: {} blocks", found.blocks());
            let id = id_of(&path).unwrap();
            assert_eq!(blank(&place, mib).unwrap(), path);
            assert_eq!(id_of(&path).unwrap(), id);
            let checked = Command::new("/usr/sbin/e2fsck").arg("-fn").arg(&path).output();
            assert!(checked.is_ok_and(|output| output.status.success()), "{mib}");
        }
    }
}
