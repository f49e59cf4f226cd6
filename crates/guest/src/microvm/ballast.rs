//! Room for the machine itself on a disk that its guest has filled: files that the blank disk came
//! with, given up before the overlays are mounted (which needs a few blocks), and made again by a
//! later start that finds room.

use std::os::fd::{AsFd, OwnedFd};

use pyro_sys::{Context, Result};
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, fstatvfs, mkdirat, openat, syncfs, unlinkat},
    io::{Errno, write},
};

/// The directory of the files, as the blank disk has it.
const DIRECTORY: &str = "ballast";
const FILES: u32 = 16;
const BYTES: usize = 64 << 10;
/// With less room than this the ballast goes.
const LITTLE: u64 = 1 << 20;
/// With more than this it comes back.
const PLENTY: u64 = 32 << 20;
/// Inodes that the overlays need, and some.
const INODES: u64 = 64;

/// Makes sure that there is room.
///
/// # Errors
/// The disk cannot be asked.
pub(super) fn make_room(disk: &OwnedFd) -> Result<()> {
    let room = fstatvfs(disk).doing("look at", "the disk")?;
    // Not what is free: a part of that is the file system's own reserve.
    let bytes = room.f_bavail.saturating_mul(room.f_frsize);
    if bytes < LITTLE || room.f_ffree < INODES {
        give_up(disk);
    } else if bytes > PLENTY {
        bring_back(disk);
    }
    Ok(())
}

/// What of it cannot be removed is not what was missing.
fn give_up(disk: &OwnedFd) {
    let Ok(ballast) = directory(disk) else { return };
    let Ok(entries) = Dir::read_from(&ballast) else { return };
    for entry in entries.flatten() {
        let _ = unlinkat(&ballast, entry.file_name(), AtFlags::empty());
    }
    // Freed blocks can be used once the journal has taken note.
    let _ = openat(disk.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
        .and_then(syncfs);
}

/// One that cannot be made now is made by another start.
fn bring_back(disk: &OwnedFd) {
    let made = || -> rustix::io::Result<()> {
        let ballast = match directory(disk) {
            Err(Errno::NOENT) => {
                mkdirat(disk, DIRECTORY, Mode::from_raw_mode(0o700))?;
                directory(disk)?
            }
            found => found?,
        };
        let first = openat(&ballast, "0", OFlags::PATH, Mode::empty());
        if !matches!(first, Err(Errno::NOENT)) {
            return Ok(());
        }
        // The last of them is the first: as long as it is missing, all are made again.
        for number in (0..FILES).rev() {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let file = openat(&ballast, number.to_string(), flags, Mode::from_raw_mode(0o600))?;
            write(&file, &[1; BYTES])?;
        }
        Ok(())
    };
    let _ = made();
}

fn directory(disk: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(disk, DIRECTORY, flags, Mode::empty())
}
