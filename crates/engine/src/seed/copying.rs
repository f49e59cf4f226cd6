//! Bringing files and links from an untrusted source into a fresh tree.
//!
//! Sources are opened beneath their root without following links, regular files and links only;
//! what cannot be read is skipped and listed. Modes become 0644 or 0755, modification times stay.
//! A file that grows meanwhile is cut off a little past its first size. Two threads share the
//! work, each keeping the directories it is in open.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::SeedError;
use super::beneath::{Rooted, as_path, file_name, parent, shown};
use super::facts::{SeedLimits, Skipped};
use super::listing::{Entry, From};

const THREADS: usize = 2;
const CHUNK: usize = 128;
const READ_AT_ONCE: u64 = 256 << 10;
const GROWTH: u64 = 1 << 20;

/// Where entries come from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) work: &'a Rooted,
    /// The common git directory, when `.git` comes along.
    pub(crate) git: Option<&'a Rooted>,
    /// When the listing was begun, by the clock that dates files; `None` where nobody else can
    /// change the source.
    pub(crate) listed_at: Option<Timespec>,
}

/// What became of the entries.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    /// Actual sizes, by place in the listing; `None` where the entry was skipped.
    pub(crate) sizes: Vec<(usize, Option<u64>)>,
    pub(crate) skipped: Vec<Skipped>,
    /// Something changed between listing and copying.
    pub(crate) unsettled: bool,
}

enum Outcome {
    Made(u64),
    Skipped(String),
    Vanished,
}

struct Job<'a> {
    sources: Sources<'a>,
    tree: &'a Path,
    tree_fd: &'a OwnedFd,
    entries: &'a [Entry],
    places: &'a [usize],
    limit: u64,
    bytes: AtomicU64,
    next: AtomicUsize,
    stop: AtomicBool,
    unsettled: AtomicBool,
}

/// Makes the entries at `places` of a sorted listing below the empty directory `tree`.
pub(crate) fn copy(
    entries: &[Entry],
    places: &[usize],
    sources: Sources<'_>,
    tree: &Path,
    limits: &SeedLimits,
    already: u64,
) -> Result<Copied, SeedError> {
    let tree_fd = Rooted::open(tree).map_err(|source| SeedError::io("open", tree, source))?;
    make_directories(entries, places, tree, tree_fd.fd())?;
    let job = Job {
        sources,
        tree,
        tree_fd: tree_fd.fd(),
        entries,
        places,
        limit: limits.bytes,
        bytes: AtomicU64::new(already),
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        unsettled: AtomicBool::new(false),
    };
    let threads = if places.len() > 2 * CHUNK { THREADS } else { 1 };
    let parts = std::thread::scope(|scope| {
        let running: Vec<_> = (1..threads).map(|_| scope.spawn(|| job.run())).collect();
        let mut parts = vec![job.run()];
        parts.extend(running.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(SeedError::failed("the copy", "it was cut off")))
        }));
        parts
    });
    let mut copied = Copied::default();
    for part in parts {
        let (sizes, skipped) = part?;
        copied.sizes.extend(sizes);
        copied.skipped.extend(skipped);
    }
    copied.skipped.sort_unstable();
    copied.unsettled = job.unsettled.load(Ordering::Relaxed);
    Ok(copied)
}

/// Now, by the coarse clock that dates files.
pub(crate) fn file_clock() -> Timespec {
    rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse)
}

/// Makes every directory that the entries need, parents first.
fn make_directories(
    entries: &[Entry],
    places: &[usize],
    tree: &Path,
    tree_fd: &OwnedFd,
) -> Result<(), SeedError> {
    let mut last: Vec<u8> = Vec::new();
    for place in places {
        let entry = &entries[*place];
        let dir = match entry.from {
            From::Nowhere => continue,
            From::Directory => entry.path.as_slice(),
            _ => parent(&entry.path),
        };
        if dir == last {
            continue;
        }
        let ends = dir.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([dir.len()]).filter(|end| *end > 0) {
            if last.starts_with(&dir[..end]) && matches!(last.get(end), None | Some(b'/')) {
                continue;
            }
            let step = &dir[..end];
            match rustix::fs::mkdirat(tree_fd, step, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    rustix::fs::chmodat(tree_fd, step, Mode::from_raw_mode(0o755), AtFlags::empty())
                }
                Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(errno),
            }
            .map_err(|errno| SeedError::io("create", &tree.join(as_path(step)), errno))?;
        }
        last = dir.to_vec();
    }
    Ok(())
}

