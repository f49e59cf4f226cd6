//! `workspace_file_write`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pyro_model::{Change, ChangeKind, limits};
use pyro_operations::{
    Code, Failure,
    file::{Encoding, WorkspaceFileChanged, WorkspaceFileWrite},
};
use pyro_protocol::{GuestMessage, HostMessage, files::Write};
use pyro_store::{Event, EventKind};
use serde_json::json;

use super::{Need, file_path, unexpected};
use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<WorkspaceFileWrite> for Engine {
    fn handle(
        &self,
        request: WorkspaceFileWrite,
        context: &Context,
    ) -> Result<WorkspaceFileChanged, Failure> {
        let record = self.workspace(&request.workspace)?;
        let path = file_path(&record, &request.path)?;
        let content = match request.encoding.unwrap_or(Encoding::Utf8) {
            Encoding::Utf8 => request.content.into_bytes(),
            Encoding::Base64 => STANDARD.decode(request.content.as_bytes()).map_err(|error| {
                Failure::new(Code::InvalidArgument, format!("content: it is not base64: {error}"))
            })?,
        };
        let bytes = content.len() as u64;
        if bytes > limits::FILE_WRITE_BYTES as u64 {
            return Err(Failure::new(
                Code::TooLarge,
                format!("content: at most {} bytes", limits::FILE_WRITE_BYTES),
            ));
        }
        let message = HostMessage::Write(Write {
            path: path.clone(),
            content,
            executable: request.executable,
        });
        self.expect_change(&record)?;
        crate::crash::point("write.begun");
        let (answer, started) = self.ask_files(&record, Need::Guest, message, context)?;
        let GuestMessage::Written(written) = answer else { return Err(unexpected("write")) };
        crate::crash::point("write.done");
        let change = if written.created { ChangeKind::Created } else { ChangeKind::Modified };
        let event = Event::now(
            EventKind::Written,
            json!({ "path": path, "bytes": bytes, "change": change }),
        );
        self.store().journal(&record.id, &event, true, true).or_fail()?;
        let verdict = match (written.created, written.unchanged) {
            (true, _) => format!("created {path}, {bytes} bytes"),
            (false, true) => format!("{path} already had this content"),
            (false, false) => format!("wrote {path}, {bytes} bytes"),
        };
        let changed = Change { path, change, from: None, bytes: Some(bytes) };
        Ok(WorkspaceFileChanged {
            verdict,
            files: if written.unchanged { Vec::new() } else { vec![changed] },
            replacements: None,
            workspace: record.id.to_string(),
            started,
            notices: Vec::new(),
        })
    }
}
