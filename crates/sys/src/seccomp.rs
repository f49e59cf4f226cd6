//! Installing a system call filter.

use crate::{Result, SysError};

/// One instruction of a filter: the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How far to jump when it holds.
    pub if_true: u8,
    /// How far to jump when it does not.
    pub if_false: u8,
    /// The operand.
    pub operand: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Puts this thread, and everything that it starts, under the filter for good. Needs
/// `no_new_privs`. Allocates nothing.
///
/// # Errors
/// The kernel refuses the program, or has no seccomp.
pub fn install(instructions: &[Instruction]) -> Result<()> {
    let length = u16::try_from(instructions.len())
        .map_err(|_| SysError::invalid("install", &"a system call filter", "too long"))?;
    let program = Program { length, instructions: instructions.as_ptr() };
    // SAFETY: `program` is the kernel's `struct sock_fprog`, points at `length` instructions, and
    // both live through the call, which copies them.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if done < 0 {
        return Err(SysError::last("install", &"a system call filter"));
    }
    Ok(())
}
