//! What `pyro doctor` says about microVMs on this host, each with the command that mends it.

use std::time::{Duration, Instant};

use pyro_machine::{Check, MachineError};
use pyro_protocol::vm::Accelerator;

use crate::{
    MicrovmMachine, programs, qemu,
    unfit::{KERNEL, KVM, MICROVM, PULL},
};

const NEEDED_FOR: &str = "every microVM";
/// How long the doctor waits for a guest to boot.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at everything; the last row is a guest that was booted. `again` probes KVM whatever is
/// remembered of it.
#[must_use]
pub fn checks(machine: &MicrovmMachine, again: bool) -> Vec<Check> {
    let host = &machine.host;
    let found = qemu::find(&host.place);
    let mut rows = vec![look(programs::QEMU.check, &found, |qemu| qemu.says.clone())];
    for program in [programs::MKFS_EROFS, programs::MKE2FS] {
        rows.push(look(program.check, &program.find(), |path| path.display().to_string()));
    }
    rows.push(look(KERNEL, &host.kernel(), |kernel| kernel.release.clone()));
    rows.push(kvm(machine, again));
    let missing = rows.iter().find(|row| !row.ok && row.name != KVM);
    let whole = match (missing, &found) {
        (Some(row), _) => Check {
            name: MICROVM,
            ok: false,
            found: format!("not tried: {} is not well", row.name),
            needed_for: NEEDED_FOR,
            mend: row.mend.clone(),
        },
        (None, Ok(qemu)) => {
            let (accelerator, began) = (machine.accelerator(), Instant::now());
            let booted = host.boot(qemu, accelerator, "doctor.part", PATIENCE).map(|()| {
                let on = if accelerator == Accelerator::Kvm { "KVM" } else { "emulation" };
                format!("a guest booted on {on} in {} ms", began.elapsed().as_millis())
            });
            look(MICROVM, &booted, String::clone)
        }
        (None, Err(_)) => look(MICROVM, &found, |qemu| qemu.says.clone()),
    };
    rows.push(whole);
    rows
}

/// Not well is not the end: guests are emulated then.
fn kvm(machine: &MicrovmMachine, again: bool) -> Check {
    let verdict = machine.probe(again).unwrap_or_else(|error| crate::Verdict {
        works: false,
        reason: format!("not known: failed to {error}"),
    });
    let (found, mend) = if verdict.works {
        (verdict.reason, "")
    } else {
        (format!("{}; emulation is used", verdict.reason), MEND_KVM)
    };
    let needed_for = "microVMs at full speed, and behind the processor's own isolation";
    Check { name: KVM, ok: verdict.works, found, needed_for, mend: mend.to_owned() }
}

const MEND_KVM: &str = "sudo usermod -aG kvm $USER, on a host whose processor offers \
     virtualisation; nothing has to be done for emulation";

fn look<T>(
    name: &'static str,
    found: &Result<T, MachineError>,
    say: impl Fn(&T) -> String,
) -> Check {
    let (ok, found, mend) = match found {
        Ok(found) => (true, say(found), String::new()),
        Err(MachineError::HostUnfit { reason, mend, .. }) => (false, reason.clone(), mend.clone()),
        Err(error) => (false, format!("failed to {error}"), PULL.to_owned()),
    };
    Check { name, ok, found, needed_for: NEEDED_FOR, mend }
}
