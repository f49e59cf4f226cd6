//! Making processes: fork, execve, what a child must do before it, and signals as descriptors.
//!
//! Promises: `fork` is only for processes of one thread, of which `SingleThread` is the proof, so
//! that the child may do whatever the parent may. Decides nothing.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// Proof that this process has one thread, checked when it is made.
#[derive(Debug, Clone, Copy)]
pub struct SingleThread(());

impl SingleThread {
    /// Looks at the number of this process's threads.
    ///
    /// # Errors
    /// There is more than one (`Unsupported`), or `/proc` cannot be read.
    pub fn check() -> io::Result<Self> {
        let threads = std::fs::read_dir("/proc/self/task")?.take(2).count();
        if threads == 1 { Ok(Self(())) } else { Err(io::ErrorKind::Unsupported.into()) }
    }
}

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(i32),
}

/// `fork(2)`: the child has a copy of everything, and goes on from here.
///
/// # Errors
/// As the system says: too many processes, no memory.
pub fn fork(_proof: SingleThread) -> io::Result<Forked> {
    // SAFETY: the process has one thread (`SingleThread`), so no lock is held by another thread
    // whose copy would never release it; the child may do whatever the parent may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Ends this process at once: no destructors, no flushing.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// A program's arguments or environment as `execve` takes it.
#[derive(Debug)]
pub struct StringTable {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl StringTable {
    /// A table of these strings, in order.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(ptr::null());
        Self { strings, pointers }
    }

    /// The strings.
    #[must_use]
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// `execve(2)`. Comes back only when it failed.
pub fn execve(
    path: &std::ffi::CStr,
    arguments: &StringTable,
    environment: &StringTable,
) -> io::Error {
    // SAFETY: the path is a C string; both tables are arrays of pointers to C strings that the
    // tables own (a CString's bytes do not move with it), each ended by a null pointer.
    unsafe {
        libc::execve(path.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    }
    io::Error::last_os_error()
}

/// Makes `target` a copy of `source`, without close-on-exec. For a child that arranges its
/// descriptors: whatever `target` was is closed.
///
/// # Errors
/// As the system says.
pub fn place_descriptor(source: RawFd, target: RawFd) -> io::Result<()> {
    if source == target {
        return set_close_on_exec(target, false);
    }
    // SAFETY: `dup2` on numbers has no memory effects; callers are children that own their whole
    // table and hold no other handle for `target`.
    check(unsafe { libc::dup2(source, target) })
}

/// Sets or clears close-on-exec of a descriptor number.
///
/// # Errors
/// It is not open.
pub fn set_close_on_exec(descriptor: RawFd, on: bool) -> io::Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes an int and touches no memory.
    check(unsafe { libc::fcntl(descriptor, libc::F_SETFD, flags) })
}

/// Closes every descriptor from `first` on. For a child, which goes on with the numbers below
/// only; handles that the parent made are then dangling and must not be dropped.
///
/// # Errors
/// The kernel has no `close_range` (before 5.9).
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: closing descriptors has no memory effects; the caller is a child that ends by
    // `execve` or `exit_now` and never drops its copies of the parent's handles.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes one descriptor number; as `close_from`.
pub fn close_number(descriptor: RawFd) {
    // SAFETY: as in `close_from`.
    unsafe { libc::close(descriptor) };
}

/// A handle on a descriptor number that a child was left with.
#[must_use]
pub fn borrow_number(descriptor: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the caller placed this number itself and keeps it open until the process ends.
    unsafe { BorrowedFd::borrow_raw(descriptor) }
}

/// Every signal back to its default action, and only `blocked` blocked.
///
/// # Errors
/// As the system says.
pub fn reset_signals(blocked: &[i32]) -> io::Result<()> {
    // The kernel's `sigaction` with the default handler is all zeroes; it is at most this long.
    let default = [0u64; 8];
    for signal in 1..=64 {
        // SAFETY: the structure is initialized and lives through the call, no old one is asked
        // for; the default action installs no code. Not through the C library, which refuses its
        // own two signals (32 and 33), whatever an ancestor did to them.
        unsafe {
            let none = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8usize);
        }
    }
    block_only(&set_of(blocked))
}

/// Blocks every signal that can be blocked.
///
/// # Errors
/// As the system says.
pub fn block_all_signals() -> io::Result<()> {
    let mut set = set_of(&[]);
    // SAFETY: the set is initialized and lives through the call.
    unsafe { libc::sigfillset(&raw mut set) };
    block_only(&set)
}

/// Only SIGPIPE back to its default, and nothing blocked: for the child of a process that changed
/// no other signal's action.
///
/// # Errors
/// As the system says.
pub fn restore_signals() -> io::Result<()> {
    // SAFETY: SIG_DFL installs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    block_only(&set_of(&[]))
}

/// Ignores SIGPIPE: writing to a closed stream is an error to handle.
pub fn ignore_sigpipe() {
    // SAFETY: SIG_IGN installs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// A descriptor that becomes readable when one of `signals` (blocked before) is pending.
/// Non-blocking, close-on-exec.
///
/// # Errors
/// As the system says.
pub fn signal_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set_of(signals);
    // SAFETY: the set is initialized and lives through the call.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(fd)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes one pending signal's number from a `signal_descriptor`.
///
/// # Errors
/// As the system says, but for "none pending", which is `None`.
pub fn take_signal(descriptor: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: the buffer is as long as said and lives through the call.
    let bytes = unsafe { libc::read(descriptor.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) };
    if bytes == -1 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    // The number is the structure's first field.
    let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
    Ok(i32::try_from(number).ok())
}

/// Sends any signal by number to a process, or with `group` to the process group of that id.
///
/// # Errors
/// There is no such process, or it may not be signalled. Ids below 2 are refused: 0, 1 and -1
/// mean something else.
pub fn send_signal(id: i32, group: bool, signal: i32) -> io::Result<()> {
    if id < 2 || !(0..=64).contains(&signal) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `kill` has no memory effects.
    check(unsafe { libc::kill(if group { -id } else { id }, signal) })
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: all zeroes is a valid value of this plain structure, and `sigemptyset` makes it the
    // empty set whatever it was; `sigaddset` refuses numbers that are no signals.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

fn block_only(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialized; no old set is asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, ptr::from_ref(set), ptr::null_mut()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
