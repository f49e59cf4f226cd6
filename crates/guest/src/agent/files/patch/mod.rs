//! Applying a patch: first everything is read and made in memory, then all of it is put in place,
//! or nothing is.
//!
//! ```text
//! draft     every file as it will be; a conflict ends it here, with nothing touched
//! journal   what is about to be done, beside the upper layer, where no program of the guest sees
//! write     each new content under a temporary name in its own directory
//! commit    the journal's rename: from here on the patch is applied, also after a kill
//! place     renames and removals; the journal goes last
//! ```
//!
//! A machine that is killed in between finishes, or undoes, when its next agent begins.

mod delta;
mod draft;
mod journal;
mod text;

pub(in crate::agent) use journal::recover;

use std::os::fd::OwnedFd;

use pyro_model::ChangeKind;
use pyro_protocol::{
    GuestMessage,
    patch::{Conflict, Patch, Patched, PatchedFile},
};
use rustix::{
    fs::{AtFlags, Mode, OFlags, Stat, renameat, symlinkat, unlinkat},
    io::{Errno, Result},
};

use super::{
    Workspace,
    resolve::{open_beneath, open_beneath_with},
    split,
    write::{dress, fill, make_directories},
};
use crate::agent::refusal::{Answer, from_errno, shown};
use draft::{Draft, Drafts, Now};
use journal::{Journal, Plan};

/// What stops a patch before anything is touched.
pub(super) enum Stop {
    Refused(pyro_protocol::message::Refusal),
    Conflict(Box<Conflict>),
}

impl From<pyro_protocol::message::Refusal> for Stop {
    fn from(refusal: pyro_protocol::message::Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Applies it; the message that ends the call.
pub(in crate::agent) fn patch(workspace: &Workspace, patch: &Patch) -> Answer<GuestMessage> {
    let drafts = match Drafts::of(workspace, patch) {
        Ok(drafts) => drafts,
        Err(Stop::Refused(refusal)) => return Err(refusal),
        Err(Stop::Conflict(conflict)) => return Ok(GuestMessage::PatchConflict(conflict)),
    };
    let changes = drafts.changes();
    let files = draft::told(&changes);
    if !changes.is_empty() {
        put(workspace, &changes)?;
    }
    Ok(GuestMessage::Patched(Patched { files }))
}

/// Writes, commits and places.
fn put(workspace: &Workspace, changes: &[&Draft]) -> Answer<()> {
    let plan =
        Plan::of(workspace, changes).map_err(|errno| from_errno("plan", "the patch", errno))?;
    let journal = Journal::begin(workspace, &plan)
        .map_err(|errno| from_errno("write down", "the patch", errno))?;
    let written = write(workspace, changes, &plan).and_then(|()| {
        journal.commit(workspace).map_err(|errno| from_errno("commit", "the patch", errno))
    });
    if let Err(refusal) = written {
        plan.undo(workspace);
        journal.end();
        return Err(refusal);
    }
    let placed = plan.finish(workspace, true);
    journal.end();
    placed.map_err(|(path, errno)| from_errno("put in place", shown(&path), errno))
}

fn write(workspace: &Workspace, changes: &[&Draft], plan: &Plan) -> Answer<()> {
    for (draft, temporary) in changes.iter().zip(plan.temporaries()) {
        let Some(temporary) = temporary else { continue };
        let failed = |errno| from_errno("write", shown(&draft.path), errno);
        let (folder, name) = split(temporary);
        let parent = make_directories(&workspace.root, folder).map_err(failed)?;
        write_one(&parent, name, draft).map_err(failed)?;
    }
    Ok(())
}

fn write_one(parent: &OwnedFd, name: &[u8], draft: &Draft) -> Result<()> {
    match &draft.now {
        Now::File { content, executable } => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let file = open_beneath_with(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
            fill(&file, content)?;
            dress(&file, draft.looks.as_ref(), *executable)
        }
        Now::Link(target) => symlinkat(&target[..], parent, name),
        Now::Nothing => Ok(()),
    }
}

/// Renames beneath the workspace.
fn rename(workspace: &Workspace, from: &[u8], to: &[u8]) -> Result<()> {
    let ((folder, old), (_, new)) = (split(from), split(to));
    let parent = directory(workspace, folder)?;
    renameat(&parent, old, &parent, new)
}

fn remove(workspace: &Workspace, path: &[u8], flags: AtFlags) -> Result<()> {
    let (folder, name) = split(path);
    unlinkat(directory(workspace, folder)?, name, flags)
}

fn directory(workspace: &Workspace, path: &[u8]) -> Result<OwnedFd> {
    open_beneath(&workspace.root, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW)
}

/// What a file was and will be, in the words of a reply.
fn told_of(draft: &Draft) -> Option<PatchedFile> {
    let (change, bytes) = match (draft.was_there, &draft.now) {
        (false, Now::Nothing) => return None,
        (true, Now::Nothing) => (ChangeKind::Deleted, None),
        (was, Now::File { content, .. }) => {
            let change = match (was, draft.same_content) {
                (false, _) => ChangeKind::Created,
                (true, true) => ChangeKind::Mode,
                (true, false) => ChangeKind::Modified,
            };
            (change, Some(content.len() as u64))
        }
        (was, Now::Link(target)) => {
            let change = if was { ChangeKind::Modified } else { ChangeKind::Created };
            (change, Some(target.len() as u64))
        }
    };
    let renamed = draft.from.is_some() && change == ChangeKind::Created;
    Some(PatchedFile {
        path: shown(&draft.path),
        change: if renamed { ChangeKind::Renamed } else { change },
        from: draft.from.as_deref().map(shown),
        bytes,
    })
}

/// Looks of the file that a new one replaces or continues.
type Looks = Option<Stat>;

fn gone(errno: Errno) -> bool {
    errno == Errno::NOENT
}
