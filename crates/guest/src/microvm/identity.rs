//! What makes a clone a machine of its own: random numbers, clock, names.

use std::os::fd::{AsFd, OwnedFd};

use pyro_protocol::vm::Awaken;
use pyro_sys::{Context, Result, mount, random};
use rustix::{
    fs::{Mode, OFlags, openat},
    time::{ClockId, Timespec, clock_settime},
};

use crate::container::{Scratch, target};

/// Takes what needs no file; first of all steps, since random numbers are used by all others.
pub(super) fn take(awaken: &Awaken) -> Result<()> {
    random::reseed(&awaken.entropy)?;
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

/// Shows the names that are files, in a root whose `/proc` is mounted.
pub(super) fn show(awaken: &Awaken, root: &OwnedFd, scratch: &Scratch) -> Result<()> {
    let boot = file(scratch, "boot_id", &dashed(&hexadecimal(awaken.boot_id)))?;
    let at = target::existing(root, "/proc/sys/kernel/random/boot_id".as_ref())?;
    mount::attach(boot, at)?;
    let machine = file(scratch, "machine-id", &format!("{}\n", hexadecimal(awaken.machine_id)))?;
    // The workload owns its root and may have made something else of the place.
    if let Ok(at) = target::file(root, "/etc/machine-id".as_ref()) {
        let _ = mount::attach(machine, at);
    }
    Ok(())
}

/// A file in memory with this text, as a detached mount that cannot be written.
fn file(scratch: &Scratch, name: &str, text: &str) -> Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let made =
        openat(scratch.top(), name, flags, Mode::from_raw_mode(0o444)).doing("make", name)?;
    rustix::io::write(&made, text.as_bytes()).doing("write", name)?;
    drop(made);
    let made = openat(scratch.top(), name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .doing("open", name)?;
    let copy = mount::copy_one(made.as_fd())?;
    let quiet =
        mount::Restrictions { read_only: true, no_setuid: true, no_devices: true, no_exec: true };
    mount::restrict(&copy, quiet)?;
    Ok(copy)
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
