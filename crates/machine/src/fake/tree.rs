//! Layers flattened into one directory, with the whiteouts and opaque directories of overlays.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::on;
use crate::MachineError;

const OPAQUE: &str = "user.overlay.opaque";
const WHITEOUT: &str = "user.overlay.whiteout";

/// Makes `tree` hold what the layers (top first) show together, and nothing else.
pub(super) fn fill(tree: &Path, lowers: &[PathBuf]) -> Result<(), MachineError> {
    empty(tree).map_err(on("empty", tree))?;
    for lower in lowers.iter().rev() {
        lay(lower, tree).map_err(on("copy", lower))?;
    }
    setxattr(tree, OPAQUE, b"y", XattrFlags::empty())
        .map_err(|errno| on("mark", tree)(errno.into()))
}

fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        remove(&entry?.path())?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(status) if status.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Lays one layer's directory over what is there.
fn lay(layer: &Path, over: &Path) -> io::Result<()> {
    if getxattr(layer, OPAQUE, &mut [0u8; 4]).is_ok() {
        empty(over)?;
    }
    for entry in fs::read_dir(layer)? {
        let from = entry?.path();
        let Some(name) = from.file_name() else { continue };
        let to = over.join(name);
        let status = fs::symlink_metadata(&from)?;
        if status.is_dir() {
            if !fs::symlink_metadata(&to).is_ok_and(|there| there.is_dir()) {
                remove(&to)?;
                fs::create_dir(&to)?;
            }
            lay(&from, &to)?;
            fs::set_permissions(&to, status.permissions())?;
            continue;
        }
        remove(&to)?;
        if status.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else if status.is_file() {
            let gone = status.len() == 0 && getxattr(&from, WHITEOUT, &mut [0u8; 4]).is_ok();
            if !gone {
                fs::copy(&from, &to)?;
            }
        } else if !(status.file_type().is_char_device() && status.rdev() == 0) {
            return Err(io::ErrorKind::Unsupported.into());
        }
    }
    Ok(())
}
