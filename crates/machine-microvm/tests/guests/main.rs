//! What only a machine with its own kernel can get wrong: clones that resemble each other, clocks,
//! full disks, panics, memory, processes that die, and a QEMU that a guest has broken open.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program: what the lint's own exception for tests does not see as one"
)]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod clones;
mod deaths;
mod fence;
mod full;

use std::{fs, os::fd::OwnedFd, path::Path, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// The two processes of a machine: the monitor and QEMU.
struct Processes {
    monitor: (i32, OwnedFd),
    qemu: (i32, OwnedFd),
}

/// As the lock of a running machine names them.
fn processes(directory: &Path) -> Processes {
    let text = fs::read_to_string(directory.join("lock")).unwrap();
    let mut found = text.lines().map(|line| {
        let pid: i32 = line.split(' ').next().unwrap().parse().unwrap();
        (pid, pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap())
    });
    Processes { monitor: found.next().unwrap(), qemu: found.next().unwrap() }
}

fn kill(process: &OwnedFd) {
    pidfd_send_signal(process, Signal::KILL).unwrap();
}

/// Whether it ends within a while.
fn ends(process: &OwnedFd) -> bool {
    let patience = Duration::from_secs(10);
    let timeout = Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}
