//! `vm_run`: a workspace that lives as long as its one command is waited for.
//!
//! It is a workspace like any other while it lives, so that a command which outlasts its caller's
//! patience is waited for again; its changes go to memory. Two transactions in the common case.

use pyro_model::{ExecId, ExecState};
use pyro_operations::{
    Failure,
    exec::{ExecReply, VmRun},
    workspace::WorkspaceCreate,
};
use pyro_store::{OperationLock, Phase, Record};

use super::{
    attend::{self, Attended, Command},
    line,
    reply::Shown,
    start::inside,
    variables,
};
use crate::{
    Context, Engine, Handle,
    failure::OrFail,
    lookup::{guest_path, random},
    workspace::Made,
};

/// Seconds after its command's end that a run which nobody waits for stays up.
const UNCLAIMED_S: u64 = 600;

impl Handle<VmRun> for Engine {
    fn handle(&self, request: VmRun, context: &Context) -> Result<ExecReply, Failure> {
        let create = WorkspaceCreate {
            environment: request.environment.clone(),
            no_seed: request.seed_path.is_none() && request.repo_url.is_none(),
            seed_path: request.seed_path.clone(),
            repo_url: request.repo_url.clone(),
            machine: request.machine,
            network: request.network.clone(),
            cpus: request.cpus,
            memory_mib: request.memory_mib,
            idle_ttl_s: Some(UNCLAIMED_S),
            ..WorkspaceCreate::default()
        };
        let mut plan = self.plan(create, context)?;
        plan.record.ephemeral = true;
        guest_path(&plan.record, request.cwd.as_deref().unwrap_or(""))?;
        let made = self.make(plan)?;
        let record = made.record.clone();
        let outcome = self.run_in(made, request, context);
        match outcome {
            Ok((reply, Some(lock))) => {
                self.remove_all(&record, lock)?;
                Ok(reply)
            }
            Ok((reply, None)) => Ok(reply),
            Err(failure) => {
                // What was left running is live by now, and found like any other workspace.
                let now = self.store().get(&record.id);
                if !matches!(now, Ok(Some(now)) if now.phase == Phase::Live) {
                    let _ = self.end_ephemeral(&record);
                }
                Err(failure)
            }
        }
    }
}

impl Engine {
    /// Runs the command; with the lock back when the workspace can go.
    fn run_in(
        &self,
        made: Made,
        request: VmRun,
        context: &Context,
    ) -> Result<(ExecReply, Option<OperationLock>), Failure> {
        let Made { record, mut guest, lock, start_notices, .. } = made;
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
        let call = attend::start(&mut guest, command, context)?;
        crate::crash::point("run.started");
        let patience = attend::patience(request.wait_s, context);
        let attended = match attend::attend(&mut guest, call, &exec, patience, context) {
            Err(failure) if context.leaves_command() => {
                self.store().set_phase(&record.id, Phase::Live, None).or_fail()?;
                return Err(failure);
            }
            other => other?,
        };
        drop(guest);
        crate::crash::point("run.ended");
        let running = attended == Attended::Running;
        if running {
            // It outlives this call: from now on it is found like any other workspace.
            self.store().set_phase(&record.id, Phase::Live, None).or_fail()?;
        }
        let exec = self.settled_after(attended, &record, &exec)?;
        if attended == Attended::Gone {
            self.check_machine(&record, &exec)?;
        }
        let keep = running || exec.state == ExecState::Running;
        let reply = self.exec_reply(Shown {
            record: &record,
            exec,
            started: false,
            max_output_chars: request.max_output_chars,
            notices: start_notices,
        })?;
        Ok((reply, (!keep).then_some(lock)))
    }

    /// Removes a run's workspace, once its result was answered.
    pub(super) fn end_ephemeral(&self, record: &Record) -> Result<(), Failure> {
        // Through its phase, as any deletion: killed half-way, the next call goes on.
        self.delete(record)
    }
}
