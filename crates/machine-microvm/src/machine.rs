//! The microVM as a `Machine`.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use pyro_launcher::{Ids, agent, end, holder, lock, mapped};
use pyro_machine::{
    Cancel, Capabilities, Ending, Machine, MachineError, MachineSpec, Started, image_of,
};
use pyro_model::{Isolation, MachineKind};
use pyro_protocol::vm::Accelerator;

use crate::{
    Collected, NewTemplate, Shape, TemplateState, Verdict, capabilities, image,
    place::{self, Place},
    session::Host,
    start::{self, MANNER},
};

/// Where the machine keeps what all workspaces share.
#[derive(Debug, Clone)]
pub struct MicrovmHome {
    /// `<home>/microvm`; made when it is missing.
    pub directory: PathBuf,
    /// `<home>/guest`, of the agent and root's range of ids, as for the container; likewise.
    pub agent_directory: PathBuf,
}

/// What guests boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The kernel, as QEMU takes it.
    pub image: PathBuf,
    /// Modules, uncompressed, in the order to load them.
    pub modules: Vec<PathBuf>,
    /// `6.1.0-56-cloud-amd64`.
    pub release: String,
    /// SHA-256 of image and modules, in hexadecimal digits.
    pub digest: String,
}

/// Runs workspaces in VMs. Cheap to make: it makes a few directories and writes the agent once.
#[derive(Debug)]
pub struct MicrovmMachine {
    pub(crate) host: Host,
    capabilities: OnceLock<Capabilities>,
}

impl MicrovmMachine {
    /// A machine over a home; without a kernel it starts nothing, and says what gets one.
    ///
    /// # Errors
    /// The directories cannot be written, or a file of `/etc` not be read.
    pub fn new(home: MicrovmHome, kernel: Option<Kernel>) -> Result<Self, MachineError> {
        let agent = agent::install(&home.agent_directory)?;
        let ids = Ids::find(&home.agent_directory.join("ids"))?;
        let host = Host {
            place: Place::new(home.directory)?,
            agent,
            ids,
            kernel,
            hierarchy: OnceLock::new(),
            kvm: OnceLock::new(),
        };
        Ok(Self { host, capabilities: OnceLock::new() })
    }

    /// Whether KVM is proven to run guests here. The first call on a host boots one, with a
    /// deadline; the verdict is remembered.
    #[must_use]
    pub fn kvm(&self) -> &Verdict {
        self.host.kvm()
    }

    /// The verdict; with `force` from a boot, whatever is remembered.
    ///
    /// # Errors
    /// There is no QEMU or no kernel to try.
    pub fn probe(&self, force: bool) -> Result<Verdict, MachineError> {
        self.host.probe(force)
    }

    /// What guests run on: KVM where it is proven, else emulation.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.host.accelerator()
    }

    /// Whether a start of that shape would find a template. Makes the environment's image, which
    /// tells it, and nothing else.
    ///
    /// # Errors
    /// The host is unfit, or the environment cannot be read.
    pub fn template_state(&self, shape: &Shape) -> Result<TemplateState, MachineError> {
        self.host.state(shape)
    }

    /// Makes the template of that shape, which is told; at once when it is there. `progress` hears
    /// each step, `cancel` ends the boot and leaves nothing behind.
    ///
    /// # Errors
    /// The host is unfit, or the guest does not boot; or cancelled.
    pub fn make_template(
        &self,
        shape: &Shape,
        progress: &mut dyn FnMut(&str),
        cancel: Option<&Cancel>,
    ) -> Result<Option<NewTemplate>, MachineError> {
        if !image_of(&shape.environment).exists() {
            progress("making the image of the environment");
        }
        let facts = self.host.facts(shape)?;
        self.host.template(shape, &facts, progress, cancel).map(|(_, made)| made)
    }

    /// Removes the template of that shape, unless it is in use at this moment.
    ///
    /// # Errors
    /// The host is unfit, or the template cannot be removed.
    pub fn drop_template(&self, shape: &Shape) -> Result<(), MachineError> {
        self.host.drop_template(&self.host.facts(shape)?.key())
    }

    /// Removes templates whose inputs are gone or that no start used for `keep`, never one that is
    /// just being used.
    ///
    /// # Errors
    /// A directory of the home cannot be read or changed.
    pub fn collect(&self, keep: Duration) -> Result<Collected, MachineError> {
        self.host.collect(keep)
    }

    /// The process that holds the machine of a workspace's directory, if one runs.
    #[must_use]
    pub fn holder(&self, directory: &Path) -> Option<u32> {
        lock::holder(directory)
    }

    /// The QEMU of that machine.
    #[must_use]
    pub fn qemu(&self, directory: &Path) -> Option<u32> {
        self.holder(directory)?;
        let signed = lock::read(&lock::open(directory).ok()??).ok()?;
        u32::try_from(signed.inside?.pid).ok()
    }
}

impl Machine for MicrovmMachine {
    fn kind(&self) -> MachineKind {
        MachineKind::Microvm
    }

    fn isolation(&self) -> Isolation {
        match self.accelerator() {
            Accelerator::Kvm => Isolation::MicrovmKvm,
            Accelerator::Tcg => Isolation::MicrovmEmulated,
        }
    }

    fn capabilities(&self) -> &Capabilities {
        self.capabilities.get_or_init(capabilities::table)
    }

    fn prepare(&self, directory: &Path) -> Result<(), MachineError> {
        place::prepare(directory)
    }

    fn prepare_layer(&self, layer: &Path) -> Result<(), MachineError> {
        image::prepare(&self.host.agent, &self.host.ids, layer).map(|_| ())
    }

    fn start(&self, spec: &MachineSpec) -> Result<Started, MachineError> {
        self.host.start(spec)
    }

    fn connect(&self, directory: &Path) -> Result<UnixStream, MachineError> {
        holder::connect(directory)
    }

    fn is_running(&self, directory: &Path) -> Result<bool, MachineError> {
        lock::is_held(directory)
    }

    fn end(&self, directory: &Path) -> Result<(), MachineError> {
        end::end(directory, MANNER)
    }

    fn begin_end(&self, directory: &Path) -> Result<Ending, MachineError> {
        end::begin(directory, MANNER)
    }

    fn renew(&self, directory: &Path, trash: &Path) -> Result<(), MachineError> {
        start::renew(directory, trash)
    }

    fn discard(&self, paths: &[&Path]) -> Result<(), MachineError> {
        mapped::discard(&self.host.agent, &self.host.ids, paths)
    }
}
