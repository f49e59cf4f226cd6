//! `workspace_create`.
//!
//! ```text
//! plan (environment, seed: shared, no trace of this workspace)
//!   -> record `creating` -> folder -> machine -> record `live` + journal
//! ```
//! Killed before `live`, nobody was told of it: the next call removes what there is.

use pyro_machine::Guest;
use pyro_model::Isolation;
use pyro_operations::{
    Failure,
    reply::{LackingTool, Next, WorkspaceReply},
    workspace::WorkspaceCreate,
};
use pyro_store::{Event, EventKind, OperationLock, Phase, Record};
use serde_json::json;

use super::plan::Plan;
use crate::{
    Context, Engine, Handle,
    failure::{OrFail, host_file},
    life::Up,
};

/// A workspace that was just made, its machine up, its operation lock still held.
pub(crate) struct Made {
    pub(crate) record: Record,
    pub(crate) guest: Guest,
    pub(crate) lock: OperationLock,
    /// About its making.
    pub(crate) notices: Vec<String>,
    /// About the start of its machine.
    pub(crate) start_notices: Vec<String>,
    pub(crate) lacking_tools: Vec<LackingTool>,
}

impl Handle<WorkspaceCreate> for Engine {
    fn handle(
        &self,
        request: WorkspaceCreate,
        context: &Context,
    ) -> Result<WorkspaceReply, Failure> {
        self.sweep();
        let plan = self.plan(request, context)?;
        let made = self.make(plan)?;
        crate::crash::point("create.started");
        let facts = json!({ "environment": made.record.environment, "seed": made.record.seed });
        let event = Event::now(EventKind::Created, facts);
        let said = self.store().set_phase(&made.record.id, Phase::Live, Some(&event)).or_fail();
        if let Err(failure) = said {
            let _ = self.remove_all(&made.record, made.lock);
            return Err(failure);
        }
        crate::crash::point("create.live");
        let mut record = made.record;
        record.phase = Phase::Live;
        let mut reply = self.show(&record, true)?;
        reply.created = true;
        reply.verdict = format!(
            "created {} from {}, {} files, environment {}, {}",
            record.name.as_ref().map_or_else(|| record.id.to_string(), ToString::to_string),
            reply.seed.origin_ref.as_deref().unwrap_or("nothing"),
            reply.seed.files,
            record.environment,
            in_words(record.isolation),
        );
        reply.lacking_tools = made.lacking_tools;
        reply.notices.extend(made.notices);
        reply.notices.extend(made.start_notices);
        reply.next = Some(Next {
            tool: "workspace_exec".to_owned(),
            why: "run commands in it; workspace_file_read and workspace_file_edit for files"
                .to_owned(),
        });
        Ok(reply)
    }
}

impl Engine {
    /// Makes the planned workspace and starts its machine. A failure leaves nothing behind.
    pub(crate) fn make(&self, plan: Plan) -> Result<Made, Failure> {
        let Plan { mut record, most, notices, lacking_tools, held } = plan;
        let lock = OperationLock::wait(self.layout(), &record.id).or_fail()?;
        crate::crash::point("create.locked");
        if let Err(error) = self.store().insert(&record, most) {
            lock.remove(self.layout(), &record.id);
            return Err(error).or_fail();
        }
        // From here on the record keeps the layers from being collected.
        drop(held);
        crate::crash::point("create.recorded");
        match self.bring_up(&record, &lock) {
            Ok(up) => {
                record.not_enforced = up.not_enforced;
                record.isolation = up.isolation;
                Ok(Made {
                    record,
                    guest: up.guest,
                    lock,
                    notices,
                    start_notices: up.notices,
                    lacking_tools,
                })
            }
            Err(failure) => {
                // The caller hears what went wrong first; what cannot be removed now (a full disk)
                // is removed by the next call.
                let _ = self.remove_all(&record, lock);
                Err(failure)
            }
        }
    }

    fn bring_up(&self, record: &Record, lock: &OperationLock) -> Result<Up, Failure> {
        let directory = self.layout().workspace(&record.id);
        std::fs::create_dir(&directory).map_err(|error| host_file("make", &directory, &error))?;
        crate::crash::point("create.folder");
        self.machine(record.machine)?.prepare(&directory).or_fail()?;
        crate::crash::point("create.prepared");
        let up = self.start_machine(record, false, lock)?;
        if !record.ephemeral {
            self.store().note_machine(&record.id, up.isolation, &up.not_enforced).or_fail()?;
        }
        Ok(up)
    }
}

/// What runs it, as a part of a sentence.
fn in_words(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Container => "in a container",
        Isolation::MicrovmKvm => "in a microVM",
        Isolation::MicrovmEmulated => "in an emulated microVM",
    }
}
