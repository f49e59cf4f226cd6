//! Whole results of operations that answer in parts.
//!
//! A part that belongs to another state than the part before is a `conflict`, never mixed in.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pyro_engine::Context;
use pyro_operations::{
    Code, Failure,
    file::{Encoding, WorkspaceFileRead},
    workspace::{WorkspaceDiff, WorkspaceDiffed},
};

use crate::Client;

/// The whole diff: the first reply, with all of the patch.
///
/// # Errors
/// As `workspace_diff`; `conflict` when the workspace changes meanwhile.
pub fn diff(
    client: &Client,
    request: &WorkspaceDiff,
    context: &Context,
) -> Result<WorkspaceDiffed, Failure> {
    let mut whole = client.call_with(request.clone(), context)?;
    while let Some(offset) = whole.next_offset {
        let next = WorkspaceDiff { offset: Some(offset), ..request.clone() };
        let part = client.call_with(next, context)?;
        if part.patch_sha256 != whole.patch_sha256 {
            return Err(changed("the diff"));
        }
        if part.next_offset.is_some_and(|next| next <= offset) {
            return Err(stuck("workspace_diff", offset));
        }
        whole.next_offset = part.next_offset;
        whole.patch.get_or_insert_default().push_str(&part.patch.unwrap_or_default());
    }
    Ok(whole)
}

/// The bytes of a whole file.
///
/// # Errors
/// As `workspace_file_read`; `conflict` when the file changes meanwhile.
pub fn file(
    client: &Client,
    workspace: &str,
    path: &str,
    context: &Context,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut offset = None;
    let mut sha256: Option<String> = None;
    loop {
        let request = WorkspaceFileRead {
            workspace: workspace.to_owned(),
            path: path.to_owned(),
            offset,
            limit: None,
            encoding: Some(Encoding::Base64),
        };
        let part = client.call_with(request, context)?;
        if sha256.get_or_insert_with(|| part.sha256.clone()) != &part.sha256 {
            return Err(changed(path));
        }
        let decoded = STANDARD.decode(&part.content).map_err(|error| {
            Failure::new(Code::Internal, format!("decode a part of {path}: {error}"))
        })?;
        bytes.extend_from_slice(&decoded);
        match part.next_offset {
            None => return Ok(bytes),
            Some(next) if next <= part.offset => {
                return Err(stuck("workspace_file_read", part.offset));
            }
            Some(next) => offset = Some(next),
        }
    }
}

fn changed(what: &str) -> Failure {
    Failure::new(Code::Conflict, format!("{what} changed while it was being read"))
        .hint("do it again when nothing writes there")
}

fn stuck(operation: &str, offset: u64) -> Failure {
    Failure::new(Code::Internal, format!("{operation} does not get past offset {offset}"))
}
