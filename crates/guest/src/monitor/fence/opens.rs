//! Answers what Q asks to open for writing: its RAM, once, and `/dev/kvm`. All else is refused.
//!
//! QEMU 7.2 opens the file of its RAM for reading and writing even when it maps it privately. A
//! clone gets a descriptor that reads only, which is all that such a mapping needs. (Later versions
//! can be told to, and do the same when they are not.)

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyro_sys::{
    Result,
    seccomp_notify::{Asked, answer, next_call, refuse, text_at},
};

use super::RAM;

/// Paths that are longer are none that would be answered.
const LONGEST: usize = 64;
const KVM: &[u8] = b"/dev/kvm";

/// Where Q asks, and what it can have. Dropped when Q is started: later ones fail by themselves.
pub(in crate::monitor) struct Opens {
    /// Readable when a call waits.
    pub(in crate::monitor) listener: OwnedFd,
    /// The file of its RAM, in the mode that it may have.
    pub(in crate::monitor) ram: Option<OwnedFd>,
    pub(in crate::monitor) kvm: Option<OwnedFd>,
}

impl Opens {
    /// Answers the next call.
    ///
    /// # Errors
    /// Q has ended, or cannot be answered.
    pub(in crate::monitor) fn answer_one(&mut self) -> Result<()> {
        let Some(call) = next_call(&self.listener)? else { return Ok(()) };
        let path = text_at(&call, path_address(&call), LONGEST);
        match path.as_slice() {
            path if path == RAM.as_bytes() => {
                let ram = self.ram.take();
                self.give(&call, ram.as_ref().map(AsFd::as_fd))
            }
            KVM => self.give(&call, self.kvm.as_ref().map(|kvm| kvm.as_fd())),
            _ => self.give(&call, None),
        }
    }

    fn give(&self, call: &Asked, descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
        match descriptor {
            Some(descriptor) if flags(call) & libc::O_CREAT.unsigned_abs() == 0 => {
                answer(&self.listener, call, descriptor)
            }
            _ => refuse(&self.listener, call, libc::EACCES),
        }
    }
}

/// `open` has the path first, `openat` a directory.
fn path_address(call: &Asked) -> u64 {
    call.arguments[usize::from(is_openat(call))]
}

fn flags(call: &Asked) -> u32 {
    // The upper half means nothing.
    (call.arguments[1 + usize::from(is_openat(call))] & u64::from(u32::MAX)) as u32
}

fn is_openat(call: &Asked) -> bool {
    i64::from(call.number) == libc::SYS_openat
}
