//! `workspace_update`.

use pyro_model::limits;
use pyro_operations::{Code, Failure, reply::WorkspaceReply, workspace::WorkspaceUpdate};
use pyro_store::{Event, EventKind};
use serde_json::json;

use crate::{Context, Engine, Handle, failure::OrFail, lookup::deleted_meanwhile};

impl Handle<WorkspaceUpdate> for Engine {
    fn handle(&self, request: WorkspaceUpdate, _: &Context) -> Result<WorkspaceReply, Failure> {
        let mut record = self.workspace(&request.workspace)?;
        if request.clear_name {
            record.name = None;
        } else if request.name.is_some() {
            record.name = request.name;
        }
        for key in &request.clear_labels {
            record.labels.remove(key);
        }
        record.labels.extend(request.labels);
        if record.labels.len() > limits::LABELS {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("labels: {} would be set, at most {}", record.labels.len(), limits::LABELS),
            ));
        }
        let event =
            Event::now(EventKind::Updated, json!({ "name": record.name, "labels": record.labels }));
        if !self.store().update_names(&record, &event).or_fail()? {
            return Err(deleted_meanwhile(&record));
        }
        let mut reply = self.show(&record, false)?;
        reply.verdict = format!("updated {}", record.id);
        Ok(reply)
    }
}
