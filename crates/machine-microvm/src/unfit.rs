//! What a host lacks for microVMs, by the name of the doctor's check.

use pyro_machine::MachineError;

pub(crate) const KERNEL: &str = "microvm_kernel";
pub(crate) const KVM: &str = "kvm";
pub(crate) const MICROVM: &str = "microvm";

/// What gets a kernel, with the environment that most want.
pub(crate) const PULL: &str = "pyro env pull debian:12";

/// There is no kernel for guests.
pub(crate) fn no_kernel() -> MachineError {
    MachineError::HostUnfit {
        check: KERNEL,
        reason: "no kernel for microVMs is installed".to_owned(),
        mend: PULL.to_owned(),
    }
}
