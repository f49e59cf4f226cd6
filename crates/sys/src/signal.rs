//! Signals of a command line: a closed pipe, and a person's Ctrl-C.
//!
//! Only what is legal inside a signal handler is done there: one atomic store and one write.

use std::{
    os::fd::{IntoRawFd, OwnedFd},
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};

use crate::error::{Result, SysError};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static EVENT: AtomicI32 = AtomicI32::new(-1);

/// Lets a closed pipe end this process, as for other command-line programs; Rust ignores it.
pub fn end_on_broken_pipe() {
    // SAFETY: SIG_DFL is a valid disposition, and no handler of ours is replaced.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Makes a broken pipe an error of the write again.
pub fn ignore_broken_pipe() {
    // SAFETY: SIG_IGN is a valid disposition, and no handler of ours is replaced.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// The first SIGINT makes `event` (an eventfd) readable instead of ending the process; the second
/// one ends it, as always. The descriptor stays open for the life of the process.
///
/// # Errors
/// When the kernel refuses the handler.
pub fn interrupt_signals(event: OwnedFd) -> Result<()> {
    EVENT.store(event.into_raw_fd(), Ordering::SeqCst);
    let mut action = empty_action();
    action.sa_sigaction = on_interrupt as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
    // SAFETY: `action` is whole, and its handler only does what is legal in one.
    let done = unsafe { libc::sigaction(libc::SIGINT, &raw const action, std::ptr::null_mut()) };
    if done != 0 {
        return Err(SysError::last("handle", &"SIGINT"));
    }
    Ok(())
}

/// Whether SIGINT arrived since `interrupt_signals`.
#[must_use]
pub fn was_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

fn empty_action() -> libc::sigaction {
    // SAFETY: all zeroes is a valid sigaction: the default disposition, an empty mask, no flags.
    unsafe { std::mem::zeroed() }
}

extern "C" fn on_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::SeqCst);
    let one = 1u64.to_ne_bytes();
    let event = EVENT.load(Ordering::SeqCst);
    // SAFETY: __errno_location gives this thread's errno, always valid; write(2) is
    // async-signal-safe, `one` outlives the call, and the descriptor is never closed. An eventfd
    // write fails only when it is readable already. The interrupted code sees its own errno again.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(event, one.as_ptr().cast(), one.len());
        *libc::__errno_location() = errno;
    }
}
