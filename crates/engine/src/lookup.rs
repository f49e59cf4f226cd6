//! From what a caller wrote to the workspace, the command or the path that it names.

use std::path::{Component, Path};

use pyro_model::{ExecId, WorkspaceId, limits};
use pyro_operations::{Code, Failure};
use pyro_store::{Found, Phase, Record};

use crate::{Context, Engine, failure::OrFail};

impl Engine {
    /// The workspace that a reference names, at rest: a change that another call left unfinished
    /// is finished or undone first, one that is going on is `busy`.
    pub(crate) fn workspace(&self, reference: &str) -> Result<Record, Failure> {
        let found = self.store().find(reference).or_fail()?;
        match found {
            Found::One(record) if record.phase == Phase::Live => Ok(*record),
            Found::One(record) => {
                let id = record.id.clone();
                self.repair(&record)?;
                match self.store().get(&id).or_fail()? {
                    Some(record) => Ok(record),
                    None => Err(not_found(reference)),
                }
            }
            Found::Nothing => Err(not_found(reference)),
            Found::Several(ids) => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                Err(Failure::new(
                    Code::Ambiguous,
                    format!("workspace `{}` fits {} workspaces", short(reference), ids.len()),
                )
                .hint("give more of the id, or the name")
                .detail("kind", "workspace")
                .detail("candidates", ids))
            }
        }
    }
}

impl Engine {
    /// The same, to run something in it or to start it anew: a model may do that only where the
    /// user's ceiling would let it make such a workspace.
    pub(crate) fn workspace_to_run(
        &self,
        reference: &str,
        context: &Context,
    ) -> Result<Record, Failure> {
        let record = self.workspace(reference)?;
        if let Some(fence) = context.fence() {
            fence.admits(&record)?;
        }
        Ok(record)
    }
}

fn not_found(reference: &str) -> Failure {
    Failure::new(Code::NotFound, format!("workspace `{}` does not exist", short(reference)))
        .hint("workspace_list shows the workspaces there are; workspace_create makes one")
        .detail("kind", "workspace")
}

/// Another door deleted the workspace while this call was at it.
pub(crate) fn deleted_meanwhile(record: &Record) -> Failure {
    let failure = not_found(record.id.as_str());
    Failure { message: format!("workspace {} was deleted meanwhile", record.id), ..failure }
}

/// At most 80 characters of what a caller wrote.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The command that an id names, by its form alone.
pub(crate) fn exec_id(text: &str) -> Result<ExecId, Failure> {
    text.parse().map_err(|_| exec_not_found(text))
}

/// There is no such command in that workspace.
pub(crate) fn exec_not_found(text: &str) -> Failure {
    Failure::new(
        Code::NotFound,
        format!("command `{}` does not exist in this workspace", short(text)),
    )
    .hint("workspace_logs lists the commands of the workspace with their exec_ids")
    .detail("kind", "exec")
}

/// A path below `/workspace`, relative to it, without `.` and `..`; empty is `/workspace` itself.
pub(crate) fn guest_path(record: &Record, path: &str) -> Result<String, Failure> {
    let given = Path::new(path);
    let relative = if given.is_absolute() {
        match given.strip_prefix("/workspace") {
            Ok(relative) => relative,
            Err(_) => return Err(outside(record, given)),
        }
    } else {
        given
    };
    let mut parts: Vec<&str> = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            Component::ParentDir => {
                if parts.pop().is_none() {
                    return Err(escapes(path));
                }
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    let joined = parts.join("/");
    if joined.len() > limits::PATH_BYTES {
        return Err(Failure::new(Code::InvalidArgument, "the path is too long"));
    }
    Ok(joined)
}

fn escapes(path: &str) -> Failure {
    Failure::new(Code::PathEscapes, format!("path `{}` leaves /workspace", short(path)))
        .hint("give a path below /workspace")
        .detail("kind", "path")
}

/// A path that is absolute and not below `/workspace`: perhaps the one of the host's copy.
fn outside(record: &Record, given: &Path) -> Failure {
    let origin = record.seed.get("origin_ref").and_then(|origin| origin.as_str());
    let translated = origin.and_then(|origin| given.strip_prefix(origin).ok());
    let failure = escapes(&given.to_string_lossy());
    match translated {
        Some(relative) => {
            // The project itself is `.` there.
            let inside = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
            failure.hint(format!(
                "that is the host's copy, which stays as it is; in the workspace it is `{}`",
                inside.display()
            ))
        }
        None => failure,
    }
}

/// Ids from the kernel's own randomness.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // getrandom cannot fail for so few bytes once the kernel is up; a signal may interrupt it.
        if let Ok(count) =
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
        {
            filled += count;
        }
    }
    bytes
}

/// A fresh workspace id.
pub(crate) fn new_workspace_id() -> WorkspaceId {
    WorkspaceId::from_random(random())
}
