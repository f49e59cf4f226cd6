//! `workspace_exec`.

use pyro_model::ExecId;
use pyro_operations::{
    Code, Failure,
    exec::{ExecReply, WorkspaceExec},
};

use super::{
    attend::{self, Attended, Command},
    line,
    reply::Shown,
    variables,
};
use crate::{
    Context, Engine, Handle,
    lookup::{guest_path, random},
};

impl Handle<WorkspaceExec> for Engine {
    fn handle(&self, request: WorkspaceExec, context: &Context) -> Result<ExecReply, Failure> {
        let record = self.workspace_to_run(&request.workspace, context)?;
        let exec = ExecId::from_random(random());
        let command = Command {
            exec: exec.clone(),
            program: line::program(&request.command),
            line: request.command,
            cwd: inside(&guest_path(&record, request.cwd.as_deref().unwrap_or(""))?),
            environment: variables::of(&record, &request.env),
            stdin: request.stdin.map(String::into_bytes),
            timeout_s: request.timeout_s,
        };
        let mut connected = self.connect(&record)?;
        crate::crash::point("exec.connected");
        let call = loop {
            match attend::start(&mut connected.guest, command.clone(), context) {
                Ok(call) => break call,
                Err(failure) if attend::met_a_look(&failure) => {
                    drop(connected);
                    self.wait_for_looks(&record)?;
                    connected = self.connect(&record)?;
                }
                Err(failure) if failure.code == Code::NotFound => {
                    return Err(failure.hint(
                        "cwd must be a directory of the workspace; workspace_file_list shows them",
                    ));
                }
                Err(failure) => return Err(failure),
            }
        };
        crate::crash::point("exec.started");
        let patience = attend::patience(request.wait_s, context);
        let attended = attend::attend(&mut connected.guest, call, &exec, patience, context)?;
        drop(connected.guest);
        crate::crash::point("exec.ended");
        let mut notices = connected.notices;
        let exec = self.settled_after(attended, &record, &exec)?;
        if attended == Attended::Gone {
            self.check_machine(&record, &exec)?;
            notices.push("the machine ended while the command ran".to_owned());
        }
        self.exec_reply(Shown {
            record: &record,
            exec,
            started: connected.started,
            max_output_chars: request.max_output_chars,
            notices,
        })
    }
}

/// The absolute path inside.
pub(super) fn inside(relative: &str) -> String {
    if relative.is_empty() { "/workspace".to_owned() } else { format!("/workspace/{relative}") }
}
