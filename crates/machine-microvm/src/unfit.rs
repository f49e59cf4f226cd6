//! What a host lacks for microVMs, by the name of the doctor's check.

use pyro_launcher::namespaces::{NOT_HERE, USER_NAMESPACES, refused};
use pyro_machine::MachineError;
use rustix::io::Errno;

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

/// The same failure of a start, as the host's where it is: QEMU's fence needs user namespaces.
pub(crate) fn explain(error: MachineError) -> MachineError {
    let MachineError::Launch { step, source, .. } = &error else { return error };
    let kind = source.kind();
    let is = |errnos: &[Errno]| errnos.iter().any(|one| std::io::Error::from(*one).kind() == kind);
    if step == "clone" && is(&[Errno::PERM, Errno::NOSPC, Errno::ACCESS]) {
        let (reason, mend) = refused()
            .unwrap_or_else(|| (format!("the kernel refuses: {source}"), NOT_HERE.to_owned()));
        return MachineError::HostUnfit { check: USER_NAMESPACES, reason, mend };
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_namespaces_are_the_hosts() {
        let launch = |step: &str, errno: Errno| MachineError::Launch {
            step: step.to_owned(),
            what: "a process".to_owned(),
            source: errno.into(),
        };
        let unfit = explain(launch("clone", Errno::PERM));
        assert!(matches!(unfit, MachineError::HostUnfit { check: USER_NAMESPACES, .. }));
        for other in [launch("clone", Errno::NOMEM), launch("boot", Errno::PERM)] {
            assert!(matches!(explain(other), MachineError::Launch { .. }));
        }
    }
}
