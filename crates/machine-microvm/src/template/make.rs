//! Making a template: a boot up to where the guest waits, saved.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use pyro_launcher::{
    end::{self, Manner},
    failure, lock,
};
use pyro_machine::{Cancel, GuestError, MachineError, image_of};
use pyro_protocol::vm::{Begin, VmReport};
use pyro_sys::Context;
use rustix::fs::statvfs;

use super::{FACTS, Facts, Held, MOUNTED, RAM, STATE, Shape, USED};
use crate::{
    disk, image, initramfs,
    once::{Guard, beside},
    place::{self, directory_of_ours},
    qemu,
    session::{Host, unexpected},
    unpacked,
};

/// How long a boot may take, emulated, on a host with much to do; the monitor gives up before.
pub(crate) const PATIENCE: Duration = Duration::from_secs(80);

/// Boots that are tried: an emulated kernel on a busy host hangs in about one of a hundred.
const BOOTS: u32 = 3;

/// A file system with less room than this counts as full.
const LEAST_ROOM: u64 = 4 << 20;

impl Host {
    /// The template with these facts, made when it is missing; how long its boot took, if it was.
    pub(crate) fn make(
        &self,
        shape: &Shape,
        facts: &Facts,
        progress: &mut dyn FnMut(&str),
        cancel: Option<&Cancel>,
    ) -> Result<(Held, Option<Duration>), MachineError> {
        let key = facts.key();
        let directory = self.directory(&key);
        let _guard = Guard::take(&directory)?;
        // Somebody else made it meanwhile.
        if let Some(held) = self.hold(&key) {
            return Ok((held, None));
        }
        progress("booting the environment once, as a template for this and later starts");
        let part = beside(&directory, "part");
        let mut left = BOOTS;
        let booted = loop {
            discard(&part)?;
            left -= 1;
            match self.make_in(&part, shape, facts, cancel) {
                Err(error) if left > 0 && is_hung(&error) => {
                    progress("the boot hung, as emulated ones do now and then: booting again");
                }
                booted => break booted,
            }
        };
        let made = booted.and_then(|boot| {
            // One without its mark was half removed.
            discard(&directory)?;
            fs::rename(&part, &directory).doing("keep", directory.display()).map_err(failure)?;
            Ok(boot)
        });
        let boot = match made {
            Ok(boot) => boot,
            Err(error) => {
                let no_room = has_no_room(&part);
                let _ = discard(&part);
                let cancelled = matches!(error, MachineError::Guest(GuestError::Cancelled));
                return Err(if no_room && !cancelled { full(&directory) } else { error });
            }
        };
        let held = self.hold(&key).ok_or_else(|| MachineError::System {
            step: "use",
            what: directory.display().to_string(),
            source: io::Error::from(io::ErrorKind::NotFound),
        })?;
        Ok((held, Some(boot)))
    }

    fn make_in(
        &self,
        part: &Path,
        shape: &Shape,
        facts: &Facts,
        cancel: Option<&Cancel>,
    ) -> Result<Duration, MachineError> {
        let kernel = self.kernel()?;
        let qemu = qemu::find(&self.place)?;
        image::placeholder(&self.place.placeholder())?;
        let initramfs = initramfs::initramfs(&self.place, kernel)?;
        directory_of_ours(part)?;
        let (ram, state) = (part.join(RAM), part.join(STATE));
        empty(&ram, shape.memory_mib << 20)?;
        empty(&state, 0)?;
        let disk = disk::open(&self.place, part, facts.disk_mib, None)?;
        let begin = Begin::MakeTemplate {
            kernel: unpacked::image(&self.place, kernel, self.accelerator())?,
            initramfs,
            ram: ram.clone(),
            state: state.clone(),
        };
        let mut launch = self.bare(part, &qemu, self.accelerator(), begin);
        launch.cpus = shape.cpus;
        launch.memory_mib = shape.memory_mib;
        launch.environment = Some(image_of(&shape.environment));
        launch.disk = disk.chain;
        launch.placeholder = Some(self.place.placeholder());
        let held = lock::take(part)?;
        let boot = match self.run(&launch, held, PATIENCE, cancel)? {
            VmReport::Made { boot_ms } => Duration::from_millis(boot_ms),
            other => return Err(unexpected(&other)),
        };
        let mounted = part.join(MOUNTED);
        fs::rename(part.join(place::DISK), &mounted)
            .doing("keep", mounted.display())
            .map_err(failure)?;
        // Only what a start needs stays.
        for entry in fs::read_dir(part).into_iter().flatten().flatten() {
            let path = entry.path();
            if path != ram && path != state && path != mounted {
                let gone =
                    if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                gone.doing("remove", path.display()).map_err(failure)?;
            }
        }
        let note = part.join(FACTS);
        fs::write(&note, facts.text()).doing("write", note.display()).map_err(failure)?;
        for path in [&ram, &state, &mounted, &note] {
            settle(path)?;
        }
        empty(&part.join(USED), 0)?;
        Ok(boot)
    }
}

/// Whether the monitor gave up on a boot that did not come to its end.
fn is_hung(error: &MachineError) -> bool {
    let MachineError::Launch { step, source, .. } = error else { return false };
    step == "boot" && source.to_string().contains("it takes too long")
}

/// Ends what may still run in a scratch directory, and removes it. Fine when it is not there.
pub(crate) fn discard(scratch: &Path) -> Result<(), MachineError> {
    end::end(scratch, Manner::AskHolder(Duration::ZERO))?;
    match fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing("remove", scratch.display()).map_err(failure)
        }
        _ => Ok(()),
    }
}

/// Whether the template may have failed for want of room: its RAM is a sparse file in which QEMU
/// works, and which ends it by a signal when it cannot grow.
fn has_no_room(part: &Path) -> bool {
    statvfs(part).is_ok_and(|room| room.f_bavail.saturating_mul(room.f_frsize) < LEAST_ROOM)
}

fn full(directory: &Path) -> MachineError {
    MachineError::System {
        step: "make",
        what: directory.display().to_string(),
        source: io::Error::from(io::ErrorKind::StorageFull),
    }
}

fn empty(path: &Path, bytes: u64) -> Result<(), MachineError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_len(bytes))
        .doing("make", path.display())
        .map_err(failure)
}

/// On the disk, and closed to writers.
fn settle(path: &Path) -> Result<(), MachineError> {
    File::open(path)
        .and_then(|file| {
            file.set_permissions(fs::Permissions::from_mode(0o444))?;
            file.sync_all()
        })
        .doing("keep", path.display())
        .map_err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_launcher::Report;

    #[test]
    fn only_a_boot_without_an_end_is_tried_again() {
        let launch = |step: &str, what: &str| {
            let report = VmReport::Failed {
                step: step.to_owned(),
                what: what.to_owned(),
                errno: 0,
                console: "x".to_owned(),
            };
            report.good().unwrap_err()
        };
        assert!(is_hung(&launch("boot", "the VM: it takes too long")));
        assert!(!is_hung(&launch("boot", "the VM: QEMU ended")));
        assert!(!is_hung(&launch("restore", "the VM: it takes too long")));
    }
}
