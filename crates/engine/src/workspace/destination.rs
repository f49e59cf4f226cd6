//! Where an export lands on the host: never over something, never through a link, nothing half
//! written under its final name.
//!
//! Everything is written beneath a handle of the directory that was chosen, under a temporary
//! name, and takes its name by one rename that refuses to replace.

use std::{
    fs::File,
    io::Write,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use pyro_operations::{Code, Failure};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, mkdirat, openat2, renameat_with, symlinkat,
    unlinkat,
};

use super::export::is_of_git;
use crate::{
    Context, Engine,
    diff::hex,
    failure::{host_file, no_space},
    lookup::{random, short},
    seed::open_settled,
};

/// A place that is being written to.
pub(super) struct Destination {
    directory: OwnedFd,
    shown: PathBuf,
    name: String,
    temporary: String,
    finished: bool,
}

const STRICT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

fn refused(path: &Path, errno: rustix::io::Errno) -> Failure {
    match errno {
        rustix::io::Errno::LOOP | rustix::io::Errno::XDEV => Failure::new(
            Code::NotPermitted,
            format!("output: {} leads through a link", path.display()),
        ),
        rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT => {
            no_space(format!("failed to write {}: {errno}", path.display()))
        }
        errno => host_file("write", path, &errno.into()),
    }
}

fn open_directory(at: &OwnedFd, name: &str, shown: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(at, name, flags, Mode::empty(), STRICT).map_err(|errno| refused(shown, errno))
}

/// Opens a directory that the user named when the server started: a link that took its place since
/// is not followed. The directory itself may be made; those above it are the user's.
fn open_named(path: &Path) -> Result<OwnedFd, Failure> {
    let open = |path: &Path| {
        open_settled(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|errno| refused(path, errno))
    };
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return open(path) };
    match mkdirat(open(above)?, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => open(path),
        Err(errno) => Err(refused(path, errno)),
    }
}

fn open_root(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| refused(path, errno))
}

/// Makes a directory if it is not there, and opens it.
fn enter(at: &OwnedFd, name: &str, shown: &Path) -> Result<OwnedFd, Failure> {
    match mkdirat(at, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => open_directory(at, name, shown),
        Err(errno) => Err(refused(shown, errno)),
    }
}

impl Engine {
    /// The place for an export: what was asked for, else a fresh name below the export directory.
    pub(super) fn destination(
        &self,
        output: Option<&str>,
        default_name: &str,
        context: &Context,
    ) -> Result<Destination, Failure> {
        let Some(output) = output else {
            let (directory, shown) = self.export_directory(context)?;
            return Destination::fresh(directory, shown, default_name);
        };
        if context.fence().is_some() {
            let (directory, shown) = self.export_directory(context)?;
            return below(directory, shown, output);
        }
        let path = context.cwd.join(output);
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Failure::new(
                Code::InvalidArgument,
                format!("output: `{}` names no file", short(output)),
            )
        })?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        // The person named it: links above the last name are theirs.
        Destination::exact(open_root(parent)?, parent.to_owned(), name)
    }

    /// Where a model's exports land, and everybody's who names no place.
    fn export_directory(&self, context: &Context) -> Result<(OwnedFd, PathBuf), Failure> {
        let fence = context.fence();
        if let Some(path) = fence.and_then(|fence| fence.export_dir.as_ref()) {
            return Ok((open_named(path)?, path.clone()));
        }
        let project = match fence {
            Some(fence) => fence.project.directory().map(Path::to_path_buf),
            None => crate::seed::find_checkout(&context.cwd),
        };
        let Some(project) = project else {
            let path = self.layout().exports();
            std::fs::create_dir_all(&path).map_err(|error| host_file("make", &path, &error))?;
            return Ok((open_root(&path)?, path));
        };
        // The repo is hostile: `.pyro` in it may be a link.
        let shown = project.join(".pyro/exports");
        let root = open_settled(&project, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| refused(&project, errno))?;
        let pyro = enter(&root, ".pyro", &project.join(".pyro")).map_err(with_a_way_out)?;
        let exports = enter(&pyro, "exports", &shown).map_err(with_a_way_out)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if let Ok(file) = openat2(&exports, ".gitignore", flags, Mode::from_raw_mode(0o644), STRICT)
        {
            File::from(file)
                .write_all(b"*\n")
                .map_err(|error| host_file("write", &shown.join(".gitignore"), &error))?;
        }
        Ok((exports, shown))
    }
}

