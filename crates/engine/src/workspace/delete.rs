//! `workspace_delete`. The last patch is kept for a while: nothing an agent did is lost by one
//! wrong call.

use std::io::Write;

use pyro_model::limits;
use pyro_operations::{
    Code, Failure,
    workspace::{WorkspaceDelete, WorkspaceDeleted},
};
use pyro_store::{OperationLock, Phase, Record};

use crate::{
    Context, Engine, Handle,
    failure::{OrFail, host_file},
};

/// What deleting found to keep.
pub(super) struct Kept {
    pub(super) changed_files: u64,
    pub(super) unexported: bool,
    pub(super) patch: Option<String>,
    pub(super) notices: Vec<String>,
}

impl Handle<WorkspaceDelete> for Engine {
    fn handle(
        &self,
        request: WorkspaceDelete,
        context: &Context,
    ) -> Result<WorkspaceDeleted, Failure> {
        let record = self.workspace(&request.workspace)?;
        let kept = self.keep_patch(&record, context);
        self.delete(&record)?;
        let who = record.name.as_ref().map_or_else(|| record.id.to_string(), ToString::to_string);
        let verdict = match &kept.patch {
            Some(path) if kept.unexported && kept.changed_files == 1 => {
                format!("deleted {who}; its unexported change is kept for 7 days in {path}")
            }
            Some(path) if kept.unexported => {
                format!(
                    "deleted {who}; its {} unexported changes are kept for 7 days in {path}",
                    kept.changed_files
                )
            }
            _ => format!("deleted {who}"),
        };
        Ok(WorkspaceDeleted {
            verdict,
            workspace: record.id.to_string(),
            name: record.name.map(|name| name.to_string()),
            unexported: kept.unexported,
            kept_patch: kept.patch,
            next: None,
            notices: kept.notices,
        })
    }
}

impl Engine {
    /// Ends and removes a workspace.
    pub(crate) fn delete(&self, record: &Record) -> Result<(), Failure> {
        let lock = OperationLock::wait(self.layout(), &record.id).or_fail()?;
        let said = self.store().set_phase(&record.id, Phase::Deleting, None).or_fail();
        match said {
            Ok(true) => {}
            Ok(false) => {
                // Another door deleted it while this one waited.
                lock.remove(self.layout(), &record.id);
                return Ok(());
            }
            // A full disk: the deletion itself is what makes room.
            Err(failure) if failure.code == Code::NoSpace => {}
            Err(failure) => return Err(failure),
        }
        crate::crash::point("delete.begun");
        self.remove_all(record, lock)
    }

    /// Keeps the patch of what is about to be removed. What cannot be kept is said, and does not
    /// stop the removal: the caller asked for it.
    pub(super) fn keep_patch(&self, record: &Record, context: &Context) -> Kept {
        let mut kept =
            Kept { changed_files: 0, unexported: false, patch: None, notices: Vec::new() };
        self.forget_old_patches();
        let at_rest =
            || matches!(self.store().running(&record.id), Ok(running) if running.is_empty());
        if record.changed_files == Some(0) && self.import_is_current(record) && at_rest() {
            return kept;
        }
        match self.whole_patch(record, context) {
            Ok(patch) if patch.files.is_empty() => {}
            Ok(patch) => {
                kept.changed_files = patch.files.len() as u64;
                kept.unexported = record.exported_sha256.as_deref() != Some(&patch.sha256);
                match self.write_patch(record, &patch.text) {
                    Ok(path) => kept.patch = Some(path),
                    Err(failure) => kept
                        .notices
                        .push(format!("its patch could not be kept: {}", failure.message)),
                }
            }
            Err(failure) => {
                kept.notices.push(format!("its changes could not be read: {}", failure.message));
            }
        }
        kept
    }

    fn write_patch(&self, record: &Record, text: &str) -> Result<String, Failure> {
        let folder = self.layout().kept(&record.id);
        std::fs::create_dir_all(&folder).map_err(|error| host_file("make", &folder, &error))?;
        let path = folder.join("changes.patch");
        let write =
            || -> std::io::Result<()> { std::fs::File::create(&path)?.write_all(text.as_bytes()) };
        write().map_err(|error| host_file("write", &path, &error))?;
        Ok(path.display().to_string())
    }

    /// Removes patches that were kept for longer than promised.
    fn forget_old_patches(&self) {
        let Some(folder) = self.layout().kept_folder() else { return };
        for entry in folder.filter_map(Result::ok) {
            let age = entry.metadata().and_then(|facts| facts.modified()).map(|at| at.elapsed());
            if matches!(age, Ok(Ok(age)) if age.as_secs() > limits::TRASH_S) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}
