//! Looking at host places through a held directory, without following links out of it.
//!
//! Promises: an [`Entry`]'s `real` path has no link in it, and lies below the place it was asked of
//! or, where a link led away, is handed back as [`Seen::Elsewhere`] for the caller to judge.
//! Listings are bounded. Does not decide what may be shown.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, statat,
};
use rustix::io::Errno;

/// As many names as one pattern may go through before it is refused.
const LISTED_AT_MOST: usize = 1024;
/// Small files only: a version, a setting.
const READ_AT_MOST: u64 = 64 * 1024;

/// A directory of the host, held open.
#[derive(Debug)]
pub(super) struct Place {
    directory: OwnedFd,
    real: PathBuf,
    stat: Stat,
}

/// Something below a place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) real: PathBuf,
    pub(super) directory: bool,
    stat: Stat,
}

/// What a look gave.
#[derive(Debug)]
pub(super) enum Seen {
    Nothing,
    Here(Entry),
    /// A link leads out of the place.
    Elsewhere(Entry),
    Unreadable(io::Error),
}

/// Why the listing of a pattern is not whole, so that nothing may be concluded from it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    #[error("it has more than {LISTED_AT_MOST} entries")]
    TooMany,
    #[error("it cannot be listed: {0}")]
    Unreadable(Errno),
}

impl Place {
    /// The directory at this path, links followed; none when there is none.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match openat2(CWD, &real, directory_flags(), Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            Ok(directory) => Ok(Some(Self::held(directory, real)?)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory at a path relative to this one, when no link is on the way.
    pub(super) fn below(&self, relative: &Path) -> Result<Option<Self>, Errno> {
        match self.open_beneath(relative, directory_flags()) {
            Ok(directory) => Ok(Some(Self::held(directory, self.real.join(relative))?)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    /// Why root should not run what lies here.
    pub(super) fn distrusted_by(&self, uid: u32) -> Option<&'static str> {
        distrust(self.stat.st_uid, self.stat.st_mode, uid)
    }

    /// What is at a relative path; the empty path is the place itself.
    pub(super) fn look(&self, relative: &Path) -> Seen {
        if relative.as_os_str().is_empty() {
            let real = self.real.clone();
            return Seen::Here(Entry { real, directory: true, stat: self.stat });
        }
        let real = self.real.join(relative);
        match self.stat_beneath(relative) {
            Ok(stat) => Seen::Here(Entry { real, directory: is_directory(&stat), stat }),
            Err(Errno::NOENT | Errno::NOTDIR) => Seen::Nothing,
            Err(Errno::LOOP | Errno::XDEV) => self.follow(&real),
            Err(error) => Seen::Unreadable(error.into()),
        }
    }

    /// A link was on the way: where does it end?
    fn follow(&self, path: &Path) -> Seen {
        let ended = fs::canonicalize(path)
            .and_then(|real| Ok((rustix::fs::stat(&real).map_err(io::Error::from)?, real)));
        match ended {
            Ok((stat, real)) => {
                let here = real.starts_with(&self.real);
                let entry = Entry { real, directory: is_directory(&stat), stat };
                if here { Seen::Here(entry) } else { Seen::Elsewhere(entry) }
            }
            Err(error) if absent(&error) => Seen::Nothing,
            Err(error) => Seen::Unreadable(error),
        }
    }

    /// The text of a small file below; none when it is missing, large, a link or not text.
    pub(super) fn read_small(&self, relative: &Path) -> Option<String> {
        use std::io::Read as _;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = fs::File::from(self.open_beneath(relative, flags).ok()?);
        let mut text = String::with_capacity(1024);
        file.take(READ_AT_MOST + 1).read_to_string(&mut text).ok()?;
        (text.len() as u64 <= READ_AT_MOST).then_some(text)
    }

    /// The names directly in this directory.
    pub(super) fn names(&self) -> Result<Vec<String>, ListError> {
        list(&self.directory, Path::new("."), &mut 0)
    }

    /// The relative paths below that match a pattern in which `*` stands for part of one name.
    ///
    /// Links to directories are not gone through: what they lead to is either below this place
    /// under its own name, or not shown.
    pub(super) fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, ListError> {
        let mut found = vec![PathBuf::new()];
        let mut listed = 0;
        let mut parts = pattern.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let Some((before, after)) = part.split_once('*') else {
                found.iter_mut().for_each(|path| path.push(part));
                if last {
                    found.retain(|path| self.exists(path));
                }
                continue;
            };
            let mut next = Vec::new();
            for parent in found {
                let here = if parent.as_os_str().is_empty() { Path::new(".") } else { &parent };
                for name in list(&self.directory, here, &mut listed)? {
                    let fits = name.len() >= before.len() + after.len()
                        && name.starts_with(before)
                        && name.ends_with(after);
                    if fits {
                        next.push(parent.join(name));
                    }
                }
            }
            found = next;
        }
        Ok(found)
    }

    /// Anything at all at this path, a link included, with no link on the way to it.
    fn exists(&self, relative: &Path) -> bool {
        if relative.components().count() == 1 {
            return statat(&self.directory, relative, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        }
        self.open_beneath(relative, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC).is_ok()
    }

    /// The state of what is there; `LOOP` when a link is on the way or at the end.
    fn stat_beneath(&self, relative: &Path) -> Result<Stat, Errno> {
        // One name needs one call: there is no way that a link could be on.
        let one_name = relative.components().count() == 1;
        let stat = if one_name {
            statat(&self.directory, relative, AtFlags::SYMLINK_NOFOLLOW)?
        } else {
            fstat(self.open_beneath(relative, OFlags::PATH | OFlags::CLOEXEC)?)?
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => Err(Errno::LOOP),
            _ => Ok(stat),
        }
    }

    fn open_beneath(&self, relative: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.directory, relative, flags, Mode::empty(), resolve)
    }

    fn held(directory: OwnedFd, real: PathBuf) -> Result<Self, Errno> {
        let stat = fstat(&directory)?;
        Ok(Self { directory, real, stat })
    }
}

impl Entry {
    /// Why root should not run what lies here.
    pub(super) fn distrusted_by(&self, uid: u32) -> Option<&'static str> {
        distrust(self.stat.st_uid, self.stat.st_mode, uid)
    }
}