/// Says what to do where a project has no place for exports.
fn with_a_way_out(failure: Failure) -> Failure {
    match failure.hint.is_empty() {
        true => failure.hint("ask the person to start the server with --export-dir DIR"),
        false => failure,
    }
}

/// A name below the export directory, as a model may give it.
fn below(directory: OwnedFd, mut shown: PathBuf, output: &str) -> Result<Destination, Failure> {
    let parts: Vec<&str> = output.split('/').collect();
    let valid = !output.is_empty()
        && output.len() <= 1_024
        && !output.chars().any(char::is_control)
        && parts.iter().all(|part| !part.is_empty() && *part != "." && *part != "..");
    if !valid {
        return Err(Failure::new(
            Code::NotPermitted,
            format!("output: `{}` is not a name below the export directory", short(output)),
        )
        .hint("give a plain relative name such as `report.html`, or leave output out"));
    }
    if is_of_git(output.as_bytes()) {
        return Err(Failure::new(
            Code::NotPermitted,
            "output: a repository's own files are not written: the host's git would obey them",
        )
        .hint("give another name"));
    }
    let mut directory = directory;
    let (name, above) = parts.split_last().unwrap_or((&output, &[]));
    for part in above {
        shown.push(part);
        directory = enter(&directory, part, &shown)?;
    }
    Destination::exact(directory, shown, name)
}

impl Destination {
    fn exact(directory: OwnedFd, shown: PathBuf, name: &str) -> Result<Self, Failure> {
        let place = Self {
            directory,
            shown,
            name: name.to_owned(),
            temporary: format!(".pyro-{}", hex(&random::<8>())),
            finished: false,
        };
        if place.is_taken(name) { Err(place.taken()) } else { Ok(place) }
    }

    fn fresh(directory: OwnedFd, shown: PathBuf, name: &str) -> Result<Self, Failure> {
        // It may be the guest's word; a terminal that lists the directory must not obey it.
        let name = name.replace(char::is_control, "_");
        let name = name.as_str();
        let mut place = Self {
            directory,
            shown,
            name: name.to_owned(),
            temporary: format!(".pyro-{}", hex(&random::<8>())),
            finished: false,
        };
        let (stem, end) = match name.rsplit_once('.') {
            Some((stem, end)) if !stem.is_empty() => (stem, format!(".{end}")),
            _ => (name, String::new()),
        };
        for number in 2..10_000 {
            if !place.is_taken(&place.name) {
                return Ok(place);
            }
            place.name = format!("{stem}-{number}{end}");
        }
        Err(place.taken())
    }

