//! Opening things of an untrusted tree: always beneath a directory handle, never through a link.
//!
//! `Rooted` is a directory handle with the path it was opened by (for messages only). Every
//! lookup goes through `openat2` with BENEATH and NO_SYMLINKS, so neither `..` nor a link that
//! appears while a copy runs can lead out. Reads are bounded.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::SeedError;

/// A directory of the source or of a layer.
#[derive(Debug)]
pub(crate) struct Rooted {
    fd: OwnedFd,
    path: PathBuf,
}

/// One name of a directory.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    File,
    Link,
    Directory,
    Other(&'static str),
}

impl Kind {
    pub(crate) fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Symlink => Self::Link,
            FileType::Directory => Self::Directory,
            FileType::Fifo => Self::Other("a named pipe"),
            FileType::Socket => Self::Other("a socket"),
            _ => Self::Other("a device"),
        }
    }
}

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens a canonical path. Whoever judged the path before judged what is opened: a link that took
/// the place of one of its parts meanwhile is not followed.
pub(crate) fn open_settled(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)
}

impl Rooted {
    /// Opens a directory by a path that the user chose; links on the way are the user's.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens a directory by its canonical path: fails where a link stands in it by now.
    pub(crate) fn open_settled(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open_settled(path, flags)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// The path it was opened by; for messages and for programs that need a name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The handle.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The path of something below, for messages.
    pub(crate) fn join(&self, rel: &[u8]) -> PathBuf {
        if rel.is_empty() { self.path.clone() } else { self.path.join(OsStr::from_bytes(rel)) }
    }

    fn openat(&self, rel: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let rel = if rel.is_empty() { b".".as_slice() } else { rel };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat2(&self.fd, rel, flags, Mode::empty(), RESOLVE)
    }

    /// A directory below; `None` when there is none (or a link, or something else, stands there).
    pub(crate) fn directory(&self, rel: &[u8]) -> io::Result<Option<Self>> {
        match self.openat(rel, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => Ok(Some(Self { fd, path: self.join(rel) })),
            Err(errno) if is_absent(errno) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// What stands at a path, links not followed; `None` when nothing does.
    pub(crate) fn stat(&self, rel: &[u8]) -> io::Result<Option<Stat>> {
        match self.openat(rel, OFlags::PATH) {
            Ok(fd) => Ok(Some(rustix::fs::statat(&fd, c"", AtFlags::EMPTY_PATH)?)),
            Err(errno) if is_absent(errno) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The kind of what stands at a path.
    pub(crate) fn kind(&self, rel: &[u8]) -> io::Result<Option<Kind>> {
        Ok(self.stat(rel)?.map(|stat| Kind::of(FileType::from_raw_mode(stat.st_mode))))
    }

    /// Reads a regular file of at most `most` bytes; `None` when no regular file stands there.
    pub(crate) fn read(&self, rel: &[u8], most: u64) -> Result<Option<Contents>, SeedError> {
        let fail = |source: io::Error| SeedError::io("read", &self.join(rel), source);
        // NONBLOCK: a named pipe in the place of the file must not hold us up.
        let fd = match self.openat(rel, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(fd) => fd,
            Err(errno) if is_absent(errno) || errno == Errno::NXIO => return Ok(None),
            Err(errno) => return Err(fail(errno.into())),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| fail(errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(stat.st_size.min(1 << 26) as usize + 1);
        File::from(fd).take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > most {
            return Err(SeedError::TooLarge {
                what: self.join(rel).display().to_string(),
                limit: format!("{most} bytes"),
            });
        }
        Ok(Some(Contents { bytes, stat }))
    }

    /// The names of the directory itself, sorted; `.` and `..` left out.
    pub(crate) fn names(&self) -> io::Result<Vec<Named>> {
        names_of(&self.fd)
    }

    /// The names of a directory below; empty when there is no such directory.
    pub(crate) fn names_in(&self, rel: &[u8]) -> io::Result<Vec<Named>> {
        self.directory(rel)?.map_or_else(|| Ok(Vec::new()), |dir| dir.names())
    }
}

/// A file's bytes and its attributes when it was opened.
pub(crate) struct Contents {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stat: Stat,
}

fn names_of(fd: &impl AsFd) -> io::Result<Vec<Named>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let mut file_type = entry.file_type();
        if file_type == FileType::Unknown {
            let stat = rustix::fs::statat(fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            file_type = FileType::from_raw_mode(stat.st_mode);
        }
        names.push(Named { name: name.to_vec(), kind: Kind::of(file_type) });
    }
    names.sort_unstable();
    Ok(names)
}

fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG)
}

/// Whether a path from an index, a status or a walk may be looked up at all: relative, plain,
/// not in any `.git`, and within the depth limit.
pub(crate) fn is_plain_path(path: &[u8], depth: usize) -> bool {
    if path.is_empty() || path.len() > 4000 || path.contains(&0) {
        return false;
    }
    let mut components = 0;
    path.split(|byte| *byte == b'/').all(|component| {
        components += 1;
        components <= depth
            && !matches!(component, b"" | b"." | b"..")
            && component.len() <= 255
            && !component.eq_ignore_ascii_case(b".git")
    })
}

/// `dir/name`, or `name` at the root.
pub(crate) fn child(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + name.len() + 1);
    if !dir.is_empty() {
        path.extend_from_slice(dir);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The part before the last slash; empty at the root.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |at| &path[..at])
}

/// The part after the last slash.
pub(crate) fn file_name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |at| &path[at + 1..])
}

/// Whether `path` is `dir` or lies below it; everything lies below the empty path.
pub(crate) fn lies_in(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// A path as people read it.
pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// A path for the standard library.
pub(crate) fn as_path(path: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_are_looked_up() {
        for good in ["a", "a/b", ".github/x", "a/.gitignore", "..a/b"] {
            assert!(is_plain_path(good.as_bytes(), 256), "{good}");
        }
        for bad in ["", "/a", "a//b", "a/", "./a", "a/../b", "..", ".git/config", "a/.GIT/hooks/x"]
        {
            assert!(!is_plain_path(bad.as_bytes(), 256), "{bad}");
        }
        assert!(!is_plain_path(b"a/b/c", 2));
        assert!(!is_plain_path(b"a\0b", 2));
    }

    #[test]
    fn links_and_dots_never_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("..", inner.join("up")).unwrap();
        std::os::unix::fs::symlink("../secret", inner.join("link")).unwrap();
        let root = Rooted::open(&inner).unwrap();
        assert!(root.read(b"up/secret", 10).unwrap().is_none());
        assert!(root.read(b"link", 10).unwrap().is_none());
        assert!(root.read(b"../secret", 10).is_err());
        assert_eq!(root.kind(b"link").unwrap(), Some(Kind::Link));
        assert!(root.directory(b"up").unwrap().is_none());
    }

    #[test]
    fn reads_are_bounded_and_regular_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "12345").unwrap();
        let root = Rooted::open(dir.path()).unwrap();
        assert_eq!(root.read(b"f", 5).unwrap().unwrap().bytes, b"12345");
        assert!(matches!(root.read(b"f", 4), Err(SeedError::TooLarge { .. })));
        assert!(root.read(b"absent", 4).unwrap().is_none());
        let pipe = dir.path().join("p");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        assert!(root.read(b"p", 4).unwrap().is_none());
    }
}
