//! The embedded agent, installed once as a file named by its hash.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use pyro_machine::MachineError;
use pyro_sys::Context;

use crate::failure;

/// The program, as built by build.rs.
static PROGRAM: &[u8] = include_bytes!(env!("PYRO_GUEST_FILE"));
const HASH: &str = env!("PYRO_GUEST_SHA256");

/// The file of this build's agent, written when it is not there yet. A file of the right name and
/// size is taken to be right: the directory is the owner's alone, and a torn write never gets the
/// name.
pub(crate) fn install(directory: &Path) -> Result<PathBuf, MachineError> {
    let file = directory.join(HASH);
    if fs::symlink_metadata(&file).is_ok_and(|found| found.is_file() && fits(&found)) {
        return Ok(file);
    }
    write(directory, &file).doing("install the agent as", file.display()).map_err(failure)?;
    Ok(file)
}

fn fits(found: &fs::Metadata) -> bool {
    found.size() == PROGRAM.len() as u64 && found.mode() & 0o7777 == 0o500
}

fn write(directory: &Path, file: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Two at once write two files and rename the same bytes over each other.
    let part = directory.join(format!("{HASH}.{}", std::process::id()));
    let _ = fs::remove_file(&part);
    let mut open = fs::OpenOptions::new().write(true).create_new(true).mode(0o500).open(&part)?;
    open.write_all(PROGRAM)?;
    open.sync_all()?;
    drop(open);
    fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_replaced_and_a_good_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("guest");
        let file = install(&home).unwrap();
        let first = fs::metadata(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), PROGRAM);
        assert_eq!(install(&home).unwrap(), file);
        assert_eq!(fs::metadata(&file).unwrap().ino(), first.ino());
        fs::remove_file(&file).unwrap();
        fs::write(&file, "torn").unwrap();
        install(&home).unwrap();
        assert_eq!(fs::read(&file).unwrap(), PROGRAM);
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
    }
}
