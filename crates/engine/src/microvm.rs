//! The microVM machine of a home, and the kernel that it is built with.
//!
//! The machine is made anew when another kernel is in use, so that a server that runs for long
//! notices a pull. Why there is no microVM here is one failure, said before anything is recorded.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, PoisonError},
};

use pyro_environment::kernel::{InstalledKernel, KernelCache};
use pyro_machine::{GuestError, Machine, MachineError};
use pyro_machine_microvm::{Kernel, MicrovmHome, MicrovmMachine, Shape, Verdict};
use pyro_model::MachineKind;
use pyro_operations::{Code, Failure};

use crate::{
    Context, Engine,
    failure::{IntoFailure, OrFail},
};

/// The program without which there is no microVM.
pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// What a host needs besides pyro.
pub(crate) const INSTALL: &str = "sudo apt-get install -y qemu-system-x86 qemu-utils erofs-utils";
/// The programs in it that are looked for before anything is made, with the doctor's checks of them.
const PROGRAMS: [(&str, &str); 2] = [(QEMU, "qemu"), ("mkfs.erofs", "erofs_utils")];
/// The doctor's check of the kernel.
pub(crate) const KERNEL: &str = "microvm_kernel";
/// Where programs are besides the search path, which chat hosts cut short.
const USUAL: [&str; 5] = ["/usr/bin", "/usr/sbin", "/sbin", "/bin", "/usr/local/bin"];
/// What gets the kernel.
const PULL: &str = "run `pyro env pull debian:12`";

/// A machine, with the kernel that it is built with.
pub(crate) struct Built {
    machine: Arc<MicrovmMachine>,
    /// Keeps it from being collected.
    kernel: Option<InstalledKernel>,
}

impl Engine {
    /// The kernels of this home.
    pub(crate) fn kernels(&self) -> Result<KernelCache, Failure> {
        KernelCache::open(&self.layout().microvm()).or_fail()
    }

    fn built(&self) -> MutexGuard<'_, Option<Built>> {
        // It is replaced whole.
        self.microvm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The microVM machine, with whatever kernel: to reach, end and remove.
    pub(crate) fn any_microvm(&self) -> Result<Arc<MicrovmMachine>, Failure> {
        if let Some(built) = &*self.built() {
            return Ok(Arc::clone(&built.machine));
        }
        self.microvm()
    }

    /// The microVM machine with the kernel that is in use now: to start and to prove.
    pub(crate) fn microvm(&self) -> Result<Arc<MicrovmMachine>, Failure> {
        // A damaged one is as good as none here; who needs one hears of it (`fit_for_microvm`).
        let kernel = self.kernels()?.current().ok().flatten();
        let mut slot = self.built();
        if let Some(built) = &*slot {
            let digest = |kernel: &Option<InstalledKernel>| {
                kernel.as_ref().map(|kernel| kernel.digest.clone())
            };
            if digest(&built.kernel) == digest(&kernel) {
                return Ok(Arc::clone(&built.machine));
            }
        }
        let home = MicrovmHome {
            directory: self.layout().microvm(),
            agent_directory: self.layout().guest(),
        };
        let machine = Arc::new(MicrovmMachine::new(home, kernel.as_ref().map(of)).or_fail()?);
        *slot = Some(Built { machine: Arc::clone(&machine), kernel });
        Ok(machine)
    }

    /// The microVM machine, where this host has what it needs.
    ///
    /// # Errors
    /// `host_unfit`, with the command that mends it.
    pub(crate) fn fit_for_microvm(&self) -> Result<Arc<MicrovmMachine>, Failure> {
        let unfit = |message: String, hint: &str, check: &str| {
            Failure::new(Code::HostUnfit, message).hint(hint).detail("check", check)
        };
        for (program, check) in PROGRAMS {
            if program_of_host(program).is_none() {
                return Err(unfit(format!("{program} is not installed"), INSTALL, check));
            }
        }
        match self.kernels()?.current() {
            Ok(Some(_)) => self.microvm(),
            Ok(None) => {
                let message = "there is no kernel for microVMs in pyro's home yet".to_owned();
                Err(unfit(message, &format!("{PULL}, which gets it as well"), KERNEL))
            }
            Err(error) => Err(error.into_failure().detail("check", KERNEL)),
        }
    }

    /// Whether KVM is proven to boot a guest here; proven once, and remembered.
    pub(crate) fn kvm(&self, context: &Context) -> Verdict {
        match self.fit_for_microvm() {
            Ok(machine) => {
                if Path::new("/dev/kvm").exists()
                    && !self.layout().microvm().join("kvm.json").exists()
                {
                    context.say("checking once whether KVM boots a guest here", None);
                }
                machine.kvm().clone()
            }
            Err(failure) => Verdict { works: false, reason: failure.message },
        }
    }

    /// Makes the template that a start will need, where it is missing: here the caller can cancel.
    /// What was made, for the reply.
    ///
    /// # Errors
    /// Cancelled. Whatever else is in the way is told by the start, which may do without.
    pub(crate) fn template_first(
        &self,
        shape: &Shape,
        context: &Context,
    ) -> Result<Option<String>, Failure> {
        let Ok(machine) = self.microvm() else { return Ok(None) };
        let mut say = |step: &str| context.say(step, None);
        match machine.make_template(shape, &mut say, Some(&context.cancel)) {
            Ok(made) => Ok(made.map(|made| made.notice())),
            Err(MachineError::Guest(error @ GuestError::Cancelled)) => Err(error.into_failure()),
            Err(_) => Ok(None),
        }
    }

    /// What the machine needs of these layers, made where it is missing.
    pub(crate) fn prepare_layers(
        &self,
        kind: MachineKind,
        layers: &[&PathBuf],
        context: &Context,
    ) -> Result<(), Failure> {
        if kind != MachineKind::Microvm {
            return Ok(());
        }
        let machine = self.microvm()?;
        for layer in layers {
            if !pyro_machine::image_of(layer).exists() {
                context.say("making a disk image of files that are new to microVMs", None);
            }
            machine.prepare_layer(layer).or_fail()?;
        }
        Ok(())
    }
}

/// A program of the host.
pub(crate) fn program_of_host(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders
        .chain(USUAL.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn of(kernel: &InstalledKernel) -> Kernel {
    Kernel {
        image: kernel.image.clone(),
        modules: kernel.modules.clone(),
        release: kernel.release.clone(),
        digest: kernel.digest.hex().to_owned(),
    }
}
