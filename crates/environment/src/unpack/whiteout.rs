//! OCI whiteouts: `.wh.NAME` deletes NAME of the layers below, `.wh..wh..opq` all that they
//! left in a directory. What the same layer made stays, in whatever order its entries come.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::failure::{Refusal, UnpackError};
use super::names::EntryPath;
use super::place::Place;
use crate::tree;

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Applies `path` if it is a whiteout; whether it was one.
pub(super) fn apply(place: &mut Place<'_>, path: &EntryPath) -> Result<bool, UnpackError> {
    let name = path.split().1;
    let Some(hidden) = name.strip_prefix(PREFIX) else { return Ok(false) };
    place.parent(path)?;
    let own = std::mem::take(&mut place.own);
    let (_, parent) = place.parent(path)?;
    let done = match hidden {
        b"" | b"." | b".." => Err(UnpackError::refused(path.as_bytes(), Refusal::BadName)),
        // The handle at hand only stands for the directory; this one reads it.
        _ if name == OPAQUE => tree::open_beneath(parent, b".")
            .and_then(|directory| tree::clear_but(directory.as_fd(), &own)),
        // Other `.wh..wh.` names are a storage driver's own marks.
        mark if mark.starts_with(PREFIX) => Ok(()),
        hidden => match rustix::fs::statat(parent, hidden, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(UnpackError::io("look at", path.as_bytes(), e)),
            Ok(status) if !own.contains(&status.st_ino) => tree::remove_beneath(parent, hidden),
            Ok(status) if FileType::from_raw_mode(status.st_mode).is_dir() => {
                tree::open_beneath(parent, hidden)
                    .and_then(|directory| tree::clear_but(directory.as_fd(), &own))
            }
            Ok(_) => Ok(()),
        },
    };
    place.own = own;
    place.forget_parent();
    done.map(|()| true)
}
