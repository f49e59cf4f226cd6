//! A program in a user namespace with the machine's id map, and in no other: for unpacking and
//! removing trees whose files belong to the guest's ids.
//!
//! `pyro-guest enter many|one PROGRAM ARGUMENT...` with a socket as descriptor 3: it takes a new
//! user namespace, says so with one byte, waits for one byte that says that the ids are mapped,
//! becomes user 0 of it and runs the program.

use std::{
    io::{Read, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    process::Command,
};

use pyro_protocol::launch::SOCKET_FD;
use pyro_sys::{Context, Result, SysError, descriptor, process};
use rustix::thread::UnshareFlags;

/// Runs it; only comes back when it cannot. The exit code.
#[must_use]
pub fn enter(mut arguments: std::env::ArgsOs) -> i32 {
    let many = arguments.next().is_some_and(|word| word == "many");
    let Some(program) = arguments.next() else { return 2 };
    match take_ids(many) {
        Ok(()) => {
            let _ = Command::new(program).args(arguments).exec();
            126
        }
        Err(_) => 125,
    }
}

fn take_ids(many: bool) -> Result<()> {
    let mut socket = UnixStream::from(descriptor::inherited(SOCKET_FD)?);
    pyro_sys::clone::unshare(UnshareFlags::NEWUSER)?;
    socket.write_all(&[0]).doing("tell", "pyro")?;
    let mut mapped = [0];
    if socket.read(&mut mapped).doing("hear from", "pyro")? == 0 {
        return Err(SysError::invalid("hear from", &"pyro", "it went away"));
    }
    process::become_root(many)
}
