//! `workspace_diff`.

use std::path::Path;

use pyro_model::{ChangeKind, limits};
use pyro_operations::{
    Code, Failure,
    reply::Next,
    workspace::{DiffFile, DiffFrom, WorkspaceDiff, WorkspaceDiffed},
};

use crate::{Context, Engine, Handle, diff::Patch, exec::escaped_length, lookup::guest_path};

/// Characters of a reply that its other fields take.
const OTHER_FIELDS: usize = 1_200;

impl Handle<WorkspaceDiff> for Engine {
    fn handle(
        &self,
        request: WorkspaceDiff,
        context: &Context,
    ) -> Result<WorkspaceDiffed, Failure> {
        let record = self.workspace(&request.workspace)?;
        let from = request.from.unwrap_or(DiffFrom::Baseline);
        let only: Vec<Vec<u8>> = request
            .paths
            .iter()
            .map(|path| guest_path(&record, path).map(String::into_bytes))
            .collect::<Result<_, _>>()?;
        let whole = only.is_empty() && from == DiffFrom::Baseline;
        let patch = if whole {
            self.whole_patch(&record, context)?
        } else {
            self.patch(&record, &only, from == DiffFrom::Head, context)?
        };
        let characters = request.max_output_chars.unwrap_or(limits::OUTPUT_CHARACTERS);
        let mut reply = reply(&patch, from, characters, &request)?;
        if whole && !patch.files.is_empty() {
            reply.next = Some(Next {
                tool: "workspace_export".to_owned(),
                why: "takes the whole patch out to the host".to_owned(),
            });
        }
        Ok(reply)
    }
}

fn reply(
    patch: &Patch,
    from: DiffFrom,
    characters: usize,
    request: &WorkspaceDiff,
) -> Result<WorkspaceDiffed, Failure> {
    let count = |kind| patch.files.iter().filter(|file| file.change == kind).count() as u64;
    let mut budget = characters.saturating_sub(OTHER_FIELDS);
    let (mut files, mut files_omitted) = (Vec::new(), 0);
    // On later pages the list was seen already.
    let list = request.offset.unwrap_or(0) == 0;
    // The list may take half; a patch that is asked for has the other half at least.
    let for_list = if request.stat { budget } else { budget / 2 };
    let mut spent = 0;
    for file in patch.files.iter().filter(|_| list) {
        let cost = 70 + escaped_length(&file.path) + file.from.as_deref().map_or(0, escaped_length);
        if spent + cost > for_list {
            files_omitted += 1;
            continue;
        }
        spent += cost;
        let counted =
            !file.binary && !matches!(file.change, ChangeKind::Renamed | ChangeKind::Mode);
        files.push(DiffFile {
            path: file.path.clone(),
            change: file.change,
            from: file.from.clone(),
            insertions: counted.then_some(file.insertions),
            deletions: counted.then_some(file.deletions),
            binary: file.binary,
        });
    }
    budget -= spent;
    let (mut part, mut next_offset) = (None, None);
    if !request.stat {
        let offset = usize::try_from(request.offset.unwrap_or(0)).unwrap_or(usize::MAX);
        let rest = patch.text.get(offset..).ok_or_else(|| {
            Failure::new(
                Code::InvalidArgument,
                format!(
                    "offset: {offset} is not the start of a part; the patch has {} bytes",
                    patch.text.len()
                ),
            )
            .hint("give next_offset of the part before")
        })?;
        let text = fitting(rest, budget, limits::OUTPUT_LINES_MOST.saturating_sub(files.len()));
        if text.len() < rest.len() {
            next_offset = Some((offset + text.len()) as u64);
        }
        part = Some(text.to_owned());
    }
    let insertions = patch.files.iter().map(|file| file.insertions).sum();
    let deletions = patch.files.iter().map(|file| file.deletions).sum();
    let verdict = match patch.files.len() {
        0 => "no changes".to_owned(),
        1 => format!("1 file changed, +{insertions} -{deletions}: {}", patch.files[0].path),
        n => format!("{n} files changed, +{insertions} -{deletions}"),
    };
    Ok(WorkspaceDiffed {
        verdict,
        from,
        created: count(ChangeKind::Created),
        modified: count(ChangeKind::Modified) + count(ChangeKind::Mode),
        deleted: count(ChangeKind::Deleted),
        renamed: count(ChangeKind::Renamed),
        insertions,
        deletions,
        files,
        files_omitted: (files_omitted > 0).then_some(files_omitted),
        ignored: (patch.ignored > 0).then_some(patch.ignored),
        patch: part,
        patch_bytes: patch.text.len() as u64,
        patch_sha256: patch.sha256.clone(),
        next_offset,
        next: None,
        notices: patch.notices.clone(),
    })
}

/// The longest front of whole lines that JSON writes within the budget; at least a part of one.
fn fitting(text: &str, budget: usize, lines: usize) -> &str {
    let mut cost = 0;
    let mut end = 0;
    for line in text.split_inclusive('\n').take(lines) {
        cost += escaped_length(line);
        if cost > budget {
            break;
        }
        end += line.len();
    }
    if end == 0 && !text.is_empty() {
        // One line longer than a reply: cut it at a character.
        let mut cost = 0;
        for (index, c) in text.char_indices() {
            cost += escaped_length(c.encode_utf8(&mut [0; 4]));
            if cost > budget.max(6) {
                break;
            }
            end = index + c.len_utf8();
        }
    }
    &text[..end]
}

/// A name for an exported file, from a path inside.
pub(super) fn file_name(path: &str) -> Option<&str> {
    Path::new(path).file_name().and_then(|name| name.to_str())
}
