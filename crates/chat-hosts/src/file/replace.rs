//! A new text in a file's place: written beside it, with its mode and owner, and renamed when it is
//! whole and nobody wrote in between.

use std::{
    io::Write,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{self, AtFlags, Mode},
    io::Errno,
};

use super::{
    BYTE_ORDER_MARK, failed, name,
    open::{State, seen},
    unfit,
};
use crate::{ChatHostError, Result, wish::Place};

/// Puts a text in the file's place. `false` when the file is not the one that was read any more.
pub(super) fn write(
    place: &Place,
    real: &Path,
    directory: &OwnedFd,
    found: Option<&State>,
    text: &str,
) -> Result<bool> {
    if found.is_some_and(|state| !state.mode.contains(Mode::WUSR)) {
        return Err(unfit(
            real,
            "it is read-only",
            &format!(
                "run `chmod u+w {}`, or put in by hand what host_print_config prints",
                real.display()
            ),
        ));
    }
    let kept = if place.within.is_some() { 0o644 } else { 0o600 };
    let mode = found.map_or(Mode::from_raw_mode(kept), |state| state.mode);
    let mut bytes = Vec::with_capacity(text.len() + BYTE_ORDER_MARK.len());
    if found.is_some_and(|state| state.mark) {
        bytes.extend_from_slice(BYTE_ORDER_MARK.as_bytes());
    }
    bytes.extend_from_slice(text.as_bytes());
    let fd_path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&directory.as_fd()));
    // Named through the handle, so that nobody can put another directory in its place.
    let mut new = tempfile::Builder::new()
        .prefix(".pyro-")
        .suffix(".new")
        .tempfile_in(fd_path)
        .map_err(|error| ChatHostError::file("make a new file beside", real, error))?;
    let step = |error: Errno| failed("make a new file beside", real, error);
    let done = new.write_all(&bytes);
    done.map_err(|error| ChatHostError::file("write a new file beside", real, error))?;
    let mine = fs::fstat(new.as_file()).map_err(step)?;
    if let Some(state) = found.filter(|state| state.owner != (mine.st_uid, mine.st_gid)) {
        let (user, group) = state.owner;
        let group = rustix::process::Gid::from_raw(group);
        let user = (user != mine.st_uid).then(|| rustix::process::Uid::from_raw(user));
        fs::fchown(new.as_file(), user, Some(group)).map_err(step)?;
    }
    fs::fchmod(new.as_file(), mode).map_err(step)?;
    new.as_file()
        .sync_all()
        .map_err(|e| ChatHostError::file("write a new file beside", real, e))?;
    let now = fs::statat(directory, name(real), AtFlags::SYMLINK_NOFOLLOW);
    let same = match (now, found) {
        (Ok(facts), Some(state)) => seen(&facts) == state.seen,
        (Err(Errno::NOENT), None) => true,
        _ => false,
    };
    if !same {
        return Ok(false);
    }
    let new = new.into_temp_path();
    let new_name = new.file_name().unwrap_or_default().to_os_string();
    fs::renameat(directory, new_name.as_os_str(), directory, name(real))
        .map_err(|error| failed("replace", real, error))?;
    // Nothing lies under the old name any more.
    let _ = new.keep();
    fs::fsync(directory).map_err(|error| failed("write the directory of", real, error))?;
    Ok(true)
}
