//! Failures of a launch that are the host's: which check of the doctor has them, and what mends it.

use pyro_launcher::namespaces::{NOT_HERE, refused};
use pyro_machine::MachineError;
use rustix::io::Errno;

pub(crate) use pyro_launcher::{ids::SUB_IDS, namespaces::USER_NAMESPACES};

/// Names of checks.
pub(crate) const OVERLAY: &str = "overlay";
pub(crate) const IDMAPPED_MOUNTS: &str = "idmapped_mounts";
pub(crate) const NESTED_SANDBOX: &str = "nested_sandbox";
pub(crate) const ID_HELPERS: &str = "id_helpers";

/// What mends a home on a file system that cannot carry workspaces.
pub(crate) const OTHER_HOME: &str = "export PYRO_HOME=/a/folder/on/ext4/xfs/or/btrfs";

/// The same failure, as the host's where it is.
pub(crate) fn explain(error: MachineError) -> MachineError {
    let MachineError::Launch { step, what, source } = &error else { return error };
    let errno = source.raw_os_error().unwrap_or(0);
    let is = |errnos: &[Errno]| errnos.iter().any(|one| one.raw_os_error() == errno);
    match (step.as_str(), what.as_str()) {
        ("clone", _) if is(&[Errno::PERM, Errno::NOSPC, Errno::INVAL, Errno::ACCESS]) => {
            let (reason, mend) = refused()
                .unwrap_or_else(|| (format!("the kernel refuses: {source}"), NOT_HERE.to_owned()));
            MachineError::HostUnfit { check: USER_NAMESPACES, reason, mend }
        }
        // AppArmor lets the namespace be made and then takes its rights away.
        ("cut off from the host", _) if is(&[Errno::PERM, Errno::ACCESS]) => {
            let (reason, mend) = refused()
                .unwrap_or_else(|| (format!("mounting is refused: {source}"), NOT_HERE.to_owned()));
            MachineError::HostUnfit { check: USER_NAMESPACES, reason, mend }
        }
        ("mount", "an overlay") => MachineError::HostUnfit {
            check: OVERLAY,
            reason: format!("the disk of the home cannot carry an overlay: {source}"),
            mend: OTHER_HOME.to_owned(),
        },
        ("mount" | "create", "proc") if is(&[Errno::PERM]) => MachineError::HostUnfit {
            check: NESTED_SANDBOX,
            reason: "pyro runs inside a sandbox that hides parts of /proc".to_owned(),
            mend: NOT_HERE.to_owned(),
        },
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(step: &str, what: &str, errno: Errno) -> MachineError {
        MachineError::Launch { step: step.into(), what: what.into(), source: errno.into() }
    }

    #[test]
    fn failures_of_the_host_name_their_check() {
        let check = |error| match explain(error) {
            MachineError::HostUnfit { check, .. } => check,
            other => panic!("{other}"),
        };
        assert_eq!(check(launch("clone", "a process", Errno::PERM)), USER_NAMESPACES);
        assert_eq!(check(launch("mount", "an overlay", Errno::INVAL)), OVERLAY);
        assert_eq!(check(launch("create", "proc", Errno::PERM)), NESTED_SANDBOX);
        let other = explain(launch("open inside", "/usr", Errno::NOTDIR));
        assert!(matches!(other, MachineError::Launch { .. }));
    }
}
