//! `workspace_file_list`.

use pyro_model::limits;
use pyro_operations::{
    Failure,
    file::{FileEntry, FileKind, WorkspaceFileList, WorkspaceFileListed},
};
use pyro_protocol::{
    GuestMessage, HostMessage,
    files::{EntryKind, List},
};

use super::{Need, unexpected};
use crate::{Context, Engine, Handle, exec::escaped_length, lookup::guest_path};

impl Handle<WorkspaceFileList> for Engine {
    fn handle(
        &self,
        request: WorkspaceFileList,
        context: &Context,
    ) -> Result<WorkspaceFileListed, Failure> {
        let record = self.workspace(&request.workspace)?;
        let path = guest_path(&record, request.path.as_deref().unwrap_or(""))?;
        let limit =
            request.limit.unwrap_or(u32::try_from(limits::FILE_LIST_ENTRIES).unwrap_or(500));
        let message = HostMessage::List(List {
            path: path.clone(),
            depth: request.depth.unwrap_or(limits::FILE_LIST_DEPTH),
            glob: request.glob,
            limit,
        });
        let (answer, _) = self.ask_files(&record, Need::Disk, message, context)?;
        let GuestMessage::Listed(listed) = answer else { return Err(unexpected("list")) };
        let mut truncated = listed.truncated;
        let mut budget = limits::OUTPUT_CHARACTERS_MOST - 2_000;
        let mut entries = Vec::new();
        for entry in listed.entries.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let cost = 80
                + escaped_length(&entry.path)
                + entry.target.as_deref().map_or(0, |target| escaped_length(target) + 12);
            if cost > budget {
                truncated = true;
                break;
            }
            budget -= cost;
            entries.push(FileEntry {
                path: entry.path,
                kind: match entry.kind {
                    EntryKind::File => FileKind::File,
                    EntryKind::Directory => FileKind::Dir,
                    EntryKind::Link => FileKind::Link,
                    EntryKind::Other => FileKind::Other,
                },
                bytes: (entry.kind == EntryKind::File).then_some(entry.bytes),
                executable: entry.executable,
                target: entry.target,
            });
        }
        let place = if path.is_empty() { "/workspace".to_owned() } else { path };
        let more =
            if truncated { "; more are there: give a path, a glob or a smaller depth" } else { "" };
        Ok(WorkspaceFileListed {
            verdict: format!("{} entries below {place}{more}", entries.len()),
            entries,
            truncated,
            notices: Vec::new(),
        })
    }
}
