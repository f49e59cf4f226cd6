//! The embedded agent: installed once as a file named by its hash, and for machines whose root is
//! the caller a sealed copy in memory, made for each start.
//!
//! A command inside can run `/proc/self/exe` as its first act (a script's first line is enough) and
//! then holds its agent's program. Where the guest's root is the owner of the home, that program
//! must not be a file of the home: its owner, mode and marks could be changed from inside, and its
//! bytes on kernels that let a running program be written.

use std::{
    fs,
    io::{self, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use pyro_machine::MachineError;
use pyro_sys::{Context, process::wait_readable};
use rustix::{
    fs::{
        MemfdFlags, SealFlags, fcntl_add_seals,
        inotify::{self, CreateFlags, WatchFlags},
        memfd_create,
    },
    io::Errno,
};

use crate::failure;

/// The program, as built by build.rs.
pub static PROGRAM: &[u8] = include_bytes!(env!("PYRO_GUEST_FILE"));
/// The SHA-256 of the program, in hexadecimal digits.
pub const HASH: &str = env!("PYRO_GUEST_SHA256");

/// The file of this build's agent, written when it is not there yet. A file of the right name and
/// size is taken to be right: the directory is the owner's alone, and a torn write never gets the
/// name.
///
/// # Errors
/// The directory cannot be written.
pub fn install(directory: &Path) -> Result<PathBuf, MachineError> {
    let file = directory.join(HASH);
    if fs::symlink_metadata(&file).is_ok_and(|found| found.is_file() && fits(&found)) {
        return Ok(file);
    }
    write(directory, &file).doing("install the agent as", file.display()).map_err(failure)?;
    Ok(file)
}

/// A copy in memory that nobody can write to, for one machine alone; `None` on a host where no
/// memory can be run (`vm.memfd_noexec=2`).
///
/// # Errors
/// Out of memory.
pub fn sealed() -> Result<Option<OwnedFd>, MachineError> {
    match copy_in_memory() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        copied => copied.map(Some).doing("copy into memory", "the agent").map_err(failure),
    }
}

fn copy_in_memory() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match memfd_create("pyro-guest", flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 do not know the wish; theirs can always be run.
        Err(Errno::INVAL) => memfd_create("pyro-guest", flags)?,
        made => made?,
    };
    let mut copy = fs::File::from(copy);
    copy.write_all(PROGRAM)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}

fn fits(found: &fs::Metadata) -> bool {
    found.size() == PROGRAM.len() as u64
        && found.mode() & 0o7777 == 0o500
        && found.uid() == rustix::process::geteuid().as_raw()
}

fn write(directory: &Path, file: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Two at once, also of one process, write two files and rename the same bytes over each other.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let part = directory.join(format!("{HASH}.{}-{number}", std::process::id()));
    let _ = fs::remove_file(&part);
    let mut open = fs::OpenOptions::new().write(true).create_new(true).mode(0o500).open(&part)?;
    open.write_all(PROGRAM)?;
    open.sync_all()?;
    close_everywhere(open, &part)?;
    fs::rename(&part, file)?;
    remove_others(directory);
    Ok(())
}

/// Removes agents of other versions, and parts that a crash left. Machines that run them keep them
/// until they end; a pyro of that version writes its own again.
fn remove_others(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let hash =
            name.get(..HASH.len()).is_some_and(|hash| hash.iter().all(u8::is_ascii_hexdigit));
        if hash && name != HASH.as_bytes() && !name.starts_with(HASH.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Closes a written file and waits until nobody has it open for writing: a process that another
/// thread is just starting holds a copy of the descriptor until its exec, and a file that somebody
/// writes cannot be run.
fn close_everywhere(open: fs::File, path: &Path) -> io::Result<()> {
    let watch = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, path, WatchFlags::CLOSE_WRITE)?;
    drop(open);
    // Should it take longer, the start says so.
    let _ = wait_readable(&watch, Some(Duration::from_secs(5)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_at_once_install_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("guest");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| install(&directory).unwrap());
            }
        });
        let names: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_damaged_file_is_replaced_and_a_good_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("guest");
        let file = install(&home).unwrap();
        let first = fs::metadata(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), PROGRAM);
        assert_eq!(install(&home).unwrap(), file);
        assert_eq!(fs::metadata(&file).unwrap().ino(), first.ino());
        fs::remove_file(&file).unwrap();
        fs::write(&file, "torn").unwrap();
        fs::write(home.join("0".repeat(64)), "an older agent").unwrap();
        install(&home).unwrap();
        assert_eq!(fs::read(&file).unwrap(), PROGRAM);
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
    }
}
