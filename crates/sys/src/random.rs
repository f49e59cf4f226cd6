//! The kernel's random numbers: what a clone of a machine must be given, so that it does not say
//! what its twins say.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::{Context, Result, SysError};

/// Bytes of entropy taken at once.
const MOST: usize = 512;

/// `RNDADDENTROPY`: `_IOW('R', 0x03, int[2])`.
const ADD: libc::c_ulong = 0x4008_5203;
/// `RNDRESEEDCRNG`: `_IO('R', 0x07)`.
const RESEED: libc::c_ulong = 0x5207;

/// The kernel's `struct rand_pool_info`.
#[repr(C)]
struct Pool {
    bits: libc::c_int,
    bytes: libc::c_int,
    content: [u8; MOST],
}

/// As messages name it.
const GENERATOR: &str = "the random number generator";

/// The kernel's generator, to be fed.
///
/// # Errors
/// There is no `/dev/urandom`.
pub fn open() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    openat(CWD, "/dev/urandom", flags, Mode::empty()).doing("open", GENERATOR)
}

/// Mixes `entropy` in, counted as entropy in full, and makes the generator start from it: adding
/// alone leaves what it has in store as it is.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`; none or too much is given.
pub fn reseed(generator: impl AsFd, entropy: &[u8]) -> Result<()> {
    let (what, device) = (GENERATOR, generator.as_fd());
    let mut pool = Pool { bits: 0, bytes: 0, content: [0; MOST] };
    let fits = i32::try_from(entropy.len()).ok().filter(|bytes| *bytes > 0);
    let (Some(bytes), Some(place)) = (fits, pool.content.get_mut(..entropy.len())) else {
        return Err(SysError::invalid("feed", &what, "no entropy, or too much"));
    };
    place.copy_from_slice(entropy);
    pool.bytes = bytes;
    pool.bits = bytes * 8;
    // SAFETY: the structure is the kernel's, holds as many bytes as it says, and lives through the
    // call, which only reads it.
    if unsafe { libc::ioctl(device.as_raw_fd(), ADD as _, &raw const pool) } < 0 {
        return Err(SysError::last("feed", &what));
    }
    // SAFETY: takes no argument.
    if unsafe { libc::ioctl(device.as_raw_fd(), RESEED as _, 0) } < 0 {
        return Err(SysError::last("restart", &what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_too_much_are_refused() {
        let generator = open().unwrap();
        assert!(reseed(&generator, &[]).is_err());
        assert!(reseed(&generator, &[1; MOST + 1]).is_err());
    }
}
