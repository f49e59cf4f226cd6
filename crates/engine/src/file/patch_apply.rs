//! `workspace_patch_apply`: read here, judged path by path, applied by the agent as one change.

use pyro_model::{Change, ChangeKind};
use pyro_operations::{
    Code, Failure,
    file::{WorkspaceFileChanged, WorkspacePatchApply},
};
use pyro_protocol::{
    GuestMessage, HostMessage,
    patch::{Conflict, Patch, PatchedFile},
};
use pyro_store::{Event, EventKind, Record};
use serde_json::json;

use super::{Need, file_path, unexpected};
use crate::{Context, Engine, Handle, failure::OrFail};

/// Files that a reply names.
const NAMED: usize = 200;
/// Files that an event keeps.
const KEPT: usize = 50;

impl Handle<WorkspacePatchApply> for Engine {
    fn handle(
        &self,
        request: WorkspacePatchApply,
        context: &Context,
    ) -> Result<WorkspaceFileChanged, Failure> {
        let record = self.workspace(&request.workspace)?;
        let patch = pyro_patch::read(&request.patch).map_err(|error| {
            Failure::new(Code::InvalidArgument, format!("patch: {error}"))
                .hint("write context lines with a leading space, and changes with `-` and `+`")
                .detail("kind", "patch")
                .detail("line", error.line)
        })?;
        let patch = below_workspace(&record, patch)?;
        self.expect_change(&record)?;
        crate::crash::point("patch.begun");
        let message = HostMessage::Patch(patch);
        let (answer, started) = self.ask_files(&record, Need::Guest, message, context)?;
        let files = match answer {
            GuestMessage::Patched(patched) => patched.files,
            GuestMessage::PatchConflict(conflict) => return Err(conflicts(&conflict)),
            _ => return Err(unexpected("patch")),
        };
        crate::crash::point("patch.done");
        let kept: Vec<_> = files.iter().take(KEPT).map(|file| file.path.as_str()).collect();
        let facts = json!({ "files": files.len(), "paths": kept });
        let event = Event::now(EventKind::Patched, facts);
        self.store().journal(&record.id, &event, true, true).or_fail()?;
        Ok(WorkspaceFileChanged {
            verdict: verdict(&files),
            notices: notices(&files),
            files: files.into_iter().take(NAMED).map(change).collect(),
            replacements: None,
            workspace: record.id.to_string(),
            started,
        })
    }
}

/// The patch with every path as the agent takes it.
fn below_workspace(record: &Record, mut patch: Patch) -> Result<Patch, Failure> {
    for file in &mut patch.files {
        file.path = file_path(record, &file.path)?;
        if let Some(from) = &mut file.from {
            *from = file_path(record, from)?;
        }
    }
    Ok(patch)
}

fn conflicts(conflict: &Conflict) -> Failure {
    let path = &conflict.path;
    let at = match conflict.hunk {
        0 => format!("{path}: {}", conflict.message),
        hunk => format!("{path}, hunk {hunk}, line {}: {}", conflict.line, conflict.message),
    };
    let mut failure = Failure::new(
        Code::Conflict,
        format!("the patch does not fit and nothing was changed: {at}"),
    )
    .hint("call workspace_file_read for what is there, and write the patch against that")
    .detail("kind", "patch")
    .detail("path", path.as_str());
    if conflict.hunk > 0 {
        failure = failure
            .detail("hunk", conflict.hunk)
            .detail("line", conflict.line)
            .detail("expected", conflict.expected.as_str())
            .detail("found", conflict.found.as_str());
    }
    failure
}

fn verdict(files: &[PatchedFile]) -> String {
    let count = |kind| files.iter().filter(|file| file.change == kind).count();
    let kinds = [
        ChangeKind::Created,
        ChangeKind::Modified,
        ChangeKind::Renamed,
        ChangeKind::Deleted,
        ChangeKind::Mode,
    ];
    let told: Vec<_> = kinds
        .into_iter()
        .map(|kind| (kind, count(kind)))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| match kind {
            ChangeKind::Mode => format!("{count} changed in mode"),
            kind => format!("{count} {}", kind.as_str()),
        })
        .collect();
    match files {
        [] => "the patch changes nothing: the files are already so".to_owned(),
        [file] => format!("patched {}: {}", file.path, told.join(", ")),
        files => format!("patched {} files: {}", files.len(), told.join(", ")),
    }
}

fn notices(files: &[PatchedFile]) -> Vec<String> {
    let more = files.len().saturating_sub(NAMED);
    if more == 0 { Vec::new() } else { vec![format!("{more} more files are not listed")] }
}

fn change(file: PatchedFile) -> Change {
    Change { path: file.path, change: file.change, from: file.from, bytes: file.bytes }
}
