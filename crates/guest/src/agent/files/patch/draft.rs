//! Every file of a patch as it will be, made from what is there, with nothing touched.

use std::collections::BTreeMap;

use pyro_model::limits::FILE_EDIT_BYTES;
use pyro_protocol::{
    message::RefusalKind,
    patch::{Action, Body, Conflict, FilePatch, Patch, PatchedFile},
};
use rustix::{
    fs::{FileType, OFlags, fstat, readlinkat},
    io::Errno,
};

use super::{Looks, Stop, delta, gone, text, told_of};
use crate::agent::{
    files::{Workspace, read_whole, resolve::open_beneath, size_of, split},
    refusal::{from_errno, refuse, shown},
};

/// Bytes of all files that one patch may touch, as they are and as they will be.
const MOST: u64 = 128 << 20;
/// What git writes for a symlink.
const LINK: u32 = 0o120_000;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Now {
    Nothing,
    File {
        content: Vec<u8>,
        /// Asked for; as it was (or off) when absent.
        executable: Option<bool>,
    },
    Link(Vec<u8>),
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Without links.
    pub(super) path: Vec<u8>,
    pub(super) was_there: bool,
    pub(super) now: Now,
    /// Only its bit may differ.
    pub(super) same_content: bool,
    /// Mode and owner that it keeps.
    pub(super) looks: Looks,
    /// Where its content came from.
    pub(super) from: Option<Vec<u8>>,
}

struct File {
    was: Now,
    draft: Draft,
}

/// All of them.
pub(super) struct Drafts<'a> {
    workspace: &'a Workspace,
    files: BTreeMap<Vec<u8>, File>,
    /// In the order in which the patch named them.
    order: Vec<Vec<u8>>,
    bytes: u64,
    /// What finding the places of its hunks may still cost.
    work: usize,
}

impl<'a> Drafts<'a> {
    pub(super) fn of(workspace: &'a Workspace, patch: &Patch) -> Result<Self, Stop> {
        let (files, order) = (BTreeMap::new(), Vec::new());
        let mut drafts = Self { workspace, files, order, bytes: 0, work: text::WORK };
        for file in &patch.files {
            drafts.add(file)?;
        }
        drafts.stand_beside_each_other()?;
        Ok(drafts)
    }

    /// What changes, in the order of the patch: what goes last.
    pub(super) fn changes(&self) -> Vec<&Draft> {
        let drafts = || self.order.iter().filter_map(|path| self.files.get(path));
        let changed = drafts().filter(|file| {
            let bit = match (&file.draft.now, &file.draft.looks) {
                (Now::File { executable: Some(bit), .. }, Some(looks)) => {
                    *bit != (looks.st_mode & 0o111 != 0)
                }
                _ => false,
            };
            bit || !same(&file.was, &file.draft.now)
        });
        changed.map(|file| &file.draft).collect()
    }

    fn add(&mut self, file: &FilePatch) -> Result<(), Stop> {
        let path = self.load(&file.path)?;
        let there = self.files[&path].draft.now.clone();
        match file.action {
            Action::Create => {
                if there != Now::Nothing {
                    return Err(whole(file, "it is there already"));
                }
                let now = made(file, b"", None, &mut self.work)?;
                self.set(&path, now, None)
            }
            Action::Delete => {
                if there == Now::Nothing {
                    return Err(whole(file, "it is not there"));
                }
                self.check_deleted(file, &there)?;
                self.set(&path, Now::Nothing, None)
            }
            Action::Modify => {
                let source = match &file.from {
                    Some(from) => self.load(from)?,
                    None => path.clone(),
                };
                let before = self.files[&source].draft.now.clone();
                if before == Now::Nothing {
                    let name = file.from.as_ref().unwrap_or(&file.path);
                    return Err(whole(file, &format!("{name} is not there")));
                }
                if source != path && there != Now::Nothing {
                    return Err(whole(file, "it is there already"));
                }
                let now = match before {
                    Now::File { content, executable } => {
                        made(file, &content, executable, &mut self.work)?
                    }
                    Now::Link(target) => made(&as_link(file), &target, None, &mut self.work)?,
                    Now::Nothing => Now::Nothing,
                };
                if source == path {
                    return self.set(&path, now, None);
                }
                let looks = self.files[&source].draft.looks;
                if !file.copy {
                    self.set(&source, Now::Nothing, None)?;
                }
                self.set(&path, now, Some(source))?;
                if let Some(file) = self.files.get_mut(&path) {
                    file.draft.looks = looks;
                }
                Ok(())
            }
        }
    }

