//! How a VM comes to be, from the inside: `pyro-guest init`, process 1 of the initramfs, which
//! becomes the agent. `pyro_protocol::vm` has the conversation with the monitor.
//!
//! ```text
//! boot     out of the initramfs; modules; the port; the disk, the environment and the root over
//!          both, as in a container, with what commands need read
//! Waiting  here a template is saved, and from here every clone goes on
//! awaken   entropy, clock, names; the workspace's own disk, if it is older; the seed's layers
//! Awake    the agent serves until the machine ends
//! Ended    power off
//! ```
//!
//! Promises: nothing but process 1 runs before the awakening; what commands see of the machine is
//! what they see of a container: no initramfs, no raw disk, no port, no `/sys`; a step that fails
//! is told to the monitor, and the machine ends. The monitor is trusted, commands are not.

mod awaken;
mod ballast;
mod boot;
mod cgroup;
mod channel;
mod ground;
mod identity;
mod modules;

use std::time::{Duration, Instant};

use pyro_protocol::{
    VERSION,
    vm::{FromVm, MAX_WORDS, ToVm},
};
use pyro_sys::{Result, SysError};
use rustix::system::{RebootCommand, reboot};

use crate::agent::{self, ExitReason};
use channel::Channel;

/// How long the monitor may take to hear the last word, and to end the machine after it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Whether this process was started by the kernel as `/init` rather than by name.
#[must_use]
pub fn is_process_one(program: Option<&std::ffi::OsStr>) -> bool {
    std::process::id() == 1 && program.is_some_and(|name| name == "/init")
}

/// Boots, waits to be awakened, becomes the agent, and ends the machine. Comes back only when the
/// machine cannot be ended.
#[must_use]
pub fn init() -> i32 {
    if std::process::id() != 1 {
        return 2;
    }
    let mut channel = None;
    if let Err(error) = live(&mut channel) {
        complain(&error);
        if let Some(channel) = &mut channel {
            let until = Instant::now() + FAREWELL;
            if channel.say(&failed(&error), Some(until)).is_ok() {
                channel.wait_for_the_end(until);
            }
        }
    }
    // The kernel writes what the disk still lacks when it is asked to; nothing here needs it.
    let _ = reboot(RebootCommand::PowerOff);
    let _ = reboot(RebootCommand::Restart);
    1
}

/// The machine's whole life. `slot` keeps the channel for the case that it ends badly.
fn live(slot: &mut Option<Channel>) -> Result<()> {
    let channel = slot.insert(Channel::new(boot::devices()?)?);
    let booted = boot::boot()?;
    channel.say(&FromVm::Waiting { version: VERSION }, None)?;
    let ToVm::Awaken(awaken) = channel.hear()? else {
        return Err(SysError::invalid("hear from", &"the monitor", "not an awakening"));
    };
    let config = awaken::awaken(&awaken, booted)?;
    let port = channel.hand_over()?;
    match agent::run(config, agent::Doors::Port(port)) {
        ExitReason::Failed(agent::AgentError::System { step, what, source }) => {
            Err(SysError { call: step, what: what.to_owned(), source })
        }
        ExitReason::Deserted => Ok(()),
        ExitReason::Idle | ExitReason::Asked | ExitReason::Runaway | ExitReason::Inspected => {
            channel.wait_for_the_end(Instant::now() + FAREWELL);
            Ok(())
        }
    }
}

fn failed(error: &SysError) -> FromVm {
    let mut what = error.what.clone();
    let end = (0..=MAX_WORDS / 2).rev().find(|at| what.is_char_boundary(*at)).unwrap_or(0);
    what.truncate(end);
    FromVm::Failed { step: error.call.to_owned(), what, errno: error.errno() }
}

/// To the console, which the monitor keeps the end of.
fn complain(error: &SysError) {
    let line = format!("pyro: failed to {error}\n");
    let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
}
