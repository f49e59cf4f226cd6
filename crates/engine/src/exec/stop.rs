//! `workspace_exec_stop`.

use std::time::Duration;

use pyro_model::ExecState;
use pyro_operations::{
    Failure,
    exec::{ExecReply, WorkspaceExecStop},
};

use super::{
    attend::{self, Attended},
    reply::Shown,
};
use crate::{Context, Engine, Handle, lookup::exec_id};

/// How long a command may take to end by itself before SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

impl Handle<WorkspaceExecStop> for Engine {
    fn handle(&self, request: WorkspaceExecStop, _: &Context) -> Result<ExecReply, Failure> {
        let signal = request.signal_number()?;
        let record = self.workspace(&request.workspace)?;
        let id = exec_id(&request.exec_id)?;
        let mut exec = self.settled(&record, &id)?;
        let mut notices = Vec::new();
        if exec.state != ExecState::Running {
            notices.push("it had ended already".to_owned());
        } else if let Some(mut guest) = self.reach(&record)? {
            let survivors = attend::end(&mut guest, &id, signal, GRACE)?;
            if survivors > 0 {
                notices.push(format!(
                    "{survivors} of its processes could not be ended one by one, so the machine was restarted; \
                     files are as they were"
                ));
            }
            drop(guest);
            exec = self.settled(&record, &id)?;
        } else {
            exec = self.settled_after(Attended::Gone, &record, &id)?;
        }
        let over = exec.state != ExecState::Running;
        let reply = self.exec_reply(Shown {
            record: &record,
            exec,
            started: false,
            max_output_chars: None,
            notices,
        })?;
        if over && record.ephemeral {
            self.end_ephemeral(&record)?;
        }
        Ok(reply)
    }
}
