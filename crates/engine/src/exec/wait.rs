//! `workspace_exec_wait`.

use pyro_model::ExecState;
use pyro_operations::{
    Failure,
    exec::{ExecReply, WorkspaceExecWait},
};

use super::{
    attend::{self, Attended},
    reply::Shown,
};
use crate::{Context, Engine, Handle, lookup::exec_id};

impl Handle<WorkspaceExecWait> for Engine {
    fn handle(&self, request: WorkspaceExecWait, context: &Context) -> Result<ExecReply, Failure> {
        let record = self.workspace(&request.workspace)?;
        let id = exec_id(&request.exec_id)?;
        let mut exec = self.settled(&record, &id)?;
        if exec.state == ExecState::Running {
            let attended = match self.reach(&record)? {
                Some(mut guest) => {
                    let call = attend::attach(&mut guest, &id, context)?;
                    let patience = attend::patience(request.wait_s, context);
                    attend::attend(&mut guest, call, &id, patience, context)?
                }
                None => Attended::Gone,
            };
            exec = self.settled_after(attended, &record, &id)?;
            if attended == Attended::Gone {
                self.check_machine(&record, &exec)?;
            }
        }
        let over = exec.state != ExecState::Running;
        let reply = self.exec_reply(Shown {
            record: &record,
            exec,
            started: false,
            max_output_chars: request.max_output_chars,
            notices: Vec::new(),
        })?;
        if over && record.ephemeral {
            self.end_ephemeral(&record)?;
        }
        Ok(reply)
    }
}
