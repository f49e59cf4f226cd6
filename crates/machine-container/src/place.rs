//! What lies in a workspace's own directory, and making it.
//!
//! ```text
//! lock           held by the machine; who holds it, as text (pyro_launcher::lock)
//! sock           the agent's socket, while a machine runs
//! spool/         what the agent writes down (pyro_protocol::spool)
//! root/          upper/ and work/ of the root, binds/HASH/ of its overlaid binds
//! tree/          upper/ and work/ of /workspace
//! ```
//!
//! The last three belong to id 0 inside. The directory itself is the caller's alone (0700), which
//! keeps the guest's setuid files from everybody else on the host.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use pyro_launcher::{Ids, failure};
use pyro_machine::MachineError;
use pyro_sys::Context;

/// File and directory names.
const SPOOL: &str = "spool";
pub(crate) const ROOT: &str = "root";
pub(crate) const TREE: &str = "tree";

/// Makes what is missing; leaves what is there.
pub(crate) fn prepare(directory: &Path, ids: &Ids) -> Result<(), MachineError> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        .doing("close to others", directory.display())
        .map_err(failure)?;
    for part in [SPOOL, ROOT, TREE] {
        make(&directory.join(part), ids)?;
    }
    for part in [ROOT, TREE] {
        make(&directory.join(part).join("upper"), ids)?;
    }
    Ok(())
}

/// Renames the uppers into `trash`, a new directory, and makes fresh ones.
pub(crate) fn renew(directory: &Path, trash: &Path, ids: &Ids) -> Result<(), MachineError> {
    match fs::DirBuilder::new().mode(0o700).create(trash) {
        // A crash after the first rename left it: the rest goes there too.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).doing("make", trash.display()).map_err(failure);
        }
        _ => {}
    }
    for part in [ROOT, TREE] {
        match fs::rename(directory.join(part), trash.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = directory.join(part);
                return Err(error).doing("move away", what.display()).map_err(failure);
            }
            _ => {}
        }
    }
    prepare(directory, ids)
}

fn make(path: &PathBuf, ids: &Ids) -> Result<(), MachineError> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).doing("make", path.display()).map_err(failure),
    }
    // Said again for one that is there: a crash may have come between.
    if let Ids::Root { range } = ids {
        let owner = Some(range.first);
        chown(path, owner, owner).doing("give away", path.display()).map_err(failure)?;
    }
    Ok(())
}
