//! Capabilities as a set of bits, and a thread's own sets of them.

use crate::{Result, SysError};

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u64);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);

    /// The set of these numbers (`CAP_CHOWN` is 0).
    #[must_use]
    pub const fn of(numbers: &[u8]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < numbers.len() {
            bits |= 1 << numbers[at];
            at += 1;
        }
        Self(bits)
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn has(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }
}

/// The last capability that can exist in 64 bits; the kernel says `EINVAL` past the last it knows.
const LAST: u8 = 63;

/// Takes everything but `keep` out of this thread's bounding set: what it starts can never have
/// more, whatever it runs.
///
/// # Errors
/// Without `CAP_SETPCAP`.
pub fn bound_to(keep: Capabilities) -> Result<()> {
    for number in 0..=LAST {
        if keep.has(number) {
            continue;
        }
        // SAFETY: takes and gives numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) } < 0 {
            let error = SysError::last("drop from the bounding set", &number);
            if error.errno() == libc::EINVAL {
                return Ok(());
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Makes `only` the permitted and effective set of this thread, with nothing inheritable or
/// ambient. Allocates nothing when it succeeds.
///
/// # Errors
/// `EPERM` when `only` has one that the thread has not.
pub fn set(only: Capabilities) -> Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Words {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let low = (only.0 & 0xffff_ffff) as u32;
    let high = (only.0 >> 32) as u32;
    // _LINUX_CAPABILITY_VERSION_3
    let header = Header { version: 0x2008_0522, pid: 0 };
    let words = [
        Words { effective: low, permitted: low, inheritable: 0 },
        Words { effective: high, permitted: high, inheritable: 0 },
    ];
    // SAFETY: both structures are the kernel's for this version and live through the call.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) };
    if done < 0 {
        return Err(SysError::last("set", &"capabilities"));
    }
    Ok(())
}
