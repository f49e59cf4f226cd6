//! One monitor, from its start to its word: what every VM of this host has in common.

use std::{
    fs::File,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use pyro_launcher::{
    Conversation, Hierarchy, Ids,
    end::{self, Manner},
    failure, holder,
};
use pyro_machine::{Cancel, MachineError};
use pyro_protocol::{
    launch::AgentSpec,
    vm::{Accelerator, Awaken, Begin, Identity, VmLaunch, VmReport},
};
use pyro_sys::Context;

use crate::{Kernel, Verdict, place::Place, qemu::Qemu, unfit};

/// How long a monitor that is asked to end at once may take before it is killed.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What the machine knows of the host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) place: Place,
    pub(crate) agent: PathBuf,
    pub(crate) ids: Ids,
    pub(crate) kernel: Option<Kernel>,
    pub(crate) hierarchy: OnceLock<Hierarchy>,
    pub(crate) kvm: OnceLock<Verdict>,
}

impl Host {
    pub(crate) fn kernel(&self) -> Result<&Kernel, MachineError> {
        self.kernel.as_ref().ok_or_else(unfit::no_kernel)
    }

    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        self.hierarchy.get_or_init(Hierarchy::find)
    }

    /// Whose rights QEMU has: for root the last id of the guest's range, which owns nothing.
    fn identity(&self) -> Identity {
        match &self.ids {
            Ids::Root { range } => {
                let last = range.first.saturating_add(range.count.saturating_sub(1));
                Identity { uid: last, gid: last }
            }
            Ids::Many { user, group, .. } | Ids::One { user, group, .. } => {
                Identity { uid: *user, gid: *group }
            }
        }
    }

    /// A VM without disks that is told nothing: what a probe needs, and what others add to.
    pub(crate) fn bare(
        &self,
        directory: &Path,
        qemu: &Qemu,
        accelerator: Accelerator,
        begin: Begin,
    ) -> VmLaunch {
        VmLaunch {
            directory: directory.to_owned(),
            qemu: qemu.program.path.clone(),
            accelerator,
            cpus: 1,
            memory_mib: 128,
            begin,
            environment: None,
            disk: Vec::new(),
            own: Vec::new(),
            seeds: Vec::new(),
            placeholder: None,
            identity: self.identity(),
            cgroups: Vec::new(),
            awaken: Awaken {
                entropy: Vec::new(),
                at_us: 0,
                hostname: String::new(),
                machine_id: [0; 16],
                boot_id: [0; 16],
                own: false,
                seeds: 0,
                processes: 0,
                agent: AgentSpec { idle_ttl_s: 0, inspect_only: true, boot: [0; 16], at_ms: 0 },
            },
        }
    }

    /// Starts a monitor in the launch's directory, whose lock is given along, and returns its first
    /// report, unless it is cancelled. After a failure nothing of it is left.
    pub(crate) fn run(
        &self,
        launch: &VmLaunch,
        held: File,
        patience: Duration,
        cancel: Option<&Cancel>,
    ) -> Result<VmReport, MachineError> {
        let (ours, theirs) =
            UnixStream::pair().doing("make", "a pair of sockets").map_err(failure)?;
        // The guest never sees a process of the host's: the program may be the file itself.
        let spawned = holder::spawn(&self.agent, false, "monitor", theirs, Some(held))?;
        let mut conversation = Conversation::new(ours, patience).until(cancel);
        let talked = conversation.send(launch, &[]).and_then(|()| conversation.report());
        // A monitor whose caller is gone before it reported ends its VM.
        drop(conversation);
        let ended = match &talked {
            Ok(VmReport::Ready { .. }) => Ok(()),
            // Made, or failed: nothing is wanted of it any more.
            _ => end::end(&launch.directory, Manner::AskHolder(AT_ONCE)),
        };
        let waited = holder::wait(spawned);
        let report = talked.map_err(unfit::explain)?;
        ended?;
        waited?;
        Ok(report)
    }
}

/// A report that does not fit what was asked.
pub(crate) fn unexpected(report: &VmReport) -> MachineError {
    let why = std::io::Error::other(format!("it says {report:?}"));
    MachineError::System { step: "understand", what: "the monitor".to_owned(), source: why }
}
