//! `workspace_export`: a file, a tree or the patch, with safe modes and the caller as owner.
//!
//! What arrives comes from a hostile guest: names and lengths are checked, links that lead out of
//! the exported tree stay out, setuid bits are gone. So are repositories' own files: the host's git
//! runs programs that their config names, also for a mere `git status` in the exported tree.

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use pyro_machine::{Guest, GuestError};
use pyro_model::limits;
use pyro_operations::{
    Code, Failure,
    workspace::{ExportKind, WorkspaceExport, WorkspaceExported},
};
use pyro_protocol::{
    GuestMessage, HostMessage,
    files::{EntryKind, Pack, PackEntry},
};
use pyro_store::{Event, EventKind, Record};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    destination::{Destination, TreeWriter},
    diff::file_name,
};
use crate::{
    Context, Engine, Handle,
    diff::hex,
    failure::{IntoFailure, OrFail, host_file, no_space},
    lookup::guest_path,
};

/// How long the guest may be silent.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes and entries of one export.
const BYTES: u64 = limits::SEED_BYTES;
const ENTRIES: u64 = limits::SEED_ENTRIES;

/// What was written.
#[derive(Default)]
struct Written {
    files: u64,
    bytes: u64,
    sha256: Option<String>,
    notices: Vec<String>,
}

impl Handle<WorkspaceExport> for Engine {
    fn handle(
        &self,
        request: WorkspaceExport,
        context: &Context,
    ) -> Result<WorkspaceExported, Failure> {
        let record = self.workspace(&request.workspace)?;
        let who = record.name.as_ref().map_or_else(|| record.id.to_string(), ToString::to_string);
        let output = request.output.as_deref();
        let (host_path, kind, written) = match &request.path {
            None => {
                let place = self.destination(output, &format!("{who}.patch"), context)?;
                let (path, written) = self.export_patch(&record, place, context)?;
                (path, ExportKind::Patch, written)
            }
            Some(path) => {
                let path = guest_path(&record, path)?;
                let name = format!("{who}-{}", file_name(&path).unwrap_or("workspace"));
                // Refused before anything is started; made again should the look be, since what was
                // half written is gone by then.
                let mut place = Some(self.destination(output, &name, context)?);
                let (path, written) = self.look(&record, |guest| {
                    let place = match place.take() {
                        Some(place) => place,
                        None => self.destination(output, &name, context)?,
                    };
                    export_path(guest, &path, place, context)
                })?;
                (path, ExportKind::Path, written)
            }
        };
        let host_path = host_path.display().to_string();
        let facts = json!({ "path": request.path, "kind": kind, "host_path": host_path, "bytes": written.bytes });
        self.store()
            .journal(&record.id, &Event::now(EventKind::Exported, facts), false, false)
            .or_fail()?;
        Ok(WorkspaceExported {
            verdict: format!(
                "exported {} {}, {} bytes to {host_path}",
                written.files,
                if written.files == 1 { "file" } else { "files" },
                written.bytes
            ),
            workspace: record.id.to_string(),
            host_path,
            kind,
            files: written.files,
            bytes: written.bytes,
            sha256: written.sha256,
            notices: written.notices,
        })
    }
}

impl Engine {
    fn export_patch(
        &self,
        record: &Record,
        place: Destination,
        context: &Context,
    ) -> Result<(std::path::PathBuf, Written), Failure> {
        let patch = self.whole_patch(record, context)?;
        let path = place.path();
        place
            .file(false)?
            .write_all(patch.text.as_bytes())
            .map_err(|error| host_file("write", &path, &error))?;
        let path = place.finish()?;
        self.store().note_export(&record.id, &patch.sha256).or_fail()?;
        let mut notices = patch.notices;
        if patch.files.is_empty() {
            notices.push("nothing has changed: the patch is empty".to_owned());
        }
        Ok((
            path,
            Written {
                files: 1,
                bytes: patch.text.len() as u64,
                sha256: Some(patch.sha256),
                notices,
            },
        ))
    }
}

fn broken() -> Failure {
    GuestError::Unexpected { call: "pack" }.into_failure()
}

fn export_path(
    guest: &mut Guest,
    path: &str,
    place: Destination,
    context: &Context,
) -> Result<(std::path::PathBuf, Written), Failure> {
    let call = guest
        .send(HostMessage::Pack(Pack {
            paths: vec![path.as_bytes().to_vec()],
            recursive: true,
            max_bytes: BYTES,
            max_entries: ENTRIES,
        }))
        .or_fail()?;
    let mut writer = Writer::new(path.as_bytes(), place);
    loop {
        let deadline = Some(Instant::now() + PATIENCE);
        match guest.receive(call, deadline, Some(&context.cancel)).or_fail()? {
            GuestMessage::Entry(entry) => writer.entry(&entry)?,
            GuestMessage::Chunk { bytes } => {
                let granted = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                writer.chunk(&bytes)?;
                guest.send_on(call, HostMessage::Credit { bytes: granted }).or_fail()?;
            }
            GuestMessage::Done => return writer.finish(),
            GuestMessage::Failed(refusal) => return Err(refusal.into_failure()),
            _ => return Err(broken()),
        }
    }
}

