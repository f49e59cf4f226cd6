//! Whole trees beneath a directory handle: removed, measured, made ready.
//!
//! Trees here were made by hostile archives or guests. Promises: no link is ever followed out of
//! the tree, and neither depth nor size can exhaust stack or descriptors.

mod measure;
mod remove;
mod settle;

pub use measure::{TreeMeasure, measure};
pub use remove::remove;
pub(crate) use remove::{clear_but, remove_beneath};
pub use settle::settle;

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags};

use crate::unpack::UnpackError;

/// Opens the directory `name` of `parent`, which must not be a link.
pub(crate) fn open_beneath(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
        .map_err(|e| UnpackError::io("open", name, e))
}

/// All names in a directory but `.` and `..`.
pub(crate) fn names(directory: impl AsFd) -> Result<Vec<CString>, UnpackError> {
    let failed = |e| UnpackError::io("read directory", b".", e);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
