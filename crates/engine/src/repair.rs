//! Changes that a call left unfinished when it died: finished or undone by the next call.
//!
//! A record in a passing phase whose operation lock is held is being changed now: `busy`. With a
//! free lock its call is dead, and the phase says what to do (see the store's FORMAT.md).

use std::{
    path::Path,
    time::{Duration, Instant},
};

use pyro_machine::{Ending, Machine};
use pyro_model::{Timestamp, WorkspaceId, WorkspaceState};
use pyro_operations::{Code, Failure};
use pyro_store::{OperationLock, Phase, Record};
use pyro_sys::process::wait_readable;

use crate::{Engine, failure::OrFail, lookup::deleted_meanwhile};

/// How long a deletion on a full disk waits for the room that it makes.
const ROOM: Duration = Duration::from_secs(60);

/// Work in progress that was not touched for so long was left by a call that died.
const ABANDONED: Duration = Duration::from_secs(3_600);

impl Engine {
    /// Finishes or undoes what another call left.
    ///
    /// # Errors
    /// `busy` when that call is still at it.
    pub(crate) fn repair(&self, record: &Record) -> Result<(), Failure> {
        let Some(lock) = OperationLock::try_take(self.layout(), &record.id).or_fail()? else {
            return Err(Failure::new(
                Code::Busy,
                format!(
                    "workspace {} is being changed by another call ({})",
                    record.id,
                    record.phase.as_str()
                ),
            )
            .hint("try again in a moment")
            .detail("workspace", record.id.as_str())
            .detail("phase", record.phase.as_str()));
        };
        self.finish(record, lock).map(|_| ())
    }

    /// Waits for the workspace's operation lock; the workspace is at rest then, and stays so while
    /// the lock is held.
    ///
    /// # Errors
    /// `not_found` when it was deleted meanwhile.
    pub(crate) fn lock_at_rest(&self, record: &Record) -> Result<(OperationLock, Record), Failure> {
        let lock = OperationLock::wait(self.layout(), &record.id).or_fail()?;
        self.finish(record, lock)?.ok_or_else(|| deleted_meanwhile(record))
    }

    /// Under the lock: finishes or undoes what a dead call left, if it did. `None` when the
    /// workspace is gone after that.
    fn finish(
        &self,
        record: &Record,
        lock: OperationLock,
    ) -> Result<Option<(OperationLock, Record)>, Failure> {
        // Read again under the lock: the other call may have ended in good order meanwhile.
        let now = self.store().get(&record.id).or_fail()?;
        let Some(record) = now else {
            lock.remove(self.layout(), &record.id);
            return Ok(None);
        };
        match record.phase {
            // On a full disk a deletion cannot be recorded before its files are gone.
            Phase::Live if !self.layout().workspace(&record.id).exists() => {
                self.remove_all(&record, lock).map(|()| None)
            }
            Phase::Live => Ok(Some((lock, record))),
            Phase::Creating | Phase::Deleting => self.remove_all(&record, lock).map(|()| None),
            Phase::Resetting => {
                self.reset_machine(&record, &lock)?;
                let now = self.store().get(&record.id).or_fail()?;
                Ok(now.map(|now| (lock, now)))
            }
        }
    }

    /// Repairs whatever died calls left in this home, and goes on removing what they trashed.
    /// Never fails: what cannot be repaired now stays for the next call, and `doctor` names it.
    pub(crate) fn sweep(&self) {
        let Ok(records) = self.store().in_change() else { return };
        for record in records {
            let _ = self.repair(&record);
        }
        self.sweep_live();
        self.sweep_locks();
        self.sweep_trash();
        self.collect_microvm_now_and_then();
    }

    /// Removes what has no folder any more, and runs whose result nobody came for: their machine
    /// stopped by itself, long after the command's end.
    fn sweep_live(&self) {
        let Ok(records) = self.store().all() else { return };
        for record in records {
            if record.phase == Phase::Live && !self.layout().workspace(&record.id).exists() {
                let _ = self.repair(&record);
            }
            if !record.ephemeral {
                continue;
            }
            let idle_ms = Timestamp::now().0.saturating_sub(record.last_activity_at.0);
            let over = record.phase == Phase::Live && idle_ms >= record.idle_ttl_s * 1_000;
            if over && matches!(self.state(&record), Ok(WorkspaceState::Stopped)) {
                let _ = self.delete(&record);
            }
        }
    }

    /// Removes locks whose call died before there was a record, or after there was one.
    fn sweep_locks(&self) {
        let Ok(entries) = std::fs::read_dir(self.layout().operation_locks()) else { return };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let ids: Vec<WorkspaceId> = names.filter_map(|name| name.parse().ok()).collect();
        for id in ids {
            let unknown = || matches!(self.store().get(&id), Ok(None));
            if unknown()
                && let Ok(Some(lock)) = OperationLock::try_take(self.layout(), &id)
                && unknown()
            {
                lock.remove(self.layout(), &id);
            }
        }
    }

