//! Hygiene of file descriptors: numbers that mean something, and nothing else open.

use std::{
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use crate::{Result, SysError};

/// Takes over a descriptor that the process was started with.
///
/// # Errors
/// `EBADF` when it is not open.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_GETFD only looks the number up.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(SysError::last("find the descriptor", &number));
    }
    // SAFETY: it is open, and the caller takes over what its starter left for it: by convention
    // nobody else in this program refers to that number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Moves a descriptor to a number, closing what was there; kept across exec.
///
/// # Errors
/// The number is out of range.
pub fn place(descriptor: BorrowedFd<'_>, number: RawFd) -> Result<()> {
    // SAFETY: `descriptor` is open; callers keep the low numbers they place free of owned handles.
    if unsafe { libc::dup2(descriptor.as_raw_fd(), number) } < 0 {
        return Err(SysError::last("move a descriptor to", &number));
    }
    Ok(())
}

/// Closes every descriptor except 0, 1, 2 and those named.
///
/// # Errors
/// The kernel lacks `close_range`.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<()> {
    let mut numbers: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    numbers.sort_unstable();
    let mut from = 3;
    for number in numbers {
        if number > from {
            close_range(from, number - 1)?;
        }
        from = from.max(number + 1);
    }
    close_range(from, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: handles that this closes behind their owner are leaked by the callers, which run
    // this once, right before they become something else.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } < 0 {
        return Err(SysError::last("close descriptors from", &first));
    }
    Ok(())
}

/// Marks every descriptor from `first` on as closed by exec.
///
/// # Errors
/// The kernel lacks `close_range`'s flag (5.11).
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    // SAFETY: sets a flag on open descriptors and frees nothing.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done < 0 {
        return Err(SysError::last("mark descriptors from", &first));
    }
    Ok(())
}

/// Gives a program that is about to be started a descriptor under a number of its own, and only
/// to that program, whatever else is started meanwhile.
pub fn pass(command: &mut Command, descriptor: OwnedFd, number: RawFd) {
    let place = move || {
        place(descriptor.as_fd(), number).map_err(|error| error.source)?;
        if descriptor.as_raw_fd() == number {
            rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: runs between fork and exec: two system calls and, unless they fail, no allocation.
    unsafe { command.pre_exec(place) };
}
