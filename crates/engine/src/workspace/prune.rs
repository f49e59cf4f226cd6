//! `workspace_prune`: stopped and long unused workspaces, and the seeds that nobody uses.

use pyro_model::{Timestamp, WorkspaceState, limits};
use pyro_operations::{
    Failure,
    workspace::{PrunedWorkspace, WorkspacePrune, WorkspacePruned},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<WorkspacePrune> for Engine {
    fn handle(
        &self,
        request: WorkspacePrune,
        context: &Context,
    ) -> Result<WorkspacePruned, Failure> {
        self.sweep();
        let age_ms =
            request.older_than_s.unwrap_or(limits::PRUNE_OLDER_THAN_S).saturating_mul(1_000);
        let before = Timestamp::now().0.saturating_sub(age_ms);
        let mut rows = Vec::new();
        let mut notices = Vec::new();
        let records = self.store().all().or_fail()?;
        for record in records {
            self.import(&record)?;
            let Some(record) = self.store().get(&record.id).or_fail()? else { continue };
            if record.last_activity_at.0 > before || self.state(&record)? != WorkspaceState::Stopped
            {
                continue;
            }
            let kept = if request.dry_run {
                let changes = self.changes(&record, context)?;
                super::delete::Kept {
                    changed_files: changes.files.len() as u64,
                    unexported: !changes.files.is_empty()
                        && Self::unexported(&self.workspace(record.id.as_str())?).unwrap_or(true),
                    patch: None,
                    notices: Vec::new(),
                }
            } else {
                let kept = self.keep_patch(&record, context);
                self.delete(&record)?;
                kept
            };
            notices.extend(kept.notices);
            rows.push(PrunedWorkspace {
                workspace: record.id.to_string(),
                name: record.name.map(|name| name.to_string()),
                last_activity_at: record.last_activity_at,
                changed_files: kept.changed_files,
                unexported: kept.unexported,
                kept_patch: kept.patch,
            });
        }
        if !request.dry_run {
            let seeds = self.collect_layers(None)?;
            if seeds > 0 {
                notices.push(format!("removed {seeds} seeds that no workspace uses"));
            }
            self.sweep();
        }
        let verb = if request.dry_run { "would delete" } else { "deleted" };
        Ok(WorkspacePruned {
            verdict: format!("{verb} {} stopped workspaces", rows.len()),
            workspaces: rows,
            dry_run: request.dry_run,
            notices,
        })
    }
}