    /// Moves what died calls left of their work in progress to the trash: nothing of it takes an
    /// hour, and nothing but names leads to it.
    fn sweep_tmp(&self) {
        let Ok(entries) = std::fs::read_dir(self.layout().tmp()) else { return };
        for entry in entries.filter_map(Result::ok) {
            let age = entry.metadata().and_then(|facts| facts.modified()).map(|at| at.elapsed());
            if matches!(age, Ok(Ok(age)) if age > ABANDONED) {
                let _ =
                    std::fs::rename(entry.path(), self.layout().trash().join(entry.file_name()));
            }
        }
    }

    fn sweep_trash(&self) {
        self.sweep_tmp();
        let Ok(entries) = std::fs::read_dir(self.layout().trash()) else { return };
        let left: Vec<_> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).take(1_000).collect();
        if left.is_empty() {
            return;
        }
        if let Ok(machine) = self.container() {
            let paths: Vec<_> = left.iter().map(std::path::PathBuf::as_path).collect();
            let _ = machine.discard(&paths);
        }
    }

    /// Removes a tree of the trash in the background. What cannot be removed now stays for the next
    /// sweep: whoever put it there is done.
    pub(crate) fn discard(&self, machine: &dyn Machine, trash: &Path) {
        if machine.discard(&[trash]).is_err() {
            // Without user namespaces; whatever belongs to this user goes all the same.
            let _ = std::fs::remove_dir_all(trash);
        }
    }

    /// Removes the record. On a full disk that needs the room that the removal of the files makes.
    fn forget(&self, record: &Record, machine: &dyn Machine, trash: &Path) -> Result<(), Failure> {
        let removed = self.store().remove(&record.id).or_fail();
        match removed {
            Err(failure) if failure.code == Code::NoSpace && trash.exists() => {
                self.discard(machine, trash);
                await_removal(trash, ROOM);
                self.store().remove(&record.id).or_fail()
            }
            other => other,
        }
    }

    /// Removes a workspace, whatever there is of it. Can be done again from any step.
    pub(crate) fn remove_all(&self, record: &Record, lock: OperationLock) -> Result<(), Failure> {
        let directory = self.layout().workspace(&record.id);
        let trash = self.layout().trash().join(record.id.as_str());
        let machine = self.machine(record.machine)?;
        let mut ending: Option<Ending> = None;
        if directory.exists() {
            if record.ephemeral {
                // Its changes are in memory: nothing has to wait for the last of its processes.
                ending = Some(machine.begin_end(&directory).or_fail()?);
            } else {
                self.end_without_keeping(record)?;
            }
            crate::crash::point("delete.ended");
            std::fs::rename(&directory, &trash)
                .map_err(|error| crate::failure::host_file("move", &directory, &error))?;
        }
        crate::crash::point("delete.moved");
        self.forget(record, machine.as_ref(), &trash)?;
        crate::crash::point("delete.removed");
        lock.remove(self.layout(), &record.id);
        crate::crash::point("delete.unlocked");
        if trash.exists() {
            self.discard(machine.as_ref(), &trash);
        }
        ending.map_or(Ok(()), |ending| ending().or_fail())
    }
}

/// Waits until a tree of the trash is gone, woken by changes of the trash itself.
fn await_removal(path: &Path, patience: Duration) {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    let Some(folder) = path.parent() else { return };
    let Ok(watch) = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) else { return };
    if add_watch(&watch, folder, WatchFlags::DELETE | WatchFlags::MOVED_FROM).is_err() {
        return;
    }
    let deadline = Instant::now() + patience;
    while path.exists() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !matches!(wait_readable(&watch, Some(left)), Ok(true)) {
            return;
        }
        let mut events = [0; 4096];
        while matches!(rustix::io::read(&watch, &mut events), Ok(1..)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use std::{fs, time::SystemTime};

    #[test]
    fn work_in_progress_that_nobody_touched_for_long_goes() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let engine = Engine::open(Settings { home, ..Settings::default() }).unwrap();
        let (old, young) = (engine.layout().tmp().join("old"), engine.layout().tmp().join("young"));
        fs::create_dir(&old).unwrap();
        fs::create_dir(&young).unwrap();
        let past = SystemTime::now() - ABANDONED * 2;
        fs::File::open(&old).unwrap().set_modified(past).unwrap();
        engine.sweep();
        assert!(!old.exists());
        assert!(young.exists());
    }
}
