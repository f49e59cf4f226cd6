//! The lock that a machine holds for its life, and what its holder wrote into the file.
//!
//! The lock belongs to an open file: taken by the starter, inherited by the holder (a container's launcher, a VM's monitor) and by
//! what runs inside where that is a process (a container's agent),
//! freed by the kernel when all are gone. The text is only for ending the machine; it is checked
//! against the start times of the processes before it is believed.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use pyro_machine::MachineError;
use pyro_sys::{Context, lock, process::Identity};
use rustix::fs::OFlags;

use crate::failure;

/// The file in a workspace's directory.
pub const LOCK: &str = "lock";

/// The file is read no further.
const MAX_TEXT: u64 = 16 << 10;

/// What the holder wrote.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// A container's launcher, a VM's monitor.
    pub holder: Option<Identity>,
    /// A container's agent, a VM's QEMU.
    pub inside: Option<Identity>,
    /// Cgroups to remove.
    pub cgroups: Vec<PathBuf>,
}

/// Takes the lock; `Busy` when a machine holds it.
///
/// # Errors
/// The file cannot be opened.
pub fn take(directory: &Path) -> Result<File, MachineError> {
    let path = directory.join(LOCK);
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .doing("open", path.display())
        .map_err(failure)?;
    if lock::try_lock(&file).map_err(failure)? {
        Ok(file)
    } else {
        Err(MachineError::Busy(directory.to_owned()))
    }
}

/// The file of the lock; `None` when no machine ever ran there.
///
/// # Errors
/// It cannot be opened.
pub fn open(directory: &Path) -> Result<Option<File>, MachineError> {
    let path = directory.join(LOCK);
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    match fs::OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("open", path.display()).map_err(failure),
    }
}

/// Whether somebody holds it.
///
/// # Errors
/// It cannot be opened.
pub fn is_held(directory: &Path) -> Result<bool, MachineError> {
    match open(directory)? {
        Some(file) => lock::is_locked(&file).map_err(failure),
        None => Ok(false),
    }
}

/// The process that holds the machine of a workspace's directory, if one runs.
#[must_use]
pub fn holder(directory: &Path) -> Option<u32> {
    let file = open(directory).ok()??;
    is_held(directory).ok()?.then_some(())?;
    read(&file).ok()?.holder.and_then(|holder| u32::try_from(holder.pid).ok())
}

/// Reads the text.
///
/// # Errors
/// It cannot be read.
pub fn read(file: &File) -> io::Result<Signed> {
    let mut text = String::new();
    let mut file = file.try_clone()?;
    io::Seek::rewind(&mut file)?;
    file.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Signed {
    let mut lines = text.lines();
    let holder = lines.next().and_then(identity);
    let inside = lines.next().and_then(identity);
    Signed { holder, inside, cgroups: lines.map(PathBuf::from).collect() }
}

fn identity(line: &str) -> Option<Identity> {
    let (pid, started) = line.split_once(' ')?;
    Some(Identity { pid: pid.parse().ok()?, started: started.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_two_processes_and_then_cgroups() {
        let signed = parse("12 345\n13 346\n/sys/fs/cgroup/a\n");
        assert_eq!(signed.holder, Some(Identity { pid: 12, started: 345 }));
        assert_eq!(signed.inside, Some(Identity { pid: 13, started: 346 }));
        assert_eq!(signed.cgroups, [PathBuf::from("/sys/fs/cgroup/a")]);
        assert_eq!(parse("12"), Signed::default());
    }

    #[test]
    fn a_second_taker_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()).unwrap());
        let held = take(folder.path()).unwrap();
        assert!(is_held(folder.path()).unwrap());
        assert!(matches!(take(folder.path()), Err(MachineError::Busy(_))));
        drop(held);
        assert!(!is_held(folder.path()).unwrap());
    }
}
