//! `pyro-guest plain`: the agent as an ordinary process over ordinary directories, for tests and
//! for the fake machine of `pyro-machine`. It isolates nothing: commands run as the caller, and
//! no door of the product reaches it.
//!
//! ```text
//! pyro-guest plain WORKSPACE SPOOL UPPER BOOT IDLE_S inspect|work LOWER...
//! ```
//! The listening socket is descriptor 0, or with `-` as SPOOL the other end of a VM's channel (whose
//! clock is not set); what else the caller wants to live as long as the agent
//! (a lock) can be descriptor 1. UPPER is `-` where there is none; BOOT is 32 hexadecimal digits.

use std::{
    ffi::OsString,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
};

use pyro_model::time::Timestamp;
use pyro_protocol::{Decoder, launch::AgentSpec};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{AgentConfig, Doors, ExitReason, Port, run};

/// Exit codes: 0 in good order, 1 the agent failed, 2 the arguments make no sense, 3 a tree of
/// processes could not be ended, 4 the host's end of the channel is gone.
#[must_use]
pub fn serve(arguments: impl Iterator<Item = OsString>) -> i32 {
    let Some((config, doors)) = config(arguments) else { return 2 };
    match run(config, doors) {
        ExitReason::Idle | ExitReason::Asked | ExitReason::Inspected => 0,
        ExitReason::Runaway => 3,
        ExitReason::Deserted => 4,
        ExitReason::Failed(_) => 1,
    }
}

fn config(mut arguments: impl Iterator<Item = OsString>) -> Option<(AgentConfig, Doors)> {
    let workspace_path = PathBuf::from(arguments.next()?);
    let spool = arguments.next()?;
    let descriptor: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    let doors = if spool == "-" {
        Doors::Port(Port { descriptor, decoder: Decoder::default(), set_clock: drop })
    } else {
        let listener = UnixListener::from(descriptor);
        Doors::Sockets { listener, spool: open(Path::new(&spool))? }
    };
    let upper = arguments.next()?;
    let tree_upper = if upper == "-" { None } else { Some(open(Path::new(&upper))?) };
    let boot = boot(arguments.next()?.to_str()?)?;
    let idle_ttl_s = arguments.next()?.to_str()?.parse().ok()?;
    let inspect_only = arguments.next()? == "inspect";
    let tree_lowers = arguments.map(|path| open(Path::new(&path))).collect::<Option<_>>()?;
    let config = AgentConfig {
        workspace: open(&workspace_path)?,
        workspace_path,
        tree_upper,
        tree_lowers,
        root_upper: None,
        cgroup: None,
        alone: None,
        spec: AgentSpec { idle_ttl_s, inspect_only, boot, at_ms: Timestamp::now().0 },
        confine: Box::new(|| Ok(())),
        ends_on_sigterm: true,
    };
    Some((config, doors))
}

fn open(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).ok()
}

fn boot(text: &str) -> Option<[u8; 16]> {
    let mut boot = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in boot.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(boot)
}