/// The directories that a thread has open.
#[derive(Default)]
struct Standing {
    from: Option<(bool, Vec<u8>, Option<Rooted>)>,
    to: Target,
}

type Target = Option<(Vec<u8>, OwnedFd)>;

type Part = (Vec<(usize, Option<u64>)>, Vec<Skipped>);

impl Job<'_> {
    fn run(&self) -> Result<Part, SeedError> {
        let (mut sizes, mut skipped) = (Vec::new(), Vec::new());
        let mut standing = Standing::default();
        let mut buffer = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let start = self.next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(chunk) = self.places.get(start..) else { break };
            for place in chunk.iter().take(CHUNK) {
                let entry = &self.entries[*place];
                let made = self.make(entry, &mut standing, &mut buffer);
                let size = match made.inspect_err(|_| self.stop.store(true, Ordering::Relaxed))? {
                    Outcome::Made(size) => Some(size),
                    Outcome::Skipped(reason) => {
                        skipped.push(Skipped { path: shown(&entry.path), reason });
                        None
                    }
                    Outcome::Vanished => {
                        self.unsettled.store(true, Ordering::Relaxed);
                        None
                    }
                };
                sizes.push((*place, size));
            }
        }
        Ok((sizes, skipped))
    }

    fn make(
        &self,
        entry: &Entry,
        standing: &mut Standing,
        buffer: &mut Vec<u8>,
    ) -> Result<Outcome, SeedError> {
        let (source, path) = match &entry.from {
            From::Nowhere | From::Directory => return Ok(Outcome::Made(0)),
            From::Bytes(bytes, time) => {
                self.count(bytes.len() as u64)?;
                let file = self.create(entry, &mut standing.to, false)?;
                let time = time.map(|(tv_sec, nanos)| Timespec { tv_sec, tv_nsec: nanos.into() });
                self.fill(entry, file, bytes, time)?;
                return Ok(Outcome::Made(bytes.len() as u64));
            }
            From::Work => (Some(self.sources.work), &entry.path),
            From::Object(path) => (self.sources.git, path),
        };
        let is_object = matches!(entry.from, From::Object(_));
        let outcome = match source {
            Some(source) => self.bring(entry, source, path, is_object, standing, buffer)?,
            None => Outcome::Vanished,
        };
        if is_object && !matches!(outcome, Outcome::Made(_)) {
            let detail = "an object of its .git went away or cannot be read; try again";
            let what = self.sources.work.path().display().to_string();
            return Err(SeedError::failed(what, detail));
        }
        Ok(outcome)
    }

    fn bring(
        &self,
        entry: &Entry,
        root: &Rooted,
        path: &[u8],
        is_object: bool,
        standing: &mut Standing,
        buffer: &mut Vec<u8>,
    ) -> Result<Outcome, SeedError> {
        let Standing { from, to } = standing;
        let dir = parent(path);
        let same = |(object, at, _): &(bool, Vec<u8>, _)| *object == is_object && at == dir;
        if !from.as_ref().is_some_and(same) {
            match root.directory(dir) {
                Ok(opened) => *from = Some((is_object, dir.to_vec(), opened)),
                Err(error) => return Ok(Outcome::Skipped(format!("cannot be read: {error}"))),
            }
        }
        let Some((_, _, Some(opened))) = from else { return Ok(Outcome::Vanished) };
        let name = file_name(path);
        // A single name below an open directory: nothing to resolve, and NOFOLLOW for the last.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let source = match rustix::fs::openat(opened.fd(), name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::LOOP) if !is_object => {
                let Ok(target) = rustix::fs::readlinkat(opened.fd(), name, Vec::new()) else {
                    return Ok(Outcome::Vanished);
                };
                return self.link(entry, opened, name, &target, to);
            }
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Outcome::Vanished),
            Err(errno) => return Ok(Outcome::Skipped(format!("cannot be read: {errno}"))),
        };
        let stat = rustix::fs::fstat(&source)
            .map_err(|errno| SeedError::io("inspect", &root.join(path), errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Ok(Outcome::Vanished),
            FileType::Fifo => return Ok(Outcome::Skipped("a named pipe".into())),
            _ => return Ok(Outcome::Skipped("a device".into())),
        }
        if !is_object {
            self.judge(&stat);
        }
        let size = stat.st_size.cast_unsigned();
        self.count(size)?;
        let time = Some(modified(&stat));
        let source = File::from(source);
        let unreadable = |error| Ok(Outcome::Skipped(format!("cannot be read: {error}")));
        if size <= READ_AT_ONCE {
            buffer.clear();
            if let Err(error) = (&source).take(size + GROWTH).read_to_end(buffer) {
                return unreadable(error);
            }
            let file = self.create(entry, to, stat.st_mode & 0o111 != 0)?;
            self.fill(entry, file, buffer, time)?;
            return Ok(Outcome::Made(buffer.len() as u64));
        }
        let mut file = self.create(entry, to, stat.st_mode & 0o111 != 0)?;
        // `io::copy` uses copy_file_range where it can.
        let copied = match rustix::fs::ioctl_ficlone(&file, &source) {
            Ok(()) => size,
            Err(_) => std::io::copy(&mut (&source).take(size + GROWTH), &mut file)
                .map_err(|error| self.write_error(entry, error))?,
        };
        self.fill(entry, file, b"", time)?;
        Ok(Outcome::Made(copied))
    }

    /// Notes a file that changed since the listing: the key then stands for another state.
    fn judge(&self, stat: &Stat) {
        let Some(listed) = self.sources.listed_at else { return };
        let changed = (stat.st_ctime, stat.st_ctime_nsec.cast_signed());
        if changed >= (listed.tv_sec, listed.tv_nsec) {
            self.unsettled.store(true, Ordering::Relaxed);
        }
    }

    fn count(&self, size: u64) -> Result<(), SeedError> {
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) > self.limit {
            let what = self.sources.work.path().display().to_string();
            let limit = format!("{} GiB", self.limit >> 30);
            return Err(SeedError::TooLarge { what, limit });
        }
        Ok(())
    }

    fn target<'s>(&self, entry: &Entry, to: &'s mut Target) -> Result<&'s OwnedFd, SeedError> {
        let dir = parent(&entry.path);
        if to.as_ref().is_none_or(|(at, _)| at != dir) {
            let name = if dir.is_empty() { b".".as_slice() } else { dir };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(self.tree_fd, name, flags, Mode::empty())
                .map_err(|errno| self.write_error(entry, errno.into()))?;
            *to = Some((dir.to_vec(), fd));
        }
        match to {
            Some((_, fd)) => Ok(fd),
            None => Err(self.write_error(entry, std::io::ErrorKind::NotFound.into())),
        }
    }

    fn create(&self, entry: &Entry, to: &mut Target, executable: bool) -> Result<File, SeedError> {
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let dir = self.target(entry, to)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(dir, file_name(&entry.path), flags, mode)
            .and_then(|fd| rustix::fs::fchmod(&fd, mode).map(|()| File::from(fd)))
            .map_err(|errno| self.write_error(entry, errno.into()))
    }

    fn fill(
        &self,
        entry: &Entry,
        mut file: File,
        bytes: &[u8],
        time: Option<Timespec>,
    ) -> Result<(), SeedError> {
        file.write_all(bytes).map_err(|error| self.write_error(entry, error))?;
        let Some(time) = time else { return Ok(()) };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&file, &times).map_err(|errno| self.write_error(entry, errno.into()))
    }

    fn link(
        &self,
        entry: &Entry,
        from: &Rooted,
        name: &[u8],
        target: &std::ffi::CStr,
        to: &mut Target,
    ) -> Result<Outcome, SeedError> {
        let stat = rustix::fs::statat(from.fd(), name, AtFlags::SYMLINK_NOFOLLOW);
        let Ok(stat) = stat else { return Ok(Outcome::Vanished) };
        self.judge(&stat);
        let dir = self.target(entry, to)?;
        let time = modified(&stat);
        let times = Timestamps { last_access: time, last_modification: time };
        let own = file_name(&entry.path);
        rustix::fs::symlinkat(target, dir, own)
            .and_then(|()| rustix::fs::utimensat(dir, own, &times, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|errno| self.write_error(entry, errno.into()))?;
        Ok(Outcome::Made(target.to_bytes().len() as u64))
    }

    fn write_error(&self, entry: &Entry, source: std::io::Error) -> SeedError {
        SeedError::io("write", &self.tree.join(as_path(&entry.path)), source)
    }
}

fn modified(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() }
}
