//! The descriptors that Q is started with, under numbers that its arguments can name.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use pyro_sys::{Context as _, Result, descriptor};

/// The first number after the standard streams.
const FIRST: i32 = 3;
/// Above every number that is handed out.
const ABOVE: i32 = 200;

/// All of them, in order.
pub(in crate::monitor) struct Inherited {
    descriptors: Vec<OwnedFd>,
    /// What Q writes as its standard error.
    complaints: OwnedFd,
}

impl Inherited {
    /// None yet.
    pub(in crate::monitor) fn new(complaints: OwnedFd) -> Self {
        Self { descriptors: Vec::new(), complaints }
    }

    /// Adds one; the number that it will have in Q.
    pub(in crate::monitor) fn add(&mut self, descriptor: OwnedFd) -> i32 {
        self.descriptors.push(descriptor);
        FIRST + i32::try_from(self.descriptors.len() - 1).unwrap_or(i32::MAX)
    }

    /// Puts every one at its number, open across exec, and marks all others as closed by exec.
    /// For the process that becomes Q: handles of what was at those numbers must not be used
    /// again, so `keep` is moved out of the way first and comes back.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(super) fn place(&self, null: BorrowedFd<'_>, keep: BorrowedFd<'_>) -> Result<OwnedFd> {
        let above = |descriptor: BorrowedFd<'_>| {
            rustix::io::fcntl_dupfd_cloexec(descriptor, ABOVE).doing("copy", "a descriptor")
        };
        let keep = above(keep)?;
        let mut moved = vec![above(null)?, above(null)?, above(self.complaints.as_fd())?];
        for descriptor in &self.descriptors {
            moved.push(above(descriptor.as_fd())?);
        }
        descriptor::close_on_exec_from(FIRST)?;
        for (number, descriptor) in (0..).zip(&moved) {
            descriptor::place(descriptor.as_fd(), number)?;
        }
        Ok(keep)
    }
}
