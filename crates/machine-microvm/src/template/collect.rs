//! Removing templates that nobody will start from, and what else is left of earlier ones.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use pyro_launcher::failure;
use pyro_machine::MachineError;
use pyro_sys::Context;
use rustix::fs::{FlockOperation, flock};

use super::{USED, discard, facts_of};
use crate::{
    initramfs,
    once::{Guard, beside, is_at},
    session::Host,
};

/// A directory of this ending is being removed.
const GONE: &str = "gone";

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// How many templates.
    pub templates: u64,
    /// What they took on the disk.
    pub bytes: u64,
}

impl Host {
    /// Removes templates whose inputs are gone or that no start used for `keep`; never one that is
    /// being started from or made.
    pub(crate) fn collect(&self, keep: Duration) -> Result<Collected, MachineError> {
        let templates = self.place.templates();
        let entries =
            fs::read_dir(&templates).doing("list", templates.display()).map_err(failure)?;
        let mut collected = Collected::default();
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(GONE) => discard(&path)?,
                Some("part") => left_by_a_crash(&path)?,
                // Taken and given back, it is gone.
                Some("lock") => drop(Guard::try_take(&path.with_extension(""))?),
                Some(_) => {}
                None => collected.add(self.collect_one(&path, keep)?),
            }
        }
        self.collect_archives(keep);
        Ok(collected)
    }

    fn collect_one(&self, path: &Path, keep: Duration) -> Result<Option<u64>, MachineError> {
        let used = path.join(USED);
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&used) else {
            // Its maker puts it there with its mark, and is over by then.
            if let Some(_guard) = Guard::try_take(path)?
                && !used.exists()
            {
                discard(path)?;
            }
            return Ok(None);
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() || !is_at(&file, &used) {
            return Ok(None);
        }
        let wanted = facts_of(path).is_some_and(|facts| facts.all_there(self.kernel.as_ref()));
        if wanted && !older(&file.metadata(), keep) {
            return Ok(None);
        }
        let bytes = taken(path);
        remove(path)?;
        Ok(Some(bytes))
    }

    /// Removes a template unless it is being started from or made.
    pub(crate) fn drop_template(&self, key: &str) -> Result<(), MachineError> {
        let path = self.directory(key);
        if path.exists() { self.collect_one(&path, Duration::ZERO).map(drop) } else { Ok(()) }
    }

    /// Removes a template that nobody can start from.
    pub(crate) fn forget_template(&self, key: &str) -> Result<(), MachineError> {
        let path = self.directory(key);
        let _guard = Guard::take(&path)?;
        if path.exists() { remove(&path) } else { Ok(()) }
    }

    /// Archives of other kernels and agents: another pyro of this home may just be using one.
    fn collect_archives(&self, keep: Duration) {
        let Some(kernel) = &self.kernel else { return };
        let current = self.place.initramfs(&initramfs::key(kernel));
        for entry in fs::read_dir(self.place.all_initramfs()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path != current && older(&fs::symlink_metadata(&path), keep) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Collected {
    fn add(&mut self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.templates += 1;
            self.bytes += bytes;
        }
    }
}

/// By a rename first: a template is there as a whole, or not at all.
fn remove(path: &Path) -> Result<(), MachineError> {
    let gone = beside(path, GONE);
    discard(&gone)?;
    fs::rename(path, &gone).doing("move away", path.display()).map_err(failure)?;
    discard(&gone)
}

/// A part whose maker is gone.
fn left_by_a_crash(part: &Path) -> Result<(), MachineError> {
    match Guard::try_take(&part.with_extension(""))? {
        Some(_guard) => discard(part),
        None => Ok(()),
    }
}

fn older(found: &std::io::Result<fs::Metadata>, keep: Duration) -> bool {
    let modified = found.as_ref().ok().and_then(|found| found.modified().ok());
    modified
        .and_then(|modified| SystemTime::now().duration_since(modified).ok())
        .is_some_and(|age| age >= keep)
}

fn taken(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.blocks() * 512).sum()
}