/// Writes what arrives.
struct Writer<'a> {
    root: &'a [u8],
    place: Destination,
    tree: Option<TreeWriter>,
    /// The file whose chunks arrive (none, when it is left out), and how many bytes are still to
    /// come.
    open: Option<(Option<File>, u64)>,
    single: Option<Sha256>,
    entries: u64,
    received: u64,
    of_git: bool,
    written: Written,
    links_left_out: u64,
    others: u64,
}

impl<'a> Writer<'a> {
    fn new(root: &'a [u8], place: Destination) -> Self {
        Self {
            root,
            place,
            tree: None,
            open: None,
            single: None,
            entries: 0,
            received: 0,
            of_git: false,
            written: Written::default(),
            links_left_out: 0,
            others: 0,
        }
    }

    fn failed(&self, errno: rustix::io::Errno) -> Failure {
        match errno {
            rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT => {
                no_space(format!("failed to write {}: {errno}", self.place.path().display()))
            }
            errno => host_file("write", &self.place.path(), &errno.into()),
        }
    }

    /// The path below the exported root, if it is one.
    fn relative<'e>(&self, path: &'e [u8]) -> Result<&'e [u8], Failure> {
        let rest = if self.root.is_empty() {
            path
        } else {
            match path.strip_prefix(self.root) {
                Some([]) => &[],
                Some([b'/', rest @ ..]) => rest,
                _ => return Err(broken()),
            }
        };
        let valid = rest.is_empty()
            || rest.split(|b| *b == b'/').all(|part| {
                !part.is_empty()
                    && part != b"."
                    && part != b".."
                    && part.len() <= 255
                    && !part.contains(&0)
            });
        if valid && rest.len() <= limits::PATH_BYTES { Ok(rest) } else { Err(broken()) }
    }

    fn entry(&mut self, entry: &PackEntry) -> Result<(), Failure> {
        self.close()?;
        self.entries += 1;
        if self.entries > ENTRIES {
            return Err(broken());
        }
        let relative = self.relative(&entry.path)?.to_vec();
        let executable = entry.mode & 0o111 != 0;
        if relative.is_empty() {
            return self.top(entry, executable);
        }
        let Some(tree) = &self.tree else { return Err(broken()) };
        let is_directory = entry.kind == EntryKind::Directory;
        if lies_in_git(&relative) || (!is_directory && is_of_git(&relative)) {
            self.of_git = true;
            self.open = (entry.kind == EntryKind::File).then_some((None, entry.bytes));
            return Ok(());
        }
        match entry.kind {
            EntryKind::Directory => {
                tree.directory(&relative).map_err(|errno| self.failed(errno))?;
            }
            EntryKind::File => {
                let file = tree.file(&relative, executable).map_err(|errno| self.failed(errno))?;
                self.open = Some((Some(file), entry.bytes));
                self.written.files += 1;
            }
            EntryKind::Link => {
                let target = entry.target.as_deref().unwrap_or_default();
                if stays_inside(&relative, target) {
                    tree.link(&relative, target).map_err(|errno| self.failed(errno))?;
                    self.written.files += 1;
                } else {
                    self.links_left_out += 1;
                }
            }
            EntryKind::Other => self.others += 1,
        }
        Ok(())
    }

    /// The exported path itself.
    fn top(&mut self, entry: &PackEntry, executable: bool) -> Result<(), Failure> {
        if self.tree.is_some() || self.written.files > 0 {
            return Err(broken());
        }
        match entry.kind {
            EntryKind::Directory if lies_in_git(self.root) => {
                return Err(Failure::new(
                    Code::InvalidArgument,
                    "path: it is the inside of a Git repository, which the host's git would obey",
                )
                .hint("to take commits out, run `git bundle create x.bundle --all` and export that file"));
            }
            EntryKind::Directory => self.tree = Some(TreeWriter::new(self.place.tree()?)),
            EntryKind::File => {
                self.open = Some((Some(self.place.file(executable)?), entry.bytes));
                self.single = Some(Sha256::new());
                self.written.files = 1;
            }
            EntryKind::Link | EntryKind::Other => {
                return Err(Failure::new(
                    Code::InvalidArgument,
                    "path: it is a link or a special file, which cannot be exported",
                )
                .hint("export the file that it points to"));
            }
        }
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.received += bytes.len() as u64;
        let path = self.place.path();
        let Some((file, left)) = &mut self.open else { return Err(broken()) };
        let Some(rest) = left.checked_sub(bytes.len() as u64) else { return Err(broken()) };
        *left = rest;
        // Chunks of nothing could go on for ever.
        if self.received > BYTES || bytes.is_empty() {
            return Err(broken());
        }
        let Some(file) = file else { return Ok(()) };
        self.written.bytes += bytes.len() as u64;
        if let Some(hash) = &mut self.single {
            hash.update(bytes);
        }
        file.write_all(bytes).map_err(|error| host_file("write", &path, &error))
    }

    /// Every announced byte must have come.
    fn close(&mut self) -> Result<(), Failure> {
        match self.open.take() {
            Some((_, left)) if left > 0 => Err(broken()),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(std::path::PathBuf, Written), Failure> {
        self.close()?;
        if self.tree.is_none() && self.written.files == 0 {
            return Err(broken());
        }
        let mut written = self.written;
        written.sha256 = self.single.map(|hash| hex(&hash.finalize()));
        if self.links_left_out > 0 {
            written.notices.push(format!(
                "{} links that lead out of the tree were left out",
                self.links_left_out
            ));
        }
        if self.of_git {
            written.notices.push(
                "`.git`, or a file named HEAD, was left out: the host's git would run what they name; the patch has the changes"
                    .to_owned(),
            );
        }
        if self.others > 0 {
            written
                .notices
                .push(format!("{} sockets, pipes or devices were left out", self.others));
        }
        self.tree = None;
        Ok((self.place.finish()?, written))
    }
}

/// Whether a path is a repository's `.git`, lies in one, or would make its directory one: git takes
/// any directory with a `HEAD` and some others for a repository, and obeys the `config` in it.
pub(super) fn is_of_git(path: &[u8]) -> bool {
    path.rsplit(|b| *b == b'/').next() == Some(b"HEAD") || lies_in_git(path)
}

fn lies_in_git(path: &[u8]) -> bool {
    path.split(|b| *b == b'/').any(|part| part.eq_ignore_ascii_case(b".git"))
}

/// Whether a link at `path` in a tree points into the same tree, read as text: a target that goes
/// up again after a name is refused, since that name may itself be a link.
fn stays_inside(path: &[u8], target: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let target = Path::new(std::ffi::OsStr::from_bytes(target));
    if target.as_os_str().is_empty() || target.is_absolute() {
        return false;
    }
    let mut depth = path.iter().filter(|b| **b == b'/').count();
    let mut named = false;
    for component in target.components() {
        match component {
            std::path::Component::Normal(_) => named = true,
            std::path::Component::ParentDir if named => return false,
            std::path::Component::ParentDir => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return false,
            },
            std::path::Component::CurDir => {}
            std::path::Component::RootDir | std::path::Component::Prefix(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out_are_told_apart() {
        assert!(stays_inside(b"a/link", b"../b"));
        assert!(stays_inside(b"link", b"a/b"));
        assert!(!stays_inside(b"link", b"../b"));
        assert!(!stays_inside(b"a/link", b"../../b"));
        assert!(!stays_inside(b"a/link", b"/etc/passwd"));
        assert!(!stays_inside(b"a/link", b""));
        assert!(!stays_inside(b"a/link", b"b/../../c"));
    }

    fn entry(path: &str, kind: EntryKind, bytes: u64) -> PackEntry {
        PackEntry { path: path.into(), kind, mode: 0o755, bytes, target: None }
    }

    #[test]
    fn a_repository_s_own_files_stay_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(b"", Destination::of(folder.path(), "tree"));
        for (path, kind) in [
            ("", EntryKind::Directory),
            (".git", EntryKind::Directory),
            (".git/hooks", EntryKind::Directory),
            (".git/hooks/post-checkout", EntryKind::File),
            ("sub", EntryKind::Directory),
            ("sub/.GIT", EntryKind::File),
            ("sub/HEAD", EntryKind::File),
            ("sub/d", EntryKind::Directory),
            ("sub/d/HEAD", EntryKind::Directory),
            ("sub/d/HEAD/kept", EntryKind::File),
            ("sub/kept", EntryKind::File),
        ] {
            let bytes = if kind == EntryKind::File { 2 } else { 0 };
            writer.entry(&entry(path, kind, bytes)).unwrap();
            if bytes > 0 {
                writer.chunk(b"ab").unwrap();
            }
        }
        let (path, written) = writer.finish().unwrap();
        assert_eq!((written.files, written.bytes), (2, 4));
        assert!(written.notices[0].contains(".git"), "{:?}", written.notices);
        let names = |path: std::path::PathBuf| -> Vec<String> {
            let entries = std::fs::read_dir(path).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(names(path.clone()), ["sub"]);
        let mut inside = names(path.join("sub"));
        inside.sort_unstable();
        assert_eq!(inside, ["d", "kept"]);
        assert_eq!(names(path.join("sub/d/HEAD")), ["kept"]);
        let mut writer = Writer::new(b"sub/.git", Destination::of(folder.path(), "other"));
        let refused = writer.entry(&entry("sub/.git", EntryKind::Directory, 0)).err().unwrap();
        assert_eq!(refused.code, Code::InvalidArgument);
        drop(writer);
        assert_eq!(names(folder.path().to_owned()), ["tree"]);
    }

    #[test]
    fn a_guest_that_sends_more_or_nothing_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let start = || {
            let mut writer = Writer::new(b"f", Destination::of(folder.path(), "f"));
            writer.entry(&entry("f", EntryKind::File, 2)).unwrap();
            writer
        };
        assert!(start().chunk(b"abc").is_err());
        assert!(start().chunk(b"").is_err(), "nothing, for ever");
        assert!(start().entry(&entry("g", EntryKind::File, 2)).is_err());
        assert!(start().finish().is_err(), "less than it said");
    }
}