    fn set(&mut self, path: &[u8], now: Now, from: Option<Vec<u8>>) -> Result<(), Stop> {
        let bytes = match &now {
            Now::File { content, .. } | Now::Link(content) => content.len() as u64,
            Now::Nothing => 0,
        };
        self.count(bytes)?;
        let Some(file) = self.files.get_mut(path) else { return Ok(()) };
        file.draft.same_content = same(&file.was, &now);
        file.draft.now = now;
        file.draft.from = from;
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> Result<(), Stop> {
        self.bytes += bytes;
        if self.bytes <= MOST {
            return Ok(());
        }
        let message = format!("apply the patch: it touches more than {} MiB", MOST >> 20);
        Err(refuse(RefusalKind::TooLarge, "the patch", message).into())
    }

    /// Reads what is there, once; the path without links.
    fn load(&mut self, named: &str) -> Result<Vec<u8>, Stop> {
        let failed = |errno| Stop::from(from_errno("patch", named, errno));
        let path = self.workspace.resolve(named.as_bytes(), false).map_err(failed)?;
        if path.is_empty() || named.ends_with('/') {
            return Err(failed(Errno::ISDIR));
        }
        if self.files.contains_key(&path) {
            return Ok(path);
        }
        let (was, looks) = self.look(named, &path)?;
        let draft = Draft {
            path: path.clone(),
            was_there: was != Now::Nothing,
            now: was.clone(),
            same_content: true,
            looks,
            from: None,
        };
        self.files.insert(path.clone(), File { was, draft });
        self.order.push(path.clone());
        Ok(path)
    }

    fn look(&mut self, named: &str, path: &[u8]) -> Result<(Now, Looks), Stop> {
        let failed = |errno| Stop::from(from_errno("patch", named, errno));
        let root = &self.workspace.root;
        let entry = match open_beneath(root, path, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(errno) if gone(errno) => return Ok((Now::Nothing, None)),
            // A directory on the way may be one that the patch makes of a file.
            Err(Errno::NOTDIR) => return Err(failed(Errno::NOTDIR)),
            entry => entry.map_err(failed)?,
        };
        let status = fstat(&entry).map_err(failed)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => {
                let target = readlinkat(&entry, "", Vec::new()).map_err(failed)?;
                return Ok((Now::Link(target.into_bytes()), None));
            }
            FileType::Directory => return Err(failed(Errno::ISDIR)),
            _ => return Err(super::super::not_a_file("patch", named).into()),
        }
        let too_large = || {
            let message = format!("patch {named}: files of at most 8 MiB can be patched");
            Stop::from(refuse(RefusalKind::TooLarge, named, message))
        };
        if size_of(&status) > FILE_EDIT_BYTES {
            return Err(too_large());
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open_beneath(root, path, flags).map_err(failed)?;
        let content = read_whole(&file, FILE_EDIT_BYTES).map_err(failed)?.ok_or_else(too_large)?;
        self.count(content.len() as u64)?;
        Ok((Now::File { content, executable: None }, Some(status)))
    }

    /// A deletion that shows the content deletes only that content.
    fn check_deleted(&mut self, file: &FilePatch, there: &Now) -> Result<(), Stop> {
        let Body::Hunks(hunks) = &file.body else { return Ok(()) };
        if hunks.is_empty() {
            return Ok(());
        }
        let content = match there {
            Now::File { content, .. } | Now::Link(content) => content,
            Now::Nothing => return Ok(()),
        };
        let left =
            text::apply(content, hunks, &mut self.work).map_err(|misfit| misfits(file, misfit))?;
        if left.is_empty() {
            return Ok(());
        }
        let lines = left.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        Err(whole(file, &format!("the file has {lines} lines that the patch does not delete")))
    }

    /// No path of the patch is a directory of another one's.
    fn stand_beside_each_other(&self) -> Result<(), Stop> {
        for (path, file) in &self.files {
            if file.draft.now == Now::Nothing {
                continue;
            }
            let mut above = split(path).0;
            while !above.is_empty() {
                if self.files.contains_key(above) {
                    let message = format!(
                        "patch {}: {} is a file in the same patch; apply them as two",
                        shown(path),
                        shown(above)
                    );
                    return Err(refuse(RefusalKind::WrongType, shown(above), message).into());
                }
                above = split(above).0;
            }
        }
        Ok(())
    }
}

/// Changes in words.
pub(super) fn told(changes: &[&Draft]) -> Vec<PatchedFile> {
    // What moved is told once, where it went.
    let moved: Vec<_> = changes.iter().filter_map(|draft| draft.from.as_ref()).collect();
    changes
        .iter()
        .filter(|draft| draft.now != Now::Nothing || !moved.contains(&&draft.path))
        .filter_map(|draft| told_of(draft))
        .collect()
}

fn same(was: &Now, now: &Now) -> bool {
    match (was, now) {
        (Now::File { content: one, .. }, Now::File { content: other, .. }) => one == other,
        (was, now) => was == now,
    }
}

/// What a change of a link changes is where it points.
fn as_link(file: &FilePatch) -> FilePatch {
    FilePatch { mode: file.mode.or(Some(LINK)), ..file.clone() }
}

/// The content after the patch.
fn made(
    file: &FilePatch,
    before: &[u8],
    executable: Option<bool>,
    work: &mut usize,
) -> Result<Now, Stop> {
    let most = usize::try_from(FILE_EDIT_BYTES).unwrap_or(usize::MAX);
    let content = match &file.body {
        Body::Hunks(hunks) => {
            text::apply(before, hunks, work).map_err(|misfit| misfits(file, misfit))?
        }
        Body::Whole(content) => content.clone(),
        Body::Delta(delta) => delta::apply(before, delta, most)
            .ok_or_else(|| whole(file, "its binary change was made for another content"))?,
    };
    if content.len() > most {
        let message = format!("patch {}: it would be over 8 MiB", file.path);
        return Err(refuse(RefusalKind::TooLarge, &file.path, message).into());
    }
    if file.mode == Some(LINK) {
        let target = content.strip_suffix(b"\n").unwrap_or(&content).to_vec();
        if target.is_empty() || target.contains(&0) || target.len() > 4_095 {
            return Err(whole(file, "a symlink cannot point to that"));
        }
        return Ok(Now::Link(target));
    }
    let bit = file.mode.map(|mode| mode & 0o111 != 0);
    Ok(Now::File { content, executable: bit.or(executable) })
}

fn misfits(file: &FilePatch, misfit: text::Misfit) -> Stop {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Stop::Conflict(Box::new(Conflict {
        path: file.path.clone(),
        hunk: count(misfit.hunk),
        line: count(misfit.line),
        expected: misfit.expected,
        found: misfit.found,
        message: misfit.message,
    }))
}

/// A conflict of the file as a whole.
fn whole(file: &FilePatch, message: &str) -> Stop {
    Stop::Conflict(Box::new(Conflict {
        path: file.path.clone(),
        hunk: 0,
        line: 0,
        expected: String::new(),
        found: String::new(),
        message: message.to_owned(),
    }))
}
