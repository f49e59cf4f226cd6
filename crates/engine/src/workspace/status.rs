//! `workspace_status`.

use pyro_operations::{Failure, reply::WorkspaceReply, workspace::WorkspaceStatus};

use crate::{Context, Engine, Handle};

impl Handle<WorkspaceStatus> for Engine {
    fn handle(&self, request: WorkspaceStatus, _: &Context) -> Result<WorkspaceReply, Failure> {
        let record = self.workspace(&request.workspace)?;
        self.import(&record)?;
        let record = self.workspace(record.id.as_str())?;
        self.show(&record, false)
    }
}
