//! System calls of a fenced process that another process answers (`SECCOMP_RET_USER_NOTIF`).
//!
//! Promises: a call is only ever refused or answered with a descriptor of the answerer's own; it
//! never goes on with arguments that its process could change in the meantime. Decides nothing:
//! which calls are asked about is the filter's, what is answered is the caller's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Result, SysError, seccomp::Instruction};

/// A filter's verdict: the call waits for its answer.
pub const ASK: u32 = libc::SECCOMP_RET_USER_NOTIF;

/// One call that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    id: u64,
    /// The thread that called, as seen from here.
    pub pid: u32,
    /// The call's number.
    pub number: i32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Puts this thread, and everything that it starts, under the filter for good; the descriptor
/// (close-on-exec) is where calls with the verdict `ASK` are answered. Needs `no_new_privs`.
///
/// # Errors
/// The kernel refuses the program, or a listener is there already.
pub fn install_with_listener(instructions: &[Instruction]) -> Result<OwnedFd> {
    let length = u16::try_from(instructions.len())
        .map_err(|_| SysError::invalid("install", &"a system call filter", "too long"))?;
    let program = Program { length, instructions: instructions.as_ptr() };
    // SAFETY: `program` is the kernel's `struct sock_fprog`, points at `length` instructions, and
    // both live through the call, which copies them.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let number = i32::try_from(listener).unwrap_or(-1);
    if number < 0 {
        return Err(SysError::last("install", &"a system call filter"));
    }
    // SAFETY: the call made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes the next call that waits. `None` when its process went away in the meantime.
///
/// # Errors
/// No process is under the filter any more.
pub fn next_call(listener: impl AsFd) -> Result<Option<Asked>> {
    // SAFETY: plain numbers; the kernel wants all zeroes.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let listener = listener.as_fd().as_raw_fd();
    // SAFETY: the structure is the kernel's, and lives through the call.
    if unsafe { libc::ioctl(listener, RECEIVE, &raw mut call) } < 0 {
        let error = SysError::last("hear", &"a fenced call");
        return match error.errno() {
            libc::ENOENT | libc::EINTR => Ok(None),
            _ => Err(error),
        };
    }
    Ok(Some(Asked { id: call.id, pid: call.pid, number: call.data.nr, arguments: call.data.args }))
}

/// Refuses the call with an error number. Fine when its process is gone.
///
/// # Errors
/// The descriptor is no listener.
pub fn refuse(listener: impl AsFd, call: &Asked, errno: i32) -> Result<()> {
    let answer = libc::seccomp_notif_resp { id: call.id, val: 0, error: -errno, flags: 0 };
    // SAFETY: the structure is the kernel's, and lives through the call, which only reads it.
    let done = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SEND, &raw const answer) };
    unless_gone(done, "refuse")
}

/// Answers the call with a copy of a descriptor, close-on-exec there. Fine when its process is
/// gone.
///
/// # Errors
/// That process has no room for another descriptor; the call still waits then.
pub fn answer(listener: impl AsFd, call: &Asked, descriptor: BorrowedFd<'_>) -> Result<()> {
    let answer = AddDescriptor {
        id: call.id,
        // Adding and answering are one step: SECCOMP_ADDFD_FLAG_SEND (kernel 5.14).
        flags: 2,
        from: descriptor.as_raw_fd().unsigned_abs(),
        at: 0,
        descriptor_flags: libc::O_CLOEXEC.unsigned_abs(),
    };
    // SAFETY: the structure is the kernel's `seccomp_notif_addfd`, and lives through the call,
    // which only reads it.
    let done = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), ADD, &raw const answer) };
    unless_gone(done, "answer")
}

fn unless_gone(done: libc::c_int, call: &'static str) -> Result<()> {
    if done >= 0 {
        return Ok(());
    }
    let error = SysError::last(call, &"a fenced call");
    if error.errno() == libc::ENOENT { Ok(()) } else { Err(error) }
}

