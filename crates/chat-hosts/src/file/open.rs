//! A file of a chat host, found and opened: links followed to their end, within the project where the
//! file is a project's, and refused where it is no file that its user may change.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, FileType, FlockOperation, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{BY_HAND, BYTE_ORDER_MARK, MOST_BYTES, failed, name, unfit};
use crate::{ChatHostError, Result, wish::Place};

pub(super) struct State {
    pub(super) text: String,
    pub(super) mark: bool,
    pub(super) mode: Mode,
    pub(super) owner: (u32, u32),
    pub(super) seen: Seen,
}

/// By what a file is known to be the one that was read.
#[derive(PartialEq, Eq)]
pub(super) struct Seen(u64, u64, i64, u64, i64, u64);

pub(super) fn seen(facts: &fs::Stat) -> Seen {
    #[expect(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
    Seen(
        facts.st_ino as u64,
        facts.st_size as u64,
        facts.st_mtime as i64,
        facts.st_mtime_nsec as u64,
        facts.st_ctime as i64,
        facts.st_ctime_nsec as u64,
    )
}

/// Where the file really lies, links followed. None when nothing is there.
pub(super) fn resolve(place: &Place) -> Result<Option<PathBuf>> {
    let file = &place.file;
    let real = match file.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if file.symlink_metadata().is_ok() {
                return Err(unfit(file, "it is a link to nothing", BY_HAND));
            }
            let Some(parent) = file.parent() else { return Ok(None) };
            match parent.canonicalize() {
                Ok(parent) => parent.join(name(file)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if parent.symlink_metadata().is_ok() {
                        return Err(unfit(parent, "it is a link to nothing", BY_HAND));
                    }
                    return Ok(None);
                }
                Err(error) => return Err(ChatHostError::file("find", parent, error)),
            }
        }
        Err(error) => return Err(ChatHostError::file("find", file, error)),
    };
    if let Some(project) = &place.within {
        let project =
            project.canonicalize().map_err(|error| ChatHostError::file("find", project, error))?;
        if !real.starts_with(&project) {
            let why = format!("it is a link out of the project, to {}", real.display());
            return Err(unfit(file, &why, BY_HAND));
        }
    }
    Ok(Some(real))
}

/// The directory of a file, opened without following another link, and locked if asked for.
pub(super) fn open_directory(place: &Place, real: &Path, locked: bool) -> Result<Option<OwnedFd>> {
    let parent = real.parent().unwrap_or(Path::new("/"));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let (root, rest, how) = match &place.within {
        Some(project) => {
            let project = project
                .canonicalize()
                .map_err(|error| ChatHostError::file("find", project, error))?;
            let rest = parent.strip_prefix(&project).unwrap_or(Path::new(".")).to_path_buf();
            (project, rest, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
        }
        None => {
            let rest = parent.strip_prefix("/").unwrap_or(parent).to_path_buf();
            (PathBuf::from("/"), rest, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
        }
    };
    let rest = if rest.as_os_str().is_empty() { PathBuf::from(".") } else { rest };
    let root = fs::open(&root, flags, Mode::empty()).map_err(|e| failed("open", &root, e))?;
    let directory = match fs::openat2(&root, &rest, flags, Mode::empty(), how) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Ok(None),
        Err(error) => return Err(failed("open", parent, error)),
    };
    if locked {
        fs::flock(&directory, FlockOperation::LockExclusive)
            .map_err(|error| failed("lock", parent, error))?;
    }
    Ok(Some(directory))
}

/// Makes the directories that a new file needs; those of a project, within it.
pub(super) fn make_directories(place: &Place) -> Result<Vec<PathBuf>> {
    let parent = place.file.parent().unwrap_or(Path::new("/"));
    let missing: Vec<&Path> =
        parent.ancestors().take_while(|directory| directory.symlink_metadata().is_err()).collect();
    let mut made = Vec::new();
    for directory in missing.into_iter().rev() {
        let mut builder = std::fs::DirBuilder::new();
        if place.within.is_none() {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        }
        match builder.create(directory) {
            Ok(()) => made.push(directory.to_path_buf()),
            // Another one made it at the same moment.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ChatHostError::file("make", directory, error)),
        }
    }
    Ok(made)
}

/// The file, opened and known to be one that may be changed.
pub(super) fn open(real: &Path, directory: &OwnedFd) -> Result<Option<(File, fs::Stat)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match fs::openat(directory, name(real), flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed("open", real, error)),
    };
    let facts = fs::fstat(&file).map_err(|error| failed("look at", real, error))?;
    match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(unfit(real, "it is a directory", BY_HAND)),
        _ => return Err(unfit(real, "it is no file", BY_HAND)),
    }
    let me = rustix::process::geteuid();
    if facts.st_uid != me.as_raw() && !me.is_root() {
        return Err(unfit(real, "it belongs to another user", BY_HAND));
    }
    if u64::try_from(facts.st_size).unwrap_or(u64::MAX) > MOST_BYTES {
        let why = format!("it is larger than {} MiB", MOST_BYTES >> 20);
        return Err(unfit(real, &why, BY_HAND));
    }
    Ok(Some((File::from(file), facts)))
}

pub(super) fn state(real: &Path, directory: &OwnedFd) -> Result<Option<State>> {
    let Some((file, facts)) = open(real, directory)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| ChatHostError::file("read", real, error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let upto = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        ChatHostError::Malformed {
            path: real.to_path_buf(),
            line: 1 + upto.iter().filter(|byte| **byte == b'\n').count(),
            why: "it is not UTF-8".to_owned(),
        }
    })?;
    let (mark, text) = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text),
    };
    Ok(Some(State {
        text,
        mark,
        mode: Mode::from_raw_mode(facts.st_mode),
        owner: (facts.st_uid, facts.st_gid),
        seen: seen(&facts),
    }))
}
