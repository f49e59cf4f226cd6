//! Writing a whole file: a temporary one beside it, then a rename, so that nobody ever sees half.
//!
//! A link to a file inside is written through, as an editor does; one that leads out is refused.
//! Mode and owner of a file that is there are kept, but for the set-id bits.

use std::os::fd::OwnedFd;

use pyro_protocol::files::{Write, Written};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, mkdirat, openat,
        renameat, unlinkat,
    },
    io::{Errno, Result, read, write as write_some},
};

use super::{
    Workspace, not_a_file,
    resolve::{open_beneath, open_beneath_with},
    size_of, split,
};
use crate::agent::refusal::{Answer, from_errno, refuse};

/// Temporary names tried before giving up.
const TRIES: u32 = 16;

pub(in crate::agent) fn write(workspace: &Workspace, write: &Write) -> Answer<Written> {
    let failed = |errno| from_errno("write", &write.path, errno);
    if write.content.len() > pyro_model::limits::FILE_WRITE_BYTES {
        return Err(refuse(
            pyro_protocol::message::RefusalKind::TooLarge,
            &write.path,
            format!("write {}: at most 8 MiB are allowed", write.path),
        ));
    }
    let place = Place::find(workspace, &write.path, true).map_err(failed)?;
    let existing = place.existing().map_err(failed)?;
    if let Some(status) = &existing {
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(failed(Errno::ISDIR)),
            _ => return Err(not_a_file("write", &write.path)),
        }
        let wanted = write.executable.is_none_or(|wanted| wanted == is_executable(status));
        if wanted && place.holds(&write.content, status) {
            return Ok(Written { created: false, unchanged: true });
        }
    }
    place
        .replace(workspace, &write.content, existing.as_ref(), write.executable)
        .map_err(failed)?;
    Ok(Written { created: existing.is_none(), unchanged: false })
}

/// Where a file stands or will stand: its directory and its name there.
pub(super) struct Place {
    parent: OwnedFd,
    name: Vec<u8>,
}

impl Place {
    pub(super) fn find(workspace: &Workspace, path: &str, make_parents: bool) -> Result<Self> {
        let real = workspace.resolve(path.as_bytes(), true)?;
        let (folder, name) = split(&real);
        if name.is_empty() || path.ends_with('/') {
            return Err(Errno::ISDIR);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let parent = match open_beneath(&workspace.root, folder, flags) {
            Err(Errno::NOENT) if make_parents => make_directories(&workspace.root, folder)?,
            result => result?,
        };
        Ok(Self { parent, name: name.to_vec() })
    }

    /// What stands there now.
    pub(super) fn existing(&self) -> Result<Option<Stat>> {
        match open_beneath(&self.parent, &self.name, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(handle) => fstat(handle).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the file there has exactly this content. One that cannot be read has not.
    fn holds(&self, content: &[u8], status: &Stat) -> bool {
        if size_of(status) != content.len() as u64 {
            return false;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = open_beneath(&self.parent, &self.name, flags) else { return false };
        let mut buffer = vec![0; 64 << 10];
        let mut left = content;
        loop {
            match read(&file, &mut buffer) {
                Ok(0) => return left.is_empty(),
                Ok(bytes) => match left.strip_prefix(&buffer[..bytes]) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Puts a file with this content there.
    pub(super) fn replace(
        &self,
        workspace: &Workspace,
        content: &[u8],
        existing: Option<&Stat>,
        executable: Option<bool>,
    ) -> Result<()> {
        let (file, temporary) = self.temporary(workspace)?;
        let result = fill(&file, content)
            .and_then(|()| dress(&file, existing, executable))
            .and_then(|()| renameat(&self.parent, &temporary, &self.parent, &self.name[..]));
        if result.is_err() {
            // The first failure is the one to tell.
            let _ = unlinkat(&self.parent, &temporary, AtFlags::empty());
        }
        result
    }

    fn temporary(&self, workspace: &Workspace) -> Result<(OwnedFd, String)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        for _ in 0..TRIES {
            let number = workspace.temporary.get();
            workspace.temporary.set(number + 1);
            let name = format!(".pyro-writing-{number}");
            let mode = Mode::RUSR | Mode::WUSR;
            match open_beneath_with(&self.parent, name.as_bytes(), flags, mode) {
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
                Ok(file) => return Ok((file, name)),
            }
        }
        Err(Errno::EXIST)
    }
}

pub(super) fn make_directories(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let mut at = openat(root, ".", flags | OFlags::CLOEXEC, Mode::empty())?;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        at = match open_beneath(&at, name, flags) {
            Err(Errno::NOENT) => {
                match mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                    // Somebody else made it meanwhile.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                open_beneath(&at, name, flags)?
            }
            result => result?,
        };
    }
    Ok(at)
}

pub(super) fn fill(file: &OwnedFd, mut content: &[u8]) -> Result<()> {
    while !content.is_empty() {
        match write_some(file, content) {
            Ok(written) => content = &content[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn is_executable(status: &Stat) -> bool {
    status.st_mode & 0o111 != 0
}

/// Owner and mode of the file that is replaced, or those of a new one.
pub(super) fn dress(
    file: &OwnedFd,
    existing: Option<&Stat>,
    executable: Option<bool>,
) -> Result<()> {
    if let Some(old) = existing {
        let new = fstat(file)?;
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) {
            let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
            match fchown(file, Some(uid), Some(gid)) {
                // An agent without that right writes as itself, like any editor.
                Ok(()) | Err(Errno::PERM) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    let mode = existing.map_or(0o644, |old| old.st_mode & 0o777);
    let mode = match executable {
        None => mode,
        // Whoever may read it may execute it.
        Some(true) => mode | ((mode & 0o444) >> 2),
        Some(false) => mode & !0o111,
    };
    fchmod(file, Mode::from_raw_mode(mode))
}
