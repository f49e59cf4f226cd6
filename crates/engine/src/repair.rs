//! Changes that a call left unfinished when it died: finished or undone by the next call.
//!
//! A record in a passing phase whose operation lock is held is being changed now: `busy`. With a
//! free lock its call is dead, and the phase says what to do (see the store's FORMAT.md).

use pyro_operations::{Code, Failure};
use pyro_store::{OperationLock, Phase, Record};

use crate::{Engine, failure::OrFail};

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
        // Read again under the lock: the other call may have ended in good order meanwhile.
        let Some(record) = self.store().get(&record.id).or_fail()? else {
            lock.remove(self.layout(), &record.id);
            return Ok(());
        };
        match record.phase {
            Phase::Live => Ok(()),
            Phase::Creating | Phase::Deleting => self.remove_all(&record, lock),
            Phase::Resetting => self.reset_machine(&record, &lock).map(|_| ()),
        }
    }

    /// Repairs whatever died calls left in this home, and goes on removing what they trashed.
    /// Never fails: what cannot be repaired now stays for the next call, and `doctor` names it.
    pub(crate) fn sweep(&self) {
        let Ok(records) = self.store().in_change() else { return };
        for record in records {
            let _ = self.repair(&record);
        }
        self.sweep_trash();
    }

    fn sweep_trash(&self) {
        let Ok(entries) = std::fs::read_dir(self.layout().trash()) else { return };
        let left: Vec<_> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).take(1_000).collect();
        if left.is_empty() {
            return;
        }
        if let Ok(machine) = self.container() {
            use pyro_machine::Machine;
            let paths: Vec<_> = left.iter().map(std::path::PathBuf::as_path).collect();
            let _ = machine.discard(&paths);
        }
    }

    /// Removes a workspace, whatever there is of it. Can be done again from any step.
    pub(crate) fn remove_all(&self, record: &Record, lock: OperationLock) -> Result<(), Failure> {
        let directory = self.layout().workspace(&record.id);
        let trash = self.layout().trash().join(record.id.as_str());
        let machine = self.machine(record.machine)?;
        if directory.exists() {
            machine.end(&directory).or_fail()?;
            crate::crash::point("delete.ended");
            std::fs::rename(&directory, &trash)
                .map_err(|error| crate::failure::host_file("move", &directory, &error))?;
        }
        crate::crash::point("delete.moved");
        self.store().remove(&record.id).or_fail()?;
        crate::crash::point("delete.removed");
        lock.remove(self.layout(), &record.id);
        if trash.exists() {
            machine.discard(&[&trash]).or_fail()?;
        }
        Ok(())
    }
}
