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

#[cfg(test)]
mod tests {
    use std::{
        fs::{File, OpenOptions},
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
    };

    use pyro_sys::{
        clone::{Forked, fork},
        process::{self, Ended},
        seccomp_notify::install_with_listener,
        socket,
    };

    use super::*;
    use crate::monitor::fence::filter;

    fn errno(result: std::io::Result<File>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    /// What a broken-out guest would try; the number of the step that went otherwise than it
    /// should, or 0.
    fn fenced(talk: &UnixStream) -> i32 {
        let rw = |path: &str| OpenOptions::new().read(true).write(true).open(path);
        if process::no_new_privileges().is_err() {
            return 1;
        }
        let Ok(listener) = install_with_listener(&filter::program()) else { return 2 };
        if socket::send(talk, b"l", &[listener.as_fd()]).is_err() {
            return 3;
        }
        drop(listener);
        let Ok(mut ram) = rw(RAM) else { return 4 };
        let mut text = String::new();
        if ram.read_to_string(&mut text).is_err() || text != "template" {
            return 5;
        }
        if ram.write_all(b"poison").is_ok() {
            return 6;
        }
        // Once is all; anything else is nothing; a file that would be made is not made.
        let tries = [rw(RAM), rw("/dev/null"), rw("/dev/kvm"), File::create("/tmp/pyro-made")];
        for (step, opened) in (7..).zip(tries) {
            if errno(opened) != Some(libc::EACCES) {
                return step;
            }
        }
        if UnixStream::pair().is_err() || UnixStream::connect("/nowhere").is_ok() {
            return 11;
        }
        if File::open("/dev/null").is_err() {
            return 12;
        }
        // M has let go of the listener once this is answered.
        let (mut ask, mut told) = (talk, [0]);
        if ask.write_all(b"?").is_err() || ask.read_exact(&mut told).is_err() {
            return 13;
        }
        if errno(rw("/dev/null")) == Some(libc::ENOSYS) { 0 } else { 14 }
    }

    #[test]
    fn ram_is_given_once_and_only_to_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ram");
        std::fs::write(&path, "template").unwrap();
        let (mut here, there) = UnixStream::pair().unwrap();
        // Forked from a thread of a test: the child only makes system calls and small allocations,
        // as the standard library's own children do.
        let child = match fork().unwrap() {
            Forked::Child => process::exit_now(fenced(&there)),
            Forked::Parent { pidfd, .. } => pidfd,
        };
        drop(there);
        let (mut buffer, mut listeners) = ([0; 1], Vec::new());
        assert_eq!(socket::receive(&here, &mut buffer, &mut listeners).unwrap(), 1);
        let ram = Some(File::open(&path).unwrap().into());
        let mut opens = Opens { listener: listeners.pop().unwrap(), ram, kvm: None };
        for _ in 0..5 {
            let patience = Some(std::time::Duration::from_secs(10));
            assert!(process::wait_readable(&opens.listener, patience).unwrap());
            opens.answer_one().unwrap();
        }
        here.read_exact(&mut buffer).unwrap();
        drop(opens);
        here.write_all(b"!").unwrap();
        assert!(process::wait_readable(&child, None).unwrap());
        assert_eq!(process::reap(&child).unwrap(), Some(Ended::Code(0)));
        assert_eq!(std::fs::read(&path).unwrap(), b"template");
    }
}