/// Root runs only what nobody else can have put there; an ordinary user has chosen for herself.
fn distrust(owner: u32, mode: u32, uid: u32) -> Option<&'static str> {
    if uid != 0 {
        None
    } else if owner != 0 {
        Some("it belongs to another user than root")
    } else if mode & 0o002 != 0 {
        Some("everybody can write to it")
    } else {
        None
    }
}

fn list(directory: &OwnedFd, path: &Path, listed: &mut usize) -> Result<Vec<String>, ListError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let opened = match openat2(directory, path, flags, Mode::empty(), resolve) {
        Ok(opened) => opened,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
        Err(error) => return Err(ListError::Unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in Dir::new(opened).map_err(ListError::Unreadable)? {
        let entry = entry.map_err(ListError::Unreadable)?;
        *listed += 1;
        if *listed > LISTED_AT_MOST {
            return Err(ListError::TooMany);
        }
        // A name that is not UTF-8 cannot be asked for by a pattern that ends in ASCII, but the
        // listing must not pass over it in silence.
        let name = entry.file_name().to_str().map_err(|_| ListError::Unreadable(Errno::ILSEQ))?;
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn directory_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The target of a link, or none when the path is no link.
pub(super) fn link_at(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(path) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a directory is there, links followed.
pub(super) fn directory_at(path: &Path) -> bool {
    open(path, directory_flags(), Mode::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_trusts_only_what_nobody_else_can_write() {
        assert!(distrust(0, 0o040_755, 0).is_none());
        assert!(distrust(1000, 0o040_755, 0).is_some());
        assert!(distrust(0, 0o041_777, 0).is_some());
        assert!(distrust(1000, 0o040_777, 1000).is_none());
    }

    #[test]
    fn patterns_are_bounded_and_go_through_no_link() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["versions/a", "versions/b", "elsewhere/c"] {
            fs::create_dir_all(temp.path().join(name)).unwrap();
            fs::write(temp.path().join(name).join("pip.conf"), "").unwrap();
        }
        std::os::unix::fs::symlink("../elsewhere/c", temp.path().join("versions/c")).unwrap();
        let place = Place::open(temp.path()).unwrap().unwrap();
        let found = place.matching("versions/*/pip.conf").unwrap();
        assert_eq!(found, [Path::new("versions/a/pip.conf"), Path::new("versions/b/pip.conf")]);
        assert_eq!(place.matching("versions/a*").unwrap(), [Path::new("versions/a")]);
        assert!(place.matching("missing/*/x").unwrap().is_empty());

        for n in 0..LISTED_AT_MOST {
            fs::write(temp.path().join("elsewhere").join(n.to_string()), "").unwrap();
        }
        assert!(matches!(place.matching("elsewhere/*"), Err(ListError::TooMany)));
    }

    #[test]
    fn a_look_tells_links_out_from_links_within() {
        let temp = tempfile::tempdir().unwrap();
        let inner = temp.path().join("inner");
        fs::create_dir_all(inner.join("real")).unwrap();
        fs::write(temp.path().join("outside"), "").unwrap();
        std::os::unix::fs::symlink("real", inner.join("within")).unwrap();
        std::os::unix::fs::symlink("../outside", inner.join("out")).unwrap();
        std::os::unix::fs::symlink("loop", inner.join("loop")).unwrap();
        let place = Place::open(&inner).unwrap().unwrap();
        let seen = |name: &str| place.look(Path::new(name));
        assert!(matches!(seen("within"), Seen::Here(entry) if entry.real.ends_with("inner/real")));
        assert!(matches!(seen("out"), Seen::Elsewhere(_)));
        assert!(matches!(seen("missing"), Seen::Nothing));
        assert!(matches!(seen("loop"), Seen::Unreadable(_)));
        assert!(matches!(seen("../outside"), Seen::Nothing | Seen::Elsewhere(_)));
        assert!(place.read_small(Path::new("out")).is_none());
    }
}
