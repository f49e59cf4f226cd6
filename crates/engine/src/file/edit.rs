//! `workspace_file_edit`.

use pyro_model::{Change, ChangeKind};
use pyro_operations::{
    Failure,
    file::{WorkspaceFileChanged, WorkspaceFileEdit},
};
use pyro_protocol::{GuestMessage, HostMessage, files::Edit};
use pyro_store::{Event, EventKind};
use serde_json::json;

use super::{Need, file_path, unexpected};
use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<WorkspaceFileEdit> for Engine {
    fn handle(
        &self,
        request: WorkspaceFileEdit,
        context: &Context,
    ) -> Result<WorkspaceFileChanged, Failure> {
        let record = self.workspace(&request.workspace)?;
        let path = file_path(&record, &request.path)?;
        let message = HostMessage::Edit(Edit {
            path: path.clone(),
            old: request.old_string,
            new: request.new_string,
            all: request.replace_all,
        });
        self.expect_change(&record)?;
        crate::crash::point("edit.begun");
        let (answer, started) = self.ask_files(&record, Need::Guest, message, context)?;
        let GuestMessage::Edited(edited) = answer else { return Err(unexpected("edit")) };
        crate::crash::point("edit.done");
        let facts = json!({ "path": path, "replacements": edited.replacements });
        self.store()
            .journal(&record.id, &Event::now(EventKind::Edited, facts), true, true)
            .or_fail()?;
        let places = if edited.replacements == 1 { "place" } else { "places" };
        Ok(WorkspaceFileChanged {
            verdict: format!("edited {path}: replaced {} {places}", edited.replacements),
            files: vec![Change {
                path,
                change: ChangeKind::Modified,
                from: None,
                bytes: Some(edited.bytes),
            }],
            replacements: Some(edited.replacements),
            workspace: record.id.to_string(),
            started,
            notices: Vec::new(),
        })
    }
}
