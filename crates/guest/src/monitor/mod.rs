//! `pyro-guest monitor`: a VM's one process on the host besides QEMU (`pyro_protocol::vm`).
//!
//! It is started like the launcher of containers: the launch socket as descriptor 0, the held lock
//! as 1. It starts QEMU (Q) in a fence, drives it until the agent answers, and then serves every
//! door on one socket, writes the spool, and ends with Q.
//!
//! ```text
//! doors ── Door ─┐                       ┌─ port ── virtio-serial ── init, the agent
//! doors ── Door ─┼── calls, commands ────┤
//!                │        └── spool      ├─ control (QMP)
//! pyro ── SIGTERM┘                       └─ console, the process's end
//! ```
//!
//! Promises: one thread; Q's death and M's are each other's; nothing that the guest, Q or a door
//! says makes M open, run or write anything but what its launch names.

mod arguments;
mod calls;
mod clock;
mod commands;
mod console;
mod door;
mod ending;
mod fence;
mod files;
mod launch;
mod overdue;
mod poller;
mod port;
mod qmp;
mod serve;
mod starting;
mod turns;

use std::os::fd::OwnedFd;

pub use launch::monitor;
use pyro_sys::Result;
pub use serve::Served;
use serve::{Lines, Monitor};

/// Serves over descriptors that somebody else made: `port` is the channel, `control` and
/// `console` QEMU's other two sockets; none of them blocks.
///
/// # Errors
/// The spool cannot be written, or the system is out of descriptors.
pub fn serve(served: Served, port: OwnedFd, control: OwnedFd, console: OwnedFd) -> Result<()> {
    let lines = Lines {
        port: port::Port::new(port),
        qmp: qmp::Qmp::new(control),
        console: console::Console::new(console),
    };
    Monitor::new(served, lines)?.serve()
}
