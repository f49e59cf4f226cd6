//! What every command is confined to, applied in its own process just before it runs.
//!
//! The agent keeps more capabilities than any command has, which is what keeps commands out of the
//! agent's memory and descriptors. Everything is prepared once at the start of the machine.

use std::io;

use pyro_protocol::launch::Rlimits;
use pyro_sys::{
    Result,
    capability::{self, Capabilities},
    process,
    seccomp::{self, Instruction},
};
use rustix::process::Resource;

use super::filter;

/// What the root of the workspace may do: own, read and change any file, take any mapped id, end
/// any process, bind low ports. Not: mount, trace others, make devices, raw sockets, audit.
const WORKLOAD: Capabilities = Capabilities::of(&[
    0,  // chown
    1,  // dac_override
    3,  // fowner
    4,  // fsetid
    5,  // kill
    6,  // setgid
    7,  // setuid
    8,  // setpcap
    10, // net_bind_service
    18, // sys_chroot
    31, // setfcap
]);

/// The bounds of each command.
#[derive(Debug, Clone)]
pub struct Confinement {
    filter: Vec<Instruction>,
    rlimits: Rlimits,
}

impl Confinement {
    /// Takes from this process what nothing inside will ever have, and prepares the rest.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn prepare(rlimits: Rlimits) -> Result<Self> {
        process::no_new_privileges()?;
        process::hide()?;
        capability::bound_to(WORKLOAD)?;
        Ok(Self { filter: filter::program(), rlimits })
    }

    /// Confines this process and what it will run, for good.
    ///
    /// # Errors
    /// The kernel refuses; nothing may run then.
    pub fn apply(&self) -> io::Result<()> {
        self.confine().map_err(|error| error.source)
    }

    fn confine(&self) -> Result<()> {
        process::limit(Resource::Nofile, self.rlimits.open_files)?;
        // 1 and not 0: with 0 the kernel still starts the host's crash handler, with 1 it does not.
        process::limit(Resource::Core, 1)?;
        if let Some(processes) = self.rlimits.processes {
            process::limit(Resource::Nproc, processes)?;
        }
        capability::set(WORKLOAD)?;
        seccomp::install(&self.filter)
    }
}
