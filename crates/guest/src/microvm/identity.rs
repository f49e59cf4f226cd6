//! What makes a clone a machine of its own: random numbers, clock, names.

use std::os::fd::{AsFd, OwnedFd};

use pyro_protocol::vm::Awaken;
use pyro_sys::{Context, Result, mount, random};
use rustix::{
    fs::{Mode, OFlags, openat},
    io::pwrite,
    time::{ClockId, Timespec, clock_settime},
};

use crate::container::{Scratch, target};

/// Takes what needs no file of its own; first of all steps, since random numbers are used by all
/// others.
pub(super) fn take(awaken: &Awaken, generator: &OwnedFd) -> Result<()> {
    random::reseed(generator, &awaken.entropy)?;
    clock_settime(ClockId::Realtime, moment(awaken.at_us)).doing("set", "the clock")?;
    rustix::system::sethostname(awaken.hostname.as_bytes()).doing("take the name", &awaken.hostname)
}

/// As well as it can be; a clock that the kernel refuses stays.
pub(super) fn set_clock(at_us: u64) {
    let _ = clock_settime(ClockId::Realtime, moment(at_us));
}

fn moment(at_us: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(at_us / 1_000_000).unwrap_or(i64::MAX),
        tv_nsec: ((at_us % 1_000_000) * 1_000) as _,
    }
}

/// The names that are files: in place before the machine has them, and written when it has.
pub(super) struct Names {
    boot: OwnedFd,
    machine: OwnedFd,
    machine_mount: OwnedFd,
}

impl Names {
    /// Makes the files; that of the boot shows in the `/proc` of `skeleton` from here on.
    pub(super) fn prepare(scratch: &Scratch, skeleton: &OwnedFd) -> Result<Self> {
        let (boot, boot_mount) = file(scratch, "boot_id")?;
        let at = target::existing(skeleton, "/proc/sys/kernel/random/boot_id".as_ref())?;
        mount::attach(boot_mount, at)?;
        let (machine, machine_mount) = file(scratch, "machine-id")?;
        let names = Self { boot, machine, machine_mount };
        // Of the length that they will have: what is written over needs no room.
        names.put([0; 16], [0; 16])?;
        Ok(names)
    }

    /// Shows the machine's in a root, instead of wherever it was shown before.
    pub(super) fn show(&self, root: &OwnedFd) {
        // The workload owns its root and may have made something else of the place.
        if let Ok(at) = target::file(root, "/etc/machine-id".as_ref()) {
            let _ = mount::attach(&self.machine_mount, at);
        }
    }

    /// Writes them.
    pub(super) fn write(&self, awaken: &Awaken) -> Result<()> {
        self.put(awaken.boot_id, awaken.machine_id)
    }

    fn put(&self, boot: [u8; 16], machine: [u8; 16]) -> Result<()> {
        let boot = dashed(&hexadecimal(boot));
        pwrite(&self.boot, boot.as_bytes(), 0).doing("write", "boot_id")?;
        let machine = format!("{}\n", hexadecimal(machine));
        pwrite(&self.machine, machine.as_bytes(), 0).map(drop).doing("write", "machine-id")
    }
}

/// An empty file in memory: a handle to write it, and a detached mount that cannot be written.
fn file(scratch: &Scratch, name: &str) -> Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o444);
    let file = openat(scratch.top(), name, flags, mode).doing("make", name)?;
    let made = openat(scratch.top(), name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .doing("open", name)?;
    let copy = mount::copy_one(made.as_fd())?;
    let quiet =
        mount::Restrictions { read_only: true, no_setuid: true, no_devices: true, no_exec: true };
    mount::restrict(&copy, quiet)?;
    Ok((file, copy))
}

fn hexadecimal(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn dashed(digits: &str) -> String {
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts = parts.map(|part| digits.get(part).unwrap_or_default());
    format!("{}\n", parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_as_the_kernel_writes_them() {
        let mut id = [0; 16];
        id[0] = 0x1f;
        id[15] = 0xab;
        let digits = hexadecimal(id);
        assert_eq!(digits, "1f0000000000000000000000000000ab");
        assert_eq!(dashed(&digits), "1f000000-0000-0000-0000-0000000000ab\n");
    }

    #[test]
    fn microseconds_become_seconds_and_the_rest() {
        let moment = moment(1_800_000_000_123_456);
        assert_eq!((moment.tv_sec, moment.tv_nsec), (1_800_000_000, 123_456_000));
    }
}