/// The text at an address of the calling process, up to its zero byte; empty when it cannot be
/// read or is longer than `most`. Another thread of that process may change it at any time: it
/// says what was asked, and proves nothing.
#[must_use]
pub fn text_at(call: &Asked, address: u64, most: usize) -> Vec<u8> {
    let mut text = vec![0u8; most];
    let mut read = 0;
    // Page by page: the next one may not be there.
    while read < most {
        let at = address.wrapping_add(read as u64);
        let page = 4096 - usize::try_from(at % 4096).unwrap_or(0);
        let part = page.min(most - read);
        let into = libc::iovec { iov_base: text[read..].as_mut_ptr().cast(), iov_len: part };
        let from = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: part };
        let pid = call.pid.cast_signed();
        // SAFETY: writes at most `part` bytes to `into`, which has room for them; `from` is an
        // address of the other process, which the kernel checks.
        let got = unsafe { libc::process_vm_readv(pid, &raw const into, 1, &raw const from, 1, 0) };
        let Ok(got @ 1..) = usize::try_from(got) else { return Vec::new() };
        if let Some(end) = text[read..read + got].iter().position(|byte| *byte == 0) {
            text.truncate(read + end);
            return text;
        }
        read += got;
    }
    Vec::new()
}

/// The kernel's `struct seccomp_notif_addfd`.
#[repr(C)]
struct AddDescriptor {
    id: u64,
    flags: u32,
    from: u32,
    at: u32,
    descriptor_flags: u32,
}

/// The kernel's `_IOC`: direction (1 writes, 2 reads), size, `!`, number.
const fn request(direction: u64, size: usize, number: u64) -> libc::c_ulong {
    (direction << 30) | ((size as u64) << 16) | (0x21 << 8) | number
}

const RECEIVE: libc::c_ulong = request(3, size_of::<libc::seccomp_notif>(), 0);
const SEND: libc::c_ulong = request(3, size_of::<libc::seccomp_notif_resp>(), 1);
const ADD: libc::c_ulong = request(1, size_of::<AddDescriptor>(), 3);

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
    };

    use super::*;
    use crate::{
        clone::{Forked, fork},
        process::{self, Ended},
        socket,
    };

    /// `openat` is asked about, whatever it is for; all else is allowed.
    fn program() -> [Instruction; 4] {
        let step = |code, if_true, operand| Instruction { code, if_true, if_false: 0, operand };
        let openat = u32::try_from(libc::SYS_openat).unwrap();
        [
            step(0x20, 0, 0),
            step(0x15, 1, openat),
            step(0x06, 0, libc::SECCOMP_RET_ALLOW),
            step(0x06, 0, ASK),
        ]
    }

    /// Opens one path that is answered and one that is refused; 0 when both went as they should.
    fn fenced(socket: &UnixStream) -> i32 {
        if process::no_new_privileges().is_err() {
            return 1;
        }
        let Ok(listener) = install_with_listener(&program()) else { return 2 };
        if socket::send(socket, b"l", &[listener.as_fd()]).is_err() {
            return 3;
        }
        let Ok(mut file) = std::fs::File::open("/nowhere/at/all") else { return 4 };
        let mut text = String::new();
        if file.read_to_string(&mut text).is_err() || text != "given" {
            return 5;
        }
        match std::fs::File::open("/dev/null") {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => 0,
            _ => 6,
        }
    }

    #[test]
    fn an_open_is_answered_with_a_descriptor_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::File::create(&path).unwrap().write_all(b"given").unwrap();
        let given = std::fs::File::open(&path).unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        // Forked from a thread of a test: the child only makes system calls and small allocations,
        // as the standard library's own children do.
        let child = match fork().unwrap() {
            Forked::Child => process::exit_now(fenced(&there)),
            Forked::Parent { pidfd, .. } => pidfd,
        };
        drop(there);
        let (mut buffer, mut listeners) = ([0; 1], Vec::new());
        assert_eq!(socket::receive(&here, &mut buffer, &mut listeners).unwrap(), 1);
        let listener = listeners.pop().unwrap();
        let call = next_call(&listener).unwrap().unwrap();
        assert_eq!(i64::from(call.number), libc::SYS_openat);
        assert_eq!(text_at(&call, call.arguments[1], 64), b"/nowhere/at/all");
        assert_eq!(text_at(&call, call.arguments[1], 8), b"", "longer than it may be");
        assert_eq!(text_at(&call, 8, 64), b"", "no such address");
        answer(&listener, &call, given.as_fd()).unwrap();
        let call = next_call(&listener).unwrap().unwrap();
        assert_eq!(text_at(&call, call.arguments[1], 64), b"/dev/null");
        refuse(&listener, &call, libc::EACCES).unwrap();
        assert!(process::wait_readable(&child, None).unwrap());
        assert_eq!(process::reap(&child).unwrap(), Some(Ended::Code(0)));
    }
}
