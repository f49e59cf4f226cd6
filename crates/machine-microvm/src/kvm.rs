//! Does this host's `/dev/kvm` run a guest? Only a boot can tell: a device that opens may still
//! never get a stock kernel past its first steps. The verdict is remembered for as long as host
//! kernel, QEMU and guest kernel stay the same.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
    time::{Duration, Instant},
};

use pyro_launcher::{failure, lock};
use pyro_machine::MachineError;
use pyro_protocol::vm::{Accelerator, Begin, VmReport};
use pyro_sys::Context;
use serde::{Deserialize, Serialize};

use crate::{
    initramfs,
    once::{Guard, replace},
    place::directory_of_ours,
    qemu::{self, Identity},
    session::{Host, unexpected},
    template::discard,
};

const DEVICE: &str = "/dev/kvm";
/// The probe's whole time.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether KVM runs guests here, and by what that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// It does.
    pub works: bool,
    /// Why not; or how it was seen.
    pub reason: String,
}

/// A verdict, and what it is true of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    of: Circumstances,
    verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Circumstances {
    host: String,
    qemu: Identity,
    guest: String,
}

impl Host {
    /// The verdict, from a probe when none is remembered.
    pub(crate) fn kvm(&self) -> &Verdict {
        self.kvm.get_or_init(|| self.probe(false).unwrap_or_else(|error| no(error.to_string())))
    }

    /// What guests run on.
    pub(crate) fn accelerator(&self) -> Accelerator {
        if self.kvm().works { Accelerator::Kvm } else { Accelerator::Tcg }
    }

    /// Looks again where `force`; else at what is remembered first.
    pub(crate) fn probe(&self, force: bool) -> Result<Verdict, MachineError> {
        if let Err(error) = OpenOptions::new().read(true).write(true).open(DEVICE) {
            return Ok(no(format!("{DEVICE} cannot be opened: {error}")));
        }
        let qemu = qemu::find(&self.place)?;
        let kernel = self.kernel()?;
        let system = rustix::system::uname();
        let of = Circumstances {
            host: format!(
                "{} {}",
                system.release().to_string_lossy(),
                system.version().to_string_lossy()
            ),
            qemu: qemu.program.clone(),
            guest: kernel.digest.clone(),
        };
        let path = self.place.kvm();
        if let (false, Some(verdict)) = (force, remembered(&path, &of)) {
            return Ok(verdict);
        }
        let _guard = Guard::take(&path)?;
        if let (false, Some(verdict)) = (force, remembered(&path, &of)) {
            return Ok(verdict);
        }
        let verdict = self.boots(&qemu)?;
        let record = Record { of, verdict };
        let text = serde_json::to_vec(&record).map_err(io::Error::other);
        replace(&path, &text.doing("describe", "the verdict").map_err(failure)?)?;
        Ok(record.verdict)
    }

    fn boots(&self, qemu: &qemu::Qemu) -> Result<Verdict, MachineError> {
        let began = Instant::now();
        Ok(match self.boot(qemu, Accelerator::Kvm, "kvm.part", DEADLINE) {
            Ok(()) => Verdict {
                works: true,
                reason: format!("a guest booted in {} ms", began.elapsed().as_millis()),
            },
            Err(MachineError::System { step: "hear from", .. }) => no(format!(
                "{DEVICE} opens, but no guest boots on it within {} s",
                DEADLINE.as_secs()
            )),
            Err(error @ (MachineError::Launch { .. } | MachineError::System { .. })) => {
                no(format!("{DEVICE} opens, but no guest boots on it: failed to {error}"))
            }
            Err(error) => return Err(error),
        })
    }

    /// Boots a guest without disks, and ends it.
    pub(crate) fn boot(
        &self,
        qemu: &qemu::Qemu,
        accelerator: Accelerator,
        scratch: &str,
        deadline: Duration,
    ) -> Result<(), MachineError> {
        let kernel = self.kernel()?;
        let initramfs = initramfs::initramfs(&self.place, kernel)?;
        let scratch = self.place.scratch(scratch);
        // Two at once would each end the other's guest for one that a crash left.
        let _guard = Guard::take(&scratch)?;
        discard(&scratch)?;
        directory_of_ours(&scratch)?;
        let begin = Begin::Probe { kernel: kernel.image.clone(), initramfs };
        let launch = self.bare(&scratch, qemu, accelerator, begin);
        let ran = lock::take(&scratch).and_then(|held| self.run(&launch, held, deadline, None));
        let discarded = discard(&scratch);
        match ran? {
            VmReport::Made { .. } => discarded,
            other => Err(unexpected(&other)),
        }
    }
}

fn no(reason: String) -> Verdict {
    Verdict { works: false, reason }
}

fn remembered(path: &Path, of: &Circumstances) -> Option<Verdict> {
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (record.of == *of).then_some(record.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_remembered_for_the_same_circumstances_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kvm.json");
        let qemu = Identity::of(Path::new("/proc/self/exe")).unwrap();
        let of = Circumstances { host: "6.1".into(), qemu, guest: "d".into() };
        assert_eq!(remembered(&path, &of), None);
        let record = Record { of: of.clone(), verdict: no("it hangs".into()) };
        replace(&path, &serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(remembered(&path, &of), Some(record.verdict));
        let changes: [fn(&mut Circumstances); 3] =
            [|of| of.host.push('x'), |of| of.guest.push('x'), |of| of.qemu.path.push("x")];
        for change in changes {
            let mut other = of.clone();
            change(&mut other);
            assert_eq!(remembered(&path, &other), None);
        }
        fs::write(&path, "torn").unwrap();
        assert_eq!(remembered(&path, &of), None);
    }
}
