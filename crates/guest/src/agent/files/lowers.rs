//! The seed's side of `/workspace`: a stack of raw overlay layers, read without mounting them.
//!
//! A layer hides what is below it by a whiteout (a character device 0:0, or an empty file with the
//! attribute `user.overlay.whiteout`), by an opaque directory (`user.overlay.opaque`), or by
//! another type at the same path.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{FileType, OFlags, Stat, fgetxattr, fstat},
    io::{Errno, Result},
};

use super::resolve::open_beneath;

/// The directories that make up one directory of the seed, top first.
pub(super) struct LowerDirectory {
    layers: Vec<OwnedFd>,
}

/// What the seed has under one name.
pub(super) enum Lower {
    Nothing,
    Directory,
    /// A handle (`O_PATH`) of something else, its status, and the directory it stands in.
    Other(Stat, OwnedFd),
}

impl LowerDirectory {
    /// The seed's directory at `path` of a stack of layers, empty when it has none there.
    pub(super) fn find(roots: &[OwnedFd], path: &[u8]) -> Result<Self> {
        let mut here = Self { layers: Vec::new() };
        for root in roots {
            here.layers.push(open_beneath(root, b".", DIRECTORY)?);
        }
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            here = here.enter(name)?;
        }
        Ok(here)
    }

    fn enter(&self, name: &[u8]) -> Result<Self> {
        let mut found = Vec::new();
        for layer in &self.layers {
            match open_beneath(layer, name, DIRECTORY) {
                Ok(directory) => {
                    let opaque = is_opaque(&directory);
                    found.push(directory);
                    if opaque {
                        break;
                    }
                }
                // Something else hides what is below it.
                Err(Errno::NOTDIR | Errno::LOOP) => break,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(Self { layers: found })
    }

    /// What stands under `name`.
    pub(super) fn look_up(&self, name: &[u8]) -> Result<Lower> {
        for layer in &self.layers {
            let handle = match open_beneath(layer, name, OFlags::PATH | OFlags::NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                result => result?,
            };
            let status = fstat(&handle)?;
            if is_whiteout(layer, name, &status) {
                return Ok(Lower::Nothing);
            }
            return Ok(match FileType::from_raw_mode(status.st_mode) {
                FileType::Directory => Lower::Directory,
                FileType::RegularFile => {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                    Lower::Other(status, open_beneath(layer, name, flags)?)
                }
                _ => Lower::Other(status, handle),
            });
        }
        Ok(Lower::Nothing)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);

/// Whether a layer's directory hides those of the same path below it.
pub(super) fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0u8; 4];
    matches!(fgetxattr(directory, c"user.overlay.opaque", &mut value), Ok(1) if value[0] == b'y')
}

/// Whether an entry of a layer says that the name is gone.
pub(super) fn is_whiteout(directory: &OwnedFd, name: &[u8], status: &Stat) -> bool {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::CharacterDevice => status.st_rdev == 0,
        FileType::RegularFile if status.st_size == 0 => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let mut value = [0u8; 4];
            open_beneath(directory, name, flags)
                .is_ok_and(|file| fgetxattr(&file, c"user.overlay.whiteout", &mut value).is_ok())
        }
        _ => false,
    }
}
