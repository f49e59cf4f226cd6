//! The file systems of the new root: its overlay, `/workspace`, the binds.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use pyro_model::{Bind, BindMode};
use pyro_sys::{
    Context, Result,
    mount::{self, Overlay, Restrictions},
};
use rustix::fs::{FileType, Mode, OFlags, fstat, mkdirat, openat};

use super::{
    handles::{LayerHandles, UpperHandle},
    remove, target,
};

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A small file system in memory, attached out of the way on the old root, in which the parts are
/// put together: the place of the new root, an empty directory, uppers in memory.
pub(crate) struct Scratch {
    top: OwnedFd,
    parking: OwnedFd,
    pub(crate) empty: OwnedFd,
}

/// A mounted overlay's upper side.
pub(crate) struct Changes {
    /// The directory with `upper` and `work`.
    pub(crate) directory: OwnedFd,
    /// The raw upper.
    pub(crate) upper: OwnedFd,
    /// Whether it outlives the machine.
    pub(crate) on_disk: bool,
}

impl Scratch {
    /// Makes it; `parking` is a directory of the old root other than its top.
    ///
    /// # Errors
    /// A mount was refused.
    pub(crate) fn new(parking: OwnedFd) -> Result<Self> {
        let top = mount::memory(Some(1 << 20), 0o700, Restrictions::default())?;
        mount::attach(&top, &parking)?;
        let empty = made(top.as_fd(), "empty")?;
        Ok(Self { top, parking, empty })
    }

    /// Where small things can be made for the new root.
    pub(crate) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// Attaches a detached mount where nobody looks: an overlay takes layers of its own mount
    /// namespace only.
    ///
    /// # Errors
    /// The mount was refused.
    pub(crate) fn park(&self, tree: &OwnedFd) -> Result<()> {
        mount::attach(tree, &self.parking)
    }

    /// Mounts the overlay of the root; its directory handle and its changes.
    ///
    /// # Errors
    /// A mount was refused.
    pub(crate) fn root(&self, layers: &LayerHandles) -> Result<(OwnedFd, Changes)> {
        let changes = self.changes(&layers.upper)?;
        let at = made(self.top.as_fd(), "root")?;
        self.overlay(&layers.lowers, &changes, at.as_fd())?;
        let root = openat(&self.top, "root", DIRECTORY, Mode::empty()).doing("open", "the root")?;
        Ok((root, changes))
    }

    /// Mounts the overlay of `/workspace`.
    ///
    /// # Errors
    /// A mount was refused, or the root has something else at `/workspace`.
    pub(crate) fn tree(&self, root: &OwnedFd, layers: &LayerHandles) -> Result<Changes> {
        let changes = self.changes(&layers.upper)?;
        let at = target::directory(root, Path::new("/workspace"))?;
        self.overlay(&layers.lowers, &changes, at.as_fd())?;
        Ok(changes)
    }

    /// Shows a host path inside. Changes of an overlay go beside the root's own, under a name made
    /// of the target, so that they are found again whatever else is bound the next time.
    ///
    /// # Errors
    /// A mount was refused.
    pub(crate) fn bind(
        &self,
        root: &OwnedFd,
        bind: &Bind,
        source: &OwnedFd,
        changes: &Changes,
    ) -> Result<()> {
        let stat = fstat(source).doing("look at", bind.source.display())?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let at = if is_directory {
            target::directory(root, &bind.target)?
        } else {
            target::file(root, &bind.target)?
        };
        match bind.mode {
            BindMode::Overlay if is_directory => {
                let all = made(changes.directory.as_fd(), "binds")?;
                let own = made(all.as_fd(), &name_of(&bind.target))?;
                let changes = Changes {
                    upper: made(own.as_fd(), "upper")?,
                    directory: own,
                    on_disk: changes.on_disk,
                };
                self.overlay(std::slice::from_ref(source), &changes, at.as_fd())
            }
            // There is no overlay of one file; read-only is the stricter half of the wish.
            BindMode::Overlay | BindMode::ReadOnly => {
                let tree = mount::copy_tree(source)?;
                let restrictions = Restrictions {
                    read_only: true,
                    no_setuid: true,
                    no_devices: true,
                    no_exec: false,
                };
                mount::restrict(&tree, restrictions)?;
                mount::attach(tree, at)
            }
        }
        .map_err(|mut error| {
            error.what = format!("{} for {}", error.what, bind.source.display());
            error
        })
    }

    fn changes(&self, upper: &UpperHandle) -> Result<Changes> {
        let (directory, on_disk) = match upper {
            UpperHandle::Directory(directory) => {
                let directory = openat(directory, ".", DIRECTORY, Mode::empty());
                (directory.doing("open", "a directory of changes")?, true)
            }
            UpperHandle::Memory(bytes) => {
                let memory = mount::memory(Some(*bytes), 0o755, Restrictions::default())?;
                self.park(&memory)?;
                (memory, false)
            }
        };
        let upper = made(directory.as_fd(), "upper")?;
        Ok(Changes { directory, upper, on_disk })
    }

    fn overlay(&self, lowers: &[OwnedFd], changes: &Changes, at: BorrowedFd<'_>) -> Result<()> {
        // A volatile overlay refuses a work directory that was used before.
        remove::empty(changes.directory.as_fd(), "work").doing("empty", "a work directory")?;
        let work = made(changes.directory.as_fd(), "work")?;
        let mut layers: Vec<BorrowedFd<'_>> = lowers.iter().map(AsFd::as_fd).collect();
        if layers.is_empty() {
            layers.push(self.empty.as_fd());
        }
        let overlay = Overlay { lowers: &layers, upper: changes.upper.as_fd(), work: work.as_fd() };
        // Device nodes cannot be made inside, and those of an image must not open.
        mount::overlay(&overlay, at, true)
    }
}

/// A short name for a path of any length: its FNV-1a hash.
fn name_of(target: &Path) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let bytes = target.as_os_str().as_encoded_bytes();
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

fn made(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    match openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => {
            mkdirat(parent, name, Mode::from_raw_mode(0o755)).doing("make", name)?;
            openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
        }
        found => found,
    }
    .doing("open", name)
}