    fn is_taken(&self, name: &str) -> bool {
        rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn taken(&self) -> Failure {
        Failure::new(
            Code::AlreadyExists,
            format!("output: {} exists already", self.path().display()),
        )
        .hint("give another name; an export never overwrites")
        .detail("kind", "export_target")
    }

    /// Where it will be.
    pub(super) fn path(&self) -> PathBuf {
        self.shown.join(&self.name)
    }

    /// Opens the temporary file, when the export is one file.
    pub(super) fn file(&self, executable: bool) -> Result<File, Failure> {
        new_file(&self.directory, self.temporary.as_bytes(), executable)
            .map_err(|errno| refused(&self.path(), errno))
    }

    /// Makes the temporary directory, when the export is a tree.
    pub(super) fn tree(&self) -> Result<OwnedFd, Failure> {
        mkdirat(&self.directory, &self.temporary, Mode::from_raw_mode(0o755))
            .map_err(|errno| refused(&self.path(), errno))?;
        open_directory(&self.directory, &self.temporary, &self.path())
    }

    /// Gives it its name, unless that was taken meanwhile.
    pub(super) fn finish(mut self) -> Result<PathBuf, Failure> {
        let renamed = renameat_with(
            &self.directory,
            &self.temporary,
            &self.directory,
            &self.name,
            RenameFlags::NOREPLACE,
        );
        match renamed {
            Ok(()) => {
                self.finished = true;
                Ok(self.path())
            }
            Err(rustix::io::Errno::EXIST) => Err(self.taken()),
            Err(errno) => Err(refused(&self.path(), errno)),
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if self.finished || !self.is_taken(&self.temporary) {
            return;
        }
        if unlinkat(&self.directory, &self.temporary, AtFlags::empty()).is_err() {
            // A tree of our own, made a moment ago beneath a handle that is still held.
            let path = format!(
                "/proc/self/fd/{}/{}",
                std::os::fd::AsRawFd::as_raw_fd(&self.directory),
                self.temporary
            );
            let same = std::fs::symlink_metadata(&path)
                .is_ok_and(|facts| facts.is_dir() && facts.nlink() > 0);
            if same {
                let _ = std::fs::remove_dir_all(path);
            }
        }
    }
}

fn new_file(at: &OwnedFd, name: &[u8], executable: bool) -> rustix::io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
    openat2(at, name, flags, mode, STRICT).map(File::from)
}

/// Writes entries of a tree beneath its handle.
pub(super) struct TreeWriter {
    root: OwnedFd,
}

impl TreeWriter {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    pub(super) fn directory(&self, path: &[u8]) -> rustix::io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    pub(super) fn file(&self, path: &[u8], executable: bool) -> rustix::io::Result<File> {
        let (parent, name) = self.parent(path)?;
        new_file(&parent, name, executable)
    }

    pub(super) fn link(&self, path: &[u8], target: &[u8]) -> rustix::io::Result<()> {
        let (parent, name) = self.parent(path)?;
        symlinkat(target, &parent, name)
    }

    fn parent<'p>(&self, path: &'p [u8]) -> rustix::io::Result<(OwnedFd, &'p [u8])> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (above, name): (&[u8], &[u8]) = match path.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (b".", path),
        };
        Ok((openat2(&self.root, above, flags, Mode::empty(), STRICT)?, name))
    }
}

#[cfg(test)]
impl Destination {
    /// For tests of what is written to one.
    pub(super) fn of(directory: &Path, name: &str) -> Self {
        Self::exact(open_root(directory).unwrap(), directory.to_owned(), name).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(folder: &tempfile::TempDir) -> (OwnedFd, PathBuf) {
        (open_root(folder.path()).unwrap(), folder.path().to_owned())
    }

    #[test]
    fn a_named_export_directory_is_never_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        assert!(open_named(&at.join("new")).is_ok());
        assert!(at.join("new").is_dir());
        std::fs::create_dir_all(at.join("other/new")).unwrap();
        std::os::unix::fs::symlink("other", at.join("link")).unwrap();
        for path in ["link", "link/new", "link/made"] {
            let refused = open_named(&at.join(path)).err().unwrap();
            assert_eq!(refused.code, Code::NotPermitted, "{path}: {refused:?}");
        }
        assert!(!at.join("other/made").exists());
    }

    #[test]
    fn a_model_gives_no_name_that_a_terminal_obeys() {
        let folder = tempfile::tempdir().unwrap();
        for output in ["a\u{1b}[2J", "a\nb", "a\0", "d\u{9b}/x", "../x", "/tmp/x", "a//b", ""] {
            let (directory, shown) = handle(&folder);
            let refused = below(directory, shown, output).err().unwrap();
            assert_eq!(refused.code, Code::NotPermitted, "{output:?}");
        }
        for output in [".git", ".git/config", "a/.GIT/hooks/post-checkout", "HEAD", "a/HEAD"] {
            let (directory, shown) = handle(&folder);
            let refused = below(directory, shown, output).err().unwrap();
            assert!(refused.message.contains("git would obey"), "{output:?}: {refused:?}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let (directory, shown) = handle(&folder);
        assert_eq!(below(directory, shown, "d/é x").unwrap().name, "é x");
        let (directory, shown) = handle(&folder);
        assert_eq!(Destination::fresh(directory, shown, "w-\u{1b}[2Jx").unwrap().name, "w-_[2Jx");
    }
}
