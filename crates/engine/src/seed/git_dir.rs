//! Finding the git directory of a checkout, without trusting what points to it.
//!
//! A `.git` directory is taken as it is. A `.git` file is a pointer that anybody could have put
//! there: it counts only when the directory it names points back at this very checkout, as
//! linked worktrees (`gitdir` inside `<common>/worktrees/ID`) and submodules (`core.worktree`)
//! do. Everything else is refused with its reason, and the caller seeds plain files.

use std::path::{Path, PathBuf};

use super::SeedError;
use super::beneath::{Kind, Rooted, as_path};
use super::host_git::HostGit;
use super::repo_config::RepoConfig;

const POINTER_MOST: u64 = 8 << 10;

/// The two directories that make a checkout; the same one except in a linked worktree.
#[derive(Debug)]
pub(crate) struct GitDirs {
    /// HEAD and index.
    pub(crate) own: Rooted,
    /// Objects, refs and config; `None` when `own` holds them.
    shared: Option<Rooted>,
}

impl GitDirs {
    pub(crate) fn common(&self) -> &Rooted {
        self.shared.as_ref().unwrap_or(&self.own)
    }
}

/// What `.git` turned out to be.
#[derive(Debug)]
pub(crate) enum Located {
    Nothing,
    Refused(String),
    Git(GitDirs),
}

/// The checkout around a directory: the nearest one upwards that has a `.git`.
pub fn find_checkout(start: &Path) -> Option<PathBuf> {
    let start = start.canonicalize().ok()?;
    start.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok()).map(Path::to_owned)
}

/// Whether a directory is a repository without a checkout.
pub fn is_bare_repository(path: &Path) -> bool {
    Rooted::open(path).is_ok_and(|dir| is_git_dir(&dir))
}

/// Whether `.git` of a directory looks whole, else why not. A look, made when a server starts:
/// what `locate` finds when a seed is made is what counts.
pub fn looks_like_checkout(path: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("it cannot be read ({error})");
    let work = Rooted::open(path).map_err(cannot)?;
    match work.kind(b".git").map_err(cannot)? {
        Some(Kind::Directory) => match work.directory(b".git").map_err(cannot)? {
            Some(own) if is_git_dir(&own) => Ok(()),
            _ => Err("its .git holds no HEAD, objects and refs".into()),
        },
        Some(Kind::File) => {
            let target = pointer(&work, b".git", b"gitdir:").map_err(|error| error.to_string())?;
            let target = target.ok_or("its .git file is no pointer")?;
            let found = work.path().join(target).is_dir();
            found.then_some(()).ok_or_else(|| "its .git file points to nothing".into())
        }
        _ => Err("its .git is neither a directory nor a file".into()),
    }
}

/// Looks at `.git` of a working directory.
pub(crate) fn locate(work: &Rooted, git: &HostGit) -> Result<Located, SeedError> {
    let fail = |source| SeedError::source(&work.join(b".git"), source);
    match work.kind(b".git").map_err(fail)? {
        None => Ok(Located::Nothing),
        Some(Kind::Directory) => {
            let own = work.directory(b".git").map_err(fail)?;
            match own {
                Some(own) if is_git_dir(&own) => Ok(Located::Git(GitDirs { own, shared: None })),
                _ => Ok(Located::Refused("its .git holds no HEAD, objects and refs".into())),
            }
        }
        Some(Kind::File) => follow_pointer(work, git),
        Some(_) => Ok(Located::Refused("its .git is neither a directory nor a file".into())),
    }
}

fn is_git_dir(dir: &Rooted) -> bool {
    let is = |name: &[u8], kind| matches!(dir.kind(name), Ok(Some(found)) if found == kind);
    is(b"HEAD", Kind::File) && is(b"objects", Kind::Directory) && is(b"refs", Kind::Directory)
}

fn follow_pointer(work: &Rooted, git: &HostGit) -> Result<Located, SeedError> {
    let refuse = |why: &str| Ok(Located::Refused(why.into()));
    let Some(target) = pointer(work, b".git", b"gitdir:")? else {
        return refuse("its .git file is no pointer");
    };
    let Ok(own) = work.path().join(target).canonicalize().and_then(|path| Rooted::open(&path))
    else {
        return refuse("its .git file points to nothing that can be opened");
    };
    let (Ok(here), Ok(own_path)) = (work.path().canonicalize(), own.path().canonicalize()) else {
        return refuse("its .git file points to nothing that can be opened");
    };
    let Some(shared) = pointer(&own, b"commondir", b"")? else {
        if !is_git_dir(&own) {
            return refuse("its .git file points to something that is no git directory");
        }
        let config = RepoConfig::read(git, &own, None)?;
        let back = config.last("core.worktree").map(|back| own_path.join(as_path(back)));
        return match back.and_then(|back| back.canonicalize().ok()) {
            Some(back) if back == here => Ok(Located::Git(GitDirs { own, shared: None })),
            _ => refuse("its .git file points to a repository that belongs to another directory"),
        };
    };
    // The directory must lie in the common one and point back here: neither can be arranged by
    // whoever only wrote the tree.
    let shared = own_path.join(shared).canonicalize().and_then(|path| Rooted::open(&path));
    let back = pointer(&own, b"gitdir", b"")?;
    let back = back.and_then(|back| own_path.join(back).canonicalize().ok());
    match shared {
        Ok(shared)
            if own_path.parent() == Some(shared.path().join("worktrees").as_path())
                && back == Some(here.join(".git"))
                && is_git_dir(&shared)
                && matches!(own.kind(b"HEAD"), Ok(Some(Kind::File))) =>
        {
            Ok(Located::Git(GitDirs { own, shared: Some(shared) }))
        }
        _ => refuse("its .git file points to a worktree that belongs to another directory"),
    }
}

/// The path in a one-line pointer file.
fn pointer(dir: &Rooted, name: &[u8], label: &[u8]) -> Result<Option<PathBuf>, SeedError> {
    let Some(contents) = dir.read(name, POINTER_MOST)? else { return Ok(None) };
    let Some(rest) = contents.bytes.strip_prefix(label) else { return Ok(None) };
    let line = rest.trim_ascii();
    if line.is_empty() || line.contains(&b'\n') || line.contains(&0) {
        return Ok(None);
    }
    Ok(Some(as_path(line)))
}
