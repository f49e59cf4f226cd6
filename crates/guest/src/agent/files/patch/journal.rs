//! What a patch is about to do, written down beside the upper layer before it is done.
//!
//! Before the commit it says what to undo, after it what to finish. Only a workspace with an upper
//! layer has such a place; elsewhere (an agent in a test) a kill leaves what it leaves.

use std::{collections::BTreeSet, os::fd::OwnedFd};

use pyro_protocol::{Decoder, MAX_FRAME, encode};
use rustix::{
    fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, syncfs, unlinkat},
    io::{Errno, Result},
};
use serde::{Deserialize, Serialize};

use super::{Draft, Now, directory, gone, remove, rename};
use crate::agent::files::{Workspace, read_whole, split, write::fill};

const DRAFT: &str = "patch.draft";
const COMMITTED: &str = "patch.committed";
/// A journal is read no further.
const MOST: usize = MAX_FRAME + 4;

/// What is to be done, by paths without links.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Plan {
    steps: Vec<Step>,
    /// Directories that are made, outermost first.
    directories: Vec<Vec<u8>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Step {
    path: Vec<u8>,
    /// Where its new content waits; none when it goes.
    temporary: Option<Vec<u8>>,
}

/// Directories that are known to be missing. A plan of more than fits into a journal is given up
/// before it is made: thousands of deep paths have gigabytes of directories.
#[derive(Default)]
struct Known {
    missing: BTreeSet<Vec<u8>>,
    bytes: usize,
}

impl Plan {
    pub(super) fn of(workspace: &Workspace, changes: &[&Draft]) -> Result<Self> {
        let mut plan = Self::default();
        let mut known = Known::default();
        let number = workspace.temporary.get();
        workspace.temporary.set(number + 1);
        for (at, draft) in changes.iter().enumerate() {
            let (folder, _) = split(&draft.path);
            let temporary = (draft.now != Now::Nothing).then(|| {
                let name = format!(".pyro-patching-{number}-{at}");
                if folder.is_empty() {
                    name.into_bytes()
                } else {
                    [folder, b"/", name.as_bytes()].concat()
                }
            });
            if temporary.is_some() {
                plan.note_missing(workspace, folder, &mut known)?;
            }
            plan.steps.push(Step { path: draft.path.clone(), temporary });
        }
        Ok(plan)
    }

    fn note_missing(
        &mut self,
        workspace: &Workspace,
        folder: &[u8],
        known: &mut Known,
    ) -> Result<()> {
        let mut missing = Vec::new();
        let mut at = folder;
        while !at.is_empty() && !known.missing.contains(at) {
            match directory(workspace, at) {
                Ok(_) => break,
                Err(errno) if gone(errno) => {
                    known.bytes += at.len();
                    if known.bytes > MOST {
                        return Err(Errno::TOOBIG);
                    }
                    known.missing.insert(at.to_vec());
                    missing.push(at.to_vec());
                }
                Err(errno) => return Err(errno),
            }
            at = split(at).0;
        }
        self.directories.extend(missing.into_iter().rev());
        Ok(())
    }

    pub(super) fn temporaries(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.steps.iter().map(|step| step.temporary.as_deref())
    }

    /// Nothing of it was done.
    pub(super) fn undo(&self, workspace: &Workspace) {
        for step in &self.steps {
            if let Some(temporary) = &step.temporary {
                let _ = remove(workspace, temporary, AtFlags::empty());
            }
        }
        for directory in self.directories.iter().rev() {
            let _ = remove(workspace, directory, AtFlags::REMOVEDIR);
        }
    }

    /// Does what is left to do: what comes first, then what goes, and directories that nothing is
    /// left in, as git does. Each step may have been done before, where another agent was at it; for
    /// the first one, content that is not where it was written never got to its place.
    pub(super) fn finish(
        &self,
        workspace: &Workspace,
        is_first: bool,
    ) -> std::result::Result<(), (Vec<u8>, Errno)> {
        let mut failed = Ok(());
        for step in &self.steps {
            let done = match &step.temporary {
                Some(temporary) => rename(workspace, temporary, &step.path),
                None => Ok(()),
            };
            note(&mut failed, &step.path, done, !is_first);
        }
        for step in self.steps.iter().filter(|step| step.temporary.is_none()) {
            note(&mut failed, &step.path, remove(workspace, &step.path, AtFlags::empty()), true);
            let mut folder = split(&step.path).0;
            while !folder.is_empty() && remove(workspace, folder, AtFlags::REMOVEDIR).is_ok() {
                folder = split(folder).0;
            }
        }
        failed
    }
}

/// The first failure is the one to tell; what is done already is none, where it may be.
fn note(
    failed: &mut std::result::Result<(), (Vec<u8>, Errno)>,
    path: &[u8],
    done: Result<()>,
    may_be_done: bool,
) {
    if let Err(errno) = done
        && !(may_be_done && gone(errno))
        && failed.is_ok()
    {
        *failed = Err((path.to_vec(), errno));
    }
}

/// The place of the journal, if this workspace has one.
pub(super) struct Journal {
    place: Option<OwnedFd>,
}

impl Journal {
    pub(super) fn begin(workspace: &Workspace, plan: &Plan) -> Result<Self> {
        let Some(upper) = &workspace.upper else { return Ok(Self { place: None }) };
        let place = beside(upper)?;
        let mut text = Vec::new();
        encode(plan, &mut text).map_err(|_| Errno::TOOBIG)?;
        let _ = unlinkat(&place, DRAFT, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = openat(&place, DRAFT, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
        let journal = Self { place: Some(place) };
        let mut written = fill(&file, &text);
        // A VM that is killed keeps the names of new files before what is in them: what tells
        // which to remove has to be there first.
        if workspace.is_own_kernel && written.is_ok() {
            written = fsync(&file);
        }
        if written.is_err() {
            journal.end();
        }
        written.map(|()| journal)
    }

    /// From here on the patch is applied.
    pub(super) fn commit(&self, workspace: &Workspace) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        // A VM that is killed loses what its kernel has not written yet; a container's kernel is
        // the host's, and outlives it.
        if workspace.is_own_kernel {
            syncfs(place)?;
        }
        renameat(place, DRAFT, place, COMMITTED)?;
        if workspace.is_own_kernel {
            fsync(place)?;
        }
        Ok(())
    }

    pub(super) fn end(&self) {
        if let Some(place) = &self.place {
            let _ = unlinkat(place, DRAFT, AtFlags::empty());
            let _ = unlinkat(place, COMMITTED, AtFlags::empty());
        }
    }
}

/// The directory that the upper layer lies in: no program of the guest sees it.
fn beside(upper: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(upper, "..", flags, Mode::empty())
}

/// Finishes or undoes what an agent before this one was at when it was killed.
pub(in crate::agent) fn recover(workspace: &Workspace) {
    let Some(place) = workspace.upper.as_ref().and_then(|upper| beside(upper).ok()) else {
        return;
    };
    if let Some(plan) = found(&place, COMMITTED) {
        let _ = plan.finish(workspace, false);
    } else if let Some(plan) = found(&place, DRAFT) {
        plan.undo(workspace);
    }
    Journal { place: Some(place) }.end();
}

fn found(place: &OwnedFd, name: &str) -> Option<Plan> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(place, name, flags, Mode::empty()).ok()?;
    let text = read_whole(&file, MOST as u64).ok()??;
    let mut decoder = Decoder::default();
    decoder.push(&text);
    decoder.next().ok().flatten()
}
