//! `workspace_reset`.

use pyro_operations::{
    Failure,
    reply::{Lost, WorkspaceReply},
    workspace::WorkspaceReset,
};
use pyro_store::{Phase, Record};

use crate::{Context, Engine, Handle};

/// Changed files that a reply shows.
const SHOWN: usize = 50;

impl Handle<WorkspaceReset> for Engine {
    fn handle(
        &self,
        request: WorkspaceReset,
        context: &Context,
    ) -> Result<WorkspaceReply, Failure> {
        if request.dry_run {
            return self.preview(&self.workspace(&request.workspace)?, context);
        }
        let record = self.workspace_to_run(&request.workspace, context)?;
        let (lock, mut record) = self.lock_at_rest(&record)?;
        let up = self.reset_machine(&record, &lock)?;
        record.not_enforced = up.not_enforced;
        record.isolation = up.isolation;
        record.state_reason = None;
        record.phase = Phase::Live;
        record.changed_files = Some(0);
        record.patch_sha256 = None;
        let mut reply = self.show(&record, true)?;
        reply.verdict = format!(
            "reset {} to baseline: a fresh machine, as it was seeded",
            record.name.as_ref().map_or_else(|| record.id.to_string(), ToString::to_string)
        );
        reply.notices.extend(up.notices);
        Ok(reply)
    }
}

impl Engine {
    /// What a reset would throw away.
    fn preview(&self, record: &Record, context: &Context) -> Result<WorkspaceReply, Failure> {
        self.import(record)?;
        let changes = self.changes(record, context)?;
        let mut reply = self.show(&self.workspace(record.id.as_str())?, false)?;
        let changed_files = changes.files.len() as u64;
        reply.verdict = format!(
            "a reset would throw away {changed_files} changed files and end {} commands; nothing was done",
            reply.running_execs.len()
        );
        reply.lost = Some(Lost {
            files: changes.files.iter().take(SHOWN).map(crate::diff::Changed::as_change).collect(),
            changed_files,
            running_execs: reply.running_execs.clone(),
        });
        Ok(reply)
    }
}
