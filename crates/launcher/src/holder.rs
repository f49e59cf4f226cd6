//! The process that holds a machine: starting it with its two descriptors, and its socket.

use std::{
    fs::{self, File},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use pyro_machine::MachineError;
use pyro_sys::{Context, mount};

use crate::{agent, failure};

/// The agent's socket in a workspace's directory, while a machine runs.
pub const SOCKET: &str = "sock";

/// Starts the agent's program in one of its modes, with one end of a socket and, when there is one,
/// the held lock. What is spawned only forks the holder and ends.
///
/// # Errors
/// The program cannot be started.
pub fn spawn(
    agent: &Path,
    sealed: bool,
    mode: &str,
    socket: UnixStream,
    held: Option<File>,
) -> Result<Child, MachineError> {
    // The file itself only where nobody inside can own it (`agent`).
    let copy: Option<OwnedFd> = if sealed { agent::sealed()? } else { None };
    let program = match &copy {
        Some(copy) => PathBuf::from(mount::link(copy.as_fd()).to_string()),
        None => agent.to_owned(),
    };
    Command::new(program)
        .arg0("pyro-guest")
        .arg(mode)
        .env_clear()
        .stdin(OwnedFd::from(socket))
        .stdout(held.map_or_else(Stdio::null, Stdio::from))
        .stderr(Stdio::null())
        .spawn()
        .doing("start", agent.display())
        .map_err(failure)
}

/// Collects what was spawned.
///
/// # Errors
/// It is no child of this process.
pub fn wait(mut spawned: Child) -> Result<(), MachineError> {
    spawned.wait().doing("wait for", "the launcher").map_err(failure)?;
    Ok(())
}

/// Connects to the agent of a machine; its path may be longer than a socket's address.
///
/// # Errors
/// `NotRunning` when nobody listens.
pub fn connect(directory: &Path) -> Result<UnixStream, MachineError> {
    use std::io::ErrorKind;
    let none = || MachineError::NotRunning(directory.to_owned());
    let handle = match mount::open_handle(directory) {
        Ok(handle) => handle,
        Err(error) if error.source.kind() == ErrorKind::NotFound => return Err(none()),
        Err(error) => return Err(failure(error)),
    };
    match UnixStream::connect(format!("{}/{SOCKET}", mount::link(handle.as_fd()))) {
        Ok(stream) => Ok(stream),
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            Err(none())
        }
        Err(error) => {
            Err(error).doing("connect to the agent in", directory.display()).map_err(failure)
        }
    }
}

/// Removes a socket that an earlier machine left.
///
/// # Errors
/// It cannot be removed.
pub fn forget_socket(directory: &Path) -> Result<(), MachineError> {
    let socket = directory.join(SOCKET);
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing("remove", socket.display()).map_err(failure)
        }
        _ => Ok(()),
    }
}
